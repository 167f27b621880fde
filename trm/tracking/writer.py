"""The one MLflow writer: a process of its own that follows the journal, so that it holds up neither a trial nor the exit.

What an unreachable store did not take goes out later, at a resume or by `python -m trm.tracking.writer SWEEP_FOLDER`, and nothing
twice. This is the only file that imports mlflow, and only the writer's process does: the import takes seconds of one core.
"""

import argparse
import contextlib
import json
import os
import select
import sys
import time
from pathlib import Path

from trm.console.streams import one_line, one_message, steady_output
from trm.errors import EXIT_DONE, EXIT_FAILED, EXIT_INPUT, InputError, SweepError
from trm.files.atomic import why_unwritable
from trm.files.contained import misplaced, refuse_links
from trm.files.own_cache import give_home
from trm.search.journal.journal import unread
from trm.search.journal.lease import is_held
from trm.tracking.outbox_state import OutboxState
from trm.tracking.places import Target, check_own_store, state_by_sweep_file, storage_for, store_for
from trm.tracking.run_outbox import outbox_of
from trm.tracking.store import MlflowStore, import_mlflow
from trm.tracking.store_files import EXIT_AGAIN, LOCK, POLL_SECONDS, only_one
from trm.training.run_record import read_record

FOLLOWED = ("journal.jsonl", "sweep.yaml", "tracking.json", "metrics.jsonl", "run.json", "config.yaml", "curves")
"""What is read of a sweep's or a run's folder besides the files that are uploaded."""
ORPHAN_SECONDS = 20.0
"""How long the writer goes on sending after its driver died."""
SAID_SECONDS = 10.0


def _follow_driver() -> int:
    """The writer's process: target on the first line of standard input, then a close command, or the end of a dead driver."""
    os.nice(5)  # trials come first
    driver = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # MLflow greets there at the end of every run

    def say(kind: str, text: str) -> None:
        with contextlib.suppress(OSError):
            driver.write(json.dumps([kind, text]) + "\n")
            driver.flush()

    import_mlflow()  # the target may come seconds later
    if not (told := sys.stdin.readline()):
        return EXIT_DONE
    target = Target(**json.loads(told))
    folder = Path(target.folder)
    with only_one(folder / LOCK, lambda: say("sent", "")):  # the writer of a killed driver may still be sending
        state = OutboxState.load(folder, target.uri, target.experiment)
        with contextlib.suppress(OSError):  # a full disk: it is a note for people
            state.save(folder)
        outbox = outbox_of(folder)(folder, MlflowStore(target, say), state, say, is_driven=True)
        while not select.select([sys.stdin], [], [], POLL_SECONDS)[0]:
            if outbox.forward(time.monotonic() + POLL_SECONDS):
                outbox.forward_standing()
                outbox.forward_curves(time.monotonic() + POLL_SECONDS)
            say("sent", "")
        line = sys.stdin.readline()
        seconds = float(json.loads(line)["close"]) if line else ORPHAN_SECONDS
        if outbox.finish(time.monotonic() + seconds):
            return EXIT_DONE
        say("left", outbox.left)
        return EXIT_FAILED


def _flush(folder: Path, uri: str | None, seconds: float) -> int:
    refuse_links(folder, lambda parts: parts[0] in FOLLOWED)
    record = read_record(folder)
    if (folder / "journal.jsonl").is_file():
        for piece in unread(folder / "journal.jsonl"):  # refuses a damaged one before anything of it goes out
            if piece.kind != "unfinished":
                sys.stderr.write(f"not read: {one_line(piece.text)}\n")
    elif record is None:
        raise SweepError(f"{folder} holds no journal.jsonl and no run.json", remedy="give the folder of a sweep or a run")
    unsent = state_by_sweep_file(folder) if record is None else OutboxState(experiment=record.experiment)
    known = OutboxState.read(folder) or unsent
    address = store_for(folder, uri, known.uri)
    target = Target(address, str(folder), str(storage_for(folder, address)), known.experiment)
    if target.is_storages_own and not uri:
        check_own_store(Path(target.storage), target.experiment)

    keeps_note, told, deadline = why_unwritable(folder) is None, _Told(), time.monotonic() + seconds
    with only_one(folder / LOCK, lambda: told.waits(folder, deadline)):
        state, has_last_word = OutboxState.load(folder, target.uri, target.experiment), not is_held(folder)
        store = MlflowStore(target, told)
        outbox = outbox_of(folder)(folder, store, state, told, is_driven=False, has_last_word=has_last_word, keeps_note=keeps_note)
        is_done = outbox.finish(time.monotonic() + seconds)
    rest = ", but for what it refused" if told.has_refused else ""
    sys.stderr.write(f"MLflow has everything{rest}\n" if is_done else f"MLflow has not got everything: {outbox.left}\n")
    return EXIT_DONE if is_done else EXIT_FAILED


class _Told:
    """Says on standard error what an outbox has to say: how far it is every few seconds, a refusal once."""

    def __init__(self) -> None:
        self._said_at = time.monotonic()
        self.has_refused = self._has_waited = False

    def __call__(self, kind: str, text: str) -> None:
        now = time.monotonic()
        if kind == "sent":
            if text and now - self._said_at >= SAID_SECONDS:
                self._said_at = now
                sys.stderr.write(f"sent: {text}\n")
            return
        if kind != "refused" or not self.has_refused:
            sys.stderr.write(f"{kind}: {one_line(text)}\n")
        self.has_refused = self.has_refused or kind == "refused"

    def waits(self, folder: Path, deadline: float) -> None:
        """Another process sends the sweep's journal: say so once; SweepError when it does so beyond the deadline."""
        if time.monotonic() >= deadline:
            raise SweepError(f"another process is sending {folder} to MLflow", remedy="let it end, which a running sweep does last")
        if not self._has_waited:
            self._has_waited = True
            sys.stderr.write("waiting: another process is sending this sweep to MLflow\n")


def main(arguments: list[str]) -> int:
    """Send what MLflow has not got of a sweep folder; without arguments, be the writer's process."""
    give_home()
    if not arguments:
        return _follow_driver()
    steady_output()
    parser = argparse.ArgumentParser(
        prog="python -m trm.tracking.writer", description="Send to MLflow what it has not got of a sweep or a run."
    )
    parser.add_argument("folder", type=Path, help="the folder of a sweep, or of a run of train.py")
    parser.add_argument("--uri", help="tracking store (default: MLFLOW_TRACKING_URI, else the one in the sweep's storage)")
    parser.add_argument("--seconds", type=float, default=60.0, help="give up after so long (default: 60)")
    options = parser.parse_args(arguments)
    try:
        return _flush(options.folder, options.uri, options.seconds)
    except InputError as error:
        sys.stderr.write(f"error: {one_message(str(error))}\n")
        return EXIT_INPUT
    except SystemExit as ended:
        if ended.code != EXIT_AGAIN:
            raise
        sys.stderr.write("error: the store must stay while it is sent to; give the same command again\n")
        return EXIT_FAILED
    except PermissionError as error:
        text = f"{error.filename} must be readable: {error.strerror}; ask its owner, or run as a user who may"
        sys.stderr.write(f"error: {one_line(text)}\n")
        return EXIT_INPUT
    except OSError as error:
        if (problem := misplaced(error)) is None:
            raise
        sys.stderr.write(f"error: {one_line(problem)}\n")
        return EXIT_INPUT


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
