"""One evaluation at a time writes into a folder."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trm.errors import ConfigError
from trm.files.atomic import locked, make_folders

LOCK = ".evaluation.lock"
"""Held while an evaluation writes there."""


@contextmanager
def held_folder(folder: Path | None) -> Iterator[None]:
    """Keeps other evaluations out of the folder, which is made where it is missing, and goes again if nothing was written.

    ConfigError when another one writes there; one that was killed is no hindrance.
    """
    if folder is None:
        yield
        return

    def refuse() -> None:
        raise ConfigError(
            f"--folder must be of one evaluation at a time, and {_holder(folder)} writes into {folder}",
            remedy="wait for it, or name another folder",
        )

    made = make_folders(folder)
    try:
        with locked(folder / LOCK, refuse):
            (folder / LOCK).write_text(f"process {os.getpid()} on {socket.gethostname()}")
            try:
                yield
            finally:
                (folder / LOCK).unlink(missing_ok=True)
    finally:
        with suppress(OSError):  # something was written
            for one in made:
                one.rmdir()


def _holder(folder: Path) -> str:
    try:
        return (folder / LOCK).read_text() or "another process"
    except OSError:  # it is about to end
        return "another process"
