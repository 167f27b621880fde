"""pass@K by task and by pair, against the published rule written plainly with dictionaries: ties and missing predictions too."""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from operator import add

import numpy as np
import pytest

from trm.data.batches.plan import Batch, EvaluationBatch
from trm.data.batches.split import Split
from trm.evaluation.answers_file import AnsweredBatch, AnswerKey
from trm.tasks.arc.augment import CANVAS, apply, canvas, encode
from trm.tasks.arc.ballot import PASSES, ArcBallot, claimed_votes
from trm.tasks.arc.votes import grid_hashes

TASKS = (3, 3, 5, 6, 6, 6, 8, 9)
"""The task of each test pair."""
NAMES = tuple(f"task{number}" for number in range(10))


def split_of(rng: np.random.Generator, tasks: tuple[int, ...] = TASKS) -> Split:
    grids = [rng.integers(0, 10, rng.integers(1, 6, 2)) for _ in tasks]
    codes = encode(np.arange(40) % 8, np.tile(np.arange(10), (40, 1)))
    return Split("test", canvas(grids), canvas(grids[::-1]), np.array(tasks, dtype=np.int32), identifier_codes=codes)


def ballot_of(split: Split, rng: np.random.Generator, votes: int, silent: tuple[int, ...]) -> ArcBallot:
    """Votes in any order for few grids, the truth among them, by few probabilities: ties abound. Nobody votes for `silent`."""
    speaking = np.array([pair for pair in range(len(split)) if pair not in silent])
    pairs = rng.choice(speaking, votes)
    wrong = grid_hashes(canvas([np.full((2, 2), colour) for colour in range(4)]))
    choice = rng.integers(0, 5, votes)
    grids = np.where(choice == 4, grid_hashes(split.labels)[pairs], wrong[choice % 4])
    rows = {"row": pairs, "vote": grids, "halting_probability": rng.choice([0.1, 0.2, 0.3, 0.7], votes)}
    return ArcBallot(split, rows | {"identifier": np.arange(votes)}, np.arange(len(split)))


def published(ballot: ArcBallot) -> dict[int, tuple[float, float]]:
    """K -> pass@K by task and by pair, counted vote by vote; pairs of a task with equal questions have their votes in common."""
    truths, tasks_of = grid_hashes(ballot.split.labels).tolist(), ballot.split.groups.tolist()
    asked = list(zip(tasks_of, grid_hashes(ballot.split.inputs).tolist(), strict=True))
    ballots: dict[tuple[int, int], dict[int, list[float]]] = {question: {} for question in asked}
    for pair, grid, probability in zip(
        *(ballot.rows[name].tolist() for name in ("row", "vote", "halting_probability")), strict=True
    ):
        ballots[asked[pair]].setdefault(grid, []).append(probability)
    found = {}
    for k in PASSES:
        by_task: dict[int, list[bool]] = {}
        for pair, question in enumerate(asked):
            cast = ballots[question]
            best_first = sorted(cast, key=lambda grid: (len(cast[grid]), reduce(add, cast[grid]) / len(cast[grid])), reverse=True)
            by_task.setdefault(tasks_of[pair], []).append(truths[pair] in best_first[:k])
        tasks = [sum(right) / len(right) for right in by_task.values()]
        found[k] = sum(tasks) / len(tasks), sum(map(sum, by_task.values())) / len(truths)
    return found


