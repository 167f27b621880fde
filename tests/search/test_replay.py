"""A replay derives every decision of a journal again, under every scheduler, killed or not; a forged line is named."""

import functools
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from search_simulator import FakeCost, KilledError, LegOrder, Simulator, cost_of, curve
from sweep_cases import events_of, space

from tests.search.test_policies import SCHEDULERS, population
from trm.config.run import RunConfig
from trm.errors import SweepError
from trm.search.findings.confirmed import winner
from trm.search.findings.replay import ReplayDifference, Replayed, replay
from trm.search.findings.status import SweepStatus, sweep_status
from trm.search.journal.events import (
    Adopted,
    Asked,
    Decided,
    DriverStarted,
    DriverStopped,
    Event,
    LegEnded,
    LegStarted,
    Reported,
    SweepEnded,
)
from trm.search.log import SweepLog
from trm.search.schedulers.pbt import PopulationBasedTraining
from trm.search.schedulers.scheduler import SchedulerSettings
from trm.search.search import Search
from trm.search.space.space import SearchSpace
from trm.search.state import SweepState


def killed_sweep(demo: SearchSpace, folder: Path, *, slots: int = 2, seed: int = 1, **more: Any) -> list[Event]:
    """The journal of a sweep that was killed and resumed at random."""
    generator, now = random.Random(seed), 1000.0
    while True:
        simulator = Simulator(demo, folder, slots=slots, kill_after=generator.randint(4, 25), now=now, **more)
        try:
            simulator.run()
        except KilledError:
            now = simulator.now + 5
            continue
        return events_of(folder)


def again(demo: SearchSpace, events: list[Event]) -> Replayed:
    return replay(Search(demo, cost_of), events)


@pytest.mark.parametrize(
    "scheduler", SCHEDULERS, ids=lambda one: f"{one.type}{'' if getattr(one, 'promotes', True) else '-stopping'}"
)
@pytest.mark.parametrize("slots", [1, 3])
def test_a_killed_sweep_replays_under_every_scheduler(tmp_path: Path, scheduler: SchedulerSettings, slots: int) -> None:
    if isinstance(scheduler, PopulationBasedTraining):
        scheduler = scheduler.model_copy(update={"generations": 4})
    demo = population(scheduler=scheduler)
    demo = demo.model_copy(update={"budget": demo.budget.model_copy(update={"per_trial": 2.7e13, "trials": 8})})
    events = killed_sweep(demo, tmp_path, slots=slots)
    kinds = [type(event) for event in events]
    done = again(demo, events)
    assert done.events == len(events)
    assert done.trials == kinds.count(Asked)
    assert done.decisions == sum(kinds.count(kind) for kind in (Asked, LegStarted, Decided, Adopted, SweepEnded))
    assert kinds.count(DriverStarted) > 2


def unlucky(order: LegOrder) -> dict[str, Any]:
    """Legs that are lost, fail, run out of memory or diverge, and curves."""
    troubles = {2: "lost", 3: "failed", 5: "out_of_memory", 6: "diverged"}
    if order.trial in troubles and order.attempt == 0:
        return {"status": troubles[order.trial], "error": "bad luck"}
    return curve(order)


def test_troubles_and_a_target_replay(tmp_path: Path) -> None:
    demo = space({"budget": {"trials": 12, "target": 0.8}, "sampler": {"type": "tpe", "startup_trials": 3}})
    events = killed_sweep(demo, tmp_path, outcome=unlucky)
    assert again(demo, events).trials > 6


def test_a_spent_clock_replays_and_so_does_a_larger_budget(tmp_path: Path) -> None:
    short = space({"budget": {"trials": 9, "wall_clock_seconds": 3000.0}})
    Simulator(short, tmp_path, slots=1).run()
    first = events_of(tmp_path)
    assert isinstance(first[-1], SweepEnded)
    assert "wall_clock_seconds" in first[-1].reason
    longer = space({"budget": {"trials": 12, "wall_clock_seconds": 1e9}})
    Simulator(longer, tmp_path, slots=1, now=1e6).run()
    assert again(longer, events_of(tmp_path)).trials == 12


