"""A mirrored sweep: any machine goes on with it, one at a time does, and no two drivers ever both decide."""

import contextlib
import itertools
import json
import random
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from bad_input_cases import said_by
from search_simulator import cost_of

from tests.sweeps.test_checkpoints import space_of
from trm.config.files import dump_yaml
from trm.errors import CheckpointError, InterruptedRun, SweepError, SweepHeld
from trm.files.disk import in_units
from trm.files.objects import Objects
from trm.search.journal.events import LegEnded, LegStarted
from trm.search.journal.journal import read_events
from trm.search.journal.lease import Holder, Lease
from trm.search.log import FILE, SweepLog
from trm.search.search import Search
from trm.search.settings import Storage
from trm.search.space.space import SearchSpace
from trm.sweeps import mirror as mirrors
from trm.sweeps import mirror_objects
from trm.sweeps.mirror import Mirror, mirrored
from trm.sweeps.mirror_objects import catch_up, fetch, journal_of, require_undriven

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # of the server and its client


@pytest.fixture(autouse=True)
def _still_hearts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drivers beat once, when they begin; waits take no time."""
    for module in (mirrors, mirror_objects):
        monkeypatch.setattr(module, "BEAT_SECONDS", 3600.0)


@pytest.fixture(params=["s3", "folder"])
def url(request: pytest.FixtureRequest, server: str, tmp_path: Path) -> str:
    """A place of the test's own, on the S3 server and in a folder."""
    return f"{server}/{tmp_path.name}/s" if request.param == "s3" else f"file://{tmp_path}/objects/s"


def space_with(url: str) -> SearchSpace:
    space = space_of({"type": "asha", "eta": 2, "rungs": 2}, {}, None)
    budget = space.budget.model_copy(update={"trials": 4})
    return space.model_copy(update={"storage": Storage(checkpoints=url.rpartition("/")[0]), "budget": budget})


