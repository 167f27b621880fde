"""Checkpoints as objects behind a real S3 server on this machine: the same bits, killed between any two objects, retention."""

import asyncio
import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from pathlib import Path
from typing import Any, cast

import pytest
import s3fs
import training_cases as cases
from search_simulator import cost_of
from training_cases import SPLITS, manifest

from tests.sweeps.test_checkpoints import space_of
from trm.distributed import SOLO
from trm.errors import CheckpointError, StoreSilent, SweepError
from trm.files import objects
from trm.files.objects import Objects
from trm.search.journal.events import Decided, LegEnded, LegStarted
from trm.search.log import SweepLog
from trm.search.search import Search
from trm.search.settings import Storage
from trm.search.space.space import SearchSpace
from trm.sweeps.checkpoint_stores import AsObjects, Superseded, checkpoint_store, remove_objects, require_objects, whole_among
from trm.sweeps.checkpoints import CheckpointRetention, Immediately, InBackground
from trm.sweeps.legs import leg_task
from trm.sweeps.legs_done import found
from trm.training import leg_files
from trm.training.curve import CurveFile, read_curve
from trm.training.leg import Beginning, LegResult, LegTask, in_sweep
from trm.training.leg_files import at_work, brought
from trm.training.trainer import begun_whole, run_leg

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # of the server and its client

HALF, WHOLE = 4, 8
CONFIG = cases.config_of(training={"eval_every_steps": 4})


@pytest.fixture
def url(server: str, tmp_path: Path) -> str:
    """A place of the test's own."""
    return f"{server}/{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:8]}/s"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Has the process be on the machine of that name from here on: each keeps copies of its own."""

    def be_on(name: str) -> Path:
        monkeypatch.setattr(leg_files, "_copies", lambda: tmp_path / name)
        return tmp_path / name

    be_on("one")
    return be_on


def task_of(url: str | None, folder: Path, until: int, attempt: int = 0, begins: Any = (), **changes: Any) -> LegTask:
    """The leg of trial 0 to a step, with objects or in a sweep's folder."""
    names = {"folder": "trials/0000", "curve": "curves/0000.parquet"}
    where = names if url is not None else {name: str(folder / path) for name, path in names.items()}
    return LegTask(
        CONFIG,
        max_steps=cases.STEPS,
        until_steps=until,
        rung=int(until == WHOLE),
        attempt=attempt,
        begins=begins,
        objects=url,
        folder=where["folder"],
        curve=CurveFile(where["curve"], 0),
        **changes,
    )


def do(task: LegTask) -> LegResult:
    """What a leg's process does."""
    task, result = found(task)
    if result is not None:
        return result
    task, torn = begun_whole(at_work(task), SOLO, "cpu")
    return run_leg(task, SPLITS, manifest(), torn=torn)


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.suffix == ".safetensors"}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What two legs in a sweep's folder come to."""
    folder = tmp_path_factory.mktemp("reference")
    do(task_of(None, folder, HALF))
    first = folder / f"trials/0000/step-{HALF:08d}-attempt-0"
    do(task_of(None, folder, WHOLE, begins=[Beginning(str(first))]))
    return digests(folder / f"trials/0000/step-{WHOLE:08d}-attempt-0")


class KilledError(BaseException):
    """The process ended here."""


def kill_at(patch: pytest.MonkeyPatch, what: str, count: int) -> list[str]:
    """Has the process end before its `count`-th object is written or removed; the names of those before it."""
    names: list[str] = []
    original = getattr(Objects, what)

    def put(self: Objects, name: str, path: Path) -> None:
        if len(names) == count:
            raise KilledError
        names.append(name)
        original(self, name, path)

    def remove(self: Objects, given: Any) -> None:
        for name in given:
            if len(names) == count:
                raise KilledError
            names.append(name)
            original(self, [name])

    patch.setattr(Objects, what, put if what == "put" else remove)
    return names


