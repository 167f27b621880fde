"""Small data sets that the tests of the data room share."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from trm.data.batches.split import Split
from trm.data.format.built import BuiltDataset, BuiltSplit
from trm.data.format.manifest import ArcAugmentation, Augmentation, Manifest, NoAugmentation, SplitInfo, SudokuAugmentation
from trm.tasks.arc.augment import VOCABULARY, canvas
from trm.tasks.arc.build import numbered
from trm.tasks.arc.identifiers import identifier_table
from trm.tasks.arc.pairs import ArcTask
from trm.tasks.choice import ArcRecipe
from trm.tasks.making.chunks import Columns


def manifest(split: Split, grid: tuple[int, int], augmentation: Augmentation | None = None) -> Manifest:
    """A manifest that says of `split` what a plan needs to know."""
    info = SplitInfo(rows=0, groups=0, mean_examples=1.0, shards=(), content_sha256="")
    codes = split.identifier_codes
    return Manifest(
        name="case",
        task="arc" if codes is not None else "sudoku",
        grid=grid,
        vocabulary=("pad", ".", "1", "2", "3", "4") if codes is None else VOCABULARY,
        seq_len=grid[0] * grid[1],
        num_puzzle_identifiers=1 if codes is None else len(codes),
        splits={"train": info},
        augmentation=augmentation or (NoAugmentation() if codes is None else ArcAugmentation(num_aug=3)),
        seed=0,
        recipe={},
        recipe_digest="",
        row_group_rows=4096,
    )


def sudoku_split(rows: int) -> Split:
    """Rows that differ in their blanks, one group each."""
    answers = np.tile(np.array([1, 2, 3, 4, 3, 4, 1, 2, 2, 1, 4, 3, 4, 3, 2, 1], dtype=np.uint8) + 1, (rows, 1))
    is_blank = (np.arange(rows)[:, None] >> np.arange(16)) & 1
    questions = np.where(is_blank, 1, answers).astype(np.uint8)
    return Split(name="train", inputs=questions, labels=answers, groups=np.arange(rows, dtype=np.int32))


def random_tasks(count: int, seed: int = 0, subset: str = "training") -> list[ArcTask]:
    """Tasks with one to four demonstrations and one or two tests."""
    rng = np.random.default_rng(seed)
    tasks = []
    for number in range(count):
        pairs = [tuple(rng.integers(0, 10, rng.integers(1, 9, 2)).astype(np.uint8) for _ in range(2)) for _ in range(6)]
        demonstrations, tests = rng.integers(1, 5), rng.integers(1, 3)
        tasks.append(ArcTask(f"{subset}{number:03d}", subset, tuple(pairs[:demonstrations]), tuple(pairs[4 : 4 + tests])))
    return tasks


def write_arc_json(folder: Path, subset: str, tasks: list[ArcTask]) -> None:
    """The published layout: test outputs in a file of their own."""

    def sides(pairs: tuple[Any, ...], names: tuple[str, ...]) -> list[dict[str, Any]]:
        return [{name: grid.tolist() for name, grid in zip(names, pair, strict=False)} for pair in pairs]

    both = ("input", "output")
    challenges = {task.name: {"train": sides(task.demonstrations, both), "test": sides(task.tests, both[:1])} for task in tasks}
    solutions = {task.name: [pair[1].tolist() for pair in task.tests] for task in tasks}
    (folder / f"case_{subset}_challenges.json").write_text(json.dumps(challenges))
    (folder / f"case_{subset}_solutions.json").write_text(json.dumps(solutions))


def arc_split(count: int, num_aug: int = 3) -> Split:
    """The demonstrations of random tasks."""
    tasks = random_tasks(count)
    table = identifier_table(tasks, num_aug=num_aug, seed=1)
    pairs = [pair for task in tasks for pair in task.demonstrations]
    return Split(
        name="train",
        inputs=canvas([question for question, _ in pairs]),
        labels=canvas([answer for _, answer in pairs]),
        groups=np.repeat(np.arange(count, dtype=np.int32), [len(task.demonstrations) for task in tasks]),
        identifier_starts=table.starts,
        identifier_codes=table.codes,
        extras=numbered([len(task.demonstrations) for task in tasks]),
    )


def sudoku_augmented() -> SudokuAugmentation:
    """A new form at every visit."""
    return SudokuAugmentation()


def arc_dataset(count: int = 6) -> tuple[BuiltDataset, ArcRecipe]:
    """A built ARC data set with an identifier table and a column of its own."""
    split = arc_split(count)
    built = BuiltSplit(split.inputs, split.labels, split.groups, split.extras)
    table = identifier_table(random_tasks(count), num_aug=3, seed=1)
    recipe = ArcRecipe(name="case", num_aug=3)
    dataset = BuiltDataset("arc", (30, 30), VOCABULARY, {"train": built, "test": built}, ArcAugmentation(num_aug=3), table)
    return dataset, recipe


class HalfStore:
    """Keeps every other piece, and counts."""

    def __init__(self) -> None:
        self.kept: dict[int, Columns] = {}
        self.loads = 0

    def load(self, number: int) -> Columns | None:
        self.loads += number in self.kept
        return self.kept.get(number)

    def save(self, number: int, columns: Columns) -> None:
        if number % 2 == 0:
            self.kept[number] = columns