class Head:
    """A machine that drives the sweep at `url`, its legs imagined."""

    def __init__(self, folder: Path, url: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.objects = folder, Objects(url)
        self.search = Search(space_with(url), cost_of, folder="data")
        self.log = SweepLog(folder, self.search)
        self.mirror = Mirror(self.objects, folder, replace(Holder.this_process(1), host=folder.parent.name))
        self.mirror.go_on()
        self.log.publish = self.mirror.publish

    def start(self) -> "Head":
        self.log.start(1.0, driver=f"{self.folder.parent.name}:1", fence=1, slots=1, versions={}, name="s")
        return self

    def leg(self) -> LegStarted:
        return self.log.advance(2.0, 1)[0]

    def end(self, leg: LegStarted) -> None:
        values: dict[str, Any] = {"objective": 0.5 + leg.trial / 100, "loss": 1.0, "steps": leg.until_steps}
        name = f"trials/{leg.trial:04d}/step-{leg.until_steps:08d}-attempt-{leg.attempt}"
        self.log.record(
            LegEnded(trial=leg.trial, rung=leg.rung, attempt=leg.attempt, status="completed", checkpoint=name, at=2.0, **values)
        )
        self.log.advance(2.0, 0)

    def drive(self) -> None:
        while self.search.is_done(2.0) is None:
            self.end(self.leg())
        self.log.close(2.0)

    def decided(self) -> list[dict[str, Any]]:
        return [
            entry.event.model_dump(exclude={"at", "attempt", "checkpoint"})
            for entry in read_events(self.folder / FILE)
            if entry.event.event in ("asked", "decided", "leg_ended", "sweep_ended")
        ]


@pytest.fixture
def head(tmp_path: Path, url: str) -> Iterator[Callable[..., Head]]:
    """The head of that name, which begins where the objects are."""
    heads: list[Head] = []

    def make(name: str, url: str = url) -> Head:
        folder = tmp_path / name / "s"
        if Objects(url).sizes("journal") and not folder.exists():
            fetch(url, folder)
        heads.append(Head(folder, url))
        return heads[-1]

    yield make
    for one in heads:
        one.mirror._stop.set()
        one.log.journal.close()


@pytest.fixture(autouse=True)
def _dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drivers that began here are taken for dead, as after a kill -9."""
    monkeypatch.setattr(mirror_objects, "lives_here", lambda holder: False)


def test_of_many_who_create_one_object_at_once_one_does(url: str) -> None:
    def contend(number: int) -> bool:
        return Objects(url).create("journal/0000000000.jsonl", b"%d" % number)

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(contend, range(8)))
    assert sum(won) == 1
    assert Objects(url).read("journal/0000000000.jsonl") == b"%d" % won.index(True)
    assert list(Objects(url).sizes("journal")) == ["journal/0000000000.jsonl"]


def test_two_drivers_of_one_name_never_both_decide(url: str, head: Callable[..., Head]) -> None:
    first = head("one").start()
    first.end(first.leg())
    second = head("two")
    assert second.decided() == first.decided()
    third = head("three")
    second.start()  # and the first one, silent for a while, does not know
    for late, act in ((first, first.leg), (third, third.start)):
        before = len(late.search.state.trials)
        with pytest.raises(SweepError, match="taken over by another driver"):
            act()
        assert len(late.search.state.trials) == before  # nothing was folded, so nothing follows from it
        with pytest.raises(SweepError, match="taken over by another driver"):
            late.mirror.publish()  # nor ever after
    second.drive()
    assert journal_of(second.objects) == (second.folder / FILE).read_bytes()
    with pytest.raises(SweepError, match=r"went on from .* elsewhere"):
        head("one")  # what the first one wrote in its folder alone counts for nothing
    assert head("four").decided() == second.decided()


class KilledError(BaseException):
    """The process ended here."""


def kill_at(patch: pytest.MonkeyPatch, count: int, *, is_written: bool) -> None:
    """Has the process end at its `count`-th segment, before it is there or after."""
    original, made = Objects.create, list[str]()

    def create(self: Objects, name: str, data: bytes) -> bool:
        made.append(name)
        if len(made) == count and not is_written:
            raise KilledError
        done = original(self, name, data)
        if len(made) == count:
            raise KilledError
        return done

    patch.setattr(Objects, "create", create)


def test_of_drivers_that_race_whatever_one_did_is_in_the_one_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four at a time begin, are silent, lose answers and are replaced: no leg is started that the sweep does not know of."""
    url, original = f"file://{tmp_path}/objects/s", Objects.create
    monkeypatch.setattr(mirrors.time, "sleep", lambda seconds: None)
    acted, refused, lost, together = list[LegStarted](), list[int](), list[str](), threading.Barrier(4)

    def unsure(self: Objects, name: str, data: bytes) -> bool:
        done = original(self, name, data)
        if int(name[-12:-6]) % 4 == 0 and name not in lost:
            lost.append(name)
            raise CheckpointError("no answer", remedy="look")
        return done

    monkeypatch.setattr(Objects, "create", unsure)

    def live(number: int) -> None:
        generator = random.Random(number)
        for life in range(6):
            driver, folder = None, tmp_path / f"{number}-{life}" / "s"
            try:
                if Objects(url).sizes("journal"):
                    fetch(url, folder)
                driver = Head(folder, url)
                if life == 0:
                    together.wait(60)
                driver.start()
                while driver.search.is_done(2.0) is None and generator.random() < 0.9:
                    leg = driver.leg()
                    acted.append(leg)
                    driver.end(leg)
            except SweepError:
                refused.append(number)
            finally:
                if driver is not None:
                    driver.mirror._stop.set()
                    driver.log.journal.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(live, range(4)))
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(journal_of(Objects(url)))
    begun = [entry.event for entry in read_events(journal) if isinstance(entry.event, LegStarted)]
    assert [leg for leg in acted if leg not in begun] == []
    assert len(acted) == len({(leg.trial, leg.rung, leg.attempt) for leg in acted}) > 0  # nor is one started twice
    assert len(refused) >= 3
    assert lost


