"""Search for the best tiny recursive model of a search space."""

import sys

from trm.jobs.commands.sweep import main
from trm.terminal.command_line import run_job

if __name__ == "__main__":
    sys.exit(run_job(main))
