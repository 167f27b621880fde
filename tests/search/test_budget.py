"""What a sweep may spend over all its drivers, what ends it early, and how it goes on with more."""

from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from search_simulator import Simulator, cost_of
from sweep_cases import SPACE, sharp, space

from trm.errors import SweepError
from trm.search.journal.events import Asked, DriverStarted, LegEnded, LegStarted, Reported, SpaceExhausted
from trm.search.journal.journal import read_events
from trm.search.log import FILE, SweepLog
from trm.search.search import Search, replayed
from trm.search.space.resume import check_growth
from trm.search.space.space import SearchSpace


def ended(search: Search) -> str:
    assert search.state.ended is not None
    return search.state.ended.reason


def of(folder: Path, kind: type[Any]) -> list[Any]:
    return [entry.event for entry in read_events(folder / FILE) if isinstance(entry.event, kind)]


def test_training_flops_of_the_whole_sweep_are_not_exceeded_and_go_on_with_more(tmp_path: Path) -> None:
    for name in ("whole", "half"):
        (tmp_path / name).mkdir()
    whole = Simulator(space({"budget": {"trials": 40}}), tmp_path / "whole", outcome=sharp).run().search.state.spent(0).train_flops
    half = {"budget": {"trials": 40, "train_flops": whole / 2}}
    search = Simulator(space(half), tmp_path / "half", outcome=sharp, slots=2).run().search
    assert ended(search).startswith(f"budget.train_flops {whole / 2:g} is spent")
    assert 0.4 * whole < search.state.spent(0).train_flops <= whole / 2
    assert search.state.spent(0).train_flops == pytest.approx(sum(trial.spent_flops for trial in search.state.trials))
    again = Simulator(space({"budget": {"trials": 40}}), tmp_path / "half", outcome=sharp, slots=2).run().search
    assert len(again.state.trials) == 40
    assert Counter(trial.status for trial in again.state.trials)["finished"] >= 1
    assert again.state.spent(0).train_flops > whole / 2


def test_a_target_ends_the_sweep_and_a_higher_one_takes_it_up_again(tmp_path: Path) -> None:
    search = Simulator(space({"budget": {"target": 0.3}}), tmp_path, slots=1).run().search
    results = of(tmp_path, LegEnded)
    assert results[-1].objective >= 0.3 > max(result.objective for result in results[:-1])
    assert ended(search) == f"trial {results[-1].trial} reached the target 0.3 with {results[-1].objective:g}"
    again = Simulator(space(), tmp_path, slots=1).run().search
    assert ended(again) == "all 9 trials have ended"
    (tmp_path / "undisturbed").mkdir()
    undisturbed = Simulator(space(), tmp_path / "undisturbed", slots=1).run().search
    assert [trial.params for trial in again.state.trials] == [trial.params for trial in undisturbed.state.trials]
    assert again.state.leaderboard()[0].number == undisturbed.state.leaderboard()[0].number


def test_gpu_hours_count_what_legs_hold_even_those_that_were_never_heard_of_again() -> None:
    search = Search(space({"budget": {"gpu_hours": 1.0}, "resources": {"gpus": 2}}), cost_of)
    start: dict[str, Any] = {"driver": "here:1", "slots": 2, "budget": search.state.space.budget, "gpus": 2.0}
    search.state.apply(DriverStarted(**start, fence=1, at=0.0))
    for now in (0.0, 100.0):
        for event in search.next_events(now, 1):
            search.state.apply(event)
        [leg] = search.next_events(now, 1)
        search.state.apply(leg)
    assert search.state.spent(500.0).gpu_hours == pytest.approx(2 * (500 + 400) / 3600)
    assert search.is_done(500.0) is None
    assert search.is_done(1000.0) == "budget.gpu_hours 1 is spent"
    ends: dict[str, Any] = {"rung": 0, "attempt": 0, "status": "completed", "objective": 0.1, "train_flops": 1.0}
    search.state.apply(LegEnded(trial=0, **ends, at=600.0))  # the driver dies then, and the other leg with it
    search.state.apply(DriverStarted(**start, fence=2, at=9000.0))
    assert search.state.spent(9000.0).gpu_hours == pytest.approx(2 * (600 + 500) / 3600)


