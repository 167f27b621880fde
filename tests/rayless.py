"""The real sweep job in one process: Ray alone is replaced, so a whole sweep takes seconds and can be killed at any call.

Run as a script it is a nursery: it imports everything once and forks a life for every line it reads.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

Point = Literal["before", "torn", "written", "durable"]


@dataclass(frozen=True)
class Kill:
    """Where a life ends by SIGKILL: at the `count`-th thing of a kind that it does."""

    what: Literal["event", "checkpoint", "rename"]
    """A write of the journal that tells something new, not only that a driver and its legs started once more; a rename within
    `trials/`; any rename."""
    count: int
    point: Point
    """Of a write: before it, after half of its bytes, before its fsync, after it. Of a rename: before or after (durable)."""


@dataclass(frozen=True)
class Life:
    """One run of the job."""

    arguments: tuple[str, ...]
    kill: Kill | None = None
    seconds: float | None = None
    """Killed from outside after so long; null: never."""


class Nursery:
    """Runs lives in processes forked from one that has imported everything."""

    def __init__(self, log: Path) -> None:
        root = Path(__file__).resolve().parents[1]
        environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}", "OMP_NUM_THREADS": "1"}
        self.log = log
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), str(log)],
            cwd=root,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def live(self, life: Life) -> int:
        """The exit code of one life; -9 when it was killed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(life)) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, self.output()
        return int(answer)

    def output(self) -> str:
        """The end of what the last life said."""
        return self.log.read_text()[-3000:]

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@dataclass(frozen=True)
class Killed:
    """A sweep that is killed and resumed until it comes to its end."""

    nursery: Nursery
    space: Path
    storage: Path
    options: tuple[str, ...] = ()

    def run(self, name: str, kills: Iterable[Kill | float | None]) -> int:
        """Lives of the sweep, each killed as told (a number: after so many seconds) until one ends; how many there were."""
        folder, count = self.storage / name, 0
        for count, kill in enumerate(kills, start=1):
            journal = folder / "journal.jsonl"
            is_begun = journal.exists() and b"\n" in journal.read_bytes()
            words = (str(self.space), "--storage", str(self.storage), "--name", name, *self.options)
            seconds = kill if isinstance(kill, float) else None
            life = Life((*words, *(["--resume"] if is_begun else [])), kill if isinstance(kill, Kill) else None, seconds)
            code = self.nursery.live(life)
            if code != -signal.SIGKILL:
                assert code == 0, self.nursery.output()
                return count
        raise AssertionError(f"{name} was killed {count} times and has no end")


# In the nursery's process -------------------------------------------------------------------------------------------


class _Ref:
    def __init__(self, value: Any) -> None:
        self.value = value


class _Handle:
    """An actor's handle whose methods are called at once, here."""

    def __init__(self, actor: object) -> None:
        self._actor = actor

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._actor, name)
        return SimpleNamespace(remote=lambda *arguments: _Ref(method(*arguments)))


def _local_ray(reports: list[dict[str, Any]]) -> SimpleNamespace:
    return SimpleNamespace(
        wait=lambda refs, timeout=None: (refs, []),
        get=lambda ref, timeout=None: ref.value,
        get_runtime_context=lambda: SimpleNamespace(get_node_id=lambda: "0" * 8),
        tune=SimpleNamespace(report=reports.append),
    )


@dataclass(frozen=True)
class _LocalFeed:
    folder: str
    manifest: Any

    def split(self, name: str) -> Any:
        return _split(self.folder, name)

    def training_rows(self, data: object, actor: object, rank: int = 0) -> Any:
        return self.split("train")


_SPLITS: dict[tuple[str, str], Any] = {}


def _split(folder: str, name: str) -> Any:
    from trm.data.batches.split import load_split
    from trm.data.format.manifest import read_manifest

    if (folder, name) not in _SPLITS:
        _SPLITS[folder, name] = load_split(folder, read_manifest(folder), name)
    return _SPLITS[folder, name]


def _run_legs(source: Any, runner: Any, reports: list[dict[str, Any]]) -> None:
    """As `tune_legs.run_legs`, but for the oldest of the open legs being run where the others wait."""
    waiting: list[str] = []
    while True:
        source.tick()
        while len(waiting) < runner.slots and not source.is_stopping and (leg := source.next_leg()) is not None:
            waiting.append(leg)
        if waiting and not source.is_stopping:
            leg = waiting.pop(0)
            runner.function({"leg": leg})
            source.leg_returned(leg, json.loads(reports.pop()["outcome"]), None)
            source.leg_over(leg)
        elif source.is_over or source.is_stopping:
            return
        else:
            time.sleep(0.005)


