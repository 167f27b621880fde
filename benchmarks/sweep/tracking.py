"""What does an MLflow server that stands still cost a sweep, and are eight writers of one store a danger?

Rows: an outage (the server is stopped with SIGSTOP after the first trials; the driver is killed in the middle of it, resumed and
interrupted; afterwards the server goes on) with the longest wait between two legs, the seconds to exit, and what was there at
the end; and eight sweeps' writers at once on one sqlite store.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from mlflow.tracking import MlflowClient

from benchmarks.rows import emit, parser, spread
from benchmarks.sweep.sweep_runs import Watched, events_of, legs_of
from trm.config.files import dump_yaml
from trm.search.journal.events import Asked, Decided, DriverStarted, Event, LegEnded, LegStarted, SweepEnded, SweepStarted
from trm.search.journal.journal import Journal
from trm.search.space.recorded import SWEEP_FILE, recorded_space
from trm.search.space.space import SearchSpace
from trm.search.state import SweepState
from trm.tracking.updates import updates_of
from trm.tracking.values import Point, RunUpdate, merged

WRITERS = 8
LEGS_A_WRITER = 60
FLUSH = (sys.executable, "-W", "ignore", "-m", "trm.tracking.writer")
SETTINGS = ("budget.trials=100000", "budget.per_trial=1e11", "sampler=random", "scheduler=none", "base.evaluation.max_examples=32")
OPTIONS = tuple(word for setting in SETTINGS for word in ("--set", setting))


def main() -> int:
    made = parser(__doc__)
    made.add_argument("--seconds", type=float, default=600.0, help="how long the server stands still")
    made.add_argument("--only", choices=("outage", "writers"))
    arguments = made.parse_args()
    if arguments.only != "writers":
        emit(outage(arguments.seconds), arguments.out)
    if arguments.only != "outage":
        emit(eight_writers(), arguments.out)
    return 0


def outage(seconds: float) -> dict[str, object]:
    """A sweep whose server stands still for so long, its driver killed half-way."""
    with tempfile.TemporaryDirectory() as storage, served(Path(storage)) as (server, uri):
        folder = Path(storage) / "outage"
        options = (
            "search_spaces/sudoku4x4.yaml",
            "--storage",
            storage,
            "--name",
            "outage",
            *OPTIONS,
            "--set",
            f"tracking.uri={uri}",
        )
        first = Watched(*options)
        first.wait(until=lambda: len(legs_of(folder)) >= 4)
        os.killpg(server.pid, signal.SIGSTOP)
        stopped_at = time.time()
        first.wait(until=lambda: time.time() > stopped_at + seconds / 2)
        first.kill()
        before = len(legs_of(folder))
        second = Watched(*options, "--resume")
        second.wait(until=lambda: time.time() > stopped_at + seconds and len(legs_of(folder)) >= before + 4)
        os.kill(second.process.pid, signal.SIGTERM)
        asked_at = time.monotonic()
        code = second.wait()
        exit_seconds = time.monotonic() - asked_at
        os.killpg(server.pid, signal.SIGCONT)
        events = events_of(folder)
        sent = subprocess.run([*FLUSH, str(folder), "--uri", uri, "--seconds", "120"], check=False)
        found = compared(uri, folder, events)
    during = waits(events, stopped_at, time.time())
    return {
        "figure": "tracking_outage",
        "seconds": seconds,
        "legs": sum(isinstance(event, LegEnded) for event in events),
        "wait_between_legs_seconds": spread(during),
        "exit_seconds": round(exit_seconds, 2),
        "exit_code": code,
        "sent": sent.returncode == 0,
        **found,
    }


def waits(events: list[Event], since: float, until: float) -> list[float]:
    """Seconds between a leg's end and the next one's start in its process, for legs that ended in that time."""
    last: dict[str, float] = {}
    found = []
    for leg in (event for event in events if isinstance(event, LegEnded)):
        began, process = leg.started_at or 0.0, str(leg.process)
        if process in last and since <= began < until:
            found.append(began - last[process])
        last[process] = leg.ended_at or 0.0
    return found


def compared(uri: str, folder: Path, events: list[Event]) -> dict[str, int]:
    """Points of the journal that the store lacks or has more than once, beside how many there should be."""
    state, told = SweepState(recorded_space(folder)), list[RunUpdate]()
    for event in events:
        state.apply(event)
        told += updates_of(state, event)
    updates = merged(told)
    client = MlflowClient(uri)
    key = sha256(events[0].model_dump_json().encode()).hexdigest()[:16]
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = list(page := client.search_runs(experiments, f"tags.`trm.sweep` = '{key}'"))
    while page.token:
        runs += (page := client.search_runs(experiments, f"tags.`trm.sweep` = '{key}'", page_token=page.token))
    number_of = {run.data.tags.get("trm.trial"): run for run in runs}
    wanted = missing = repeated = 0
    for update in updates:
        run = number_of.get(None if update.trial is None else str(update.trial))
        by_key: dict[str, set[Point]] = {}
        for point in update.points:
            by_key.setdefault(point.key, set()).add(point)
        for key, points in by_key.items():
            history = client.get_metric_history(run.info.run_id, key) if run is not None else []
            counts = Counter((metric.step, metric.value) for metric in history)
            wanted += len(points)
            missing += sum((point.step, point.value) not in counts for point in points)
            repeated += sum(counts.values()) - len(counts)
    return {"points": wanted, "missing": missing, "repeated": repeated, "runs": len(runs)}


def eight_writers() -> dict[str, object]:
    """Eight sweeps' writers follow their journals into one sqlite store at the same time."""
    with tempfile.TemporaryDirectory() as storage:
        uri = f"sqlite:///{storage}/mlflow.db"
        folders = [write_journal(Path(storage) / f"sweep-{number}", number) for number in range(WRITERS)]
        start = time.monotonic()
        writers = [
            subprocess.Popen([*FLUSH, str(folder), "--uri", uri, "--seconds", "300"], stderr=subprocess.PIPE, text=True)
            for folder in folders
        ]
        said = [writer.communicate()[1] for writer in writers]
        seconds = time.monotonic() - start
        found = [compared(uri, folder, events_of(folder)) for folder in folders]
    return {
        "figure": "eight_writers_one_sqlite_store",
        "n": WRITERS,
        "seconds": round(seconds, 1),
        "lock_errors": sum("locked" in text for text in said),
        "problems": sum("problem" in text for text in said),
        "failed": sum(writer.returncode != 0 for writer in writers),
        "points": sum(one["points"] for one in found),
        "missing": sum(one["missing"] for one in found),
        "repeated": sum(one["repeated"] for one in found),
    }


