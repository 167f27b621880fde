"""Draw evaluations beside what others published: shares with their intervals, grey where they are of something else."""

import sys

from trm.jobs.commands.claims import main
from trm.terminal.command_line import run_job

if __name__ == "__main__":
    sys.exit(run_job(main))
