"""Peers on judges: they pay what they trained, report after each training, name one of their own, and are told a default."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from benchmarks.search.judges.choice import judge_of
from benchmarks.search.judges.judge import Judge, Limits, Score, Sweep
from benchmarks.search.judges.peers.choice import MODULES, PEERS, peer_of
from benchmarks.search.judges.peers.drive import Configurations, active, all_codes, error, first_share, levels, objective

HERE = ("optuna-tpe-halving", "optuna-tpe-hyperband", "optuna-gp-halving", "ray-asha")
"""Those whose packages the product has; the others are driven in environments of their own."""
RUNGS = {
    "optuna-tpe-halving": {4, 16, 32},
    "optuna-tpe-hyperband": {4, 12, 32},
    "optuna-gp-halving": {4, 16, 32},
    "ray-asha": {4, 16, 32},
}


@pytest.fixture(scope="module")
def costly() -> Judge:
    return judge_of("costly_1000")


@pytest.mark.parametrize("name", HERE)
def test_a_peer_pays_the_epochs_that_its_scheduler_says(costly: Judge, name: str) -> None:
    sweep = Sweep(costly, 3, Limits(trials=14))
    peer_of(name)(sweep)
    assert len(sweep.runs) == sweep.trials == 14
    assert {run.epoch for run in sweep.runs} <= RUNGS[name]
    assert len({run.epoch for run in sweep.runs}) > 1, "some are stopped, some are not"
    ran = [run.epoch * costly.cost(run.params) / costly.epochs for run in sweep.runs]
    assert sweep.compute == pytest.approx(sum(ran))
    assert len(sweep.moments) == sum(run.epoch for run in sweep.runs), "a report after every epoch"
    truths = [costly.truth(run.params) for run in sweep.runs]
    named = costly.best - sweep.moments[-1].regret
    assert min(abs(named - truth) for truth in truths) < 1e-9, "one of its own"
    assert named > np.median(truths)


@pytest.mark.parametrize("name", ["optuna-tpe-halving", "ray-asha"])
def test_a_peer_that_is_told_a_default_tries_it_first_and_ends_with_the_compute(costly: Judge, name: str) -> None:
    sweep, other = (Sweep(costly, 1, Limits(compute=3.0)) for _ in range(2))
    peer_of(f"{name}+default")(sweep)
    peer_of(name)(other)
    assert sweep.runs[0].params == pytest.approx(costly.default)
    assert other.runs[0].params != sweep.runs[0].params
    dearest = max(costly.cost(run.params) for run in sweep.runs) / costly.epochs
    assert 3.0 <= sweep.compute <= 3.0 + dearest, "it stops within the epoch that spends the last"


def test_a_configuration_that_is_asked_for_longer_pays_the_difference(costly: Judge) -> None:
    sweep = Sweep(costly, 0, Limits(trials=2))
    runs, one = Configurations(sweep), dict(costly.default)
    other = {**one, "lr": 1e-4}
    short, long = runs.train(one, 4), runs.train(one, 12)
    assert short is not None
    assert long is not None
    assert sweep.compute == pytest.approx(costly.cost(one) * 12 / costly.epochs)
    assert (runs.train(other, 4), len(sweep.runs)) != (None, 1)
    assert runs.best is sweep.runs[0], "the largest epoch names the best"
    assert runs.train(one, 12) is None, "asked again for no more it is another run, and all are begun"
    assert runs.train(other, 8) is not None, "what was begun may be trained on"


def test_codes_stand_for_values_and_leave_out_what_is_not_active(costly: Judge) -> None:
    assert active(costly.knobs, all_codes(costly.knobs, costly.default)) == costly.default
    assert set(all_codes(costly.knobs, costly.default)) == {knob.name for knob in costly.knobs}


def test_what_peers_maximize_is_the_score_and_of_equal_ones_the_smaller_loss(costly: Judge) -> None:
    assert objective(Score(50.0, 1.0)) > objective(Score(50.0, 2.0)) > objective(Score(50.0, np.inf)) > objective(Score(48.9, 0.0))
    deep, shallow = (first_share(Sweep(costly, 0, limits), 3, 1 / 9) for limits in (Limits(compute=16), Limits(trials=25)))
    assert (deep, shallow) == (1 / 27, 1 / 9), "a bracket that the sweep has no trials for would never promote"
    assert error(objective(Score(100.0, 0.5))) > 0, "SMAC takes its logarithm"
    assert [levels(costly, *one) for one in ((1 / 9, 3), (1 / 8, 3), (1 / 27, 3), (1 / 8, 2), (1, 3), (1 / 999, 3))] == [
        3,
        2,
        4,
        4,
        1,
        4,
    ]


def test_each_peer_has_a_module_and_its_environment_a_file() -> None:
    folder = Path(importlib.import_module("benchmarks.search.judges.peers.choice").__file__ or "").parent
    environments = {path.stem for path in (folder / "requirements").glob("*.txt")}
    assert {f"with_{one}" for one in environments} == set(MODULES.values()) == {path.stem for path in folder.glob("with_*.py")}
    with pytest.raises(ValueError, match=r"optuna-tpe-halving, .*; got hyperopt"):
        peer_of("hyperopt")
    assert "dehb" in PEERS
    assert "dehb+default" not in PEERS
