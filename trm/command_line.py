"""What every job's command line shares: exit codes, messages without tracebacks, and the option to replace a value."""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

from trm.errors import EXIT_FAILED, EXIT_INPUT, EXIT_INTERRUPTED, InputError, InterruptedRun, TerminatedRun, TRMError


def run_job(main: Callable[[], int]) -> int:
    """Run a job's main and give its exit code: 0 done, 1 the work failed, 2 the input was wrong, 130 interrupted.

    Wrong input and failed work are one message on stderr; a traceback is for what nobody foresaw.
    """
    before = end_on_sigterm()
    try:
        return main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_INPUT
    except (InterruptedRun, KeyboardInterrupt) as error:
        print(f"interrupted: {error}" if str(error) else "interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except TRMError as error:
        print(f"failed: {error}", file=sys.stderr)
        return EXIT_FAILED
    except BrokenPipeError:
        # Whoever read our output went away (`| head`); Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    finally:
        signal.signal(signal.SIGTERM, before)


def end_on_sigterm() -> Any:
    """From here on SIGTERM ends the job in order and with exit code 130, like Ctrl-C; the handler that was there before.

    `ray.init` sets one of its own: call it again after that.
    """
    return signal.signal(signal.SIGTERM, _terminate)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise TerminatedRun("SIGTERM")


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with an option in the way of all other input."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message, remedy=f"see python {sys.argv[0]} --help")


def job_parser(description: str, *, has_overrides: bool = True) -> argparse.ArgumentParser:
    """A parser with the option that jobs share which take a YAML file: --set."""
    parser = _Parser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if has_overrides:
        parser.add_argument(
            "--set",
            dest="overrides",
            action="append",
            default=[],
            metavar="PATH=VALUE",
            help="replace a value of the YAML file; repeatable",
        )
    return parser


def say(text: str) -> None:
    """A line for the person who waits, on stderr."""
    print(text, file=sys.stderr, flush=True)


def show(text: str) -> None:
    """A job's result, on stdout."""
    print(text, flush=True)


def duration(seconds: float) -> str:
    """Seconds as a person says them: 45 s, 3 min, 2.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