def test_legs_on_several_machines_come_to_the_bits_of_a_folder(
    url: str, tmp_path: Path, machine: Callable[[str], Path], reference: dict[str, str]
) -> None:
    first = do(task_of(url, tmp_path, HALF))
    assert first.checkpoint == f"trials/0000/step-{HALF:08d}-attempt-0"
    machine("two")
    second = do(task_of(url, tmp_path, WHOLE, begins=[Beginning(first.checkpoint)]))
    machine("three")
    assert digests(brought(url, str(second.checkpoint))) == reference
    names = list(Objects(url).sizes("trials"))
    assert whole_among(names) == [first.checkpoint, second.checkpoint]
    again = do(task_of(url, tmp_path, WHOLE, attempt=1))  # the leg of a driver that did not hear of it
    assert (again.checkpoint, again.metrics, again.started_at) == (second.checkpoint, second.metrics, second.started_at)
    store = AsObjects(tmp_path / "sweep", url)
    store.collect()
    curve = read_curve(tmp_path / "sweep" / "curves" / "0000.parquet")
    assert curve is not None
    assert curve["step"].to_pylist() == list(range(1, WHOLE + 1))


def test_killed_between_any_two_objects_the_leg_comes_to_the_same_bits(
    url: str, tmp_path: Path, machine: Callable[[str], Path], reference: dict[str, str]
) -> None:
    given = [Beginning(str(do(task_of(url, tmp_path, HALF)).checkpoint))]
    with pytest.MonkeyPatch.context() as patch:
        every = kill_at(patch, "put", 1000)
        do(task_of(f"{url}-counted", tmp_path, WHOLE))
    assert every[-1].endswith("/meta.json")
    assert len(every) == 6  # curve, outcome, three files of tensors, meta.json
    for count in range(len(every)):
        machine(f"killed-{count}")
        with pytest.MonkeyPatch.context() as patch:
            kill_at(patch, "put", count)
            with pytest.raises(KilledError):
                do(task_of(url, tmp_path, WHOLE, attempt=count, begins=given))
        machine(f"after-{count}")
        whole = whole_among(Objects(url).sizes("trials"))
        assert whole == [given[0].checkpoint]
    machine("last")
    result = do(task_of(url, tmp_path, WHOLE, attempt=len(every), begins=given))
    assert digests(brought(url, str(result.checkpoint))) == reference
    AsObjects(tmp_path, url).clear_unfinished()
    left = {name.rpartition("/")[0] for name in Objects(url).sizes("trials") if name.count("/") == 3}
    assert left == {given[0].checkpoint, result.checkpoint}


def test_killed_between_any_two_removals_nothing_that_is_left_is_taken_for_whole(
    url: str, tmp_path: Path, machine: Callable[[str], Path]
) -> None:
    name = str(do(task_of(url, tmp_path, HALF)).checkpoint)
    for count in range(1, 5):
        with pytest.MonkeyPatch.context() as patch:
            kill_at(patch, "remove", count)
            with pytest.raises(KilledError):
                leg_files.remove_checkpoints(Objects(url), [name])
        assert whole_among(Objects(url).sizes("trials")) == []
        assert not (brought(url, name) / "meta.json").exists()
        do(task_of(url, tmp_path, HALF))


def test_a_checkpoint_that_is_damaged_there_is_named_and_an_older_one_taken(
    url: str, tmp_path: Path, machine: Callable[[str], Path], reference: dict[str, str]
) -> None:
    first = str(do(task_of(url, tmp_path, HALF)).checkpoint)
    damaged = str(do(task_of(url, tmp_path, HALF + 2, begins=[Beginning(first)])).checkpoint)
    (tmp_path / "bad").write_bytes(b"bad")
    Objects(url).put(f"{damaged}/state.safetensors", tmp_path / "bad")
    machine("two")
    result = do(task_of(url, tmp_path, WHOLE, begins=[Beginning(damaged)]))
    assert ["state.safetensors must have" in one for one in result.torn] == [True]
    assert digests(brought(url, str(result.checkpoint))) == reference


def sweep_space(server: str, **keep: Any) -> SearchSpace:
    return space_of({"type": "asha", "eta": 2, "rungs": 2}, keep, None).model_copy(update={"storage": Storage(checkpoints=server)})


