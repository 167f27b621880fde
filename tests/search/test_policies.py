"""What each scheduler decides of a standing: pure functions, looked at one decision at a time."""

import random
from collections.abc import Iterable
from typing import Any

import pytest
from standing_cases import Table, scheduled
from sweep_cases import space

from trm.config.files import validated
from trm.errors import SweepError
from trm.search.order import Order
from trm.search.schedulers.asha import Asha
from trm.search.schedulers.growth import grown
from trm.search.schedulers.halving import Hyperband, SuccessiveHalving
from trm.search.schedulers.median import MedianStopping
from trm.search.schedulers.pbt import PopulationBasedTraining
from trm.search.schedulers.run_to_end import NoScheduler
from trm.search.schedulers.rung import Rung
from trm.search.schedulers.scheduler import SchedulerSettings
from trm.search.space.candidates import scheduler_of
from trm.search.space.space import SearchSpace


def population(**changes: Any) -> SearchSpace:
    values = space().model_dump(mode="json")
    knob = {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}
    values["search"] = {"optim.lr": knob, "optim.weight_decay": {"type": "float", "low": 1e-3, "high": 1.0, "log": True}}
    values["scheduler"] = {"type": "pbt", "population": 4, "generations": 3, "quantile": 0.25}
    return validated(SearchSpace, {**values, **changes}, "demo")


# Asynchronous halving ----------------------------------------------------------------------------------------------------


def test_stopping_asha_decides_at_once_by_the_rung_as_it_stands() -> None:
    table = Table(scheduler_of(scheduled(type="asha", promotes=False)), rungs=3)
    verdicts = []
    for trial, objective in enumerate([0.5, 0.4, 0.3, 0.6, 0.2, 0.7, 0.65]):
        table.score(trial, 0, objective)
        verdicts.append(table.scheduler.decision(table.context, trial, 0).status)
    # Fewer than eta: on. Third of three: stopped. Best: on. Last: stopped. Best of six: on. Second of seven, quota two: on.
    assert verdicts == ["running", "running", "stopped", "running", "stopped", "running", "running"]
    assert table.scheduler.promotion(table.context) == 5
    assert table.left_behind == [3, 0, 1, 2, 4]


def test_stopping_asha_spares_a_flat_rung_and_a_standard_error() -> None:
    flat = Table(scheduler_of(scheduled(type="asha", promotes=False)), rungs=3)
    for trial, loss in enumerate([1.0, 2.0, 3.0, 2.5]):
        flat.score(trial, 0, 0.0, loss=loss)
    statuses = [flat.scheduler.decision(flat.context, trial, 0).status for trial in range(4)]
    assert statuses == ["running", "running", "stopped", "running"]
    near = Table(scheduler_of(scheduled(type="asha", promotes=False)), rungs=3)
    for trial, (objective, error) in enumerate([(0.5, 0.0), (0.49, 0.02), (0.4, 0.02)]):
        near.score(trial, 0, objective, error=error)
    assert [near.scheduler.decision(near.context, trial, 0).status for trial in range(3)] == ["running", "running", "stopped"]


# Cohorts and brackets ----------------------------------------------------------------------------------------------------


def test_a_cohort_is_halved_when_its_last_trial_has_arrived() -> None:
    table = Table(scheduler_of(scheduled(type="successive_halving", eta=3, rungs=2, cohort=6)), rungs=2)
    table.ask(5)
    for trial in range(5):
        table.score(trial, 0, 0.1 * trial)
    for trial in (6, 7, 8):
        table.score(trial, 0, 0.9)
    assert table.scheduler.promotion(table.context) is None
    assert table.left_behind == []
    assert table.scheduler.may_ask(table.context), "the next cohort takes the slots that this one leaves free"
    table.score(5, 0, 0.35)
    assert table.left_behind == [3, 2, 1, 0]
    assert table.promoted() == [4, 5], "of its own cohort, whatever the next one scores"


def test_a_trial_that_never_arrives_holds_nobody_up() -> None:
    table = Table(scheduler_of(scheduled(type="successive_halving", eta=3, rungs=2, cohort=4)), rungs=2)
    table.ask(0, 1, 2, 3)
    for trial in range(3):
        table.score(trial, 0, 0.1 + trial)
    assert table.scheduler.promotion(table.context) is None
    del table.targets[3]  # it diverged
    assert table.promoted() == [2]
    assert set(table.left_behind) == {0, 1}


