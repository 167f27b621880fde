"""Write a run's, a checkpoint's or a sweep's weights as the published code loads them."""

import sys

from trm.jobs.commands.export_weights import main
from trm.terminal.command_line import run_job

if __name__ == "__main__":
    sys.exit(run_job(main))