@pytest.mark.parametrize("seed", range(20))
def test_every_k_equals_the_published_rule(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ballot = ballot_of(split_of(rng), rng, votes=int(rng.integers(1, 90)), silent=(1, 6) if seed % 2 else ())
    figures = ballot.figures()
    for k, (by_task, by_pair) in published(ballot).items():
        found = figures["pass"][str(k)]
        assert (found["by_task"]["share"], found["by_pair"]["share"]) == pytest.approx((by_task, by_pair), rel=1e-12)
        assert (found["by_task"]["count"], found["by_pair"]["count"]) == (5, 8)
    assert (figures["tasks"], figures["pairs"]) == (5, 8)
    assert figures["pairs_without_votes"] == len(set(range(8)) - set(ballot.rows["row"].tolist()))


def test_pairs_of_a_task_with_equal_questions_come_to_what_common_votes_do() -> None:
    """A network answers both alike, so their votes in common are each vote twice: ranks stay, whatever their answers are."""
    rng = np.random.default_rng(7)
    split = split_of(rng)
    inputs = split.inputs.copy()
    inputs[1], inputs[4] = inputs[0], inputs[3]
    split = replace(split, inputs=inputs)
    for _ in range(20):
        cast = ballot_of(split, rng, votes=60, silent=(1, 4)).rows
        cast["halting_probability"] = rng.choice([0.25, 0.5, 0.75], 60)  # whose sums are exact
        again = {name: column[np.isin(cast["row"], (0, 3))] for name, column in cast.items()}
        again["row"] = again["row"] + 1
        ballot = ArcBallot(split, {name: np.concatenate([cast[name], again[name]]) for name in cast}, np.arange(len(split)))
        passes = ballot.figures()["pass"]
        for k, shares in published(ballot).items():
            found = tuple(passes[str(k)][by]["share"] for by in ("by_task", "by_pair"))
            assert found == pytest.approx(shares, rel=1e-12)


def test_a_row_a_pair_says_who_voted() -> None:
    split = split_of(np.random.default_rng(1), (2, 2, 4))
    truths = grid_hashes(split.labels)
    rows = {
        "row": np.array([0, 0, 0, 0, 2]),
        "vote": np.array([11, 11, 11, truths[0], 12]),
        "halting_probability": np.full(5, 0.5),
    }
    found = ArcBallot(split, rows, np.arange(3)).by_pair()
    told = {name: column.tolist() for name, column in found.items()}
    assert told == {
        "puzzle": [2, 2, 4],
        "pair": [0, 1, 0],
        "rank": [2, 0, 0],
        "votes": [4, 0, 1],
        "distinct_grids": [2, 0, 1],
        "votes_for_truth": [1, 0, 0],
        "margin": [2, 0, 1],
    }


def test_a_submission_undoes_augmentations_and_pads() -> None:
    rng = np.random.default_rng(2)
    split = split_of(rng, (2, 2, 4, 4))
    grids = [rng.integers(0, 10, size) for size in ((2, 3), (4, 1), (1, 1))]
    told = {(0, 5, 0): grids[0], (0, 5, 1): grids[1], (0, 7, 0): grids[0], (1, 3, 0): grids[2]}
    assert split.identifier_codes is not None
    cells = {key: apply(canvas([grid]), split.identifier_codes[[key[1]]])[0] for key, grid in told.items()}
    cells[2, 4, 0] = np.zeros(CANVAS**2, dtype=np.uint8)
    empty = grid_hashes(np.zeros((1, CANVAS**2), dtype=np.uint8))
    rows = {
        "row": np.array([key[0] for key in cells]),
        "identifier": np.array([key[1] for key in cells]),
        "number": np.array([key[2] for key in cells]),
        "vote": np.concatenate([grid_hashes(canvas(list(told.values()))), empty]),
        "halting_probability": np.full(5, 0.5),
    }
    asked: list[AnswerKey] = []

    def cells_of(keys: Sequence[AnswerKey]) -> dict[AnswerKey, np.ndarray]:
        asked.extend(keys)
        return cells

    made = ArcBallot(split, rows, np.arange(4)).submission(NAMES, cells_of)
    assert made == {
        "task2": [
            {"attempt_1": grids[0].tolist(), "attempt_2": grids[1].tolist()},
            {"attempt_1": grids[2].tolist(), "attempt_2": grids[2].tolist()},
        ],
        "task4": [{"attempt_1": [[0]], "attempt_2": [[0]]}] * 2,
    }
    assert sorted(asked) == [(0, 5, 0), (0, 5, 1), (1, 3, 0), (2, 4, 0)]


def test_scored_by_what_it_was_told_a_perfect_network_is_nothing() -> None:
    """The published ablation hands the told identifiers to its scorer too, which finds no pair by them, whatever was answered."""
    rng = np.random.default_rng(3)
    grids = [rng.integers(0, 10, (3, 4)) for _ in range(3)]
    turned = encode(np.array([0, 1, 0, 2]), np.tile(np.arange(10), (4, 1)))
    codes, starts = np.concatenate([turned[:1], turned]), np.array([1, 3, 5])
    split = Split("test", canvas(grids), canvas(grids[::-1]), np.array([0, 0, 1], dtype=np.int32), starts, codes)
    rows, own = np.array([0, 0, 1, 1, 2, 2]), np.array([1, 2, 1, 2, 3, 4], dtype=np.int32)
    inputs, answers = (apply(cells[rows], codes[own]) for cells in (split.inputs, split.labels))
    batch = EvaluationBatch(Batch(inputs.astype(np.int32), answers.astype(np.int32), own), rows, codes[own])
    columns = {"halting_probability": np.full(6, 0.5)}
    answered = AnsweredBatch(batch, answers, np.zeros(6), np.ones(6, dtype=np.int64), columns, np.zeros(6, dtype=np.int64))
    passes = {}
    for name, claimed in {
        "own": own,
        "blank": np.zeros_like(own),
        "random": np.array([3, 4, 4, 3, 1, 2]),
        "other": own[[1, 0, 3, 2, 5, 4]],
    }.items():
        figures = ArcBallot(split, claimed_votes(split, answered, claimed), np.arange(3)).figures()
        passes[name] = figures["pass"]["1"]["by_task"]["share"], figures["votes"]
    assert passes == {"own": (1, 6), "blank": (0, 0), "random": (0, 0), "other": (0, 0)}
