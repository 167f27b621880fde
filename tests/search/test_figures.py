"""An objective names any figure that an evaluation can report: names, what is refused, what a leg is told, and whole sweeps."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from search_simulator import LegOrder, Simulator, cost_of, curve
from sweep_cases import events_of

from tests.search.test_schedulers import demo
from trm.config.data import DataConfig
from trm.config.files import validated
from trm.config.run import RunConfig
from trm.config.training import TrainingConfig
from trm.errors import ConfigError
from trm.search.findings.replay import replay
from trm.search.findings.tables import write_leaderboard
from trm.search.knobs.knobs import check_path
from trm.search.planning.preflight import check_objective
from trm.search.search import Search
from trm.search.settings import Objective
from trm.search.space.candidates import Candidate, Resolver
from trm.search.space.space import SearchSpace
from trm.tasks.metrics import Reportable, bounds, direction, require_figures

CONFIG = RunConfig(data=DataConfig(recipe="x.yaml"), training=TrainingConfig(steps=1))
DEEP = {
    "metric": "exact_accuracy@64",
    "against": ["inference_flops", "loss@4"],
    "outcome_constraints": ["cell_accuracy@32 >= 0.2", "exact_accuracy >= 0"],
}


def aiming(objective: Any, **changes: Any) -> SearchSpace:
    values = demo("asha").model_dump(mode="json")
    return validated(SearchSpace, {**values, "objective": objective, **changes}, "demo")


def test_names_are_as_they_are_reported_however_they_are_written() -> None:
    found = Objective.model_validate(DEEP)
    assert found.metric == "exact_accuracy_at_64"
    assert [(one.metric, one.mode) for one in found.against] == [("inference_flops", "min"), ("loss_at_4", "min")]
    assert [one.metric for one in found.wanted] == ["cell_accuracy_at_32", "exact_accuracy"]
    assert Objective.model_validate({"metric": "pass@2"}).metric == "pass_at_2"
    assert Objective.model_validate({"metric": "pass@5@64"}).metric == "pass_at_5_at_64"
    assert Objective.model_validate({"metric": "loss/a-b@8"}).mode == "min"
    assert Objective.model_validate({"outcome_constraints": ["loss/a-b@8<=1e-3"]}).wanted[0].metric == "loss/a-b_at_8"
    assert (direction("loss@8"), direction("pass_at_7"), bounds("exact_accuracy/x_at_3")) == ("min", "max", (0.0, 1.0))
    with pytest.raises(ValidationError, match="looks for the worst: of loss_at_8 less is better"):
        Objective.model_validate({"metric": "loss@8", "mode": "max"})


@pytest.mark.parametrize(
    ("metric", "task", "parts", "message"),
    [
        ("pass@2", "sudoku", (), r"what an evaluation of sudoku reports, got 'pass_at_2'; choose one of exact_accuracy"),
        ("pass@2000", "arc", (), r"got 'pass@2000'; pass@N is there for N from 1 to 1000"),
        ("exact_acuracy@64", "sudoku", (), r"got 'exact_acuracy@64'; did you mean exact_accuracy@64\?"),
        ("examples@4", "sudoku", (), "what an evaluation of sudoku reports, got 'examples_at_4'"),
        ("exact_accuracy_halted@4", "sudoku", (), "set base.evaluation.reports_halted: true"),
        ("oracle_accuracy@4", "sudoku", (), "what an evaluation of sudoku reports, got 'oracle_accuracy_at_4'"),
        ("loss_low@4", "sudoku", (), r"got 'loss_low_at_4'; did you mean loss@4\?"),
        ("exact_accuracy@5000", "sudoku", (), "got 'exact_accuracy@5000'; write exact_accuracy@N with N from 1 to 4096"),
        ("exact_accuracy/smal", "sudoku", ("small", "large"), r"smal is none; did you mean small\?"),
        ("exact_accuracy/x@4", "sudoku", ("small", "large"), "x is none; its parts are small, large"),
        ("loss/small", "sudoku", (), "small is none; the data set is no mixture: take loss"),
    ],
)
def test_what_no_evaluation_of_these_puzzles_reports_is_refused(
    metric: str, task: str, parts: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=f"^objective.metric.*{message}"):
        check_objective(aiming({"metric": metric}), CONFIG, task, parts)


PARTS, STEPS_LEFT = ("a", "b-2"), "write {} with N from 1 to 4096"


@pytest.mark.parametrize(
    ("metric", "wanted"),
    [
        ("exact_accuracy@64", "exact_accuracy_at_64"),
        ("exact_accuracy/a", "exact_accuracy/a"),
        ("exact_accuracy/a@3", "exact_accuracy/a_at_3"),
        ("exact_accuracy@3/a", "exact_accuracy/a_at_3"),
        ("exact_accuracy/a_at_3", "exact_accuracy/a_at_3"),
        ("loss@3/b-2", "loss/b-2_at_3"),
        ("mean_halting_step/a@3", "mean_halting_step/a_at_3"),
        ("pass@2/a", "pass_at_2/a"),
        ("pass@5", "pass_at_5"),
        ("pass@5@3", "pass_at_5_at_3"),
        ("pass@5/a", "pass_at_5/a"),
        ("pass@5/a@3", "pass_at_5/a_at_3"),
        ("pass@5@3/a", "pass_at_5/a_at_3"),
        ("pass_at_5/a_at_3", "pass_at_5/a_at_3"),
        ("pass@1001/a", "; pass@N is there for N from 1 to 1000"),
        ("pass@0", "; pass@N is there for N from 1 to 1000"),
        ("pass/a", "; pass@N is there for N from 1 to 1000"),
        ("pass@2@0", STEPS_LEFT.format("pass@2@N")),
        ("pass@2/a@5000", STEPS_LEFT.format("pass@2/PART@N")),
        ("exact_accuracy@0", STEPS_LEFT.format("exact_accuracy@N")),
        ("exact_accuracy@3/a@4", "did you mean exact_accuracy/a@4?"),
        ("pass@5/c@3", "c is none; its parts are a, b-2"),
        ("exact_accuracy@3/c", "c is none; its parts are a, b-2"),
        ("exact_acuracy/a@3", "did you mean exact_accuracy/a@3?"),
        ("exact_accuracy/a/b", "did you mean exact_accuracy?"),
        ("examples/a@3", "choose one of exact_accuracy, "),
        ("a/pass@5", "METRIC/PART of one of a, b-2"),
        ("exact_accuracy_halted/a@3", "set base.evaluation.reports_halted: true"),
        ("oracle_accuracy/a@3", "set evaluation.rollouts or evaluation.forms above 1"),
    ],
)
def test_part_number_and_steps_go_together_in_either_order_and_what_cannot_be_says_how_it_is_written(
    metric: str, wanted: str
) -> None:
    can = Reportable("arc", PARTS, 8)
    if " " not in wanted:
        can.require("objective.metric", metric)
        assert Objective.model_validate({"metric": metric}).metric == wanted
        return
    with pytest.raises(ConfigError, match=r"^objective\.metric") as refused:
        can.require("objective.metric", metric)
    assert wanted in str(refused.value)


@pytest.mark.parametrize(
    ("metric", "wanted"),
    [
        ("pass@5/a@3", "write pass_at_5/a@3"),
        ("pass@5@3", "write pass_at_5@3"),
        ("exact_accuracy@3/a", "write exact_accuracy/a@3 (after 3 steps) or exact_accuracy_at_3/a"),
        ("exact_accuracy@5000", "write exact_accuracy@64"),
    ],
)
def test_what_evaluations_are_asked_besides_is_written_in_one_way_and_told(metric: str, wanted: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(f"got {metric!r}; {wanted}")):
        RunConfig.model_validate(CONFIG.model_dump() | {"evaluation": {"metrics": [metric]}})


def test_what_can_be_reported_is_taken() -> None:
    for metric in (
        "exact_accuracy@64",
        "exact_accuracy_at_4",
        "loss@1",
        "exact_accuracy/small",
        "cell_accuracy/large@32",
        "exact_accuracy_low@9",
    ):
        check_objective(aiming({"metric": metric}), CONFIG, "sudoku", ("small", "large"))
    for metric in ("pass@2", "pass@5", "pass@100@64"):
        check_objective(aiming({"metric": metric}), CONFIG, "arc")
    with pytest.raises(ConfigError, match=r"objective.outcome_constraints.0 must be a cost or what .*did you mean cell_accuracy@9"):
        check_objective(aiming({"outcome_constraints": ["cel_accuracy@9 >= 0"]}), CONFIG, "sudoku")
    asked = CONFIG.model_copy(update={"evaluation": CONFIG.evaluation.model_copy(update={"metrics": ("pass@5",)})})
    with pytest.raises(ConfigError, match=r"evaluation.metrics must be .* got 'pass@5'"):
        require_figures(asked, "sudoku", ())
    with pytest.raises(ConfigError, match=r"evaluation.metrics has supervision steps after @, got 'pass@5'; write pass_at_5"):
        require_figures(asked, "arc", ())
    with pytest.raises(ConfigError, match=r"evaluation.metrics cannot be searched; what is reported besides changes no result"):
        check_path("evaluation.metrics")


def test_legs_report_what_the_objective_names_and_no_more_and_pay_for_their_steps() -> None:
    plain, deep = aiming({}), aiming(DEEP)
    points = [deep.complete({}), deep.complete({"model.H_cycles": 1})]

    def resolved(space: SearchSpace) -> list[Candidate]:
        resolver = Resolver(space, cost_of)
        return [one for point in points if isinstance(one := resolver.resolve(point), Candidate)]

    before, after = resolved(plain), resolved(deep)
    assert [one.config.evaluation.metrics for one in before] == [()] * len(points)
    assert {one.config.evaluation.metrics for one in after} == {("exact_accuracy@64", "loss@4", "cell_accuracy@32")}
    assert [one.digest for one in before] == [one.digest for one in after], "the network is the same"
    assert [one.pass_flops / one.inference_flops for one in after] == [64 / one.config.answer_steps for one in after]
    own = deep.model_copy(update={"base": {**deep.base, "evaluation": {"metrics": ["loss@2", "exact_accuracy@64"]}}})
    assert own.run_config(points[0], seed=0).evaluation.metrics == ("loss@2", "exact_accuracy@64", "loss@4", "cell_accuracy@32")
    early = aiming({"metric": "exact_accuracy_at_4"})
    assert early.run_config(points[0], seed=0).evaluation.metrics == ("exact_accuracy@4",)
    assert early.run_config(points[0], seed=0, rules=4).evaluation.metrics == (), "a sweep goes on as it began"


def test_a_sweep_ranks_by_such_figures_and_replays(tmp_path: Path) -> None:
    def reporting(order: LegOrder) -> dict[str, Any]:
        found = curve(order)
        asked = {figure.name: found["objective"] for figure in order.config.evaluation.figures}
        return found | {"metrics": {**asked, "loss_at_4": found["loss"], "exact_accuracy": 0.5}}

    space = aiming(DEEP)
    log = Simulator(space, tmp_path, reporting).run()
    state = log.search.state
    best = state.leader
    assert best is not None
    assert best.result is not None
    assert state.figures(best, best.result)["loss_at_4"] == best.result.loss
    answer = best.asked.inference_flops
    flops = cost_of(log.search.state.space.run_config(best.asked.params, seed=0)).inference_flops
    assert answer == pytest.approx(flops * 64 / 16), "the price of the answer that is scored"
    write_leaderboard(state, tmp_path)
    assert "exact_accuracy_at_64" in (tmp_path / "leaderboard.json").read_text()
    assert replay(Search(space, cost_of), events_of(tmp_path)).trials == len(state.trials)