def test_killed_between_any_two_objects_a_fresh_head_decides_the_same(tmp_path: Path, url: str, head: Callable[..., Head]) -> None:
    alone = head("alone", f"file://{tmp_path}/undisturbed/s").start()
    alone.drive()
    lives, stride = 0, 6 if url.startswith("s3") else 1
    for lives in itertools.count(1):
        driver = head(f"head-{lives}")
        with pytest.MonkeyPatch.context() as patch:
            kill_at(patch, stride * (lives + 1) // 2 + 1, is_written=lives % 2 == 0)
            try:
                driver.start().drive()
                break
            except KilledError:
                continue
    assert lives * stride > 8
    assert head("last").decided() == alone.decided()


def test_killed_before_any_object_of_its_begin_a_sweep_goes_on_elsewhere_or_begins_anew(
    tmp_path: Path, url: str, head: Callable[..., Head]
) -> None:
    """Another who began at the same moment and lost has left files of its own."""
    files = {"sweep.yaml": "s", "dataset.json": "d"}
    (tmp_path / "late" / "s").mkdir(parents=True)
    (tmp_path / "late" / "s" / "sweep.yaml").write_text("another space")
    late, seen = head("late"), list[bool]()
    for count in itertools.count():
        written = list[str]()

        def kill(name: str, count: int = count, written: list[str] = written) -> None:
            if threading.current_thread().name == "journal's mirror":  # not of those that beat and copy
                if len(written) == count:
                    raise KilledError
                written.append(name)

        (tmp_path / f"{count}" / "s").mkdir(parents=True)
        for name, text in files.items():
            (tmp_path / f"{count}" / "s" / name).write_text(text)
        driver = Head(tmp_path / f"{count}" / "s", url)
        with pytest.MonkeyPatch.context() as patch:
            for what in ("put", "create", "write"):
                original: Any = getattr(Objects, what)
                patch.setattr(Objects, what, lambda self, name, it, do=original, kill=kill: (kill(name), do(self, name, it))[1])
            with contextlib.suppress(KilledError):
                driver.start()
        driver.mirror._stop.set()
        driver.log.journal.close()
        seen.append(mirror_objects.is_mirrored(url))
        if seen[-1]:
            break
    with pytest.raises(SweepError, match="taken over"):
        late.log.start(0.5, driver="late:1", fence=1, slots=1, versions={}, name="s")
    assert seen == [False, False, False, True]
    fetch(url, tmp_path / "fresh" / "s")
    assert {name: (tmp_path / "fresh" / "s" / name).read_text() for name in files} == files


def test_a_segment_whose_answer_was_lost_is_ours(url: str, head: Callable[..., Head], monkeypatch: pytest.MonkeyPatch) -> None:
    driver, original = head("one").start(), Objects.create
    monkeypatch.setattr(mirrors, "PATIENCE_SECONDS", -1.0)
    monkeypatch.setattr(mirrors, "SLICE_SECONDS", 600.0)  # a busy machine is no failure

    def lost(self: Objects, name: str, data: bytes) -> bool:
        original(self, name, data)
        raise CheckpointError("no answer", remedy="look")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Objects, "create", lost)
        with pytest.raises(InterruptedRun, match=r"no answer.*resume it when the store answers"):
            driver.leg()
    assert not driver.mirror._is_taken()
    driver.log.stop(3.0, "silence")
    assert journal_of(driver.objects) == (driver.folder / FILE).read_bytes()