def test_a_journal_from_before_early_stops_were_told_apart_replays(tmp_path: Path) -> None:
    Simulator(space(), tmp_path, slots=1).run()
    events = events_of(tmp_path)
    assert any(isinstance(event, Decided) and event.is_early for event in events)
    old = [
        Decided.model_validate(event.model_dump(exclude={"is_early"})) if isinstance(event, Decided) else event for event in events
    ]
    assert again(space(), old) == again(space(), events)


def test_a_report_on_a_confirmed_winner_replays_and_one_on_another_run_does_not(tmp_path: Path) -> None:
    demo = space({"confirm": {"top": 2, "seeds": 2, "most_seeds": 2}})
    search = Simulator(demo, tmp_path, slots=1).run().search
    found = winner(search.state)
    assert found is not None
    assert found.run.is_confirmation
    report = Reported(trial=found.run.number, rank=1, validation={}, test={}, at=1e9)
    assert again(demo, [*events_of(tmp_path), report]).trials == 9 + 4
    with pytest.raises(ReplayDifference, match=f"a report on trial {found.run.number}"):
        again(demo, [*events_of(tmp_path), report.model_copy(update={"trial": found.trial.number})])


Change = Callable[[list[Event]], tuple[int, list[Event], str]]


def changed(kind: type[Any], **update: Any) -> Change:
    """Another value in an event of a kind."""

    def change(events: list[Event]) -> tuple[int, list[Event], str]:
        number = [index for index, event in enumerate(events) if isinstance(event, kind)][-1]
        forged = [*events[:number], events[number].model_copy(update=update), *events[number + 1 :]]
        return number, forged, f"{next(iter(update))}: "

    return change


def dropped(events: list[Event]) -> tuple[int, list[Event], str]:
    """A decision is left out: the next event is where that is noticed."""
    number = next(index for index, event in enumerate(events) if isinstance(event, Decided))
    return number, [*events[:number], *events[number + 1 :]], "but what follows is decided"


def early_end(events: list[Event]) -> tuple[int, list[Event], str]:
    """The sweep is said to have ended where legs wait."""
    number = next(index for index, event in enumerate(events) if isinstance(event, LegStarted))
    return number, [*events[:number], SweepEnded(reason="stopped", at=events[number].at)], "what follows is leg_started"


@pytest.mark.parametrize(
    "change",
    [
        changed(Asked, params={"model.H_cycles": 1, "optim.lr": 0.5}),
        changed(Asked, seed=1),
        changed(LegStarted, until_steps=7),
        changed(LegStarted, from_checkpoint="trials/0000/elsewhere"),
        changed(Decided, reason="because"),
        changed(Decided, status="failed"),
        changed(SweepEnded, reason="all done"),
        dropped,
        early_end,
    ],
)
def test_a_forged_decision_is_named_with_its_number_and_what_follows(tmp_path: Path, change: Change) -> None:
    Simulator(space(), tmp_path, slots=1).run()
    number, forged, sign = change(events_of(tmp_path))
    with pytest.raises(ReplayDifference) as difference:
        again(space(), forged)
    assert str(difference.value).startswith(f"event {number}: the journal says {forged[number].event} ")
    assert sign in str(difference.value)


def test_more_legs_than_slots_are_named(tmp_path: Path) -> None:
    Simulator(space(), tmp_path, slots=2).run()
    events = [event.model_copy(update={"slots": 1}) if isinstance(event, DriverStarted) else event for event in events_of(tmp_path)]
    with pytest.raises(ReplayDifference, match="what follows is no leg: 1 run on 1 slots"):
        again(space(), events)


def test_a_result_of_no_leg_is_no_journal(tmp_path: Path) -> None:
    Simulator(space(), tmp_path, slots=1).run()
    events = events_of(tmp_path)
    ended = next(event for event in events if isinstance(event, LegEnded))
    with pytest.raises(SweepError, match="the journal cannot be"):
        again(space(), [*events, ended])


# What a second person sees ------------------------------------------------------------------------------------------


def status_after(events: list[Event], now: float, *, is_driven: bool) -> SweepStatus:
    state = SweepState(space())
    for event in events:
        state.apply(event)
    return sweep_status(state, now, is_driven=is_driven)


