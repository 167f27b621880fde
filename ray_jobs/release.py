"""Hand a sweep's winner on: a folder with a model card, and a version in MLflow's model registry."""

import sys

from trm.jobs.commands.release import main
from trm.terminal.command_line import run_job

if __name__ == "__main__":
    sys.exit(run_job(main))