def test_a_cohort_that_cannot_fill_any_more_is_halved_as_it_is() -> None:
    table = Table(scheduler_of(scheduled(type="successive_halving", eta=3, rungs=2, cohort=9)), rungs=2)
    for trial in range(4):
        table.score(trial, 0, 0.1 + trial)
    assert table.scheduler.promotion(table.context) is None
    table.is_over = True
    assert table.promoted() == [3]
    table.is_over = False
    assert table.scheduler.promotion(table.context) is None, "more trials came: it fills up first"


def test_brackets_of_hyperband_have_the_sizes_of_its_table() -> None:
    """Li et al. 2018, table 1: R 81, eta 3."""
    brackets = Hyperband(eta=3, rungs=5).brackets
    assert [(one.size, one.first_rung) for one in brackets.cycle] == [(81, 0), (34, 1), (15, 2), (8, 3), (5, 4)]
    assert [brackets.group(trial) for trial in (0, 80, 81, 114, 115, 142, 143, 224)] == [0, 0, 1, 1, 2, 4, 5, 6]
    assert all(brackets.start(brackets.group(trial)) <= trial < brackets.start(brackets.group(trial) + 1) for trial in range(500))
    scheduler = scheduler_of(scheduled(type="hyperband", eta=3, rungs=5))
    assert [scheduler.first_rung(trial) for trial in (0, 81, 115, 130, 138, 143)] == [0, 1, 2, 3, 4, 0]


def test_brackets_are_halved_by_themselves() -> None:
    table = Table(scheduler_of(scheduled(type="hyperband", eta=2, rungs=2)), rungs=2, eta=2)
    assert [(table.scheduler.group(trial), table.scheduler.first_rung(trial)) for trial in range(6)] == [
        (0, 0),
        (0, 0),
        (1, 1),
        (1, 1),
        (2, 0),
        (2, 0),
    ]
    table.score(0, 0, 0.5)
    table.ask(1, 2, 3, 4)
    assert table.scheduler.promotion(table.context) is None
    table.score(1, 0, 0.6)
    table.score(4, 0, 0.9)
    assert table.promoted() == [1]
    assert table.left_behind == [0]


# Median ------------------------------------------------------------------------------------------------------------------


def test_median_stopping_compares_the_best_so_far_with_the_means_so_far() -> None:
    table = Table(scheduler_of(scheduled(type="median", rungs=3, min_trials=3)), rungs=3, eta=2)
    for trial, (first, second) in enumerate([(0.1, 0.5), (0.2, 0.6), (0.3, 0.7)]):
        table.score(trial, 0, first)
        assert table.scheduler.decision(table.context, trial, 0).status == "running", "too few others"
        table.score(trial, 1, second)
    table.score(3, 0, 0.25)
    assert table.scheduler.decision(table.context, 3, 0).status == "running", "the others' median is 0.2"
    table.score(4, 0, 0.19)
    assert table.scheduler.decision(table.context, 4, 0).status == "stopped", "it is 0.225 now"
    table.score(3, 1, 0.39)
    assert table.scheduler.decision(table.context, 3, 1).status == "stopped", "means 0.3, 0.4, 0.5"
    table.rung_results[0][1] = Rung(2, Order("max"), 0.5)
    for trial, second in enumerate([0.5, 0.6, 0.7]):
        table.score(trial, 1, second)
    table.score(3, 1, 0.39, error=0.02)
    assert table.scheduler.decision(table.context, 3, 1).status == "running", "within a standard error"


def test_median_stopping_of_a_flat_rung_stops_the_half_with_the_larger_losses() -> None:
    table = Table(scheduler_of(scheduled(type="median", rungs=3, min_trials=3)), rungs=3, eta=2)
    for trial, loss in enumerate([1.0, 2.0, 3.0, 4.0]):
        table.score(trial, 0, 0.0, loss=loss)
    assert [table.scheduler.decision(table.context, trial, 0).status for trial in range(4)] == ["running"] * 2 + ["stopped"] * 2


