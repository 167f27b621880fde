"""How a person calls the jobs here: as words of the installed program, or as the scripts of a checkout."""

import sys
from pathlib import Path

PROGRAM = "trm-search"
COMMANDS = {
    "sweep": "sweep.py",
    "train": "train.py",
    "evaluate": "evaluate.py",
    "data": "build_dataset.py",
    "status": "sweep.py",
    "compare": "compare.py",
    "claims": "claims.py",
    "view": "view.py",
    "text-baseline": "text_baseline.py",
    "export-data": "export_dataset.py",
    "export-weights": "export_weights.py",
    "serve": "serve.py",
    "release": "release.py",
}
"""Word behind PROGRAM -> the script of `ray_jobs/` that does it."""
_WORDS = {script: word for word, script in COMMANDS.items() if word != "status"}


def is_program() -> bool:
    """Whether this process was called as the installed program."""
    return Path(sys.argv[0]).name == PROGRAM


def job(script: str) -> str:
    """A job's name for a reader: `trm-search sweep`, or `ray_jobs/sweep.py`."""
    return f"{PROGRAM} {_WORDS[script]}" if is_program() else f"ray_jobs/{script}"


def word_of(script: str) -> str:
    """The word behind PROGRAM that does what the script does."""
    return _WORDS[script]
