"""What the writers of a store share on disk: who may write now, and whether its database still is the one that was opened."""

import contextlib
import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, unquote

from trm.files.atomic import open_lock, why_unwritable

LOCK = ".tracking.lock"
"""In a sweep folder; held by whoever sends its journal."""
POLL_SECONDS = 0.5
REACH_SECONDS = 5.0
"""So long a database that another process has locked is waited for before it is opened."""
EXIT_AGAIN = 75
"""The writer's process asks to be started again."""


@contextlib.contextmanager
def only_one(lock: Path, waits: Callable[[], None]) -> Iterator[None]:
    """Hold the lock; `waits` is called twice a second while another process has it. Who may not write there needs none."""
    if why_unwritable(lock.parent) is not None:
        yield
        return
    with os.fdopen(open_lock(lock), "rb") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waits()
                time.sleep(POLL_SECONDS)
        yield


def reach(uri: str) -> None:
    """Raises where a database cannot be reached now: MLflow would try to connect ten times, for minutes, and say nothing.

    A file that is not there is made by MLflow; servers over HTTP have their own patience.
    """
    kind = uri.partition("://")[0].partition("+")[0]
    if kind == "sqlite" and file_of(uri) is not None:
        place = f"file:{quote(_path_of(uri))}?mode=ro"
        with contextlib.closing(sqlite3.connect(place, uri=True, timeout=REACH_SECONDS)) as connection:
            connection.execute("select count(*) from sqlite_master").fetchone()
    elif kind in ("postgresql", "mysql", "mssql"):
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool

        create_engine(uri, poolclass=NullPool).connect().close()


def _path_of(uri: str) -> str:
    return unquote(uri.partition(":///")[2].partition("?")[0])


def file_of(uri: str) -> tuple[int, int] | None:
    """What a sqlite database's file is, whatever its name points to later; None where there is none."""
    if not uri.startswith("sqlite"):
        return None
    try:
        found = os.stat(_path_of(uri))
    except OSError:
        return None
    return found.st_dev, found.st_ino
