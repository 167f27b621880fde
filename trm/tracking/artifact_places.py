"""Where the files of runs lie that a storage's own database tells of: below that storage, also after it was moved or copied."""

import glob
import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, unquote, urlparse

ARTIFACTS = "mlartifacts"
ADDRESSES = (("runs", "artifact_uri"), ("logged_models", "artifact_location"), ("model_versions", "storage_location"))
"""Tables and columns in which addresses below an experiment's folder stand."""
MOST_CHARACTERS = 200
"""Of a folder's name; the tail of a longer one is its digest."""


def artifact_folder(experiment: str) -> str:
    """Where below `mlartifacts/` an experiment's files go: its name, with what would lead elsewhere written as codes."""
    return "/".join(_folder_name(part) for part in experiment.split("/") if part) or "%2F"


def _folder_name(part: str) -> str:
    if not part.strip("."):
        return part.replace(".", "%2E")
    part = part.replace("\\", "%5C").replace("\0", "%00")
    if len(part.encode()) > MOST_CHARACTERS:
        return quote(part)[: MOST_CHARACTERS // 2] + hashlib.sha256(part.encode()).hexdigest()[:16]
    return part


def artifact_location(storage: str | Path, experiment: str) -> str:
    """Address of the folder of an experiment's files in a storage."""
    return (Path(storage).absolute() / ARTIFACTS / artifact_folder(experiment)).as_uri()


def bring_home(database: Path, storage: Path) -> None:
    """Makes the storage's database tell of the files that lie in the storage, where it tells of the place that it came from.

    The tracking library keeps absolute addresses and has no way to change them. An address counts as old when it is the one that
    this project gives in another storage, and either nothing is there any more or the files came along.
    """
    if not database.is_file():
        return
    with closing(sqlite3.connect(database)) as connection, connection:
        for number, name, location in _experiments(connection):
            home = artifact_location(storage, name)
            tail = f"/{ARTIFACTS}/{quote(artifact_folder(name))}"
            if location == home or not location.startswith("file:///") or not location.endswith(tail):
                continue
            if _path(location).exists() and not _path(home).exists():
                continue  # somebody chose that place
            connection.execute("UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?", (home, number))
            for table, column in ADDRESSES:
                if _has(connection, table, column):
                    connection.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE {column} GLOB ?",
                        (home, len(location) + 1, f"{glob.escape(location)}/*"),
                    )


def _has(connection: sqlite3.Connection, table: str, column: str) -> bool:
    return any(row[1] == column for row in connection.execute(f"PRAGMA table_info({table})"))


def locations_elsewhere(database: Path, storage: Path, experiment: str) -> list[str]:
    """Addresses outside of the storage to which its database would send the files of an experiment."""
    if not database.is_file():
        return []
    home = f"{(storage.absolute() / ARTIFACTS).as_uri()}/"
    with closing(sqlite3.connect(database)) as connection:
        found = [(number, location) for number, name, location in _experiments(connection) if name == experiment]
        places = [location for _, location in found]
        for number, _ in found:
            rows = connection.execute("SELECT DISTINCT artifact_uri FROM runs WHERE experiment_id = ?", (number,))
            places += [str(place) for (place,) in rows if place]
    return sorted({place for place in places if not place.startswith(home) or "/../" in f"{place}/"})


def _experiments(connection: sqlite3.Connection) -> list[tuple[int, str, str]]:
    try:
        return connection.execute("SELECT experiment_id, name, artifact_location FROM experiments").fetchall()
    except sqlite3.DatabaseError:  # it has no tables yet, or is none: whoever opens it says so
        return []


def _path(location: str) -> Path:
    return Path(unquote(urlparse(location).path))
