"""Idle places for legs that run, told to the real driver without a cluster: lent and given back, whatever becomes of the leg."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import ray
from ray.actor import ActorHandle
from ray.tune.execution.tune_controller import TuneController
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy
from rayless import StillGround
from search_simulator import cost_of
from sweep_cases import SPACE, of

from tests.cluster.test_places import Cluster, looked
from trm.cluster.connection import Demand, connected
from trm.cluster.driver import Audience, Placement, SweepDriver
from trm.cluster.gauges import SweepGauges
from trm.cluster.leg_in_place import SPEED, LegReporter
from trm.cluster.places import Groups, Places, place_of
from trm.cluster.processes import WorkerProcess
from trm.cluster.progress_board import ProgressBoard
from trm.cluster.widening import PLACES_SECONDS, Widening
from trm.search.findings.replay import replay
from trm.search.journal.events import Event, LegEnded, LegWidened
from trm.search.journal.journal import read_events
from trm.search.log import FILE, SweepLog
from trm.search.resources import speeds
from trm.search.search import Search
from trm.search.space.space import SearchSpace
from trm.sweeps.signals import StopSignals
from trm.terminal.display import SweepDisplay
from trm.terminal.progress import SweepProgress
from trm.training.leg import LegProgress, LegResult, LegTask
from trm.training.reporting import Progress

SLOTS = 4
MADE = {
    **SPACE,
    "scheduler": {"type": "none"},
    "budget": {"trials": 5, "per_trial": 2.7e13},
    "resources": {"slots": SLOTS, "max_workers": 4, "restart_seconds": 5},
    "confirm": None,
}


class Named(Cluster):
    """Its groups have ids, as Ray's have."""

    def id_of(self, group: Any) -> str:
        return f"id {group}"


class Driven:
    """The driver of a sweep on four slots whose legs are played by the test; each takes a thousand seconds."""

    def __init__(self, folder: Path) -> None:
        self.space, self.folder, self.now = SearchSpace.model_validate(MADE), folder, 0.0
        self.log = SweepLog(folder, Search(self.space, cost_of, folder="data"))
        self.log.start(0.0, driver="here:1", fence=1, slots=SLOTS, versions={})
        self.places, self.board = Places(Named(a=SLOTS)), MagicMock(spec=ActorHandle)
        self.board.stop_all = self.board.ended = self.board.running = self.board.ask_to_yield = MagicMock()
        self.widening = Widening(self.log, self.places, self.board, clock=lambda: self.now)
        signals = MagicMock(spec=StopSignals, is_requested=False, is_grace_over=False)
        self.driver = SweepDriver(
            self.log,
            folder,
            Placement(Demand(1, 1.0, 0.0), threads=1, slots=SLOTS),
            self.board,
            audience=Audience(MagicMock(spec=SweepDisplay), MagicMock(spec=SweepProgress), None, MagicMock(spec=SweepGauges)),
            signals=signals,
            write_tables=lambda: None,
            ground=StillGround(SLOTS),
            widening=self.widening,
        )
        self.places.want(SLOTS)
        self.places.look(is_due=True)

    def start(self) -> LegTask:
        """The next leg, in a process that takes a place of its own unless one waits for it."""
        task = self.driver.next_leg()
        assert task is not None
        if not self.places.taken or len(self.places.taken) < len(self.driver._legs.running):
            assert self.places.take() is not None
        return task

    def end(self, task: LegTask, status: str = "completed", **values: Any) -> None:
        if status == "completed":
            values |= {"metrics": {"exact_accuracy": 0.5, "loss": 1.0}, "steps": task.until_steps, "train_seconds": 1000.0}
        self.driver.leg_returned(task, LegResult(status, **values), None)  # type: ignore[arg-type]

    def release(self) -> None:
        """A process that waits for a leg ends."""
        self.places.release(next(iter(self.places.taken)))
        self.places.look(is_due=True)

    def look(self) -> None:
        self.widening.look()

    @property
    def events(self) -> list[Event]:
        return [entry.event for entry in read_events(self.folder / FILE)]

    def replays(self) -> None:
        replay(Search(self.space, cost_of), self.events)


@pytest.fixture
def driven(tmp_path: Path) -> Iterator[Driven]:
    made = Driven(tmp_path)
    yield made
    made.log.journal.close()


def last_running(driven: Driven) -> LegTask:
    """Four legs, then the fifth and last, which runs alone."""
    first = [driven.start() for _ in range(4)]
    driven.end(first[0])
    last = driven.start()
    for task in first[1:]:
        driven.end(task)
    assert driven.driver.next_leg() is None
    return last


