"""Solved and failed puzzles that a run keeps: the same whatever batches and workers; as text and as a picture."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import training_cases as cases

from trm.data.batches.augmenter import IGNORED
from trm.data.batches.plan import Batch, EvaluationBatch
from trm.data.batches.split import Split
from trm.errors import DatasetError
from trm.evaluation.answers_file import AnsweredBatch
from trm.evaluation.examples import MOST_KEPT, Example, ExampleKeeper
from trm.pictures.examples import draw_examples
from trm.tasks.choice import every_task
from trm.tasks.examples import examples_text, read_examples, write_examples

MANIFEST = cases.manifest().model_copy(update={"grid": (4, 4), "vocabulary": ("pad", "1", "2", "3", "4"), "name": "s4"})
ROWS, CELLS = 60, 16
rng = np.random.default_rng(3)
RIGHT = rng.integers(1, 5, (ROWS, CELLS)).astype(np.uint8)
SPLIT = Split("validation", np.zeros_like(RIGHT), RIGHT, (np.arange(ROWS) // 2).astype(np.int32))
ANSWERED = np.where((np.arange(ROWS) % 3 == 0)[:, None], RIGHT, RIGHT % 4 + 1).astype(np.uint8)


def batch(rows: np.ndarray, *, augmentation: int = 0, asked: np.ndarray | None = None) -> AnsweredBatch:
    labels = RIGHT[rows].astype(np.int32)
    labels = labels if asked is None else np.where(asked, labels, IGNORED).astype(np.int32)
    zeros = np.zeros(len(rows), dtype=np.int32)
    plain = EvaluationBatch(Batch(SPLIT.inputs[rows].astype(np.int32), labels, zeros), rows, zeros + augmentation)
    one = np.ones(len(rows), dtype=np.int64)
    return AnsweredBatch(plain, ANSWERED[rows], np.zeros(len(rows)), one, {}, 0 * one)


def kept_of(parts: Sequence[np.ndarray]) -> tuple[list[int], list[int]]:
    keeper = ExampleKeeper(SPLIT)
    for rows in parts:
        keeper(batch(rows))
    return rows_of(keeper.kept())


def rows_of(kept: tuple[list[Example], list[Example]]) -> tuple[list[int], list[int]]:
    solved, failed = kept
    assert not any(one.wrong for one in solved)
    assert all(one.wrong for one in failed)
    return [one.row for one in solved], [one.row for one in failed]


def test_the_first_puzzles_of_each_kind_are_kept_whatever_the_batches() -> None:
    every = np.arange(ROWS)
    first = kept_of([every])
    assert first == ([0, 3, 6, 9], [1, 2, 4, 7])  # two rows are one puzzle
    assert len(first[0]) == MOST_KEPT
    for seed in range(5):
        shuffled = np.random.default_rng(seed).permutation(every)
        assert kept_of(np.array_split(shuffled, 7)) == first


def test_workers_together_keep_what_one_keeps() -> None:
    halves = [np.arange(0, ROWS // 2), np.arange(ROWS // 2, ROWS)]
    halves = [np.concatenate([halves[0][::2], halves[1][::2]]), np.concatenate([halves[0][1::2], halves[1][1::2]])]
    keepers = [ExampleKeeper(SPLIT) for _ in halves]
    for keeper, rows in zip(keepers, halves, strict=True):
        keeper(batch(rows))
    sent = [[keeper._rows, keeper._answered] for keeper in keepers]
    for keeper in keepers:
        columns = iter(zip(*sent, strict=True))
        assert rows_of(keeper.kept(lambda own, columns=columns: np.concatenate(next(columns)))) == kept_of([np.arange(ROWS)])


def test_forms_of_a_task_are_passed_over_and_what_is_not_asked_is_not_wrong() -> None:
    keeper, rows = ExampleKeeper(SPLIT), np.arange(3)
    keeper(batch(rows, augmentation=5))
    assert keeper.kept() == ([], [])
    keeper(batch(rows, asked=np.arange(CELLS) < 2))
    solved, failed = keeper.kept()
    assert [(one.row, one.wrong) for one in failed] == [(1, 2), (2, 2)]
    assert [one.row for one in solved] == [0]


def examples() -> tuple[list[Example], list[Example]]:
    answered = RIGHT[1].copy()
    answered[[0, 7]] = answered[[0, 7]] % 4 + 1
    plain = Example(0, 0, RIGHT[0] * (RIGHT[0] > 1), RIGHT[0], RIGHT[0])
    return [plain], [Example(1, 0, RIGHT[1] * (RIGHT[1] > 2), answered, RIGHT[1])]


def test_a_person_reads_question_answer_and_what_is_wrong(tmp_path: Path) -> None:
    write_examples(tmp_path / "e.json", examples(), MANIFEST, split="validation", step=40)
    drawn = read_examples(tmp_path / "e.json")
    assert drawn is not None
    assert [one.title for one in drawn.examples] == ["row 0 solved", "row 1 failed, 2 cells wrong"]
    assert drawn.examples[0].differs == ()
    assert drawn.examples[1].differs == ((0, 0), (1, 8))
    text = examples_text(drawn)
    assert text.startswith("validation split of s4, step 40")
    assert [line.rsplit("   ", 1)[1] for line in text.split("row 1")[1].split("\n")[1:6]] == [
        *("x . | . .", ". . | . x", "----+----", ". . | . .", ". . | . .")
    ]
    draw_examples(drawn, tmp_path / "e.png", title="run")
    assert (tmp_path / "e.png").read_bytes()[:4] == b"\x89PNG"


def test_no_file_is_no_example_and_another_file_is_refused(tmp_path: Path) -> None:
    assert read_examples(tmp_path / "e.json") is None
    (tmp_path / "e.json").write_text(json.dumps({"task": "sudoku", "vocabulary": [], "solved": [{}], "failed": []}))
    with pytest.raises(DatasetError, match=r"must hold examples of an evaluation, got KeyError\('question'\); remove it"):
        read_examples(tmp_path / "e.json")


@pytest.mark.parametrize("name", sorted(every_task()))
def test_any_answer_can_be_drawn(name: str) -> None:
    """A network answers any tokens anywhere."""
    vocabulary = tuple(f"{token}" for token in range(12))
    task = every_task()[name]  # type: ignore[index]
    for seed in range(20):
        grid = np.random.default_rng(seed).integers(0, 12, (4, 4)).astype(np.uint8)
        assert task.text(grid, vocabulary).plain.strip()
    if name in ("sudoku", "maze"):  # padding keeps its place
        filled = np.where(grid, grid, 1).astype(np.uint8)
        widths = [[len(line) for line in task.text(cells, tuple("?abcdefghijk")).plain.split("\n")] for cells in (grid, filled)]
        assert widths[0] == widths[1]
