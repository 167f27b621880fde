"""Legs that get more workers where slots idle: which, when it pays, and that all of it follows from the journal, killed or not."""

import random
from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from search_simulator import KilledError, Simulator, cost_of
from space_cases import load
from sweep_cases import SPACE, events_of, of, outline, sharp, space

from trm.errors import ConfigError
from trm.search.findings.replay import ReplayDifference, replay
from trm.search.findings.timeline import timeline
from trm.search.journal.events import Event, LegEnded, LegStarted, LegWidened, Spare
from trm.search.log import SweepLog
from trm.search.search import Search, replayed
from trm.search.space.space import SearchSpace

RESTART = 5.0
SLOTS = 8


def wide(**changes: Any) -> SearchSpace:
    """Nine trials by synchronous halving, which decides the same whatever came first."""
    halving = {"type": "successive_halving", "eta": 3, "rungs": 3, "cohort": 9}
    return space({"scheduler": halving, "resources": {"max_workers": 8, "restart_seconds": RESTART}, **changes})


@dataclass
class Widening(Simulator):
    """Idle slots widen what runs; twice the slots are 1.8 times as fast. A leg that yields says so at the next event of all."""

    left: dict[int, float] = field(default_factory=dict)
    """Trial that yielded -> seconds on one slot that it has before it."""
    gpus: float = 0.0

    def _spare(self, log: SweepLog) -> None:
        state = log.search.state
        while True:
            idle = self.slots - state.held_slots
            spare = Spare(idle=idle, most=self.space.resources.most_slots, workers=1, restart_seconds=RESTART)
            event = log.widen(self.now, spare)
            if event is None:
                return
            end, _, leg = next(one for one in self.running if one[1] == event.trial)
            self.running = [one for one in self.running if one[1] != event.trial]
            trial = state.trials[event.trial]
            seconds = (end - self.now) * log.search.state.facts.speeds.times_faster(trial.slots)
            self.left[event.trial] = seconds
            steps = leg.until_steps - round(seconds * self.flops_per_second / trial.asked.step_flops)
            flops = trial.asked.flops.up_to(steps)
            name = {"trial": leg.trial, "rung": leg.rung, "attempt": leg.attempt}
            log.record(LegEnded(**name, status="yielded", steps=steps, train_flops=flops, at=self.now))
            for started in log.advance(self.now, 1):
                self._start(log.search, started)

    def _start(self, search: Search, leg: LegStarted) -> None:
        trial = search.state.trials[leg.trial]
        if leg.trial not in self.left or trial.slots == 1:
            super()._start(search, leg)
            return
        seconds = RESTART + self.left.pop(leg.trial) / search.state.facts.speeds.times_faster(trial.slots)
        self.running.append((self.now + seconds, leg.trial, leg))
        self.running.sort()

    def _end(self, search: Search, leg: LegStarted) -> LegEnded:
        pause = RESTART if search.state.trials[leg.trial].slots > 1 else 0.0
        return super()._end(search, leg).model_copy(update={"train_seconds": self.now - leg.at - pause})


def swept(made: SearchSpace, folder: Path, kind: type[Simulator] = Widening, **options: Any) -> Simulator:
    folder.mkdir(exist_ok=True)
    simulator = kind(made, folder, outcome=sharp, slots=SLOTS, **options)
    simulator.run()
    return simulator


def widths(events: list[Event]) -> list[int]:
    return [event.slots for event in of(events, LegWidened)]


def test_idle_slots_end_a_sweep_sooner_and_nothing_else_of_it_changes(tmp_path: Path) -> None:
    plain = swept(wide(resources={"max_workers": None}), tmp_path / "plain", Simulator)
    widened = swept(wide(), tmp_path / "wide")
    events = events_of(tmp_path / "wide")
    assert widths(events), "slots idle when nine trials have become three"
    assert widened.now < plain.now - 2 * RESTART
    made = [replayed(wide(), cost_of, events_of(tmp_path / name), folder="data") for name in ("plain", "wide")]
    assert outline(made[0]) == outline(made[1])
    assert made[1].state.spending.train_flops == pytest.approx(made[0].state.spending.train_flops), "every FLOP once"
    assert replay(Search(wide(), cost_of), events).events == len(events)
    assert made[1].state.held_slots == 0
    assert not widths(events_of(tmp_path / "plain"))


