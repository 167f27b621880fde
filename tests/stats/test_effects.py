"""Effects: the axis that moves scores is believed, one that follows it is not; what two axes do together belongs to both."""

import numpy as np
import pytest

from trm.stats.effects import WIDTHS, Columns, curves, effects, levels, normal_scores

GRID = np.linspace(0.0, 1.0, 256)


def line(values: np.ndarray, seed: int) -> Columns:
    return Columns(curves(GRID, values), curves(GRID, np.random.default_rng(seed).random(256)))


def ranked(values: np.ndarray) -> np.ndarray:
    return normal_scores(np.argsort(np.argsort(values)) + 1.0)


@pytest.mark.parametrize(("grid", "degree"), [(GRID, 3), (np.array([0.0, 1.0, 4.0]), 2), (np.array([0.0, 1.0]), 1)])
def test_the_parts_of_a_curve_are_uncorrelated_over_its_grid(grid: np.ndarray, degree: int) -> None:
    parts = curves(grid, grid)
    assert parts.shape == (len(grid), degree)
    assert parts.mean(0) == pytest.approx(0.0, abs=1e-9)
    assert parts.T @ parts / len(grid) == pytest.approx(np.diag([1.0, 1.0, 0.25][:degree]), abs=1e-9)


def test_levels_are_contrasts() -> None:
    contrasts = levels(4, range(4))
    assert contrasts.T @ contrasts / 4 == pytest.approx(np.eye(3), abs=1e-9)
    assert contrasts.sum(0) == pytest.approx(0.0, abs=1e-9)


def test_normal_scores_hang_on_ranks_alone_and_equals_share_theirs() -> None:
    scores = normal_scores(np.array([1.0, 2.5, 2.5, 4.0]))
    assert scores[1] == scores[2] == 0.0
    assert scores[3] == -scores[0] == pytest.approx(1.1503, abs=1e-4)


def test_an_axis_that_follows_the_one_that_counts_is_not_believed() -> None:
    draw = np.random.default_rng(0)
    counts = draw.random(60)
    follows = np.clip(counts + 0.25 * draw.standard_normal(60), 0, 1)
    scores = ranked(counts + 0.1 * draw.standard_normal(60))
    assert abs(np.corrcoef(scores, follows)[0, 1]) > 0.5
    found = effects({"counts": line(counts, 1), "follows": line(follows, 2)}, scores)
    assert found["counts"].probability > 0.99
    assert found["counts"].share > 0.6
    assert found["follows"].probability < 0.2


def test_what_two_axes_do_together_belongs_to_both() -> None:
    draw = np.random.default_rng(1)
    one, other, idle = draw.random(80), draw.random(80), draw.random(80)
    scores = ranked((one - 0.5) * (other - 0.5) + 0.01 * draw.standard_normal(80))
    found = effects({"one": line(one, 1), "other": line(other, 2), "idle": line(idle, 3)}, scores)
    assert min(found["one"].share, found["other"].share) > 0.5
    assert found["idle"].probability < 0.1


def test_of_noise_nothing_is_believed() -> None:
    draw = np.random.default_rng(2)
    for _ in range(5):
        found = effects({name: line(draw.random(40), 1) for name in "abcdef"}, ranked(draw.random(40)))
        assert max(one.probability for one in found.values()) < 0.5


@pytest.mark.parametrize("trials", [20, 90])
def test_more_columns_than_trials_or_fewer_the_likelihood_is_the_one_of_normal_effects(trials: int) -> None:
    draw = np.random.default_rng(7)
    one, other = (levels(8, draw.integers(0, 8, trials).tolist()) for _ in range(2))
    scores = ranked(one[:, 0] + 0.5 * one[:, 1] * other[:, 0] + draw.standard_normal(trials))
    scores -= scores.mean()
    together = (one[:, :, None] * other[:, None, :]).reshape(trials, -1) * 0.5**0.5

    def likelihood(*parts: np.ndarray) -> float:
        columns = np.hstack([np.zeros((trials, 0)), *parts])
        columns = columns - columns.mean(0)
        found = []
        for width in WIDTHS:
            spread = np.eye(trials) + width * columns @ columns.T
            left = scores @ np.linalg.solve(spread, scores)
            found.append(np.exp(-np.linalg.slogdet(spread)[1] / 2 - (trials - 1) / 2 * np.log(left / (scores @ scores))))
        return float(np.mean(found))

    # of two axes: nothing 1/2, one of them 1/6 each, both 1/6
    sets = [
        3 * likelihood(),
        likelihood(one),
        likelihood(other),
        (likelihood(one, other) + likelihood(one, other, together)) / 2,
    ]
    axes = {"one": Columns(one, levels(8, range(8))), "other": Columns(other, levels(8, range(8)))}
    found = effects(axes, scores)
    assert found["one"].probability == pytest.approx((sets[1] + sets[3]) / sum(sets), rel=1e-6)
    assert found["other"].probability == pytest.approx((sets[2] + sets[3]) / sum(sets), rel=1e-6)