def test_median_stopping_counts_down_where_less_is_better() -> None:
    table = Table(scheduler_of(scheduled(type="median", rungs=2, min_trials=2)), rungs=2, eta=2)
    table.rung_results[0] = [Rung(2, Order("min"), 0.5), Rung(2, Order("min"), 0.5)]
    for trial, objective in enumerate([1.0, 2.0, 3.0]):
        table.score(trial, 0, objective)
    assert [table.scheduler.decision(table.context, trial, 0).status for trial in range(3)] == ["running", "running", "stopped"]


# All of them -------------------------------------------------------------------------------------------------------------

SCHEDULERS: list[SchedulerSettings] = [
    Asha(),
    Asha(promotes=False),
    SuccessiveHalving(),
    Hyperband(),
    MedianStopping(),
    PopulationBasedTraining(population=4),
    NoScheduler(),
]


def arrivals(count: int, seed: int) -> Iterable[tuple[int, float, float]]:
    """(trial, objective, loss) in some order."""
    rows = [(trial, round(random.Random(trial).random(), 1), random.Random(-trial).random()) for trial in range(count)]
    random.Random(seed).shuffle(rows)
    return rows


@pytest.mark.parametrize(
    "scheduler", SCHEDULERS, ids=lambda one: f"{one.type}{'' if getattr(one, 'promotes', True) else '-stopping'}"
)
def test_what_follows_from_a_standing_does_not_hang_on_the_order_of_arrival(scheduler: SchedulerSettings) -> None:
    demo = population(scheduler=scheduler)
    rungs = scheduler.rungs_up_to(9.0)
    found = []
    for seed in (1, 2, 3):
        table = Table(scheduler_of(demo), len(rungs.amounts), max(2, rungs.eta))
        for trial, objective, loss in arrivals(17, seed):
            table.params[trial] = {"optim.lr": 1e-3 * (1 + trial), "optim.weight_decay": 0.1}
            table.score(trial, table.scheduler.first_rung(trial), objective, loss=loss)
        table.is_over = True
        verdicts = [table.scheduler.decision(table.context, trial, table.scheduler.first_rung(trial)) for trial in range(8)]
        adoptions = table.scheduler.exploits(table.context)
        found.append((verdicts, adoptions, table.scheduler.stops(table.context), table.scheduler.promotion(table.context)))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    ("scheduler", "per_trial", "amounts"),
    [
        (Asha(), 9.0, (1, 3, 9)),
        (Asha(), 81.0, (1, 3, 9, 27, 81)),
        (SuccessiveHalving(eta=2, rungs=2), 18.0, (4.5, 9, 18)),
        (MedianStopping(rungs=3), 15.0, (3, 6, 9, 12, 15)),
        (NoScheduler(), 10.0, (9, 10)),
        (Hyperband(), 9.0, (1, 3, 9)),
    ],
)
def test_rungs_grow_with_the_compute_of_a_trial(scheduler: SchedulerSettings, per_trial: float, amounts: tuple[float, ...]) -> None:
    before = scheduler.rungs_up_to(9.0)
    after = grown(scheduler, before, per_trial)
    assert after.amounts == pytest.approx(amounts)
    assert after.amounts[: len(before.amounts)] == before.amounts
    assert after.eta == before.eta


@pytest.mark.parametrize(
    ("scheduler", "per_trial", "remedy"),
    [
        (Asha(), 30.0, "to 27"),
        (Asha(), 3.0, "to 9"),
        (MedianStopping(rungs=3), 13.0, "to 12"),
        (NoScheduler(), 8.0, "to 9"),
        (Hyperband(), 27.0, "to 9, as before"),
        (PopulationBasedTraining(), 27.0, "to 9, as before"),
    ],
)
def test_rungs_that_cannot_grow_so_name_the_nearest_amount(scheduler: SchedulerSettings, per_trial: float, remedy: str) -> None:
    with pytest.raises(SweepError, match=f"scheduler {scheduler.type} cannot take trials") as refused:
        grown(scheduler, scheduler.rungs_up_to(9.0), per_trial)
    assert remedy in str(refused.value.remedy)