def test_killed_at_any_event_it_comes_to_the_same(tmp_path: Path) -> None:
    whole = swept(wide(), tmp_path / "whole")
    events = events_of(tmp_path / "whole")
    first = next(index for index, event in enumerate(events) if isinstance(event, LegWidened))
    wanted = outline(replayed(wide(), cost_of, events, folder="data"))
    for boundary in [*range(first - 1, first + 8), *range(first + 8, len(events), 7)]:
        folder, now = tmp_path / str(boundary), 1000.0
        folder.mkdir()
        for lives in (boundary, None):
            driver = Widening(wide(), folder, outcome=sharp, slots=SLOTS, kill_after=lives, now=now)
            try:
                driver.run()
            except KilledError:
                now = driver.now + 5
        search = replayed(wide(), cost_of, events_of(folder), folder="data")
        assert outline(search) == wanted
        replay(Search(wide(), cost_of), events_of(folder))
        ended = [event for event in of(events_of(folder), LegEnded) if event.status == "completed"]
        assert set(Counter((event.trial, event.rung) for event in ended).values()) == {1}
    assert whole.now > 1000


def test_killed_again_and_again_nothing_is_lost(tmp_path: Path) -> None:
    generator, now, kills = random.Random(3), 1000.0, 0
    while True:
        driver = Widening(wide(), tmp_path, outcome=sharp, slots=SLOTS, kill_after=generator.randint(8, 30), now=now)
        try:
            driver.run()
            break
        except KilledError:
            now, kills = driver.now + 5, kills + 1
    assert kills >= 2
    search = replayed(wide(), cost_of, events_of(tmp_path), folder="data")
    assert search.state.held_slots == 0
    assert {trial.status for trial in search.state.trials} <= {"finished", "stopped"}
    replay(Search(wide(), cost_of), events_of(tmp_path))


def until_widened(folder: Path) -> tuple[Search, LegWidened, LegStarted]:
    """A search whose first widening was just journaled, and the leg."""
    events = events_of(folder)
    at = next(index for index, event in enumerate(events) if isinstance(event, LegWidened))
    search, event = replayed(wide(), cost_of, events[: at + 1], folder="data"), events[at]
    assert isinstance(event, LegWidened)
    leg = search.state.trials[event.trial].leg
    assert leg is not None
    return search, event, leg


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("widening")
    swept(wide(), made)
    return made


def test_a_forged_widening_is_named(folder: Path) -> None:
    events = events_of(folder)
    at = next(index for index, event in enumerate(events) if isinstance(event, LegWidened))
    for change in ({"slots": 16}, {"attempt": 7}):
        forged = [*events[:at], events[at].model_copy(update=change)]
        with pytest.raises(ReplayDifference, match=f"event {at}: the journal says leg_widened"):
            replay(Search(wide(), cost_of), forged)


def test_what_was_promised_nobody_else_gets_and_a_leg_that_ends_first_gives_it_back(folder: Path) -> None:
    search, event, leg = until_widened(folder)
    state = search.state
    before = state.held_slots
    assert state.trials[event.trial].held_slots == event.slots
    flops = state.trials[leg.trial].asked.flops.up_to(leg.until_steps)
    name = {"trial": leg.trial, "rung": leg.rung, "attempt": leg.attempt}
    state.apply(
        LegEnded(**name, status="completed", objective=0.5, loss=1.0, steps=leg.until_steps, train_flops=flops, at=event.at)
    )
    assert state.held_slots == before - event.slots
    assert state.trials[leg.trial].wider is None