def test_who_waits_for_the_store_may_leave_and_a_late_answer_is_no_second_journal(
    tmp_path: Path, head: Callable[..., Head], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mirrors, "SHORT_SECONDS", 0.5)
    monkeypatch.setattr(mirrors, "SLICE_SECONDS", 0.02)
    driver, original = head("one", f"file://{tmp_path}/objects/s").start(), Objects.create
    answers, asked, looks = threading.Event(), list[str](), list[int]()

    def silent(self: Objects, name: str, data: bytes) -> bool:
        asked.append(name)
        assert answers.wait(60)
        return original(self, name, data)

    def look() -> None:
        looks.append(1)
        if len(looks) == 40:
            raise InterruptedRun("asked to leave")

    driver.mirror.on_wait = look
    with monkeypatch.context() as patch:
        patch.setattr(Objects, "create", silent)
        with pytest.raises(InterruptedRun, match="asked to leave"):
            driver.leg()
        with pytest.raises(InterruptedRun, match="no answer yet"):
            driver.log.stop(3.0, "SIGINT")  # soon: the store was given up
        assert len(asked) == 1
        assert f"waiting for {driver.objects.url}" in capsys.readouterr().err
        assert driver.search.state.trials == []  # nothing follows from what is not there
        answers.set()
        driver.mirror.publish()
    assert journal_of(driver.objects) == (driver.folder / FILE).read_bytes()


def test_a_folder_that_is_merely_behind_gets_what_is_newer(tmp_path: Path, head: Callable[..., Head]) -> None:
    url = f"file://{tmp_path}/objects/s"
    first = head("one", url).start()
    first.end(first.leg())
    first.log.journal.close()
    second = head("two", url).start()
    second.drive()
    journal = first.folder / FILE
    behind, whole = journal.read_bytes(), (second.folder / FILE).read_bytes()
    for torn, after in ((b"", whole), (b'{"event": "as', whole), (b'{"event": "own"}\n', behind + b'{"event": "own"}\n')):
        journal.write_bytes(behind + torn)
        catch_up(url, first.folder)
        assert journal.read_bytes() == after
    journal.write_bytes(behind)
    with Lease(first.folder), pytest.raises(SweepHeld):
        catch_up(url, first.folder)
    assert journal.read_bytes() == behind
    catch_up(url, first.folder)
    assert head("one", url).decided() == second.decided()


def test_a_driver_that_lives_elsewhere_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = Objects(f"file://{tmp_path}/s")
    monkeypatch.setattr(mirror_objects, "lives_here", lambda holder: None)
    monkeypatch.setattr(mirror_objects, "BEAT_SECONDS", 0.1)
    told, stop = asdict(replace(Holder.this_process(1), host="far")), threading.Event()

    def beat() -> None:
        for number in itertools.count():
            objects.write("driver.json", json.dumps({**told, "beat": number, "is_over": False}).encode())
            if stop.wait(0.02):
                return

    require_undriven(objects)  # nobody ever drove it
    thread = threading.Thread(target=beat)
    thread.start()
    try:
        while not objects.sizes(""):
            pass
        with pytest.raises(SweepError, match=r"is driven by process .* on far"):
            require_undriven(objects)
    finally:
        stop.set()
        thread.join()
    require_undriven(objects)  # its heart stands still


def test_mirrored_while_it_is_driven_and_fetched_with_its_tables(tmp_path: Path, url: str) -> None:
    folder, space = tmp_path / "one" / "s", space_with(url)
    (folder / "best").mkdir(parents=True)
    for name in ("sweep.yaml", "best/report.json", "driver.json", ".hidden", "journal.jsonl.torn-1"):
        (folder / name).write_text(name)
    log = SweepLog(folder, Search(space, cost_of, folder="data"))
    with mirrored(space, folder, Holder.this_process(1), is_resume=False) as mirror:
        assert mirror is not None
        mirror.go_on()
        log.publish = mirror.publish
        log.start(1.0, driver="here:1", fence=1, slots=1, versions={}, name="s")
        (folder / "leaderboard.json").write_text("{}")
        (folder / "report.html").write_text("<p>")
    log.journal.close()
    with (
        pytest.raises(SweepError, match="a sweep of that name is at"),
        mirrored(space, tmp_path / "two" / "s", Holder.this_process(1), is_resume=False),
    ):
        pass
    fetch(url, tmp_path / "two" / "s")
    there = {path.relative_to(tmp_path / "two" / "s").as_posix() for path in (tmp_path / "two").rglob("*") if path.is_file()}
    assert there == {"sweep.yaml", "best/report.json", "leaderboard.json", "report.html", FILE}
    assert (tmp_path / "two" / "s" / FILE).read_bytes() == (folder / FILE).read_bytes()
    with pytest.raises(SweepError, match="is there"):
        fetch(url, folder)
    with pytest.raises(SweepError, match="there is no sweep at"):
        fetch(f"{url}-none", tmp_path / "three" / "s")


