"""Population based training, one generation at a time: who adopts from whom, which knobs, and what is refused."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.search.test_policies import Table, population
from trm.errors import ConfigError
from trm.search.knobs.knobs import ChoiceKnob, FloatKnob, IntKnob
from trm.search.order import Order
from trm.search.schedulers.pbt import changed
from trm.search.schedulers.rung import Rung
from trm.search.space.candidates import scheduler_of


def generation(objectives: Sequence[float], **changes: Any) -> Table:
    """A population at the end of its first generation."""
    table = Table(scheduler_of(population(**changes)), rungs=3, eta=2)
    for trial, objective in enumerate(objectives):
        table.params[trial] = {"optim.lr": 1e-3 * (trial + 1), "optim.weight_decay": 0.1}
        table.score(trial, 0, objective)
    return table


def test_the_worst_go_on_from_the_best_when_the_generation_is_complete() -> None:
    table = generation([0.2, 0.9, 0.5])
    assert table.scheduler.exploits(table.context) == []
    assert table.scheduler.promotion(table.context) is None
    table.params[3] = {"optim.lr": 4e-3, "optim.weight_decay": 0.1}
    table.score(3, 0, 0.4)
    (adoption,) = table.scheduler.exploits(table.context)
    assert (adoption.trial, adoption.rung, adoption.source) == (0, 0, 1)
    assert adoption.params.keys() == table.params[1].keys()
    assert adoption.params != table.params[1]
    assert table.scheduler.exploits(table.context) == [adoption], "asked again, the same"
    table.go_on(0, 0)
    assert table.scheduler.exploits(table.context) == []
    assert table.promoted() == [1, 2, 3]
    assert table.scheduler.exploits(table.context) == []


def test_a_member_within_a_standard_error_of_the_best_keeps_its_own() -> None:
    table = generation([0.9, 0.88, 0.87, 0.0])
    table.rung_results[0][0] = Rung(2, Order("max"), 0.5)
    for trial, (objective, error) in enumerate([(0.9, 0.01), (0.88, 0.01), (0.89, 0.01), (0.86, 0.05)]):
        table.score(trial, 0, objective, error=error)
    assert table.scheduler.exploits(table.context) == []
    assert len(table.promoted()) == 4


def test_members_that_ended_hold_nobody_up_and_populations_are_apart() -> None:
    table = generation([0.2, 0.9])
    table.asked = 4  # 2 and 3 diverged
    for trial, objective in ((4, 0.99), (5, 0.01)):
        table.params[trial] = {"optim.lr": 1e-3, "optim.weight_decay": 0.1}
        table.score(trial, 0, objective)
    (adoption,) = table.scheduler.exploits(table.context)
    assert (adoption.trial, adoption.source) == (0, 1)
    table.go_on(0, 0)
    assert table.promoted() == [1], "the second population is not complete"
    table.is_over = True
    (adoption,) = table.scheduler.exploits(table.context)
    assert (adoption.trial, adoption.source) == (5, 4)


def test_a_latecomer_finds_nobody_to_adopt_from_when_the_best_have_gone_on() -> None:
    """More trials on a resume fill up a population that was settled before."""
    table = generation([0.2, 0.9, 0.5])
    table.is_over = True
    table.go_on(0, 0)
    table.promoted()
    for trial in range(3):
        table.score(trial, 1, 0.9)
    table.is_over = False
    table.params[3] = {"optim.lr": 4e-3, "optim.weight_decay": 0.1}
    table.ask(3)
    assert table.scheduler.promotion(table.context) is None, "the others wait for it now"
    table.score(3, 0, 0.1)
    assert [one for one in table.scheduler.exploits(table.context) if one.rung == 0] == []
    assert table.scheduler.promotion(table.context) == 3


def test_whom_a_member_adopts_hangs_on_seed_member_and_generation_alone() -> None:
    def chosen(seed: int) -> list[tuple[int, Mapping[str, Any]]]:
        scheduler = {"type": "pbt", "population": 16, "generations": 3, "quantile": 0.5}
        table = generation([trial / 16 for trial in range(16)], seed=seed, scheduler=scheduler)
        return [(one.source, one.params) for one in table.scheduler.exploits(table.context)]

    assert chosen(1) == chosen(1)
    assert chosen(1) != chosen(2)
    assert len({source for source, _ in chosen(1)}) > 1
    assert all(source >= 8 for source, _ in chosen(1))


def test_changed_knobs_keep_the_rules_of_the_space() -> None:
    rule = "lr * weight_decay <= 2.01e-4"
    table = generation([0.2, 0.9, 0.5, 0.4], constraints=[rule])
    (adoption,) = table.scheduler.exploits(table.context)
    assert adoption.params["optim.lr"] * adoption.params["optim.weight_decay"] <= 2.01e-4


@pytest.mark.parametrize("direction", [0, 1])
def test_a_knob_changes_within_its_bounds(direction: int) -> None:
    number = FloatKnob(type="float", low=0.5, high=1.1)
    assert changed(number, 1.0, direction) == (1.1 if direction else 0.8)
    assert changed(number, 0.5, 0) == 0.5
    whole = IntKnob(type="int", low=2, high=20, step=3)
    assert changed(whole, 14, direction) == (17 if direction else 11)
    assert changed(whole, 2, direction) == (5 if direction else 2)
    choice = ChoiceKnob(type="choice", values=["a", "b", "c"])
    assert changed(choice, "b", direction) == ("c" if direction else "a")
    assert changed(choice, "c", 1) == "c"


def test_knobs_are_drawn_anew_as_often_as_asked() -> None:
    never, always = (
        [one.params for one in table.scheduler.exploits(table.context)]
        for resample in (0.0, 1.0)
        for table in [generation([0.2, 0.9, 0.5, 0.4], scheduler={**population().scheduler.model_dump(), "resample": resample})]
    )
    assert {round(never[0]["optim.lr"] / 2e-3, 9), round(never[0]["optim.weight_decay"] / 0.1, 9)} <= {0.8, 1.25}
    assert not {round(always[0]["optim.lr"] / 2e-3, 9), round(always[0]["optim.weight_decay"] / 0.1, 9)} & {0.8, 1.25}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"search": {"model.H_cycles": {"type": "int", "low": 1, "high": 3}}}, "model.H_cycles cannot change there"),
        ({"search": {"optim.lr_warmup_steps": {"type": "int", "low": 0, "high": 3}}}, "optim.lr_warmup_steps cannot change"),
        ({"fidelity": "seconds"}, "compares members at equal steps"),
        ({"scheduler": {"type": "pbt", "population": 3, "quantile": 0.25}}, "0.25 of a population of 3 is less than one"),
    ],
)
def test_a_space_that_a_population_cannot_search_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        population(**changes)
    assert refused.value.remedy
