"""Data sets of several small shards and row groups, for the tests of streams."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from data_cases import arc_dataset, sudoku_split

from trm.data.batches.split import Split
from trm.data.batches.stream import Columns, StreamOrder, StreamPlan, TrainStream
from trm.data.format import shards
from trm.data.format.built import BuiltDataset, BuiltSplit
from trm.data.format.manifest import Manifest, SudokuAugmentation
from trm.tasks.augment import augmenter_for
from trm.tasks.choice import SudokuRecipe
from trm.tasks.making.writing import write_dataset

SHARD_ROWS, GROUP_ROWS, WINDOW_ROWS = 20, 6, 15
SUDOKU_ROWS, ARC_TASKS = 53, 20


def write_case(folder: Path, kind: str, rows: int = SUDOKU_ROWS) -> Manifest:
    """A data set of `kind` in shards of 20 rows and row groups of 6."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "SHARD_ROWS", SHARD_ROWS)
        patch.setattr(shards, "ROW_GROUP_ROWS", GROUP_ROWS)
        if kind == "arc":
            return write_dataset(*arc_dataset(ARC_TASKS), str(folder))
        split = sudoku_split(rows)
        built = BuiltSplit(split.inputs, split.labels, split.groups)
        splits = {"train": built, "validation": built, "test": built}
        vocabulary = ("pad", ".", "1", "2", "3", "4")
        dataset = BuiltDataset("sudoku", (4, 4), vocabulary, splits, SudokuAugmentation())
        return write_dataset(dataset, SudokuRecipe(name="case", size=4), str(folder))


class MemoryReader:
    """A `RowGroupReader` over a split in memory, which remembers what it was asked for."""

    def __init__(self, split: Split) -> None:
        self.split = split
        self.visits: list[int] = []

    def read(self, order: StreamOrder, first_visit: int) -> Iterator[Columns]:
        visit = first_visit
        while True:
            self.visits.append(visit)
            group = order.group(visit)
            here = slice(group.first_row, group.first_row + group.rows)
            extras = {name: column[here] for name, column in self.split.extras.items()}
            row = np.arange(here.start, here.stop, dtype=np.int64)
            grids = {"inputs": self.split.inputs[here], "labels": self.split.labels[here], "groups": self.split.groups[here]}
            yield {"row": row, **grids, **extras}
            visit += 1


def stream_over(reader: object, split: Split, window_rows: int = WINDOW_ROWS) -> TrainStream:
    """A stream of the rows that `reader` reads, with the identifier table of `split`."""
    return TrainStream(reader, window_rows, split.identifier_starts, split.identifier_codes)  # type: ignore[arg-type]


def plan_over(split: Split, manifest: Manifest, *, window_rows: int = WINDOW_ROWS, **options: int) -> StreamPlan:
    """A plan over a split in memory."""
    settings = {"global_batch_size": 12, "seed": 3, **options}
    return StreamPlan(stream_over(MemoryReader(split), split, window_rows), manifest, augmenter_for, **settings)
