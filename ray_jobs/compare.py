"""Compare two evaluations of the same puzzles, puzzle by puzzle: how much better one is, and whether that is more than chance."""

import sys

from trm.jobs.commands.compare import main
from trm.terminal.command_line import run_job

if __name__ == "__main__":
    sys.exit(run_job(main))
