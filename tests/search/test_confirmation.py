"""Which candidate is the best, and which gets the next fresh seed: laws and values."""

import math
from itertools import permutations

import numpy as np
import pytest

from trm.search.confirmation import next_to_confirm
from trm.search.settings import Confirm
from trm.stats import best_of
from trm.stats.best_of import confirmation_statistics, p_best

CLOSE = {2: [0.80, 0.84, 0.82], 5: [0.81, 0.85, 0.80], 7: [0.79, 0.83, 0.84]}
CLEAR = {2: [0.80, 0.81, 0.82], 5: [0.40, 0.41, 0.38], 7: [0.20, 0.21, 0.19]}


def race(draws: dict[int, list[float]], confirm: Confirm, slots: int = 1) -> dict[int, list[float]]:
    """Confirms with the scores that `draws` holds in store, `slots` runs side by side, the oldest ending first."""
    scores: dict[int, list[float]] = {trial: [] for trial in draws}
    running: list[int] = []
    while True:
        counts = {trial: running.count(trial) for trial in set(running)}
        chosen = next_to_confirm(scores, counts, confirm, "max", 3) if len(running) < slots else None
        if chosen is not None:
            running.append(chosen)
        elif running:
            ended = running.pop(0)
            scores[ended].append(draws[ended][len(scores[ended])])
        else:
            return scores


def test_a_clear_winner_is_found_with_the_least_seeds() -> None:
    scores = race({trial: found * 2 for trial, found in CLEAR.items()}, Confirm(seeds=3, most_seeds=6))
    assert scores == CLEAR
    found = confirmation_statistics(scores, "max", 3)
    assert [row.trial for row in found.rows] == [2, 5, 7]
    assert found.is_supported
    assert "trial 2 is the best of 3 with probability" in found.sentence


@pytest.mark.parametrize("slots", [1, 4])
def test_equals_get_all_seeds_there_are_and_are_said_to_be_no_different(slots: int) -> None:
    scores = race({trial: found * 2 for trial, found in CLOSE.items()}, Confirm(seeds=3, most_seeds=6), slots)
    assert {trial: len(found) for trial, found in scores.items()} == {2: 6, 5: 6, 7: 6}
    found = confirmation_statistics(scores, "max", 3)
    assert not found.is_supported
    assert found.sentence.startswith("no difference between trials")
    assert all(0.2 < row.p_best < 0.5 for row in found.rows)


def test_who_cannot_win_gets_no_seed_more_than_all_do() -> None:
    store = {2: CLOSE[2] * 2, 5: CLOSE[5] * 2, 7: [0.1, 0.12, 0.11] * 2}
    scores = race(store, Confirm(seeds=3, most_seeds=6))
    assert {trial: len(found) for trial, found in scores.items()} == {2: 6, 5: 6, 7: 3}


def test_every_candidate_gets_the_seeds_of_all_before_any_gets_more() -> None:
    assert next_to_confirm({4: [], 1: [], 9: []}, {}, Confirm(seeds=2, most_seeds=3), "max", 0) in (1, 4, 9)
    assert next_to_confirm({4: [0.5], 1: [0.1], 9: []}, {4: 1, 9: 1}, Confirm(seeds=2, most_seeds=3), "max", 0) in (1, 9)
    assert next_to_confirm({4: [0.5], 1: [0.1, 0.2], 9: [0.3, 0.3]}, {4: 1}, Confirm(seeds=2, most_seeds=3), "max", 0) is None


def test_one_candidate_gets_the_seeds_of_all_and_is_compared_with_none() -> None:
    scores = race({3: [0.5, 0.6, 0.7]}, Confirm(seeds=2, most_seeds=3))
    assert scores == {3: [0.5, 0.6]}
    found = confirmation_statistics(scores, "max", 0)
    assert (found.is_supported, found.rows[0].p_best) == (False, 1.0)