class Driven:
    """A sweep whose legs write small checkpoints to objects."""

    def __init__(self, folder: Path, server: str, work: Any = None, **keep: Any) -> None:
        self.space = sweep_space(server, **keep)
        self.search = Search(self.space, cost_of, folder="data")
        self.log = SweepLog(folder, self.search)
        self.log.start(1.0, driver="here:1", fence=1, slots=1, versions={}, name=folder.name)
        self.keeper = CheckpointRetention(self.search.state, folder, work)
        self.log.on_event = lambda event: self.keeper.note(event.trial) if isinstance(event, LegEnded | Decided) else None
        self.objects, self.folder = Objects(f"{server}/{folder.name}"), folder
        self.file = folder / "content"
        self.file.write_bytes(bytes(1000))

    def start(self) -> LegStarted:
        return self.log.advance(1.0, 1)[0]

    def end(self, leg: LegStarted) -> None:
        task = leg_task(self.search, self.folder, leg, threads=1, gpus=0.0)
        name = in_sweep(Path("/s") / str(task.checkpoint))
        for part in ("model.safetensors", "meta.json"):
            self.objects.put(f"{name}/{part}", self.file)
        self.objects.put(f"{name}.json", self.file)
        values: dict[str, Any] = {"objective": 0.5 + leg.trial / 100, "loss": 1.0, "steps": leg.until_steps}
        self.log.record(
            LegEnded(trial=leg.trial, rung=leg.rung, attempt=leg.attempt, status="completed", checkpoint=name, at=1.0, **values)
        )
        self.log.advance(1.0, 0)

    @property
    def standing(self) -> list[str]:
        return whole_among(self.objects.sizes("trials"))


def test_retention_keeps_what_may_be_gone_on_with_and_the_best(tmp_path: Path) -> None:
    sweep = Driven(tmp_path, f"file://{tmp_path}/store", Immediately(), best=2)
    while sweep.search.is_done(1.0) is None:
        sweep.end(sweep.start())
        sweep.keeper.prune()
        needed = {trial.checkpoint for trial in sweep.search.state.trials if trial.checkpoint and trial.status == "paused"}
        assert needed <= set(sweep.standing)
    sweep.keeper.prune()
    assert set(sweep.standing) == {trial.checkpoint for trial in sweep.search.state.leaderboard()[:2]}
    assert set(sweep.objects.sizes("trials")) == {
        name for one in sweep.standing for name in (f"{one}/model.safetensors", f"{one}/meta.json", f"{one}.json")
    }
    remove_objects(sweep.objects.url)
    assert sweep.objects.sizes("trials") == {}
    sweep.log.journal.close()


def test_a_listing_that_ends_too_soon_takes_no_whole_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, objects = AsObjects(tmp_path, f"file://{tmp_path}/o"), Objects(f"file://{tmp_path}/o")
    name, half = "trials/0000/step-00000004-attempt-0", "trials/0000/step-00000008-attempt-0"
    whole = [f"{name}.json", f"{name}/meta.json", f"{name}/model.safetensors"]
    for one in (*whole, f"{half}/model.safetensors"):
        objects.write(one, b"content")
    complete = Objects.sizes
    with monkeypatch.context() as patch:
        patch.setattr(
            Objects,
            "sizes",
            lambda self, below, **how: {one: size for one, size in complete(self, below, **how).items() if "meta" not in one},
        )
        store.clear_unfinished()
    assert list(objects.sizes("trials")) == whole
    with monkeypatch.context() as patch:
        patch.setattr(Objects, "sizes", lambda self, below, **how: dict(list(complete(self, below, **how).items())[:1]))
        store.tidy(Superseded(0, reached=4, is_done=True, kept=frozenset({name})))
    assert list(objects.sizes("trials")) == whole


def finish(keeper: CheckpointRetention) -> None:
    """Until nothing is left to be done."""
    while True:
        keeper.prune()
        if not keeper._work.is_busy:
            return
        wait([cast(InBackground, keeper._work)._piece])  # type: ignore[list-item]


@pytest.mark.parametrize("kind", [Immediately, InBackground])
@pytest.mark.parametrize("what", ["tidy", "forget"])
def test_what_a_store_refused_once_is_removed_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, kind: type[Immediately | InBackground]
) -> None:
    sweep, original, refused = Driven(tmp_path, f"file://{tmp_path}/store", kind(), best=2), getattr(AsObjects, what), list[bool]()

    def refuse(self: AsObjects, given: Any) -> Any:
        if not refused:
            refused.append(True)
            raise CheckpointError("not now", remedy="look")
        return original(self, given)

    monkeypatch.setattr(AsObjects, what, refuse)
    while sweep.search.is_done(1.0) is None:
        sweep.end(sweep.start())
    with pytest.raises(CheckpointError, match="not now"):
        finish(sweep.keeper)
    finish(sweep.keeper)
    assert set(sweep.standing) == {trial.checkpoint for trial in sweep.search.state.leaderboard()[:2]}
    sweep.log.journal.close()


