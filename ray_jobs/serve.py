"""Answer posted puzzles over HTTP with a run's, a sweep's or a released network, on this machine or as replicas on a cluster."""

import sys

from trm.jobs.commands.serve import main
from trm.terminal.command_line import run_job

if __name__ == "__main__":
    sys.exit(run_job(main))
