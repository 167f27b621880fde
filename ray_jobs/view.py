"""Show a sweep, a run, an evaluation, a data set or published arrays in a browser: one page that opens from disk, or a live one."""

import sys

from trm.jobs.commands.view import main
from trm.terminal.command_line import run_job

if __name__ == "__main__":
    sys.exit(run_job(main))
