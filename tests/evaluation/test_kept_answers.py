"""Puzzles kept of an evaluation with every step's answer: the same whatever the batches, of both kinds, within their bound."""

from typing import Any

import numpy as np
from data_cases import manifest, sudoku_split

from trm.data.batches.plan import Batch, EvaluationBatch
from trm.evaluation.answers_file import AnsweredBatch
from trm.evaluation.kept_answers import MOST_KEPT, AnswerKeeper, cells_text
from trm.pages.winner import cells_of

ROWS, STEPS = 150, 3


def kept(batch_size: int, rows: np.ndarray) -> dict[str, Any]:
    """What is kept of answers that are right from the second step on where the row is even."""
    split = sudoku_split(ROWS)
    keeper = AnswerKeeper(split, STEPS)
    for start in range(0, len(rows), batch_size):
        some = rows[start : start + batch_size]
        labels, zeros = np.asarray(split.labels)[some], np.zeros(len(some), dtype=np.int32)
        asked = Batch(np.asarray(split.inputs)[some].astype(np.int32), labels.astype(np.int32), zeros)
        batch = EvaluationBatch(asked, some, zeros)
        for step in range(1, STEPS + 1):
            is_right = (some % 2 == 0) & (step > 1)
            cells = np.where(is_right[:, None], labels, np.asarray(split.inputs)[some])
            columns = {"is_exact": is_right}
            keeper(
                AnsweredBatch(
                    batch, cells, np.full(len(some), step - 2.0), np.full(len(some), step), columns, zeros.astype(np.int64)
                )
            )
    return keeper.values(manifest(split, (4, 4)))


def test_the_same_puzzles_are_kept_whatever_the_batches() -> None:
    rows = np.arange(ROWS)
    found = kept(ROWS, rows)
    assert found == kept(7, rows) == kept(32, rows[::-1].copy())
    assert (found["solved"], found["failed"]) == (75, 75)
    assert [one["is_exact"] for one in found["puzzles"]].count(True) == MOST_KEPT == len(found["puzzles"]) // 2
    for one in found["puzzles"]:
        assert one["is_exact"] == (one["row"] % 2 == 0)
        assert one["halting"] == [0.26894, 0.5, 0.73106]
        assert (one["steps"][-1] == one["right"]) == one["is_exact"]
        assert one["steps"][0] == one["question"]


def test_cells_are_texts_and_back() -> None:
    cells = np.arange(81, dtype=np.uint8) % 11
    assert (cells_of(cells_text(cells), 81, 11) == cells).all()
