"""The recorded continuous space: what is recorded next, what the surrogate is fitted to, and what the judge promises."""

import hashlib
import json
from typing import Any

import numpy as np
import pytest

from benchmarks.search.fit_continuous import CHEAPEST, Recorded, noise_law
from benchmarks.search.judges.choice import judge_of
from benchmarks.search.judges.judge import Params, drawn, require_inside
from benchmarks.search.judges.process import Processes, matern
from benchmarks.search.judges.trained import DEFAULT, EPOCHS, INSTANCE, KNOBS, TrainedJudge, place, to_latent
from benchmarks.search.record_continuous import BEST_SEEDS, BLOCK, CURVE, DESIGN, FOLDER, SEEDS, next_run
from trm.models.cost import run_cost
from trm.search.knobs.knobs import ChoiceKnob
from trm.search.space.loading import load_space
from trm.tasks.counts import data_counts

PATH = FOLDER / INSTANCE
NOTES: dict[str, Any] = json.loads(PATH.with_suffix(".json").read_text())


def judged() -> TrainedJudge:
    judge = judge_of(f"trm_{INSTANCE}")
    assert isinstance(judge, TrainedJudge)
    return judge


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return Recorded(PATH)


# Recording --------------------------------------------------------------------------------------------------------------


def test_every_configuration_comes_once_then_seeds_of_some_and_of_the_best_then_of_all() -> None:
    done: list[tuple[int, int]] = []
    while (following := next_run(set(done), best=[3, 70])) is not None:
        done.append(following)
    assert done[:BLOCK] == [(config, 0) for config in range(BLOCK)]
    assert done[BLOCK : BLOCK + 2] == [(0, 1), (8, 1)]
    after = BLOCK + BLOCK // 8
    assert done[after : after + 4] == [(3, 1), (70, 1), (3, 2), (70, 2)]
    assert len(done) == len(set(done)) == DESIGN * SEEDS + 2 * (BEST_SEEDS - SEEDS)


def test_a_recording_that_was_stopped_goes_on_with_what_is_missing() -> None:
    done = {(config, 0) for config in range(BLOCK) if config != 17}
    assert next_run(done, best=[]) == (17, 0)
    assert next_run({*done, (17, 0)}, best=[]) == (0, 1)


def test_every_run_of_the_table_is_whole_and_costs_what_the_code_says(recorded: Recorded) -> None:
    space = load_space(PATH.with_suffix(".yaml"))
    shape = data_counts(space.data, "nowhere", lambda line: None).shape
    assert len(recorded.runs) == NOTES["runs"]
    assert max(NOTES["step_flops"].values()) * 200 <= space.budget.per_trial, (
        "the first of two rungs gives even the dearest 100 steps"
    )
    assert {len(rows) for rows in recorded.runs.values()} == {len(CURVE)}
    columns = recorded.columns
    for (config, _), rows in recorded.runs.items():
        flops = [columns["train_flops"][row] for row in rows]
        each = NOTES["step_flops"][str(config)]
        assert flops == [columns["step"][row] * each for row in rows]
        for reached, share in zip(flops, CURVE, strict=True):
            assert reached - each < share * space.budget.per_trial <= reached * (1 + 1e-9)
    for config in recorded.configs[::16]:
        params = dict(recorded.params(config))
        require_inside(KNOBS, params)
        assert run_cost(space.run_config(params, seed=0), shape).step_flops == NOTES["step_flops"][str(config)]


# The surrogate ----------------------------------------------------------------------------------------------------------


def tiny(noise: float) -> Processes:
    draw = np.random.default_rng(0)
    inputs = draw.random((12, 2))
    targets = np.stack([np.sin(3 * inputs[:, 0]), inputs[:, 1] ** 2], 1)
    each = noise / (np.arange(24).reshape(12, 2) % 3 + 1)
    return Processes(inputs, targets, np.array([[0.5, 2.0], [3.0, 0.7]]), np.array([1.0, 0.5]), each)


def test_a_process_without_noise_goes_through_its_points() -> None:
    processes = tiny(1e-10)
    np.testing.assert_allclose(processes.mean(processes.inputs), processes.targets, atol=1e-5)


def test_what_is_left_out_is_said_as_a_process_without_it_says_it() -> None:
    whole, left = tiny(0.01), 5
    kept = [at for at in range(12) if at != left]
    for output in range(2):
        scaled = whole.inputs / whole.scales[output]
        alike = whole.signal[output] * matern(((scaled[:, None] - scaled[None]) ** 2).sum(-1))
        noisy = alike + np.diag(whole.noise[:, output])
        weights = np.linalg.solve(noisy[np.ix_(kept, kept)], whole.targets[kept, output] - whole.level[output])
        assert whole.left_out()[left, output] == pytest.approx(whole.level[output] + alike[left, kept] @ weights)


