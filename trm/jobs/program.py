"""`trm-search COMMAND ...`: every job by one program, from any folder; `ray_jobs/` has a script for each."""

import importlib
import sys

from trm import __version__
from trm.config.shipped import FOLDERS, shipped_names
from trm.console.program import COMMANDS, PROGRAM
from trm.errors import EXIT_DONE, InputError
from trm.terminal.command_line import run_job, show


def main() -> int:
    """The exit code of what the command line asks for."""
    return run_job(_main)


def _main() -> int:
    word = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if word in ("-h", "--help"):
        show("\n".join(_help_lines()))
        return EXIT_DONE
    if word == "--version":
        show(f"{PROGRAM} {__version__}")
        return EXIT_DONE
    if word not in COMMANDS:
        raise InputError(f"{PROGRAM} has no command {word!r}", remedy=f"choose one of {', '.join(COMMANDS)}, or see --help")
    del sys.argv[1]
    return int(importlib.import_module(f"trm.jobs.commands.{word.replace('-', '_')}").main())


def _help_lines() -> list[str]:
    lines = [f"usage: {PROGRAM} COMMAND ...", ""]
    for word in COMMANDS:
        about = importlib.import_module(f"trm.jobs.commands.{word.replace('-', '_')}").__doc__ or ""
        lines.append(f"  {word:15} {about.splitlines()[0]}")
    lines += ["", f"{PROGRAM} COMMAND --help tells every option. Shipped, and found by name from any folder:"]
    for kind in FOLDERS:
        lines.append(f"  {kind + ':':20} {', '.join(shipped_names(kind))}")
    return lines
