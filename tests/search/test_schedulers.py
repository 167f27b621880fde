"""One contract for every scheduler: whole simulated sweeps that end, replay, survive kills, starve nobody and keep the rules."""

import math
import random
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import pytest
from search_simulator import KilledError, LegOrder, Outcome, Simulator, cost_of, curve
from sweep_cases import events_of, of, outline, space, survive, troubled

from trm.search.journal.events import Adopted, Asked, Decided, Event, LegEnded, LegStarted, SweepEnded
from trm.search.schedulers.choice import SchedulerChoice
from trm.search.schedulers.growth import grown
from trm.search.schedulers.scheduler import Scheduler, SchedulerSettings
from trm.search.search import Search, replayed
from trm.search.space.candidates import scheduler_of
from trm.search.space.space import SearchSpace

SCHEDULERS: dict[str, dict[str, Any]] = {
    "asha": {"type": "asha", "eta": 3, "rungs": 3},
    "asha-stopping": {"type": "asha", "eta": 3, "rungs": 3, "promotes": False},
    "successive_halving": {"type": "successive_halving", "eta": 2, "rungs": 3, "cohort": 5},
    "hyperband": {"type": "hyperband", "eta": 2, "rungs": 3},
    "median": {"type": "median", "rungs": 3, "min_trials": 3},
    "pbt": {"type": "pbt", "population": 5, "generations": 3, "quantile": 0.4},
    "none": {"type": "none"},
}
FIRST_COME = ("asha", "asha-stopping", "median")
"""Those that never wait: what they decide hangs on who is there."""
TRIALS = 13
KNOBS = {
    "optim.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
    "optim.weight_decay": {"type": "float", "low": 1e-3, "high": 1.0, "log": True},
}

each = pytest.mark.parametrize("name", SCHEDULERS)


def demo(name: str, **budget: Any) -> SearchSpace:
    """The same sweep under another scheduler; a population searches what may change within a run."""
    values = space().model_dump(mode="json")
    values["scheduler"] = SCHEDULERS[name]
    values["budget"] = {"per_trial": 2.7e13, "trials": TRIALS} | budget
    if name == "pbt":
        values["search"] = KNOBS
    return SearchSpace.model_validate(values)


def test_every_scheduler_there_is_passes_this_suite() -> None:
    members = get_args(get_args(SchedulerChoice)[0])
    assert {member.model_fields["type"].default for member in members} == {one["type"] for one in SCHEDULERS.values()}


@each
def test_what_is_known_of_a_scheduler_before_a_trial_runs(name: str) -> None:
    settings: SchedulerSettings = demo(name).scheduler
    assert isinstance(scheduler_of(demo(name)), Scheduler)
    rungs = settings.rungs_up_to(9.0)
    assert list(rungs.amounts) == sorted(set(rungs.amounts))
    assert rungs.amounts[0] > 0
    assert rungs.amounts[-1] == 9.0
    following = settings.following(rungs, 9.0, 1000.0)
    if following is not None:
        longer = grown(settings, rungs, following)
        assert longer.amounts[: len(rungs.amounts)] == rungs.amounts
        assert longer.amounts[-1] == following > 9.0


def sharp(order: LegOrder) -> dict[str, Any]:
    """Scores that tell trials apart, with the learning rate as it is now."""
    return {**curve(order), "standard_error": 0.001}


def swept(demo: SearchSpace, folder: Path, outcome: Outcome = sharp, slots: int = 2, now: float = 1000.0) -> Simulator:
    """A sweep that was driven to its end."""
    folder.mkdir(exist_ok=True)
    simulator = Simulator(demo, folder, outcome=outcome, slots=slots, now=now)
    simulator.run()
    return simulator


def searched(demo: SearchSpace, folder: Path) -> Search:
    """What the journal tells."""
    return replayed(demo, cost_of, events_of(folder), folder="data")


