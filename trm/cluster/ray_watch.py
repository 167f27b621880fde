"""Notices that Ray is gone before Ray ends this process: the job then stops in order, says how to go on, and exits with 130.

Left alone, the driver waits a minute for a head service that was killed; then Ray's library prints its stack and calls exit(1),
past every handler of Python.
"""

import contextlib
import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

import ray
from ray._private import worker
from ray.exceptions import RayError

from trm.console.streams import say
from trm.errors import EXIT_INTERRUPTED, InterruptedRun, TerminatedRun

NAMES = {"gcs_server": "head service (GCS)", "raylet": "node service (raylet)"}
"""The processes of an embedded Ray that nothing goes on without."""
POLL_SECONDS = 1.0
SILENT_SECONDS = 40.0
"""A cluster whose head refuses or does not answer for so long is gone: after 60 s Ray would end this process."""
ASK_SECONDS = 5.0
LEAVE_SECONDS = 15.0
"""So long after the signal a job that waits for the lost Ray has time to leave in order."""


class _Lost:
    """What this process has lost; one Ray a process."""

    what: str | None = None


def what_was_lost() -> str | None:
    """Which part of Ray ended, in words; None while nothing did."""
    return _Lost.what


@contextlib.contextmanager
def watched(goes_on: str) -> Iterator[None]:
    """While entered, the end of Ray is a SIGTERM for this process, and its end some seconds later, with the sentence `goes_on`.

    Whatever that makes the block raise is an InterruptedRun. Enter it right after `ray.init`, leave it before `ray.shutdown`.
    """
    over = threading.Event()
    _Lost.what = None
    node = worker._global_node
    ours = {name: kept[0].process for name, kept in node.all_processes.items() if name in NAMES and kept}
    watch = _watch_processes if ours else _watch_cluster
    threading.Thread(target=watch, args=(ours or node.gcs_address, over, goes_on), daemon=True, name="ray-watch").start()
    try:
        yield
    except Exception as error:
        if isinstance(error, InterruptedRun) and not isinstance(error, TerminatedRun):
            raise  # it says how to go on
        if isinstance(error, RayError):
            time.sleep(2 * POLL_SECONDS)  # what Ray raises when it goes may come before its end is noticed
        if _Lost.what is None:
            raise
        raise InterruptedRun(f"{_Lost.what}; {goes_on}") from error
    finally:
        over.set()


def _watch_processes(processes: "dict[str, subprocess.Popen[bytes]]", over: threading.Event, goes_on: str) -> None:
    poll, names = select.poll(), {}
    for name, process in processes.items():
        with contextlib.suppress(OSError):  # it has ended already, and poll() tells
            file = os.pidfd_open(process.pid)
            names[file] = name
            poll.register(file, select.POLLIN)
    try:
        while not over.is_set():
            poll.poll(POLL_SECONDS * 1000)
            for name, process in processes.items():
                if (code := process.poll()) is not None and not over.is_set():
                    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
                    _lose(f"Ray's {NAMES[name]} {how}", over, goes_on)
                    return
    finally:
        for file in names:
            os.close(file)


def _watch_cluster(address: str, over: threading.Event, goes_on: str) -> None:
    host, _, port = address.rpartition(":")
    answered = time.monotonic()
    while not over.wait(ASK_SECONDS):
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=ASK_SECONDS).close()
            answered = time.monotonic()
        except OSError as error:
            if time.monotonic() - answered > SILENT_SECONDS:
                _lose(f"the Ray cluster at {address} does not answer any more ({error})", over, goes_on)
                return


def _lose(what: str, over: threading.Event, goes_on: str) -> None:
    _Lost.what = what
    say(f"{what}: the job stops")
    os.kill(os.getpid(), signal.SIGTERM)
    if not over.wait(LEAVE_SECONDS):
        say(f"interrupted: {what}; {goes_on}")
        os._exit(EXIT_INTERRUPTED)


def end_ray() -> None:
    """Disconnect, unless Ray is gone: asking it would end this process."""
    if _Lost.what is None:
        ray.shutdown()