def _without_ray() -> None:
    """Replace what the job calls of Ray; everything else stays as it is."""
    from functools import partial

    from trm.cluster import connection, driver, hearing, processes, sweep_run, winners, worker_check
    from trm.cluster import leg_in_place as legs
    from trm.cluster import progress_board as board
    from trm.data.format.manifest import read_manifest
    from trm.jobs import sweep
    from trm.search.planning import preflight

    reports: list[dict[str, Any]] = []
    ray = _local_ray(reports)
    for module in (board, driver, legs, processes):
        module.ray = ray  # type: ignore[attr-defined]
    sweep.connected = lambda **options: nullcontext()  # type: ignore[assignment]
    winners.heard = lambda say, report: nullcontext(hearing.Mouth(_Handle(hearing.Ear())))  # type: ignore[assignment,arg-type]
    winners.score_winner = lambda checkpoint, feed, mouth, *, threads, **resources: winners._score(
        str(checkpoint), feed, threads, mouth
    )
    replaced: dict[str, Callable[..., Any]] = {
        "living_nodes": lambda: [connection.Node("0" * 8, "127.0.0.1", 64.0, 0.0)],
        "check_workers": lambda nodes, demand, folder, needed, *, needs_kernels: worker_check.Workers(1, 0, 2**40, 2**40),
        "store_room": lambda: (1e12, "this process"),
        "start_board": lambda: _Handle(board.ProgressBoard()),
        "read_feed": lambda folder, splits: _LocalFeed(folder, read_manifest(folder)),
        "run_legs": lambda source, runner, scratch: _run_legs(source, runner, reports),
    }
    for name, replacement in replaced.items():
        assert hasattr(sweep_run, name), name
        setattr(sweep_run, name, replacement)
    sweep_run.tune = SimpleNamespace(with_parameters=partial)  # type: ignore[attr-defined]
    preflight.DRAWS = 20
    preflight.first_rung_need = lambda warmup_steps, halt_max_steps: 1  # a rung of few steps says little, but is a rung


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _arm(kill: Kill) -> None:
    left = kill.count

    def is_due(matches: bool) -> bool:
        nonlocal left
        left -= matches
        return matches and left == 0

    if kill.what == "event":
        _arm_journal(kill.point, is_due)
    else:
        os.rename, os.replace = (_fatal(call, kill, is_due) for call in (os.rename, os.replace))


def _arm_journal(point: Point, is_due: Callable[[bool], bool]) -> None:
    from trm.search.journal.journal import Journal

    write = Journal._write

    def fatal_write(self: Journal, data: bytes) -> None:
        if not is_due(_is_new(data)):
            return write(self, data)
        if point == "torn":
            self._file.write(data[: len(data) // 2])
        elif point == "written":
            self._file.write(data)
        elif point == "durable":
            write(self, data)
        return _die()

    Journal._write = fatal_write  # type: ignore[method-assign]


def _is_new(data: bytes) -> bool:
    events = [json.loads(line) for line in data.splitlines()]
    repeats = [
        (line["event"]["event"] == "driver_started" and line["n"] > 1) or line["event"].get("attempt", 0) > 0
        for line in events
        if line["event"]["event"] in ("driver_started", "leg_started")
    ]
    return len(repeats) < len(events) or not all(repeats)


def _fatal(rename: Callable[..., None], kill: Kill, is_due: Callable[[bool], bool]) -> Callable[..., None]:
    def fatal_rename(source: Any, target: Any, **options: Any) -> None:
        due = is_due(kill.what == "rename" or "/trials/" in str(target))
        if due and kill.point == "before":
            _die()
        rename(source, target, **options)
        if due:
            _die()

    return fatal_rename


@contextmanager
def _log_to(path: str) -> Iterator[None]:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    yield


def _live(arguments: list[str], kill: Kill | None) -> int:
    from trm.terminal.command_line import run_job

    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "ray_jobs"))
    import sweep as job

    if kill is not None:
        _arm(kill)
    sys.argv = ["sweep.py", *arguments]
    return run_job(job.main)


def _fork(life: dict[str, Any], log: str) -> int:
    child = os.fork()
    if child == 0:
        with _log_to(log):
            code = 1
            try:
                code = _live(life["arguments"], Kill(**life["kill"]) if life["kill"] else None)
            except BaseException:
                import traceback

                traceback.print_exc()
            sys.stdout.flush()
            os._exit(code)
    if life["seconds"] is not None:
        time.sleep(life["seconds"])
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def main() -> None:
    import torch

    import trm.training.leg  # noqa: F401

    torch.set_num_threads(1)
    _without_ray()
    for line in sys.stdin:
        sys.stdout.write(f"{_fork(json.loads(line), sys.argv[1])}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
