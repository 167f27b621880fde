"""Write a built data set as the folder of arrays that the published code trains on."""

import sys

from trm.jobs.commands.export_data import main
from trm.terminal.command_line import run_job

if __name__ == "__main__":
    sys.exit(run_job(main))