def test_no_leg_waits_for_retention(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep, may_go = Driven(tmp_path, f"file://{tmp_path}/store"), threading.Event()
    original, waiting = AsObjects.tidy, threading.Event()

    def slow(self: AsObjects, superseded: Any) -> int:
        waiting.set()
        assert may_go.wait(60)
        return original(self, superseded)

    monkeypatch.setattr(AsObjects, "tidy", slow)
    sweep.end(sweep.start())
    assert sweep.keeper.prune() == 0
    assert waiting.wait(60)  # a removal is on its way, and will be until it may go
    while sweep.search.is_done(1.0) is None:
        sweep.end(sweep.start())
        assert sweep.keeper.prune() == 0
    before = len(sweep.standing)
    may_go.set()
    finish(sweep.keeper)
    last = {trial.checkpoint for trial in sweep.search.state.trials}
    assert before > len(last)
    assert set(sweep.standing) == last
    sweep.log.journal.close()


def test_a_place_that_cannot_hold_checkpoints_is_refused_before_work_starts(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for given in ("s3://KEY:SECRETWORD@bucket/x", "s3://bucket/x?aws_secret_access_key=SECRETWORD", "some/folder"):
        with pytest.raises(ValueError, match=r"must (be the URL|hold no secret)") as told:
            Storage(checkpoints=given)
        assert "SECRETWORD" not in str(told.value).partition("input_value")[0]
    with pytest.raises(CheckpointError, match="could not be written"):
        require_objects(sweep_space("s3://no-such-bucket"), tmp_path, is_resume=False)
    with pytest.raises(CheckpointError, match="cannot lie at nosuch://"):
        require_objects(sweep_space("nosuch://x/y"), tmp_path, is_resume=False)
    place = f"{server}/taken"
    require_objects(sweep_space(place), tmp_path, is_resume=False)
    assert Objects(place).sizes(tmp_path.name) == {}
    (tmp_path / "file").write_bytes(b"x")
    Objects(place).put(f"{tmp_path.name}/trials/0000/step-00000001-attempt-0/meta.json", tmp_path / "file")
    require_objects(sweep_space(place), tmp_path, is_resume=True)
    with pytest.raises(SweepError, match="checkpoints of another sweep"):
        require_objects(sweep_space(place), tmp_path, is_resume=False)


@pytest.fixture
def silent() -> Iterator[str]:
    """Address of a server that takes every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        host, port = listening.getsockname()
        s3fs.S3FileSystem.clear_instance_cache()  # they know another server
        yield f"http://{host}:{port}"
        s3fs.S3FileSystem.clear_instance_cache()


def test_a_store_that_never_answers_is_found_silent_in_bounded_time(
    silent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", silent)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing-key-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing-secret")
    for limit in ("CALL_SECONDS", "LIST_SECONDS"):
        monkeypatch.setattr(objects, limit, 0.3)
    store, path = Objects("s3://silent/x"), tmp_path / "file"
    path.write_bytes(b"x")
    calls: list[Callable[[], object]] = [
        lambda: store.create("a", b"x"),
        lambda: store.write("a", b"x"),
        lambda: store.put("a", path),
        lambda: store.get("a", path),
        lambda: store.read("a"),
        lambda: store.read_all(["a"]),
        lambda: store.sizes(""),
        lambda: store.remove(["a"]),
    ]
    for call in calls:
        with pytest.raises(StoreSilent, match="no answer in time"):
            call()
    assert asyncio.run_coroutine_threadsafe(_tasks(), store._files.loop).result() == 1  # it alone: the others were cancelled


async def _tasks() -> int:
    return len(asyncio.all_tasks())


def test_a_sweep_in_a_folder_has_the_digest_that_it_had_before_there_were_objects() -> None:
    space = space_of({"type": "asha", "eta": 2, "rungs": 2}, {}, None)
    assert "storage" not in space.frozen()
    assert space.model_copy(update={"storage": Storage(checkpoints="s3://a/b")}).frozen_digest() != space.frozen_digest()
    assert checkpoint_store(space, Path("x"), "x").is_on_disk


def test_what_a_write_has_not_finished_is_no_object_and_goes_with_the_rest(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/s"
    place = Objects(url)
    place.write("trials/0000/000001/meta.json", b"{}")
    left = tmp_path / "s" / "trials" / "0000" / "000001" / ".weights.9-0a.tmp"
    left.write_bytes(b"killed")
    assert list(place.sizes("")) == ["trials/0000/000001/meta.json"]
    remove_objects(url)
    assert not left.exists()