def resumed(demo: SearchSpace, folder: Path, kill_after: int) -> Search:
    """What a sweep comes to, one at a time, whose driver is killed after so many events, and which goes on later."""
    folder.mkdir()
    with pytest.raises(KilledError):
        Simulator(demo, folder, outcome=sharp, slots=1, kill_after=kill_after).run()
    Simulator(demo, folder, outcome=sharp, slots=1, now=9000.0).run()
    return searched(demo, folder)


@each
def test_a_sweep_ends_and_starves_nobody(tmp_path: Path, name: str) -> None:
    swept(demo(name), tmp_path, slots=3)
    events = events_of(tmp_path)
    search = searched(demo(name), tmp_path)
    assert isinstance(events[-1], SweepEnded)
    assert events[-1].reason == f"all {TRIALS} trials have ended"
    assert {event.trial for event in of(events, LegStarted)} == set(range(TRIALS)), "whoever is asked gets a leg"
    assert {one.status for one in search.state.trials} <= {"finished", "stopped"}
    assert Counter(one.status for one in search.state.trials)["finished"] >= 1
    completed = [(event.trial, event.rung) for event in of(events, LegEnded)]
    assert len(completed) == len(set(completed)), "no leg runs twice"
    for index, event in enumerate(events):
        if isinstance(event, LegEnded):
            following = next(one for one in events[index + 1 :] if getattr(one, "trial", None) == event.trial)
            assert isinstance(following, Decided), "every leg ends in a decision"
    rungs = [[event.rung for event in of(events, LegEnded) if event.trial == trial] for trial in range(TRIALS)]
    assert all(one == list(range(one[0], one[0] + len(one))) for one in rungs), "rung by rung, from the first of its own"


@each
@pytest.mark.parametrize("slots", [2, 5])
def test_no_slot_is_idle_while_a_trial_may_start(tmp_path: Path, name: str, slots: int) -> None:
    """Whoever waits for others leaves the slot to new trials, as long as there are some."""
    simulator = swept(demo(name, trials=30), tmp_path, slots=slots)
    last_asked = max(event.at for event in of(events_of(tmp_path), Asked))
    assert [running for at, running in simulator.busy if at < last_asked] == [slots] * sum(
        at < last_asked for at, _ in simulator.busy
    )


@each
def test_every_decision_can_be_derived_again(tmp_path: Path, name: str) -> None:
    swept(demo(name), tmp_path, slots=2)
    again = Search(demo(name), cost_of)
    due: list[Event] = []
    derived = Counter[str]()
    for event in events_of(tmp_path):
        if isinstance(event, Asked | LegStarted | Decided | Adopted):
            due = due or list(again.next_events(event.at, 1))
            assert due.pop(0) == event
            derived[event.event] += 1
        again.state.apply(event)
    assert derived["decided"] >= TRIALS
    assert (derived["adopted"] > 0) == (name == "pbt")


@each
def test_killed_after_any_event_one_at_a_time_it_comes_to_the_same(tmp_path: Path, name: str) -> None:
    few = demo(name, trials=7)
    whole = swept(few, tmp_path / "whole", slots=1)
    events = events_of(tmp_path / "whole")
    reference = searched(few, tmp_path / "whole")
    assert whole.orders
    for boundary in range(1, len(events), 6):
        folder = tmp_path / str(boundary)
        folder.mkdir()
        lives = iter([boundary, 10**9])
        search, kills = survive(few, folder, lambda lives=lives: next(lives), outcome=sharp)  # type: ignore[misc]
        assert kills == 1
        assert outline(search) == outline(reference)


@each
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_with_several_at_a_time_nothing_is_lost(tmp_path: Path, name: str, seed: int) -> None:
    generator = random.Random(seed)
    search, kills = survive(demo(name), tmp_path, lambda: generator.randint(5, 25), outcome=sharp, slots=3)
    assert kills >= 2
    events = events_of(tmp_path)
    completed = Counter((event.trial, event.rung) for event in of(events, LegEnded))
    assert set(completed.values()) == {1}
    assert [event.trial for event in of(events, Asked)] == list(range(TRIALS))
    assert {one.status for one in search.state.trials} <= {"finished", "stopped"}
    assert set(Counter((event.trial, event.rung) for event in of(events, Adopted)).values()) <= {1}