def write_journal(folder: Path, number: int) -> Path:
    """The journal of a sweep with legs of eight trials, and what its writer needs to know."""
    folder.mkdir()
    dump_yaml(folder / SWEEP_FILE, {"space": space_of(folder.name).model_dump(mode="json")})
    at = 1.7e9 + number
    events: list[Event] = [
        SweepStarted(name=folder.name, seed=number, space_digest="x", versions={}, at=at),
        DriverStarted(driver="here:1", fence=1, slots=8, at=at),
    ]
    for trial in range(LEGS_A_WRITER):
        metrics = {f"metric_{index}": 0.1 * index for index in range(10)}
        asked = {"params": {"optim.lr": 1e-3}, "source": "sampler", "digest": "x", "seed": 1, "max_steps": 9}
        events += [
            Asked(trial=trial, step_flops=1.0, params_count=1, at=at, **asked),
            LegStarted(trial=trial, rung=0, attempt=0, until_steps=9, from_checkpoint=None, at=at),
            LegEnded(trial=trial, rung=0, attempt=0, status="completed", objective=0.5, metrics=metrics, steps=9, at=at),
            Decided(trial=trial, rung=0, status="finished", reason="done", at=at),
        ]
    journal = Journal(folder / "journal.jsonl")
    journal.append(*events, SweepEnded(reason="done", at=at))
    journal.close()
    return folder


def space_of(name: str) -> SearchSpace:
    """A sweep of one rung that nothing stops."""
    knob = {"type": "float", "low": 1e-4, "high": 1e-1}
    values = {"data": {"recipe": "x.yaml"}, "search": {"optim.lr": knob}, "budget": {"per_trial": 9.0, "trials": 1000}}
    return SearchSpace.model_validate({"name": name, **values, "scheduler": "none", "sampler": "random"})


@contextmanager
def served(storage: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """An MLflow server on this machine over sqlite, in a process group of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    store = ("--backend-store-uri", f"sqlite:///{storage}/server.db", "--artifacts-destination", str(storage / "artifacts"))
    command = [sys.executable, "-m", "mlflow", "server", *store, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True) as server:
        try:
            while socket.socket().connect_ex(("127.0.0.1", port)) != 0:
                time.sleep(0.2)
            yield server, f"http://127.0.0.1:{port}"
        finally:
            os.killpg(server.pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