@pytest.mark.parametrize("status", ["lost", "failed", "stalled", "out_of_memory"])
def test_a_wide_leg_in_trouble_is_tried_again_on_one_slot_and_not_widened_again(folder: Path, status: str) -> None:
    search, event, leg = until_widened(folder)
    state, name = search.state, {"trial": leg.trial, "rung": leg.rung}
    trial = state.trials[leg.trial]
    begun, spent = trial.result.train_flops if trial.result is not None else 0.0, trial.spent_flops
    flops = begun + 1e9
    state.apply(LegEnded(**name, attempt=leg.attempt, status="yielded", steps=trial.steps + 10, train_flops=flops, at=event.at))
    assert trial.held_slots == event.slots
    again = search.next_events(event.at, 1)
    assert [(one.trial, one.attempt) for one in of(again, LegStarted)] == [(leg.trial, leg.attempt + 1)]
    expected = leg.expected_seconds
    assert expected is not None
    assert again[0].expected_seconds < expected / state.facts.speeds.times_faster(event.slots) + 1e-9
    state.apply(again[0])
    assert trial.slots == event.slots
    flops, learned = begun + 1.5e9, deepcopy(vars(state.facts.memory))
    state.apply(LegEnded(**name, attempt=leg.attempt + 1, status=status, error="gone", train_flops=flops, at=event.at))
    assert trial.spent_flops == pytest.approx(spent + 1.5e9), "every FLOP once"
    for decided in search.due_decisions(event.at):
        state.apply(decided)
    assert trial.held_slots == 0
    assert vars(state.facts.memory) == learned
    narrow = next(one for one in of(search.next_events(event.at, 1), LegStarted))
    assert (narrow.trial, narrow.attempt) == (leg.trial, leg.attempt + 2)
    state.apply(narrow)
    assert trial.slots == 1
    widened = search.next_widening(event.at, event.spare)
    assert widened is None or widened.trial != leg.trial


def test_a_wide_leg_that_yields_before_its_first_step_takes_nothing_back(folder: Path) -> None:
    search, event, leg = until_widened(folder)
    trial, name = search.state.trials[leg.trial], {"trial": leg.trial, "rung": leg.rung, "status": "yielded", "at": event.at}
    begun, spent = trial.result.train_flops if trial.result is not None else 0.0, trial.spent_flops
    for number, (steps, flops) in enumerate([(trial.steps + 10, begun + 1e9), (0, 0.0), (trial.steps + 15, begun + 1.5e9)]):
        search.state.apply(LegEnded(**name, attempt=leg.attempt + number, steps=steps, train_flops=flops))
        assert trial.begun_steps == trial.steps + max(steps - trial.steps, 10)
        search.state.apply(search.next_events(event.at, 1)[0])
    assert trial.spent_flops == pytest.approx(spent + 1.5e9), "every FLOP once"


def test_the_pace_of_a_leg_that_goes_on_from_an_earlier_attempt_is_not_its_trials(folder: Path) -> None:
    search, event, leg = until_widened(folder)
    trial, said = search.state.trials[leg.trial], {"trial": leg.trial, "rung": leg.rung, "at": event.at}
    search.state.apply(LegEnded(**said, attempt=leg.attempt, status="lost", with_node=True, error="gone"))
    for one in search.due_decisions(event.at):
        search.state.apply(one)
    again = next(one for one in of(search.next_events(event.at, 1), LegStarted))
    search.state.apply(again)
    before, result = trial.pace, {"objective": 0.5, "loss": 1.0, "steps": again.until_steps, "train_seconds": 0.1}
    search.state.apply(LegEnded(**said, attempt=again.attempt, status="completed", **result))
    assert trial.pace == before


def test_a_wide_leg_stands_on_all_its_slots_on_the_clock(folder: Path) -> None:
    search, event, leg = until_widened(folder)
    name = {"trial": leg.trial, "rung": leg.rung, "train_seconds": 9.0}
    first = {"status": "yielded", "steps": 10, "started_at": leg.at, "ended_at": event.at, "at": event.at}
    search.state.apply(LegEnded(**name, attempt=leg.attempt, **first))
    search.state.apply(search.next_events(event.at, 1)[0])
    result = {"status": "completed", "objective": 0.5, "loss": 1.0, "steps": leg.until_steps}
    when = {"started_at": event.at + 1, "ended_at": event.at + 10, "at": event.at + 10}
    search.state.apply(LegEnded(**name, attempt=leg.attempt + 1, **result, **when))
    found = timeline(search.state)
    assert found is not None
    assert [(span.what, span.slot, span.beside) for span in found.spans] == [
        ("trial", 0, ()),
        ("trial", 0, tuple(range(1, event.slots))),
    ]
    assert found.slots == event.slots


