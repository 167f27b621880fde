"""What every job's command line shares: exit codes, messages without tracebacks, and the option to replace a value."""

import argparse
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, NamedTuple, NoReturn

from trm.console.program import PROGRAM, is_program
from trm.console.streams import printable, result_lost, say, steady_output
from trm.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_INPUT,
    EXIT_INTERRUPTED,
    InputError,
    InterruptedRun,
    StoreSilent,
    SweepDriven,
    TerminatedRun,
    TRMError,
)
from trm.files.contained import misplaced
from trm.files.disk import is_disk_full
from trm.files.own_cache import give_home

PERMISSION_REMEDY = "ask its owner for the right to read it, or where something is written name a place of your own"


def run_job(main: Callable[[], int]) -> int:
    """Run a job's main and give its exit code: 0 done, 1 the work failed, 2 the input was wrong, 130 interrupted.

    Wrong input and failed work are one message on stderr; a traceback is for what nobody foresaw. Nobody who stops reading what
    the job says ends it; a result that could not be written, to a full disk for instance, is failed work.
    """
    steady_output()
    give_home()
    before = end_on_signals()
    try:
        code = _coded(main)
        if code == EXIT_DONE and (why := result_lost()) is not None:
            say(f"failed: the result could not be written to standard output: {why}")
            return EXIT_FAILED
        return code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _coded(main: Callable[[], int]) -> int:
    try:
        return main()
    except (Exception, KeyboardInterrupt) as error:
        if (foreseen := ending(error)) is None:
            raise
        say(foreseen.message)
        return foreseen.code


class Ending(NamedTuple):
    """How a job ends that did not come to its end."""

    code: int
    message: str


def ending(error: BaseException) -> Ending | None:
    """What `error` makes of a job: its exit code and what is said; None where nobody foresaw it, which is an exit code of 1."""
    match error:
        case StoreSilent() | SweepDriven():
            return Ending(EXIT_INTERRUPTED, f"not now: {error}")
        case InputError():
            return Ending(EXIT_INPUT, f"error: {error}")
        case InterruptedRun() | KeyboardInterrupt():
            return Ending(EXIT_INTERRUPTED, f"interrupted: {error}" if str(error) else "interrupted")
        case TRMError():
            return Ending(EXIT_FAILED, f"failed: {error}")
        case PermissionError():
            place = f"{error.filename} must be there for this user: {error.strerror}"
            return Ending(EXIT_INPUT, f"error: {place}; {PERMISSION_REMEDY}")
        case OSError() if (problem := misplaced(error)) is not None:
            return Ending(EXIT_INPUT, f"error: {problem}")
        case Exception() if is_disk_full(error):  # it has many faces
            where = f" of {error.filename}" if isinstance(error, OSError) and error.filename else ""
            again = f"interrupted: the disk{where} is full ({error}); make room, then give the same command again"
            return Ending(EXIT_INTERRUPTED, again)
        case _:
            return None


def end_on_signals() -> dict[int, Any]:
    """From here on SIGTERM, and SIGHUP when the terminal goes away, end the job in order and with exit code 130, like Ctrl-C.

    The handlers that were there before. Who started the job with SIGHUP ignored (nohup) has it go on without a terminal.
    `ray.init` sets a handler of its own for SIGTERM: call it again after that.
    """
    ending = [signal.SIGTERM, *heard_hangup()]
    return {number: signal.signal(number, _terminate) for number in ending}


def heard_hangup() -> list[signal.Signals]:
    """SIGHUP, unless it is ignored."""
    return [] if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else [signal.SIGHUP]


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise TerminatedRun(signal.Signals(number).name)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with an option in the way of all other input."""

    def error(self, message: str) -> NoReturn:
        called = self.prog if is_program() else f"python {sys.argv[0]}"
        raise InputError(message, remedy=f"see {called} --help")


def job_parser(description: str | None, command: str, *, has_overrides: bool = True) -> argparse.ArgumentParser:
    """A parser of the job that is `trm-search COMMAND`, with the option that jobs share which take a YAML file: --set."""
    called = f"{PROGRAM} {command}" if is_program() else None
    parser = _Parser(prog=called, description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if has_overrides:
        parser.add_argument(
            "--set",
            dest="overrides",
            action="append",
            default=[],
            metavar="PATH=VALUE",
            help="replace a value of the YAML file; repeatable, and of one path the last one counts",
        )
    return parser


def show(text: str) -> None:
    """A job's result, on stdout."""
    print(printable(text), flush=True)


def duration(seconds: float) -> str:
    """Seconds as a person says them: 45 s, 3 min, 2.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