def widened(driven: Driven) -> LegTask:
    """The last leg, which has all places."""
    last = last_running(driven)
    for _ in range(3):
        driven.release()
    driven.look()
    driven.end(last, "interrupted", steps=5, train_flops=1e9, metrics={SPEED: 1e6})
    return driven.start()


def test_a_place_is_in_hand_before_a_leg_is_widened(driven: Driven) -> None:
    last = last_running(driven)
    driven.look()
    assert not of(driven.events, LegWidened), "processes that wait for a leg hold the places"
    assert driven.places.is_kept
    assert driven.places.ends_idle
    driven.release()
    driven.look()
    assert not of(driven.events, LegWidened), "two more are on their way"
    driven.release()
    driven.release()
    driven.look()
    (event,) = of(driven.events, LegWidened)
    assert (event.trial, event.slots, event.spare.idle) == (last.trial, 4, 3)
    assert (driven.widening.lent, driven.places.ready, driven.places.ends_idle) == (3, 0, False)
    driven.board.ask_to_yield.remote.assert_called_with([last.leg])
    assert driven.driver.next_leg() is None
    driven.replays()


def test_what_others_hold_is_not_waited_for(driven: Driven) -> None:
    last = last_running(driven)
    driven.release()
    driven.look()
    driven.now += PLACES_SECONDS + 1
    driven.look()
    (event,) = of(driven.events, LegWidened)
    assert (event.trial, event.slots, event.spare.idle) == (last.trial, 2, 1)
    driven.replays()


def test_the_leg_goes_on_with_the_workers_of_all_places_and_gives_them_back(driven: Driven) -> None:
    wide = widened(driven)
    yielded = of(driven.events, LegEnded)[-1]
    assert (yielded.status, yielded.steps, yielded.error, yielded.checkpoint) == ("yielded", 5, None, None)
    assert len(wide.places) == 3
    assert set(wide.places) == {f"id {group}" for group in driven.places.lent}
    assert (wide.attempt, wide.until_steps) == (1, yielded_until(driven, wide))
    assert driven.driver.next_leg() is None
    driven.look()
    assert driven.widening.lent == 3
    driven.end(wide)
    assert driven.widening.lent == 0
    assert not driven.places.lent
    driven.replays()


def yielded_until(driven: Driven, wide: LegTask) -> int:
    leg = driven.log.search.state.trials[wide.trial].leg
    assert leg is not None
    return leg.until_steps


def test_a_leg_that_ends_before_it_hears_gives_the_places_back(driven: Driven) -> None:
    last = last_running(driven)
    for _ in range(3):
        driven.release()
    driven.look()
    driven.end(last)
    assert driven.widening.lent == 0
    assert driven.driver.is_over
    driven.replays()