@each
def test_nobody_is_stopped_before_enough_have_arrived_nor_ahead_of_who_goes_on(tmp_path: Path, name: str) -> None:
    """At the moment of each stop: eta trials reached the rung, and whoever ranks no worse there was not stopped before."""
    swept(demo(name, trials=30), tmp_path, slots=3)
    settings = SCHEDULERS[name]
    least = settings.get("min_trials", 2) + 1 if name == "median" else settings.get("eta", 2)
    search = Search(demo(name, trials=30), cost_of)
    stops = 0
    for event in events_of(tmp_path):
        if isinstance(event, Decided) and event.status == "stopped":
            board = search.state.rung_results[search.state.scheduler.group(event.trial)][event.rung]
            assert len(board) >= least
            assert board.rank(event.trial) >= (0 if name == "median" else board.quota)
            stops += 1
        search.state.apply(event)
    assert (stops > 0) == (name not in ("pbt", "none"))


@pytest.mark.parametrize("name", [name for name in SCHEDULERS if name not in FIRST_COME])
def test_who_waits_for_all_decides_the_same_whatever_the_order(tmp_path: Path, name: str) -> None:
    ends = [
        outline(swept(demo(name), tmp_path / str(slots), slots=slots) and searched(demo(name), tmp_path / str(slots)))
        for slots in (1, 2, 6)
    ]
    assert ends[0] == ends[1] == ends[2]


@each
@pytest.mark.parametrize("status", ["diverged", "failed", "lost", "stalled", "out_of_memory"])
def test_trials_in_trouble_hold_nobody_up(tmp_path: Path, name: str, status: str) -> None:
    simulator = swept(
        demo(name),
        tmp_path,
        troubled(status, lambda order: (order.trial % 4 == 1 and order.rung % 2 == 1) or order.trial == 2),
        slots=3,
    )
    search = searched(demo(name), tmp_path)
    assert simulator.orders
    assert search.state.ended is not None
    assert search.state.ended.reason == f"all {TRIALS} trials have ended"
    expected = {"lost": "stopped", "stalled": "failed"}.get(status, status)
    assert search.state.trials[2].status == expected
    assert {one.status for one in search.state.trials} <= {"finished", "stopped", expected}
    assert any(one.status == "finished" for one in search.state.trials)


@each
def test_start_points_come_first_and_stay(tmp_path: Path, name: str) -> None:
    points = [{"optim.lr": 1e-3}, {"optim.lr": 2e-3}]
    started = SearchSpace.model_validate({**demo(name).model_dump(mode="json"), "start_points": points})
    swept(started, tmp_path)
    asked = of(events_of(tmp_path), Asked)
    assert [event.source for event in asked[:3]] == ["start_point", "start_point", "sampler"]
    assert [event.params["optim.lr"] for event in asked[:2]] == [1e-3, 2e-3]


@each
def test_a_finished_sweep_goes_on_with_more_trials(tmp_path: Path, name: str) -> None:
    first = swept(demo(name), tmp_path)
    before = outline(searched(demo(name), tmp_path))
    swept(demo(name, trials=24), tmp_path, now=first.now + 100)
    search = searched(demo(name, trials=24), tmp_path)
    assert len(search.state.trials) == 24
    assert {one.status for one in search.state.trials} <= {"finished", "stopped"}
    assert [one.asked.params for one in search.state.trials[:TRIALS]] == [
        event.params for event in of(events_of(tmp_path), Asked)[:TRIALS]
    ]
    assert set(Counter((event.trial, event.rung) for event in of(events_of(tmp_path), LegEnded)).values()) == {1}
    for old, new in zip(before, outline(search), strict=False):
        assert old[2].items() <= new[2].items(), "no score is lost"