def test_probabilities_add_up_to_one_and_equal_scores_share_them() -> None:
    for scores in (CLOSE, CLEAR, {1: [0.5], 2: [0.7]}, {1: [0.9] * 3, 2: [0.9] * 3}):
        assert math.isclose(sum(p_best(scores, "max", 0).values()), 1)
    assert p_best({1: [0.9] * 3, 2: [0.9] * 3}, "max", 0)[1] == pytest.approx(0.5, abs=0.03)


def test_neither_the_order_of_candidates_nor_of_seeds_matters() -> None:
    first = confirmation_statistics(CLOSE, "max", 1)
    for order in permutations(CLOSE):
        assert confirmation_statistics({trial: CLOSE[trial] for trial in order}, "max", 1) == first
    again = confirmation_statistics({trial: found[::-1] for trial, found in CLOSE.items()}, "max", 1)
    assert [(row.trial, pytest.approx(row.p_best, abs=0.02)) for row in first.rows] == [(r.trial, r.p_best) for r in again.rows]


def test_less_is_better_is_the_mirror_of_more_is_better() -> None:
    mirrored = confirmation_statistics({trial: [-value for value in found] for trial, found in CLEAR.items()}, "min", 1)
    for row, image in zip(confirmation_statistics(CLEAR, "max", 1).rows, mirrored.rows, strict=True):
        assert (row.trial, row.p_best, row.mean) == (image.trial, image.p_best, -image.mean)
        assert (row.low, row.high) == pytest.approx((-image.high, -image.low))


def test_neither_a_shift_nor_a_factor_changes_probabilities() -> None:
    moved = {trial: [10 + 4 * value for value in found] for trial, found in CLOSE.items()}
    for trial, p in p_best(CLOSE, "max", 1).items():
        assert p_best(moved, "max", 1)[trial] == pytest.approx(p, abs=0.01)


def test_a_run_that_came_to_no_score_counts_as_the_worst() -> None:
    found = confirmation_statistics({1: [0.9, 0.92, math.nan], 2: [0.8, 0.8, 0.82]}, "max", 0)
    assert [(row.trial, row.failed) for row in found.rows] == [(2, 0), (1, 1)]
    assert found.rows[1].scores == (0.9, 0.92, 0.0)
    lost = confirmation_statistics({1: [0.3, 0.4], 2: [0.5, math.nan]}, "min", 0).rows[1]
    assert lost.scores == (0.5, pytest.approx(0.7))
    never = confirmation_statistics({1: [math.nan, math.nan], 2: [0.5, 0.5]}, "min", 0)
    assert [row.trial for row in never.rows] == [2, 1]
    assert never.rows[1].mean == pytest.approx(1.0), "worse, though nothing else tells by how much"


def test_one_seed_each_proves_nothing() -> None:
    found = confirmation_statistics({1: [0.9], 2: [0.1]}, "max", 0)
    assert [row.p_best for row in found.rows] == [0.5, 0.5]
    assert found.rows[0].low is None
    assert confirmation_statistics({1: []}, "max", 0).rows == ()


def test_three_equal_scores_do_not_prove_that_all_will_be() -> None:
    row = confirmation_statistics({1: [0.9] * 3, 2: [0.8] * 3}, "max", 0).rows[0]
    assert row.high - row.low > 0.02
    assert confirmation_statistics({1: [1.0] * 3, 2: [0.2] * 3}, "max", 0).rows[0].high == 1.0


def test_intervals_hold_the_true_mean_as_often_as_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(best_of, "DRAWS", 2)  # of probabilities, which this is not about
    rng = np.random.default_rng(5)
    held = []
    for _ in range(300):
        means = rng.normal(0, 1, 3)
        scores = {trial: list(rng.normal(mean, 0.5, 3)) for trial, mean in enumerate(means)}
        held += [row.low <= means[row.trial] <= row.high for row in confirmation_statistics(scores, "max", 0).rows]
    assert 0.93 < np.mean(held) < 0.985
