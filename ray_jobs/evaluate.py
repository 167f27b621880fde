"""Score a run, a sweep's winner, a checkpoint, or another program's file of weights (.pt, safetensors), on a whole split."""

import sys

from trm.jobs.commands.evaluate import main
from trm.terminal.command_line import run_job

if __name__ == "__main__":
    sys.exit(run_job(main))
