"""Fine-tune a language model on ARC tasks in words and score its answers as a network's are; compare reads the result."""

import sys

from trm.jobs.commands.text_baseline import main
from trm.terminal.command_line import run_job

if __name__ == "__main__":
    sys.exit(run_job(main))