def test_noise_is_found_again_and_grows_where_it_grew() -> None:
    """Seeds scatter by 0.02 around low angles, by 0.08 around high ones; two moments move together."""
    draw, curves = np.random.default_rng(1), []
    for config in range(300):
        level = 0.3 if config % 2 else 1.2
        luck = draw.standard_normal((3, 1)) * (0.02 if config % 2 else 0.08)
        curves.append(np.concatenate([level + luck, level + luck, draw.standard_normal((3, 2)) * 0.1], 1))
    law = noise_law(curves, 2)
    np.testing.assert_allclose(law.deviation(np.array([0.3, 1.2])), [0.02, 0.08], rtol=0.1)
    np.testing.assert_allclose(law.loss_spread, 0.1, rtol=0.1)
    correlation = law.mixing @ law.mixing.T
    np.testing.assert_allclose(np.diag(correlation), 1.0)
    assert correlation[0, 1] == pytest.approx(0.9, abs=0.02)  # drawn to independence by a tenth
    assert abs(correlation[0, 2]) < 0.1


def test_the_surrogate_is_of_the_committed_points(recorded: Recorded) -> None:
    processes = judged().processes
    assert hashlib.sha256(PATH.with_suffix(".parquet").read_bytes()).hexdigest() == NOTES["surrogate"]["points_sha256"]
    places = np.stack([place(recorded.params(config)) for config in recorded.configs])
    np.testing.assert_allclose(processes.inputs, places, rtol=1e-12)  # logarithms differ in the last bit between processors
    at = recorded.configs.index(NOTES["best_configs"][0])
    np.testing.assert_allclose(processes.targets[at], recorded.curves(recorded.configs[at]).mean(0))


# The judge --------------------------------------------------------------------------------------------------------------


def test_the_judge_has_the_knobs_of_the_space() -> None:
    space = load_space(PATH.with_suffix(".yaml"))
    assert [knob.name for knob in KNOBS] == list(space.search)
    for knob in KNOBS:
        searched = space.search[knob.name]
        if isinstance(searched, ChoiceKnob):
            assert list(knob.values) == searched.values
        else:
            assert (knob.kind, knob.low, knob.high, knob.is_log) == (searched.type, searched.low, searched.high, searched.log)
        assert {name: list(values) for name, values in knob.when.items()} == {
            name: wanted if isinstance(wanted, list) else [wanted] for name, wanted in searched.when.items()
        }
    require_inside(KNOBS, DEFAULT)


def test_a_truth_is_the_mean_of_final_scores() -> None:
    judge = judged()
    for params in (judge.optimum, DEFAULT):
        finals = [judge.score(params, seed, EPOCHS).score for seed in range(1000)]
        spread = float(np.std(finals))
        assert np.mean(finals) == pytest.approx(judge.truth(params), abs=4 * spread / np.sqrt(1000) + 0.05)
    assert np.std([judge.score(judge.optimum, seed, EPOCHS).score for seed in range(1000)]) == pytest.approx(judge.noise, rel=0.15)


def test_a_score_is_the_same_whenever_it_is_asked_and_counts_whole_puzzles() -> None:
    judge = judged()
    for epoch in (1, 6, 31, EPOCHS):
        found = judge.score(DEFAULT, 5, epoch)
        assert judge.score(dict(reversed(DEFAULT.items())), 5, epoch) == found
        assert found.score / 100 * judge.examples == pytest.approx(round(found.score / 100 * judge.examples))
    assert judge.score(judge.optimum, 5, EPOCHS) != judge.score(judge.optimum, 6, EPOCHS)


def test_nothing_that_is_drawn_is_better_than_the_optimum_and_the_cheapest_network_is_far_from_it() -> None:
    judge, draw = judged(), np.random.default_rng(3)
    end = len(judge.curve) - 1

    def best_truth(found: list[Params]) -> float:
        means = judge.processes.mean(np.stack([place(params) for params in found]))[:, end]
        return max(judge.truth(found[at]) for at in np.argsort(-means)[:10])

    found: list[Params] = [drawn(KNOBS, draw) for _ in range(2000)]
    assert best_truth(found) <= judge.best
    lost = judge.best - best_truth([{**params, **CHEAPEST} for params in found])
    assert lost > 2 * judge.noise
    assert NOTES["surrogate"]["cheapest_network_loses"] <= lost


def test_curves_rise_late() -> None:
    judge = judged()
    early, half, end = (judge.score(judge.optimum, 1, epoch).score for epoch in (EPOCHS // 8, EPOCHS // 2, EPOCHS))
    assert early < 10
    assert half < 0.6 * end


def test_angles_of_shares() -> None:
    np.testing.assert_allclose(to_latent(np.array([0.0, 0.5, 1.0])), [0, np.pi / 4, np.pi / 2])
