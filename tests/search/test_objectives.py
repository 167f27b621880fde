"""An objective weighed against others: what may be said, what samplers are shown, and whole sweeps that rank by fronts."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.samplers import NSGAIISampler, TPESampler
from optuna.trial import TrialState
from search_simulator import LegOrder, Simulator, cost_of
from sweep_cases import events_of, outline, survive

from tests.search.test_sampler import space as plain_space
from tests.search.test_sampler import trial as plain_trial
from tests.search.test_schedulers import SCHEDULERS, TRIALS, demo, searched, sharp
from trm.config.base import RECORDED
from trm.config.data import DataConfig
from trm.config.files import validated
from trm.config.run import RunConfig
from trm.config.training import TrainingConfig
from trm.errors import ConfigError
from trm.search.asking.ask import Asker
from trm.search.asking.proposals import Proposer
from trm.search.findings.replay import replay
from trm.search.journal.events import EVENT, Asked, Decided, TrialStatus
from trm.search.journal.trial import Trial
from trm.search.objective import figures, measures
from trm.search.order import Order, Score
from trm.search.planning.preflight import check_objective
from trm.search.samplers.study_fronts import FrontView
from trm.search.schedulers.rung import Rung
from trm.search.search import Search
from trm.search.settings import Objective
from trm.search.space.candidates import Resolver
from trm.search.space.space import SearchSpace
from trm.tasks.choice import TASKS
from trm.tasks.metrics import bounds, direction, is_count, metric_names

AGAINST = ["params", {"metric": "mean_halting_step", "mode": "min"}]
SIZED = Objective.model_validate({"against": ["params"]})


def weighed(name: str = "asha", against: list[Any] | None = None, **changes: Any) -> SearchSpace:
    values = demo(name).model_dump(mode="json")
    values["objective"] = {"against": against or ["params"]}
    return validated(SearchSpace, {**values, **changes}, "demo")


# What may be said --------------------------------------------------------------------------------------------------------


def test_a_name_alone_is_a_cost_to_be_kept_small() -> None:
    one = Objective.model_validate({"against": ["params", {"metric": "cell_accuracy", "mode": "max"}, {"metric": "train_flops"}]})
    assert [(against.metric, against.mode) for against in one.against] == [
        ("params", "min"),
        ("cell_accuracy", "max"),
        ("train_flops", "min"),
    ]
    assert Objective.model_validate(one.model_dump()) == one


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"objective": {"against": ["loss_of_time"]}}, "against names a cost or what the evaluation reports, got 'loss_of_time'"),
        ({"objective": {"metric": "loss", "mode": "max"}}, "objective.mode max looks for the worst: of loss less is better"),
        ({"objective": {"mode": "min"}}, "of exact_accuracy more is better; leave mode out, or write mode: max"),
        ({"objective": {"metric": "path_f1_halted", "mode": "min"}}, "of path_f1_halted more is better"),
        ({"objective": {"metric": "pass_at_2", "mode": "min"}}, "of pass_at_2 more is better"),
        ({"objective": {"against": [{"metric": "params", "mode": "max"}]}}, r"objective.against.0.mode max .* of params less"),
        (
            {"objective": {"against": ["params", {"metric": "loss", "mode": "max"}]}},
            r"objective.against.1.mode max .* of loss less",
        ),
        ({"objective": {"metric": "examples"}}, "objective.metric examples counts what is scored"),
        ({"objective": {"against": ["test_pairs"]}}, r"objective.against.0.metric test_pairs counts what is scored"),
        ({"objective": {"against": ["params", "params"]}}, "params twice"),
        ({"objective": {"against": [{"metric": "exact_accuracy", "mode": "max"}]}}, "exact_accuracy twice"),
        ({"sampler": {"type": "nsga3"}, "objective": {}}, "exact_accuracy is the only objective"),
    ],
)
def test_what_cannot_be_weighed_is_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        weighed(**changes)


@pytest.mark.parametrize("task", TASKS)
def test_every_metric_that_an_evaluation_reports_has_a_direction_or_is_a_count(task: str) -> None:
    names = metric_names(task, 16, has_halted=True)
    low = {name for name in names if direction(name) == "min"}
    assert low == {"loss", "loss_halted", "mean_halting_step"}
    assert {name for name in names if direction(name) is None} == {name for name in names if is_count(name)}
    assert all(bounds(name) == (0, 1) for name in names if direction(name) == "max")


@pytest.mark.parametrize(
    ("given", "modes"),
    [
        ({"metric": "loss"}, ["min"]),
        ({"metric": "loss", "mode": None}, ["min"]),
        ({"metric": "loss_halted"}, ["min"]),
        ({}, ["max"]),
        ({"metric": "cell_accuracy", "mode": "max"}, ["max"]),
        (
            {"metric": "loss", "against": ["exact_accuracy", "mean_halting_step", {"metric": "fill_accuracy"}]},
            ["min", "max", "min", "max"],
        ),
    ],
)
def test_a_mode_left_out_is_that_of_the_metric(given: dict[str, Any], modes: list[str]) -> None:
    objective = Objective.model_validate(given)
    assert [objective.mode, *(one.mode for one in objective.against)] == modes
    assert Objective.model_validate(objective.model_dump()) == objective


def test_the_least_loss_wins() -> None:
    rung = Rung(2, Order(Objective.model_validate({"metric": "loss"}).mode), 0.5)
    for number, loss in enumerate((1.6, 0.2, 0.9)):
        rung.add(Score(number, loss, 0.0, loss, str(number)))
    assert rung.ranked == [1, 2, 0]


def test_a_contrary_objective_of_an_earlier_version_can_be_looked_at() -> None:
    values = demo("asha").model_dump(mode="json") | {"objective": {"metric": "loss", "mode": "max", "against": []}}
    with pytest.raises(ConfigError, match="looks for the worst"):
        validated(SearchSpace, values, "sweep.yaml")
    then = validated(SearchSpace, values, "sweep.yaml", RECORDED)
    assert (then.objective.mode, then.objective.contrary) == ("max", ["loss, max"])
    assert demo("asha").objective.contrary == []


@pytest.mark.parametrize(
    ("metric", "target", "said"),
    [
        ("exact_accuracy", 95, "budget.target must be a value of exact_accuracy, from 0 to 1, got 95; write 0.95"),
        ("pass_at_2", -0.1, "from 0 to 1, got -0.1; give a value of the metric"),
        ("loss", -1, "budget.target must be a value of loss, at least 0, got -1"),
        ("mean_halting_step", 0.5, "at least 1, got 0.5"),
    ],
)
def test_a_target_that_no_score_reaches_is_refused(metric: str, target: float, said: str) -> None:
    values = demo("asha").model_dump(mode="json")
    budget = values["budget"] | {"target": target}
    with pytest.raises(ConfigError, match=said):
        validated(SearchSpace, {**values, "objective": {"metric": metric}, "budget": budget}, "x")
    assert validated(SearchSpace, {**values, "budget": {**budget, "target": 0.95}}, "x").budget.target == 0.95


def test_a_population_is_refused() -> None:
    with pytest.raises(ConfigError, match="scheduler pbt makes the members of a population alike"):
        weighed("pbt")


def test_a_misspelt_figure_is_told_with_the_nearest_before_anything_starts() -> None:
    config = RunConfig(data=DataConfig(recipe="x.yaml"), training=TrainingConfig(steps=1))
    check_objective(weighed(against=["params", "latency_seconds", {"metric": "fill_accuracy", "mode": "max"}]), config, "sudoku")
    with pytest.raises(ConfigError, match=r"got 'inference_flop'; did you mean inference_flops\?"):
        weighed(against=["params", "inference_flop"])
    with pytest.raises(ConfigError, match=r"objective.against.0 must be .* got 'fil_accuracy'; did you mean fill_accuracy\?"):
        check_objective(weighed(against=[{"metric": "fil_accuracy", "mode": "max"}]), config, "sudoku")
    with pytest.raises(ConfigError, match="path_f1"):
        check_objective(weighed(against=[{"metric": "path_f1", "mode": "max"}]), config, "sudoku")
    halted = weighed(against=[{"metric": "fill_accuracy_halted", "mode": "max"}])
    with pytest.raises(ConfigError, match="fill_accuracy_halted"):
        check_objective(halted, config, "sudoku")
    evaluation = config.evaluation.model_copy(update={"reports_halted": True})
    check_objective(halted, config.model_copy(update={"evaluation": evaluation}), "sudoku")


# Figures -----------------------------------------------------------------------------------------------------------------


def scored(number: int, status: TrialStatus, objectives: list[float], size: int, loss: float = 1.0) -> Trial:
    """A trial of `size` parameters with a score a rung."""
    made = plain_trial(number, 1e-3, status, objectives, loss=loss)
    asked = made.asked.model_copy(update={"params_count": size, "inference_flops": 16.0 * size})
    others = measures(SIZED, {"params": size})
    scores = {rung: replace(score, others=others) for rung, score in made.scores.items()}
    return Trial(asked, phase=made.phase, results=made.results, scores=scores)


def test_figures_are_what_the_journal_holds() -> None:
    one = scored(3, "stopped", [0.5], 400)
    result = one.results[0].model_copy(update={"train_flops": 7e9, "metrics": {"latency_seconds": 2e-3}})
    names = ["params", "inference_flops", "train_flops", "latency_seconds", "cell_accuracy"]
    objective = Objective.model_validate({"against": names})
    found = figures(objective, one.asked, result, None)
    assert found == {"params": 400, "inference_flops": 6400, "train_flops": 7e9, "latency_seconds": 2e-3, "cell_accuracy": None}
    assert figures(objective, one.asked, result, 8e9)["train_flops"] == 8e9, "all at a rung have spent its amount"
    assert measures(objective, found)[:4] == tuple(math.log(value) for value in (400, 6400, 7e9, 2e-3))
    assert measures(objective, found)[4] == math.inf, "what is not known counts as the worst, whatever the mode"
    assert measures(objective, {**found, "cell_accuracy": 0.25})[4] == -0.25


def test_a_journal_from_before_reads_and_says_nothing_of_inference() -> None:
    line = scored(0, "stopped", [0.5], 10).asked.model_dump(mode="json")
    del line["inference_flops"]
    asked = EVENT.validate_python(line)
    assert isinstance(asked, Asked)
    assert asked.inference_flops is None


# Samplers ----------------------------------------------------------------------------------------------------------------


ROWS: list[tuple[TrialStatus, list[float], int, TrialState, list[float] | None]] = [
    ("finished", [0.2, 0.6], 400, TrialState.COMPLETE, [0.0, 1.0]),
    ("running", [0.2, 0.3], 100, TrialState.COMPLETE, [1.0, 0.0]),
    ("stopped", [0.4], 100, TrialState.COMPLETE, [2.0, 2.0]),
    ("paused", [0.3], 200, TrialState.COMPLETE, [2.5, 2.5]),
    ("stopped", [0.2], 400, TrialState.COMPLETE, [3.0, 3.0]),
    ("stopped", [0.0], 50, TrialState.COMPLETE, [4.0, 4.0]),
    ("diverged", [0.4], 50, TrialState.COMPLETE, [6.0, 6.0]),
    ("failed", [], 50, TrialState.COMPLETE, [6.0, 6.0]),
    ("running", [], 50, TrialState.RUNNING, None),
    ("stopped", [], 50, TrialState.FAIL, None),
]


def test_what_optuna_is_shown_is_the_table() -> None:
    view = FrontView(plain_space().search, SIZED)
    trials = [scored(number, status, objectives, size) for number, (status, objectives, size, _, _) in enumerate(ROWS)]
    for _ in range(2):  # as it is built, and as it is kept
        study = view.study(trials, optuna.samplers.RandomSampler(seed=0))
        assert len(study.directions) == 2
        for found, ours, (status, _, _, state, values) in zip(study.get_trials(deepcopy=False), trials, ROWS, strict=True):
            assert (found.number, found.state, found.params) == (ours.number, state, ours.params)
            assert (found.values or None) == (None if values is None else pytest.approx(values))
            assert (sum(found.constraints.values()) > 0) == (status in ("diverged", "failed"))
            assert found.intermediate_values == {}
    assert [one.number for one in study.best_trials] == [0, 1]


def test_a_gaussian_process_is_shown_finished_trials_as_measured() -> None:
    view = FrontView(plain_space().search, SIZED, has_places=False)
    trials = [scored(number, status, objectives, size) for number, (status, objectives, size, _, _) in enumerate(ROWS)]
    found = view.study(trials, optuna.samplers.RandomSampler(seed=0)).get_trials(deepcopy=False)
    assert found[0].values == [-0.6, math.log(400)]
    assert [one.state for one in found[1:]] == [TrialState.FAIL] * 7 + [TrialState.RUNNING, TrialState.FAIL]


def test_with_several_directions_optuna_has_no_pruned_scores() -> None:
    """Why the table shows no PRUNED: TPE fails at its score, and the genetic algorithms do not look at it."""
    distributions = {"x": optuna.distributions.FloatDistribution(0, 1)}
    study = optuna.create_study(directions=["minimize"] * 2, sampler=TPESampler(n_startup_trials=1, seed=0))
    for index in range(4):
        pruned = optuna.trial.create_trial(
            state=TrialState.PRUNED, params={"x": index / 4}, distributions=distributions, intermediate_values={0: 0.5}
        )
        study.add_trial(pruned)
    with pytest.raises(RuntimeError, match="single direction"):
        study.ask().suggest_float("x", 0, 1)
    assert NSGAIISampler(population_size=2).get_population(study, 0) == []


def proposed(sampler: dict[str, Any], trials: list[Trial], count: int = 25) -> list[dict[str, Any]]:
    proposer = Proposer(plain_space({"sampler": sampler, "objective": SIZED.model_dump()}))
    return [next(proposer.proposals(trials, len(trials) + number)).params for number in range(count)]


@pytest.mark.parametrize(
    "sampler", [{"type": "tpe", "startup_trials": 5}, {"type": "nsga2", "population": 15}, {"type": "nsga3", "population": 15}]
)
def test_samplers_of_fronts_learn_from_stopped_trials_at_their_rung(sampler: dict[str, Any]) -> None:
    """Good rates go on to the second rung; what stays behind at the first scores higher there, and teaches nothing for that."""

    def make(number: int) -> Trial:
        lr = 10 ** (-4 + 3 * number / 29)
        is_good = lr > 1e-2
        one = scored(number, "stopped", [0.1, 0.2 + lr] if is_good else [0.9 - lr], 100 + number)
        params = {**one.asked.params, "optim.lr": lr}
        one.asked = one.asked.model_copy(update={"params": params, "sampler_notes": {f"{prefix}:generation": 0 for prefix in NSGA}})
        return one

    trials = [make(number) for number in range(30)]
    drawn = [math.log10(params["optim.lr"]) for params in proposed(sampler, trials)]
    assert sum(drawn) / len(drawn) > -2.0


NSGA = ("NSGAIISampler", "NSGAIIISampler")


def test_the_latest_and_the_best_of_many_trials_are_shown() -> None:
    view = FrontView(plain_space().search, SIZED, most=10)
    trials = [scored(number, "stopped", [0.1 + number / 100], 100) for number in range(20)]
    trials[3] = scored(3, "finished", [0.1, 0.1], 900)
    trials[5] = scored(5, "stopped", [0.99], 500)
    view.study(trials, optuna.samplers.RandomSampler(seed=0))
    shown = view.study(trials, optuna.samplers.RandomSampler(seed=0)).get_trials(deepcopy=False)
    assert len(shown) == 10
    assert shown[0].params == trials[3].params
    assert [one.params["optim.lr"] for one in shown[1:]] == [one.params["optim.lr"] for one in trials[11:]]


# Whole sweeps ------------------------------------------------------------------------------------------------------------


def traded(order: LegOrder) -> dict[str, Any]:
    """A wider network scores higher, and its halting takes longer."""
    made = sharp(order)
    return {**made, "metrics": {"mean_halting_step": 1.0 + order.config.model.H_cycles}}


each = pytest.mark.parametrize("name", [name for name in SCHEDULERS if name != "pbt"])


def swept(space: SearchSpace, folder: Path, *, slots: int = 2) -> Search:
    folder.mkdir(exist_ok=True)
    Simulator(space, folder, outcome=traded, slots=slots).run()
    return searched(space, folder)


@each
def test_a_sweep_of_three_objectives_ends_and_can_be_derived_again(tmp_path: Path, name: str) -> None:
    space = weighed(name, AGAINST)
    search = swept(space, tmp_path, slots=3)
    assert search.state.ended is not None
    assert search.state.ended.reason == f"all {TRIALS} trials have ended"
    assert {one.status for one in search.state.trials} <= {"finished", "stopped"}
    assert any(one.status == "finished" for one in search.state.trials)
    assert replay(Search(space, cost_of), events_of(tmp_path)).trials == TRIALS
    batch = search.state.space.run_config(search.state.trials[0].params, seed=0).training.global_batch_size
    assert all(one.asked.inference_flops == pytest.approx(16 * one.asked.step_flops / batch) for one in search.state.trials)


@each
def test_nobody_is_stopped_who_is_not_dominated_while_a_dominated_one_goes_on(tmp_path: Path, name: str) -> None:
    space = weighed(name, AGAINST)
    swept(space, tmp_path, slots=3)
    search = Search(space, cost_of)
    stops = 0
    for event in events_of(tmp_path):
        if isinstance(event, Decided) and event.status == "stopped":
            board = search.state.rung_results[search.state.scheduler.group(event.trial)][event.rung]
            assert board.rank(event.trial) >= board.quota
            stops += 1
        search.state.apply(event)
    assert (stops > 0) == (name != "none")


@pytest.mark.parametrize("name", ["successive_halving", "hyperband", "none"])
def test_who_waits_for_all_decides_the_same_whatever_the_order(tmp_path: Path, name: str) -> None:
    ends = [outline(swept(weighed(name, AGAINST), tmp_path / str(slots), slots=slots)) for slots in (1, 2, 6)]
    assert ends[0] == ends[1] == ends[2]


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "nsga3"])
def test_killed_after_any_event_it_comes_to_the_same(tmp_path: Path, sampler: str) -> None:
    space = weighed("asha", AGAINST, sampler={"type": sampler}, budget={"per_trial": 2.7e13, "trials": 7})
    reference = swept(space, tmp_path / "whole", slots=1)
    events = events_of(tmp_path / "whole")
    for boundary in range(2, len(events), 9):
        folder = tmp_path / str(boundary)
        folder.mkdir()
        lives = iter([boundary, 10**9])
        search, kills = survive(space, folder, lambda lives=lives: next(lives), outcome=traded)  # type: ignore[misc]
        assert kills == 1
        assert outline(search) == outline(reference)


def test_every_sampler_asks_the_same_after_the_same(tmp_path: Path) -> None:
    for sampler in ("tpe", "nsga2", "nsga3", "qmc", "random"):
        space = weighed("asha", AGAINST, sampler={"type": sampler})
        trials = swept(space, tmp_path / sampler).state.trials
        assert len({one.asked.digest for one in trials}) == TRIALS
        first, second = (Asker(Resolver(space, cost_of)).choose(trials, {}, TRIALS) for _ in range(2))
        assert first is not None
        assert second is not None
        assert first.candidate.params == second.candidate.params


def test_a_gaussian_process_weighs_finished_trials() -> None:
    trials = [scored(number, "finished", [0.1, number / 6], 100 * (number + 1)) for number in range(6)]
    first, second = (proposed({"type": "gp", "startup_trials": 3}, trials, 1) for _ in range(2))
    assert first == second
    assert plain_space().complete(first[0]) == first[0]
