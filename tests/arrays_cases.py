"""Folders in the reference's array format, for tests of import, export and mixtures."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from data_cases import random_tasks

from trm.data.format.built import BuiltDataset, BuiltSplit
from trm.data.format.manifest import ArcAugmentation, SplitName
from trm.tasks.arc.augment import VOCABULARY, canvas
from trm.tasks.arc.build import numbered
from trm.tasks.arc.identifiers import identifier_table
from trm.tasks.arc.pairs import Pair
from trm.tasks.choice import ArcRecipe
from trm.tasks.making.writing import write_dataset

Puzzle = tuple[int, list[int]]
"""An identifier, and the numbers that its examples spell."""
CELLS, TOKENS = 6, 5


def spelt(number: int) -> np.ndarray:
    """A row of tokens 1 to 4 that no other number below 4096 has."""
    return 1 + (number // 4 ** np.arange(CELLS)) % 4


def write_folder(root: Path, splits: dict[str, list[list[Puzzle]]], identifiers: int, kind: str = "uint8", **facts: Any) -> Path:
    """A folder of 2x3 puzzles: for each split its groups, each a list of puzzles. Labels are the inputs, last cell first."""
    for name, groups in splits.items():
        folder = root / name
        folder.mkdir(parents=True)
        puzzles = [puzzle for group in groups for puzzle in group]
        rows = [number for _, numbers in puzzles for number in numbers]
        inputs = np.array([spelt(number) for number in rows]).astype(kind)
        arrays = {
            "inputs": inputs,
            "labels": inputs[:, ::-1],
            "puzzle_identifiers": np.array([identifier for identifier, _ in puzzles], dtype=np.int32),
            "puzzle_indices": np.cumsum([0, *(len(numbers) for _, numbers in puzzles)]).astype(np.int32),
            "group_indices": np.cumsum([0, *map(len, groups)]).astype(np.int64),
        }
        for array_name, array in arrays.items():
            np.save(folder / f"all__{array_name}.npy", np.ascontiguousarray(array))
        said = {
            "pad_id": 0,
            "ignore_label_id": 0,
            "blank_identifier_id": 0,
            "vocab_size": TOKENS,
            "seq_len": CELLS,
            "num_puzzle_identifiers": identifiers,
            "total_groups": len(groups),
            "mean_puzzle_examples": len(rows) / len(puzzles),
            "total_puzzles": len(puzzles),
            "sets": ["all"],
        }
        (folder / "dataset.json").write_text(json.dumps(said | facts))
    (root / "identifiers.json").write_text(json.dumps(["<blank>", *(f"p{number}" for number in range(1, identifiers))]))
    return root


def files_of(root: Path) -> dict[str, bytes]:
    """Every file below the folder."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def write_arc_set(folder: Path, count: int = 6, num_aug: int = 3, order: Sequence[int] | None = None) -> BuiltDataset:
    """A data set of our own on disk: the first half of the tasks validates, the other is tested, all are trained on.

    `order` are the tasks' numbers as the identifiers have them.
    """
    numbers = range(count) if order is None else order
    tasks = [random_tasks(count)[number] for number in numbers]
    table = identifier_table(tasks, num_aug=num_aug, seed=1)
    half = count // 2

    def split(pairs_of: list[tuple[Pair, ...]]) -> BuiltSplit:
        counts = [len(pairs) for pairs in pairs_of]
        pairs = [pair for mine in pairs_of for pair in mine]
        groups = np.repeat(np.arange(count, dtype=np.int32), counts)
        return BuiltSplit(canvas([q for q, _ in pairs]), canvas([a for _, a in pairs]), groups, numbered(counts))

    splits: dict[SplitName, BuiltSplit] = {
        "train": split([task.demonstrations for task in tasks]),
        "validation": split([task.tests if number < half else () for number, task in zip(numbers, tasks, strict=True)]),
        "test": split([task.tests if number >= half else () for number, task in zip(numbers, tasks, strict=True)]),
    }
    built = BuiltDataset("arc", (30, 30), VOCABULARY, splits, ArcAugmentation(num_aug=num_aug), table)
    write_dataset(built, ArcRecipe(name="own", num_aug=num_aug), str(folder))
    return built