def test_gpu_hours_without_gpus_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"budget.gpu_hours 3 never ends a sweep whose trials hold no GPU"):
        space({"budget": {"gpu_hours": 3.0}})


def test_a_configuration_is_run_once_or_as_often_as_asked_for(tmp_path: Path) -> None:
    knobs = {**SPACE["search"], "optim.lr": {"type": "choice", "values": [1e-3, 1e-2]}}
    changes = {**SPACE, "search": knobs, "budget": {"trials": 100, "per_trial": 2.7e13}, "replicates": 3}
    search = Simulator(SearchSpace.model_validate(changes), tmp_path).run().search
    copies = Counter(trial.asked.digest for trial in search.state.trials)
    assert sorted(copies.values()) == [3] * 6
    assert len({trial.asked.seed for trial in search.state.trials}) == 18
    assert Counter(trial.asked.source for trial in search.state.trials) == {"sampler": 6, "replicate": 12}
    assert [event.reason for event in of(tmp_path, SpaceExhausted)] == ["no new configuration is left in the space"]


@pytest.mark.parametrize(
    ("scheduler", "longer"),
    [("asha", 8.1e13), ("none", 4.0e13), ({"type": "median", "rungs": 3}, 3.6e13)],
)
def test_a_sweep_that_ended_goes_on_with_more_compute_a_trial(tmp_path: Path, scheduler: Any, longer: float) -> None:
    short = SearchSpace.model_validate({**SPACE, "scheduler": scheduler})
    before = Simulator(short, tmp_path, outcome=sharp, slots=1).run().search
    finished = {trial.number for trial in before.state.trials if trial.status == "finished"}
    spent, rungs = before.state.spent(0).train_flops, before.state.rungs.amounts
    long = SearchSpace.model_validate({**short.model_dump(mode="json"), "budget": {"trials": 9, "per_trial": longer}})
    check_growth([short.budget.per_trial], long)
    winner = before.state.leaderboard()[0].number
    with closing(SweepLog(tmp_path, Search(short, cost_of)).journal) as journal:
        journal.append(Reported(trial=winner, rank=1, validation={}, test={}, at=1e9))
    after = Simulator(long, tmp_path, outcome=sharp, slots=1).run().search
    assert after.state.rungs.amounts[:-1] == rungs
    assert after.state.rungs.amounts[-1] == pytest.approx(longer)
    gone_on = {trial.number for trial in after.state.trials if after.state.rungs.last in trial.results}
    assert gone_on
    assert gone_on <= finished
    assert (winner in after.state.reports) == (winner not in gone_on), "what was reported on are not its weights any more"
    assert len(of(tmp_path, Asked)) == 9
    assert after.state.spent(0).train_flops > spent
    legs = [leg for leg in of(tmp_path, LegStarted) if leg.rung == after.state.rungs.last]
    for leg in legs:
        trial = after.state.trials[leg.trial]
        assert leg.from_checkpoint == trial.results[leg.rung - 1].checkpoint
        assert leg.until_steps * trial.asked.step_flops == pytest.approx(longer, rel=0.02)
        config = after.run_config(leg)
        assert config.training.steps == leg.until_steps
        assert config.optim.lr_warmup_steps == before.run_config(leg.model_copy(update={"until_steps": 1})).optim.lr_warmup_steps
    again = replayed(long, cost_of, [entry.event for entry in read_events(tmp_path / FILE)])
    assert again.state.rungs.amounts == after.state.rungs.amounts


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budget": {"per_trial": 1e13}}, "may only grow on a resume: 2.7e.13 -> 1e.13"),
        ({"budget": {"per_trial": 5e13}}, "cannot take trials of budget.per_trial 2.7e.13 on to 5e.13"),
        ({"budget": {"per_trial": 8.1e13}, "base": {"optim": {"lr_min_ratio": 0.1}}}, "learning rate decays"),
        ({"budget": {"per_trial": 8.1e13}, "base": {"optim": {"schedule": "linear"}}}, "optim.schedule is linear"),
        ({"budget": {"per_trial": 8.1e13}, "scheduler": {"type": "hyperband"}}, "scheduler hyperband cannot take trials"),
    ],
)
def test_growth_that_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SweepError, match=message):
        check_growth([2.7e13], space(changes))