def test_where_gpu_hours_are_limited_no_leg_takes_more_of_them(folder: Path) -> None:
    events = events_of(folder)
    at = next(index for index, event in enumerate(events) if isinstance(event, LegWidened))
    search, event = replayed(wide(), cost_of, events[:at], folder="data"), events[at]
    assert isinstance(event, LegWidened)
    for limits, found in (({"wall_clock_seconds": 1e9}, event), ({"gpu_hours": 1e9}, None)):
        search.state.budget = wide().budget.model_copy(update=limits)
        assert search.next_widening(event.at, event.spare) == found


def test_gpu_hours_count_every_gpu_that_a_wide_leg_holds(folder: Path) -> None:
    search, event, leg = until_widened(folder)
    state = search.state
    state.spending._gpus = 1.0
    before = state.spent(event.at).gpu_hours
    state.apply(LegEnded(trial=leg.trial, rung=leg.rung, attempt=leg.attempt, status="yielded", steps=10, at=event.at))
    state.apply(search.next_events(event.at, 1)[0])
    others = len(state.running) - 1
    assert state.spent(event.at + 3600).gpu_hours == pytest.approx(before + others + event.slots)


def test_speeds_of_one_slot_learn_nothing_of_several_but_how_much_faster_those_are(folder: Path) -> None:
    search, event, leg = until_widened(folder)
    speeds, state = search.state.facts.speeds, search.state
    alone, name = speeds.step_seconds(1e10), {"trial": leg.trial, "rung": leg.rung}
    assert speeds.times_faster(event.slots) == pytest.approx(event.slots * 0.9 ** (event.slots.bit_length() - 1))
    said = {"train/flops_per_second": 1e10}
    state.apply(LegEnded(**name, attempt=leg.attempt, status="yielded", steps=10, metrics=said, train_seconds=3.0, at=event.at))
    state.apply(search.next_events(event.at, 1)[0])
    said, result = {"train/flops_per_second": 1.5e10}, {"objective": 0.5, "loss": 1.0, "steps": leg.until_steps}
    state.apply(
        LegEnded(**name, attempt=leg.attempt + 1, status="completed", metrics=said, train_seconds=9.0, **result, at=event.at + 20)
    )
    assert speeds.step_seconds(1e10) == alone
    assert speeds.times_faster(event.slots) == pytest.approx(1.5), "where more workers bring nothing, none are added"
    assert speeds.restart_seconds(5.0) == 11.0, "of twenty seconds nine were training"
    assert speeds.restart_seconds(30.0) == 30.0


def test_a_leg_is_stopped_only_where_it_then_ends_sooner_by_twice_what_that_takes(folder: Path) -> None:
    events = events_of(folder)
    at = next(index for index, event in enumerate(events) if isinstance(event, LegWidened))
    search, event = replayed(wide(), cost_of, events[:at], folder="data"), events[at]
    assert isinstance(event, LegWidened)
    assert search.next_widening(event.at, event.spare) == event
    for change in ({"idle": 0}, {"most": 1}, {"restart_seconds": 1e4}, {"workers": 5}):
        assert search.next_widening(event.at, event.spare.model_copy(update=change)) is None, change


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resources": {"workers": 4, "max_workers": 2}}, r"max_workers must be >= workers 4, got 2; raise it"),
        ({"resources": {"max_workers": 6}}, r"times a power of two, got 6; try 4 or 8$"),
        (
            {"resources": {"max_workers": 4}, "base": {"training": {"global_batch_size": 15}}},
            r"max_workers 4 widens no leg: global batch 15 must divide by 2 workers, each with 1 micro-batches; take multiples of",
        ),
        ({"resources": {"max_workers": 4, "gpus": 0.5}}, r"makes gangs, whose workers share no GPU, got gpus 0.5; leave"),
        (
            {"resources": {"max_workers": 4}, "search": {"training.global_batch_size": {"type": "choice", "values": [15, 9]}}},
            r"global batch 15 or 9 must divide by 2 workers",
        ),
    ],
)
def test_what_could_never_widen_a_leg_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, changes)


def test_a_population_has_no_last_legs() -> None:
    knobs = {"optim.lr": SPACE["search"]["optim.lr"]}
    changes = {"search": knobs, "scheduler": {"type": "pbt", "population": 8, "generations": 3}, "resources": {"max_workers": 8}}
    with pytest.raises(ValueError, match="max_workers 8 widens a sweep's last legs, and all of a population's last as long; leave"):
        SearchSpace.model_validate({**SPACE, **changes})
