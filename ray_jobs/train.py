"""Train one run from a complete configuration, or go on with one."""

import sys

from trm.jobs.commands.train import main
from trm.terminal.command_line import run_job

if __name__ == "__main__":
    sys.exit(run_job(main))
