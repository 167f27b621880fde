"""Controls: of the trials that early stopping ends some run on, ranked against nobody, and the report says what was lost."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from search_simulator import LegOrder, cost_of
from sweep_cases import events_of, of, outline

from tests.search.test_schedulers import demo, resumed, searched, swept
from trm.search.findings.audit import audit_report, write_audit
from trm.search.findings.replay import replay
from trm.search.findings.tables import write_leaderboard
from trm.search.journal.events import Decided
from trm.search.search import Search
from trm.search.space.space import SearchSpace
from trm.stats.intervals import wilson
from trm.stats.rank_correlation import spearman_interval, weighted_spearman

STOPPING = ("asha", "asha-stopping", "successive_halving", "hyperband", "median")
each = pytest.mark.parametrize("name", STOPPING)


def audited(name: str, share: float, **budget: Any) -> SearchSpace:
    """The sweep of the contract suite with an audit."""
    return SearchSpace.model_validate(demo(name, **budget).model_dump(mode="json") | {"audit": {"share": share}})


@each
def test_controls_run_to_the_last_rung_and_change_nothing_for_the_others(tmp_path: Path, name: str) -> None:
    swept(demo(name), tmp_path / "without", slots=1)
    swept(audited(name, 1.0), tmp_path / "with", slots=1)
    without, search = searched(demo(name), tmp_path / "without"), searched(audited(name, 1.0), tmp_path / "with")
    stopped = {trial.number for trial in without.state.trials if trial.status == "stopped"}
    assert stopped
    assert {trial.number for trial in search.state.trials if trial.is_control} == stopped
    assert {trial.status for trial in search.state.trials} == {"finished"}
    assert all(trial.rung == search.state.rungs.last for trial in search.state.trials)
    for group, rung_results in without.state.rung_results.items():
        assert [board.ranked for board in search.state.rung_results[group]] == [board.ranked for board in rung_results]
    assert search.state.early_stops == len(stopped)


@each
@pytest.mark.parametrize("share", [0.1, 0.34])
def test_the_share_of_controls_is_kept_to_a_trial(tmp_path: Path, name: str, share: float) -> None:
    space = audited(name, share, trials=40)
    swept(space, tmp_path, slots=3)
    search = searched(space, tmp_path)
    controls = sum(trial.is_control for trial in search.state.trials)
    assert search.state.early_stops >= 12
    assert abs(controls - share * search.state.early_stops) < 1
    assert controls >= 1
    early = [event for event in of(events_of(tmp_path), Decided) if event.is_early]
    assert Counter(event.status for event in early) == {"running": controls, "stopped": search.state.early_stops - controls}


@each
def test_an_audited_sweep_replays_and_survives_kills(tmp_path: Path, name: str) -> None:
    space = audited(name, 0.5, trials=7)
    swept(space, tmp_path / "whole", slots=1)
    events = events_of(tmp_path / "whole")
    replay(Search(space, cost_of, folder="data"), events)
    for boundary in range(9, len(events), 7):
        came_to = outline(resumed(space, tmp_path / str(boundary), boundary))
        assert came_to == outline(searched(space, tmp_path / "whole"))


def late(order: LegOrder) -> dict[str, Any]:
    """Trial 4 is the worst at first and the best in the end; the others keep their order."""
    objective = 0.01 * (order.trial + 1)
    if order.trial == 4:
        objective = 0.001 if order.rung == 0 else 0.5 + 0.1 * order.rung
    return {"status": "completed", "objective": objective, "standard_error": 0.0, "loss": 1.0}


def test_the_report_finds_the_stop_that_was_wrong(tmp_path: Path) -> None:
    space = audited("asha", 1.0, trials=9)
    swept(space, tmp_path, outcome=late, slots=1)
    search = searched(space, tmp_path)
    report = audit_report(search.state)
    assert report is not None
    finished = [trial.number for trial in search.state.trials if not trial.is_control]
    assert 4 not in finished
    assert (report.controls, report.false_stops) == (9 - len(finished), 1)
    assert report.false_stop_rate == pytest.approx(1 / report.controls)
    assert report.lost == pytest.approx(0.7 - 0.01 * (max(finished) + 1))
    assert report.lost_interval_95 == pytest.approx((0.0, report.lost)), "trial 4 is not among a third of the draws"
    assert report.above_median >= 1
    assert report.above_median_interval_95 == wilson(report.above_median / report.controls, report.controls)
    scores = [[float(trial.results[rung].objective or 0.0) for trial in search.state.trials] for rung in (0, 1, 2)]
    for agreement, here in zip(report.rungs, scores, strict=False):
        assert agreement.trials == 9
        assert agreement.spearman == pytest.approx(spearman(here, scores[2]))
        assert agreement.interval_95 == pytest.approx(spearman_interval(agreement.spearman or 0.0, 9))
    assert report.longer_start is not None
    first = [trial for trial in search.state.trials if trial.control_from == 0]
    assert report.longer_start.controls == len(first)
    assert report.longer_start.kept == 1, "trial 4 is the best at the second rung"
    assert report.longer_start.interval_95 == wilson(1 / len(first), len(first))
    extra = sum((trial.results[1].steps - trial.results[0].steps) * trial.asked.step_flops for trial in first)
    assert report.longer_start.extra_train_flops == pytest.approx(extra)
    assert "1 of" in report.sentence
    assert f"which cost {report.lost:.4f} (95 % interval 0.0000 to {report.lost:.4f})" in report.sentence
    write_audit(search.state, tmp_path)
    write_leaderboard(search.state, tmp_path)
    told = json.loads((tmp_path / "leaderboard.json").read_text())["audit"]
    assert (told["sentence"], told["lost_interval_95"]) == (report.sentence, [0.0, report.lost])
    assert json.loads((tmp_path / "audit.json").read_text())["false_stops"] == 1


def noisy(order: LegOrder) -> dict[str, Any]:
    """Nobody who was stopped is better, and every score may be wrong by 0.05."""
    return {"status": "completed", "objective": 0.5 + 0.01 * order.trial, "standard_error": 0.05, "loss": 1.0}


def test_where_no_stop_was_wrong_the_scores_own_errors_say_what_may_be_lost(tmp_path: Path) -> None:
    space = audited("asha", 1.0, trials=9)
    swept(space, tmp_path, outcome=noisy, slots=1)
    report = audit_report(searched(space, tmp_path).state)
    assert report is not None
    assert (report.false_stops, report.lost) == (0, 0.0)
    assert report.lost_interval_95 is not None
    low, high = report.lost_interval_95
    assert low == 0.0
    assert 0.05 < high < 0.25
    assert audit_report(searched(space, tmp_path).state) == report, "a replay says the same"


def test_no_audit_no_report_and_no_control_yet_no_rate(tmp_path: Path) -> None:
    swept(demo("asha"), tmp_path, slots=1)
    assert audit_report(searched(demo("asha"), tmp_path).state) is None
    report = audit_report(Search(audited("asha", 0.1), cost_of).state)
    assert report is not None
    assert (report.false_stop_rate, report.interval_95) == (None, None)
    assert "no control of 0 early stops" in report.sentence


def test_controls_alone_prove_no_false_stop(tmp_path: Path) -> None:
    space = audited("asha", 1.0, trials=9)
    swept(space, tmp_path, slots=1)
    search = searched(space, tmp_path)
    search.state.searched[:] = [trial for trial in search.state.searched if trial.is_control]
    report = audit_report(search.state)
    assert report is not None
    assert report.controls > 0
    assert (report.false_stops, report.false_stop_rate, report.interval_95, report.above_median) == (0, None, None, 0)
    assert "no trial that was let go on has reached the last rung yet" in report.sentence


def spearman(one: list[float], other: list[float]) -> float:
    ranks = [np.argsort(np.argsort(values)) for values in (one, other)]
    return float(np.corrcoef(*ranks)[0, 1])


def test_a_sample_of_weight_three_counts_as_three() -> None:
    one, other = np.array([1.0, 2.0, 2.0, 5.0]), np.array([3.0, 1.0, 4.0, 4.0])
    weights = np.array([1.0, 3.0, 1.0, 2.0])
    again = np.repeat(np.arange(4), weights.astype(int))
    assert weighted_spearman(one, other, weights) == pytest.approx(weighted_spearman(one[again], other[again], np.ones(7)))
    distinct = np.array([0.3, 0.1, 0.9, 0.5])
    assert weighted_spearman(distinct, distinct**3, np.ones(4)) == pytest.approx(1.0)
    assert weighted_spearman(distinct, -distinct, weights) == pytest.approx(-1.0)
    assert weighted_spearman(distinct, np.ones(4), weights) is None
    assert weighted_spearman(distinct[:2], distinct[:2], weights[:2]) is None
    assert math.isclose(
        spearman([1, 2, 3, 4], [1, 3, 2, 4]), weighted_spearman(np.arange(4.0), np.array([1.0, 3, 2, 4]), np.ones(4)) or 0
    )