def test_the_status_tells_what_runs_since_when_and_what_is_spent(tmp_path: Path) -> None:
    Simulator(space(), tmp_path, slots=2).run()
    events = events_of(tmp_path)
    cut = [index for index, event in enumerate(events) if isinstance(event, LegStarted)][5] + 1
    events[cut - 1] = events[cut - 1].model_copy(update={"expected_seconds": 60.0})
    now = events[cut - 1].at + 10
    seen = status_after(events[:cut], now, is_driven=True)
    assert (seen.state, seen.is_running, seen.slots, seen.events) == ("running", True, 2, cut)
    assert len(seen.legs) == 2
    started = events[cut - 1]
    assert isinstance(started, LegStarted)
    newest = next(leg for leg in seen.legs if leg.trial == started.trial)
    assert (newest.started_at, newest.rung, newest.steps[1]) == (started.at, started.rung, started.until_steps)
    assert newest.expected_end == started.at + 60.0
    assert seen.spent.wall_clock_seconds == now - 1000.0
    assert seen.spent.train_flops == sum(event.train_flops for event in events[:cut] if isinstance(event, LegEnded))
    assert seen.best is not None
    assert seen.best.interval_95 is not None
    assert seen.best.interval_95[0] < seen.best.objective < seen.best.interval_95[1]


def test_the_status_tells_a_killed_driver_from_one_that_left_and_one_that_ended(tmp_path: Path) -> None:
    Simulator(space(), tmp_path, slots=2).run()
    events = events_of(tmp_path)
    killed = status_after(events[:20], time.time(), is_driven=False)
    assert (killed.state, killed.is_running) == ("its driver was killed", False)
    assert killed.spent.wall_clock_seconds == events[19].at - 1000.0
    for is_driven in (False, True):  # it gives the folder back a moment after it said so
        left = status_after([*events[:20], DriverStopped(reason="SIGTERM", at=events[19].at)], time.time(), is_driven=is_driven)
        assert (left.state, left.is_running) == ("left in order: SIGTERM", False)
    ended = status_after(events, time.time(), is_driven=False)
    assert ended.state == "ended: all 9 trials have ended"
    assert replace(ended, statuses=dict(ended.statuses)).statuses.get("running") is None


def test_what_is_left_to_walk_through_is_the_same_to_a_replay_when_devices_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def costs(config: RunConfig) -> FakeCost:
        return replace(cost_of(config), memory_bytes=config.model.H_cycles * 10**9)

    values = space({"budget": {"trials": 100}, "sampler": {"type": "brute_force"}}).model_dump(mode="json")
    knobs = {"model.H_cycles": values["search"]["model.H_cycles"], "optim.lr": {"type": "choice", "values": [1e-3, 1e-2]}}
    finite = SearchSpace.model_validate({**values, "search": knobs})
    counts = []
    for device_bytes in (2_500_000_000, 10**10):
        start = functools.partialmethod(SweepLog.start, device_bytes=device_bytes)
        with monkeypatch.context() as patch:
            patch.setattr(SweepLog, "start", start)
            counts.append(len(Simulator(finite, tmp_path, slots=1, cost_of=costs).run().search.state.trials))
    assert counts == [4, 6]
    assert replay(Search(finite, costs), events_of(tmp_path)).trials == 6


def test_a_start_point_is_asked_once_though_longer_trials_have_a_longer_warm_up(tmp_path: Path) -> None:
    start = {"model.H_cycles": 2, "optim.lr": 1e-2}
    changes: dict[str, Any] = {"start_points": [start], "base": {"optim": {"lr_warmup_steps": 20}}}
    short = space({**changes, "budget": {"trials": 3, "per_trial": 2.7e13}})
    long = space({**changes, "budget": {"trials": 6, "per_trial": 8.1e13}})
    first = Simulator(short, tmp_path, slots=1).run().search
    assert (
        first.run_config(next(event for event in events_of(tmp_path) if isinstance(event, LegStarted))).optim.lr_warmup_steps < 20
    )
    Simulator(long, tmp_path, slots=1).run()
    events = events_of(tmp_path)
    assert [event.params == start for event in events if isinstance(event, Asked)] == [True, *[False] * 5]
    assert again(long, events).trials == 6