def begun(driver: Head) -> Head:
    """The head's sweep, begun, with its sweep.yaml and an object of a checkpoint."""
    dump_yaml(driver.folder / "sweep.yaml", {"space": space_with(driver.objects.url).model_dump(mode="json")})
    driver.objects.write("trials/0000/step-00000004-attempt-0/meta.json", b"{}")
    return driver.start()


def test_a_removal_takes_the_objects_of_its_own_sweep_alone(tmp_path: Path, url: str, head: Callable[..., Head]) -> None:
    first = begun(head("one"))
    first.end(first.leg())
    second = begun(head("two"))
    before = second.objects.sizes("")
    code, said = said_by("sweep", "--remove", "s", "--storage", tmp_path / "one")
    assert (code, f"what lies at {url} stays" in said, first.folder.exists()) == (0, True, False)
    assert second.objects.sizes("") == before
    second.end(second.leg())  # its sweep is whole
    second.log.journal.close()
    count, size = len(second.objects.sizes("")), sum(second.objects.sizes("").values())
    stale = tmp_path / "stale" / "s"
    shutil.copytree(second.folder, stale)
    code, said = said_by("sweep", "--remove", "s", "--storage", tmp_path / "two")
    assert (code, f"with it {count} objects at {url}: {in_units(size)}" in said) == (0, True)
    assert second.objects.sizes("") == {}
    second.objects.write("trials/0000/step-00000004-attempt-0/meta.json", b"another sweep's of that name")
    code, said = said_by("sweep", "--remove", "s", "--storage", tmp_path / "stale")
    assert (code, list(second.objects.sizes(""))) == (0, ["trials/0000/step-00000004-attempt-0/meta.json"])


def test_a_killed_removal_is_ended_by_the_next(tmp_path: Path, url: str, head: Callable[..., Head]) -> None:
    driver = begun(head("one"))
    driver.end(driver.leg())
    driver.log.journal.close()
    original, gone = Objects.remove, list[str]()

    def remove(self: Objects, names: Iterable[str]) -> None:
        for name in names:
            if name == "journal/0000000001.jsonl":
                raise KilledError
            original(self, [name])
            gone.append(name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Objects, "remove", remove)
        with pytest.raises(KilledError):
            said_by("sweep", "--remove", "s", "--storage", tmp_path / "one")
    assert len(gone) > 2
    assert list(driver.objects.sizes("")) == ["journal/0000000000.jsonl", "journal/0000000001.jsonl"]
    assert said_by("sweep", "--remove", "s", "--storage", tmp_path / "one")[0] == 0
    assert driver.objects.sizes("") == {}


def test_a_sweep_whose_mirror_is_gone_says_so_and_writes_it_anew(
    url: str, head: Callable[..., Head], capsys: pytest.CaptureFixture[str]
) -> None:
    driver = head("one").start()
    driver.objects.remove(driver.objects.sizes(""))
    assert "no journal of this sweep" not in capsys.readouterr().err
    again = head("one")
    assert f"no journal of this sweep lies at {url}" in capsys.readouterr().err
    again.start()
    assert journal_of(again.objects) == (again.folder / FILE).read_bytes()


def test_a_store_that_lets_objects_be_overwritten_is_refused(
    tmp_path: Path, head: Callable[..., Head], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"file://{tmp_path}/objects/s"
    folder = head("one", url).start().folder
    monkeypatch.setattr(Objects, "create", lambda self, name, data: self.write(name, data) or True)
    for is_resume, remedy in ((False, "--set storage.mirror=false keeps the journal"), (True, "it did when this sweep began")):
        with (
            pytest.raises(SweepError, match=f"refuses to write an object twice.*; {remedy}"),
            mirrored(space_with(url), folder, Holder.this_process(1), is_resume=is_resume),
        ):
            pass
