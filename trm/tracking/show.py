"""`python -m trm.tracking.show PLACE`: MLflow's pages of a storage, wherever that lies now, and where its sweeps are in them."""

import argparse
import os
import shlex
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from trm.console.redaction import redacted
from trm.console.streams import one_line, one_message, printable, steady_output
from trm.errors import EXIT_DONE, EXIT_INPUT, ConfigError, InputError, SweepError
from trm.files.strays import without_strays
from trm.tracking.artifact_places import bring_home
from trm.tracking.outbox_state import OutboxState
from trm.tracking.places import STORE, check_own_store, is_noted, mlflow_command, page_lines, program, store_for, tracking_uri

MOST_SHOWN = 20
"""Sweeps and runs of a storage, the newest."""
PORT, MOST_PORT = 5000, 65535


def _known(place: Path) -> Iterator[tuple[Path, OutboxState]]:
    """Sweeps and runs with their notes: of the folder itself, else of all below it, the newest first."""
    if (own := OutboxState.read(place)) is not None:
        yield place, own
        return
    notes = without_strays(place.glob("*/tracking.json"))
    for note in sorted(notes, key=lambda path: path.lstat().st_mtime, reverse=True)[:MOST_SHOWN]:
        if (found := OutboxState.read(note.parent)) is not None:
            yield note.parent, found


def _address(place: Path, known: list[tuple[Path, OutboxState]], uri: str | None) -> tuple[str, Path]:
    """The store to show and the storage: as the user says, else the storage's own."""
    if known and known[0][0] == place:
        storage = place.absolute().parent
        return store_for(place, uri, known[0][1].uri), storage
    return tracking_uri(uri or os.environ.get("MLFLOW_TRACKING_URI"), place.absolute()), place.absolute()


def _show(place: Path, uri: str | None, port: int) -> int:
    known = list(_known(place))
    address, storage = _address(place, known, uri)
    is_own = address == tracking_uri(None, storage, {})
    if is_own and not (storage / STORE).is_file():
        raise SweepError(f"{place} has no MLflow database", remedy="give a storage, such as runs, or a sweep in it; or --uri")
    if is_own:
        for experiment in sorted({state.experiment for _, state in known}):
            check_own_store(storage, experiment)
        bring_home(storage / STORE, storage)
    is_server = address.startswith(("http", "databricks"))
    if not is_server:
        _check_free(port)
    for folder, state in known:
        for line in page_lines(state, address, port) or [_why_none(folder, state, address)]:
            _say(f"{one_line(folder.name)}  {line}")
    if not is_server:
        _become_server(address, port)
    _say(mlflow_command(address))
    return EXIT_DONE


def _why_none(folder: Path, state: OutboxState, address: str) -> str:
    """What to do for the address of a sweep or a run that has none."""
    if not is_noted(state.uri, address):
        return f"is kept at {one_line(redacted(state.uri))}, which --uri shows"
    return f"has no address yet: {program('python')} -m trm.tracking.writer {shlex.quote(str(folder))}"


def _check_free(port: int) -> None:
    """ConfigError where somebody serves there already: MLflow would say so among its own lines, and end as if all were well."""
    with socket.socket() as found:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigError(
                f"port {port} must be free on this machine: {error.strerror}", remedy="give another by --port"
            ) from error


def _become_server(address: str, port: int) -> NoReturn:
    _say(f"{redacted(address)} at http://127.0.0.1:{port}; Ctrl-C ends it")
    command = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port)]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment = {**quiet, **os.environ, "MLFLOW_BACKEND_STORE_URI": address}  # on a command line all users see its password
    os.execve(command[0], [*command, "--workers", "1"], environment)  # it becomes MLflow's server


def _say(text: str) -> None:
    sys.stdout.write(f"{printable(text)}\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Show a storage's runs, or those of one sweep or run, until it is ended."""
    steady_output()
    parser = argparse.ArgumentParser(
        prog="python -m trm.tracking.show", description="Serve MLflow's pages of a storage, and say where in them its sweeps are."
    )
    parser.add_argument("place", type=Path, help="a storage, such as runs, or the folder of a sweep or a run in it")
    parser.add_argument("--uri", help="tracking store (default: MLFLOW_TRACKING_URI, else the one in the storage)")
    parser.add_argument("--port", type=int, default=PORT, help=f"of 127.0.0.1 (default: {PORT})")
    options = parser.parse_args(arguments)
    if not 1 <= options.port <= MOST_PORT:
        parser.error(f"--port must be 1 to {MOST_PORT}, got {options.port}")
    try:
        if not options.place.is_dir():
            raise SweepError(f"{options.place} is no folder", remedy="give a storage, such as runs, or a sweep in it")
        return _show(options.place, options.uri, options.port)
    except InputError as error:
        sys.stderr.write(f"error: {one_message(str(error))}\n")
        return EXIT_INPUT


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
