"""Processes of this machine that share a torch process group: one function in each, watched by the one that started them."""

import contextlib
import multiprocessing
import os
import signal
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from trm.console.redaction import reason_of
from trm.errors import ResourceError, TrialError, TRMError

SILENT_DAYS = 7
"""So long a worker may wait for another one's rows; a dead one is noticed at once, by whoever started both."""
LATE_SECONDS = 1.0
"""After the first bad sign so long is looked for a better reason: whoever waits for a dead worker fails too."""
Worker = Callable[[Any], Any]


def usable_cpus() -> int:
    """CPUs that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_processes(workers: int) -> None:
    """ResourceError where this machine has no CPU, or of several GPUs none, for each worker."""
    cpus, gpus = usable_cpus(), torch.cuda.device_count()
    if workers > cpus:
        raise ResourceError(f"--workers must be at most the CPUs of this machine, {cpus}, got {workers}", remedy="ask for fewer")
    if gpus and workers > gpus:
        raise ResourceError(f"--workers must be at most the GPUs of this machine, {gpus}, got {workers}", remedy="ask for fewer")


def run_processes(work: Worker, config: Any, workers: int) -> Any:
    """What `work(config)` returns in the first of so many processes; in each it finds the process group, and a device of its own.

    Raises what a worker raised of this project's errors, and TrialError for other ends of one; none lives on after it, whatever
    ends the caller. Threads are shared: each has CPUs / workers of them.
    """
    threads = max(1, min(torch.get_num_threads(), usable_cpus() // workers))
    context = multiprocessing.get_context("spawn")
    resource_tracker.ensure_running()  # it would undo at the first start what keeps signals from a worker
    with tempfile.TemporaryDirectory(prefix="trm-gang-") as meeting, contextlib.ExitStack() as ends:
        processes, ears = list[BaseProcess](), list[Connection]()
        for rank in range(workers):
            ear, mouth = context.Pipe(duplex=False)
            ends.callback(ear.close)
            process = context.Process(
                target=_member, args=(work, config, rank, workers, threads, meeting, mouth), name=f"worker {rank}", daemon=True
            )
            with _signals_are_ours():
                process.start()
            ends.callback(_end, process)
            mouth.close()
            processes.append(process)
            ears.append(ear)
        return _result(processes, ears)


@contextlib.contextmanager
def _signals_are_ours() -> Iterator[None]:
    """Processes that are started meanwhile never hear Ctrl-C, or that the terminal goes away: this one does, and ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end(process: BaseProcess) -> None:
    process.kill()  # it holds nothing that must be given back: what it writes is nobody's until it is renamed
    process.join()


def _result(processes: Sequence[BaseProcess], ears: Sequence[Connection]) -> Any:
    """The first worker's result, when all are done; raises for the first that is not."""
    said: dict[int, tuple[str, Any]] = {}
    while len(said) < len(processes):
        _listen(processes, ears, said, None)
        if any(kind != "result" for kind, _ in said.values()):
            end = time.monotonic() + LATE_SECONDS
            while len(said) < len(processes) and (left := end - time.monotonic()) > 0:
                _listen(processes, ears, said, left)
            raise _failure({rank: one for rank, one in said.items() if one[0] != "result"})
    return said[0][1]


def _listen(
    processes: Sequence[BaseProcess], ears: Sequence[Connection], said: dict[int, tuple[str, Any]], seconds: float | None
) -> None:
    """Waits until a worker says how it ended, or ends without a word."""
    silent = [rank for rank in range(len(processes)) if rank not in said]
    wait([*(ears[rank] for rank in silent), *(processes[rank].sentinel for rank in silent)], seconds)
    for rank in silent:
        if ears[rank].poll():
            try:
                said[rank] = ears[rank].recv()
            except (EOFError, OSError):  # it ended in the middle of a word, or before
                processes[rank].join()
                said[rank] = "ended", processes[rank].exitcode
        elif not processes[rank].is_alive():
            said[rank] = "ended", processes[rank].exitcode


def _failure(said: dict[int, tuple[str, Any]]) -> TRMError:
    """What ended the work: a death before an error of ours, that before others, which may come from either."""
    for rank, (kind, what) in said.items():
        if kind == "ended":
            how = f"ended by signal {signal.Signals(-what).name}" if what and what < 0 else f"ended with code {what}"
            return TrialError(f"worker {rank} of the evaluation {how}, and the others with it")
    for _, what in said.values():
        if isinstance(what, TRMError):
            return what
    rank, (_, what) = next(iter(said.items()))
    return TrialError(f"worker {rank} of the evaluation failed: {what}")


def _member(work: Worker, config: Any, rank: int, workers: int, threads: int, meeting: str, mouth: Connection) -> None:
    """One worker: it meets the others, works, says what came of it, and ends when nobody is there to hear it."""
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    torch.set_num_threads(threads)
    is_on_gpus = torch.cuda.is_available()
    if is_on_gpus:
        torch.cuda.set_device(rank)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo" if Path("/sys/class/net/lo").exists() else "lo0")
    said: tuple[str, Any]
    try:
        dist.init_process_group(
            "nccl" if is_on_gpus else "gloo",
            init_method=(Path(meeting) / "store").as_uri(),
            rank=rank,
            world_size=workers,
            timeout=timedelta(days=SILENT_DAYS),
        )
        said = "result", work(config)
    except TRMError as error:
        said = "error", error
    except Exception as error:  # whoever started it tells the person; a traceback is for what nobody foresaw
        traceback.print_exc()
        said = "error", reason_of(error)
    mouth.send(said)
    mouth.close()
    if said[0] == "result":
        dist.destroy_process_group()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker was started by somebody"
    parent.join()
    os._exit(1)
