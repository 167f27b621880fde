"""Build the data set of a recipe, verify the one that is there, or mend it when files of it are missing or damaged.

An interrupted build goes on where it was when the same command is given again.
"""

import sys

from trm.jobs.commands.data import main
from trm.terminal.command_line import run_job

if __name__ == "__main__":
    sys.exit(run_job(main))