@pytest.mark.parametrize(("status", "next_places"), [("failed", 0), ("stalled", 0), ("interrupted", 0), ("disk_full", 3)])
def test_a_wide_leg_that_does_not_complete(driven: Driven, status: str, next_places: int, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = widened(driven)
    monkeypatch.setattr(type(driven.driver._room), "makes_room", lambda *given: True)
    driven.end(wide, status, error="gone")
    again = driven.start()
    assert again.trial == wide.trial
    assert len(again.places) == next_places, "on a slot of its own again, but where it is as if it had never been begun"
    assert driven.widening.lent == next_places
    driven.replays()


def test_a_leg_that_is_begun_again_before_it_yields_has_its_own_place_and_is_asked_again(
    driven: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = last_running(driven)
    for _ in range(3):
        driven.release()
    driven.look()
    monkeypatch.setattr(type(driven.driver._room), "makes_room", lambda *given: True)
    driven.end(last, "disk_full", error="full")
    driven.look()
    again = driven.start()
    assert (again.leg, list(again.places)) == (last.leg, []), "the journal has it on one slot"
    assert driven.widening.lent == 3
    driven.look()
    driven.board.ask_to_yield.remote.assert_called_with([last.leg])
    driven.end(again, "interrupted", steps=5, train_flops=1e9)
    assert len(driven.start().places) == 3
    driven.replays()


@pytest.mark.parametrize("first", ["yields", "shrinks"])
def test_a_promise_is_void_when_nodes_leave_before_it_is_kept(driven: Driven, first: str) -> None:
    last = last_running(driven)
    for _ in range(3):
        driven.release()
    driven.look()
    if first == "yields":
        driven.end(last, "interrupted", steps=5, train_flops=1e9)
    driven.driver._ground = StillGround(2)
    driven.driver._look_at_nodes()
    driven.look()
    driven.board.ask_to_yield.remote.assert_called_with([])
    assert driven.widening.lent == 0, "of places that may have left"
    if first == "shrinks":
        driven.end(last, "interrupted", steps=5, train_flops=1e9)
    assert not driven.start().places, "though two slots are fewer than it was promised"
    driven.replays()


def test_a_driver_that_is_told_to_stop_journals_nothing_of_a_leg_that_yields(driven: Driven) -> None:
    last = last_running(driven)
    for _ in range(3):
        driven.release()
    driven.look()
    driven.driver._stop_legs("stop")
    before = len(driven.events)
    driven.end(last, "interrupted", steps=5, train_flops=1e9)
    assert len(driven.events) == before
    driven.places.close()
    assert not driven.places.groups.groups  # type: ignore[attr-defined]


def test_lent_places_count_as_wanted_and_stay_when_empty_ones_go() -> None:
    places = Places(Named(a=4))
    places.want(4)
    assert looked(places) == (4, 0, 0)
    lent = places.lend(2)
    places.want(4)
    assert looked(places) == (2, 0, 0), "two are lent, so that no more are asked for"
    places.want(2)
    assert looked(places) == (0, 0, 0)
    places.take_back(lent[0])
    places.take_back(lent[0])
    assert looked(places) == (1, 0, 0)
    assert places.lent == lent[1:]


def test_a_leg_alone_hears_that_it_is_to_yield_until_it_has_ended() -> None:
    board, said = ProgressBoard(), {"step": 1, "until_steps": 9, "train_flops": 1.0, "seconds": 1.0, "steps_per_second": 1.0}
    progress = [LegProgress(**said, loss=1.0, lr=0.1, trial=trial, rung=0, attempt=0, at=0.0) for trial in (0, 1)]
    board.begin((0, 0, 0), WorkerProcess("node", "here", 1, "", oom_kills=0))
    board.ask_to_yield([(0, 0, 0)])
    assert [board.put(one) for one in progress] == [True, False]
    board.ended((0, 0, 0))
    assert not board.put(progress[0])


def test_a_leg_that_stops_on_its_way_says_how_long_and_how_fast_it_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    reporter = LegReporter(MagicMock(spec=ActorHandle), MagicMock(spec=LegTask))
    monkeypatch.setattr(reporter._line, "post", lambda progress: False)
    assert reporter.figures(3.0) == {"overhead_seconds": 3.0}
    for step, seconds in ((1, 1.0), (10, 10.0), (11, 1.0), (20, 10.0)):  # a checkpoint after the tenth
        reporter.on_step(Progress(step, 30, 100.0 * step, seconds, 1.0, 0.5, 0.1))
    assert reporter.figures(25.0) == {"train_seconds": 20.0, "overhead_seconds": 5.0, "metrics": {SPEED: 100.0}}
    assert speeds.SPEED == SPEED


def met_in(own: str, lent: str) -> list[Any]:
    """What the workers of a leg say of themselves, from a process that has all of its place: one there, and one in a lent place."""

    class Holder:
        def together(self, own: str, lent: str) -> list[Any]:
            from trm.cluster.connection import Demand
            from trm.cluster.places import place_of
            from trm.cluster.worker_group import Seat, WorkerGroup, seats_in

            def who() -> tuple[int, int]:
                import torch.distributed as dist

                return dist.get_rank(), dist.get_world_size()

            group = WorkerGroup([Seat(place_of(own), 0, 0, 0, []), *seats_in(place_of(lent), Demand(1, 0.5, 0))])
            told = group.do(who)
            group.end()
            return told.answers

    strategy = PlacementGroupSchedulingStrategy(place_of(own), 0)
    holder = ray.remote(Holder).options(num_cpus=0.5, scheduling_strategy=strategy).remote()
    answers: list[Any] = ray.get(holder.together.remote(own, lent))
    return answers


@pytest.mark.ray
def test_workers_meet_in_a_place_that_is_full_and_in_a_lent_one() -> None:
    with connected(needs_dashboard=False, address="local"):
        places = Places(Groups([{"CPU": 0.5}]))
        places.want(2)
        while places.ready < 2:
            places.look(is_due=True)
        own, (lent,) = places.take(), places.lend(1)
        assert met_in(places.groups.id_of(own), places.groups.id_of(lent)) == [(0, 2), (1, 2)]
        places.close()
    assert callable(TuneController._cleanup_cached_actors), "which is wrapped while legs run"