@each
def test_a_spent_clock_ends_it_and_more_clock_takes_it_up(tmp_path: Path, name: str) -> None:
    whole = swept(demo(name), tmp_path / "whole")
    seconds = whole.now - 1000
    folder = tmp_path / "short"
    first = swept(demo(name, wall_clock_seconds=seconds / 2), folder)
    search = searched(demo(name), folder)
    assert search.state.ended is not None
    assert "wall_clock_seconds" in search.state.ended.reason
    assert {one.status for one in search.state.trials} <= {"finished", "stopped"}
    swept(demo(name, wall_clock_seconds=seconds * 3), folder, now=first.now + 500)
    search = searched(demo(name), folder)
    assert search.state.ended is not None
    assert search.state.ended.reason == f"all {TRIALS} trials have ended"
    assert set(Counter((event.trial, event.rung) for event in of(events_of(folder), LegEnded)).values()) == {1}
    if name not in FIRST_COME:
        assert outline(search) == outline(searched(demo(name), tmp_path / "whole"))


@pytest.mark.parametrize(
    ("name", "factor"), [("asha", 3), ("asha-stopping", 3), ("successive_halving", 2), ("median", 5 / 3), ("none", 2)]
)
def test_more_compute_a_trial_adds_rungs(tmp_path: Path, name: str, factor: float) -> None:
    first = swept(demo(name), tmp_path)
    before = searched(demo(name), tmp_path)
    grown = demo(name, per_trial=2.7e13 * factor)
    swept(grown, tmp_path, now=first.now + 100)
    search = searched(grown, tmp_path)
    last = len(before.state.resolver.rungs.amounts) - 1
    furthest = max(rung for one in search.state.trials for rung in one.results)
    assert furthest > last
    assert {one.status for one in search.state.trials} <= {"finished", "stopped"}
    finished = [one for one in search.state.trials if one.status == "finished"]
    assert finished
    assert all(max(one.results) == furthest for one in finished)
    assert all(math.isclose(one.results[furthest].train_flops, 2.7e13 * factor, rel_tol=0.05) for one in finished)


def test_members_of_a_population_adopt_and_go_on_from_the_others_checkpoint(tmp_path: Path) -> None:
    simulator = swept(demo("pbt", trials=5), tmp_path)
    events = events_of(tmp_path)
    adopted = {(event.trial, event.rung): event for event in of(events, Adopted)}
    assert {rung for _, rung in adopted} <= {0, 1}
    assert adopted
    scored = {(event.trial, event.rung): event for event in of(events, LegEnded)}
    for (trial, rung), event in adopted.items():
        assert scored[event.source, rung].objective > scored[trial, rung].objective
        leg = next(one for one in of(events, LegStarted) if (one.trial, one.rung) == (trial, rung + 1))
        assert leg.from_checkpoint == scored[event.source, rung].checkpoint
        order = next(one for one in simulator.orders if (one.trial, one.rung) == (trial, rung + 1))
        assert order.config.optim.lr == event.params["optim.lr"]
        assert order.config.seed == of(events, Asked)[trial].seed, "a member keeps its own seed"
    for one in of(events, LegStarted):
        if one.rung and (one.trial, one.rung - 1) not in adopted:
            assert one.from_checkpoint == scored[one.trial, one.rung - 1].checkpoint


def test_a_kill_between_adoptions_repeats_none(tmp_path: Path) -> None:
    few = demo("pbt", trials=5)
    swept(few, tmp_path / "whole", slots=1)
    kinds = [event.event for event in events_of(tmp_path / "whole")]
    for boundary in [index for index, kind in enumerate(kinds) if kind == "adopted"]:
        folder = tmp_path / str(boundary)
        folder.mkdir()
        with pytest.raises(KilledError):
            Simulator(few, folder, outcome=sharp, slots=1, kill_after=boundary + 1).run()
        swept(few, folder, slots=1, now=10_000.0)
        assert [event.event for event in events_of(folder)].count("adopted") == kinds.count("adopted")
        assert outline(searched(few, folder)) == outline(searched(few, tmp_path / "whole"))