def test_gpu_hours_of_legs_that_the_sweeps_end_cut_short_stay_spent() -> None:
    search = Search(space({"budget": {"gpu_hours": 1.0}, "resources": {"gpus": 1}}), cost_of)
    start: dict[str, Any] = {"driver": "here:1", "slots": 1, "budget": search.state.space.budget, "gpus": 1.0}
    search.state.apply(DriverStarted(**start, fence=1, at=0.0))
    for _ in range(2):
        search.state.apply(search.next_events(0.0, 1)[0])
    for event in search.closing_events(3600.0):
        search.state.apply(event)
    search.state.apply(DriverStarted(**start, fence=2, at=9000.0))
    assert search.state.spent(9000.0).gpu_hours == pytest.approx(1.0)
    assert search.is_done(9000.0) == "budget.gpu_hours 1 is spent"


@pytest.mark.parametrize(
    ("scheduler", "longer"),
    [
        ({"type": "none"}, 5.4e13),
        ({"type": "median", "rungs": 3}, 3.6e13),
        ({"type": "asha", "promotes": False, "rungs": 2}, 8.1e13),
    ],
)
def test_trials_that_grow_outlive_an_end_before_their_turn(tmp_path: Path, scheduler: Any, longer: float) -> None:
    def drive(folder: Path, now: float, **budget: Any) -> Simulator:
        drawn = SearchSpace.model_validate({**SPACE, "scheduler": scheduler, "budget": {"trials": 6, "per_trial": longer} | budget})
        simulator = Simulator(drawn, folder, outcome=sharp, slots=1, now=now)
        simulator.run()
        return simulator

    ends: list[list[tuple[str, int | None]]] = []
    for name in ("whole", "interrupted"):
        (tmp_path / name).mkdir()
        now = drive(tmp_path / name, 0.0, per_trial=2.7e13).now
        if name == "interrupted":  # a clock that ends the sweep while the first trial grows
            now = drive(tmp_path / name, now, wall_clock_seconds=now + 1).now
        log = drive(tmp_path / name, now).run()
        ends.append([(trial.status, trial.rung) for trial in log.search.state.trials])
    assert ends[0] == ends[1]
    assert sum(status == "finished" for status, _ in ends[1]) > 1


def test_compute_counts_once_whether_an_attempt_fails_goes_on_from_another_or_begins_anew() -> None:
    search = Search(space({"budget": {"trials": 1}}), cost_of)
    search.state.apply(search.next_events(0.0, 1)[0])
    flops = search.state.trials[0].asked.step_flops

    def end(status: str, steps: int, own: int = 0) -> float:
        [leg] = search.next_events(0.0, 1)
        search.state.apply(leg)
        metrics = {"train/flops_per_second": own * flops / 2.0} if own else {}
        values: dict[str, Any] = {"status": status, "steps": steps, "train_flops": steps * flops, "metrics": metrics}
        values |= {"objective": 0.5, "train_seconds": 2.0} if own else {}
        search.state.apply(LegEnded(trial=0, rung=leg.rung, attempt=leg.attempt, **values, at=1.0))
        search.state.apply(search.due_decisions(1.0)[0])
        return search.state.spent(1.0).train_flops / flops

    assert end("failed", 30) == 30
    assert end("completed", 50, own=30) == pytest.approx(60), "it went on from step 20"
    assert end("lost", 0) == pytest.approx(60)
    assert end("completed", 150, own=150) == pytest.approx(210), "keep had deleted its checkpoint"
