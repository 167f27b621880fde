"""What a builder hands over: the splits of one data set in memory, before they are written as shards."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int32, Int64, UInt8

from trm.data.manifest import Augmentation, NoAugmentation, SplitName

Task = Literal["sudoku", "maze", "arc"]


@runtime_checkable
class Report(Protocol):
    """Told how far a build is; must be cheap."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """`done` of `total` pieces of `stage` are ready."""


def silent(stage: str, done: int, total: int) -> None:
    """A `Report` that tells nobody."""


@dataclass(frozen=True, eq=False)
class BuiltSplit:
    """Rows of one split, unaugmented, sorted by group.

    `groups` is the base puzzle's number, unique over the whole data set: an ARC task that is trained on and tested keeps its
    number in both splits; elsewhere no group is in two splits. Token 0 is padding and is never scored. `extras` are further
    columns of one value a row (for instance `rating`), stored beside the grids.
    """

    inputs: UInt8[np.ndarray, "rows cells"]
    labels: UInt8[np.ndarray, "rows cells"]
    groups: Int32[np.ndarray, "rows"]
    extras: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class IdentifierTable:
    """Which puzzle identifiers belong to which base puzzle, and the augmentation behind each (ARC).

    Base puzzle g owns the identifiers `starts[g]` .. `starts[g + 1]`, the first of them unaugmented; `starts[0]` is 1, because
    identifier 0 is the blank one. `codes[i]` is the augmentation of identifier i, see `trm.data.augmentation.arc`.
    """

    names: tuple[str, ...]
    subsets: tuple[str, ...]
    starts: Int64[np.ndarray, "puzzles_and_one"]
    codes: Int32[np.ndarray, "identifiers"]


@dataclass(frozen=True, eq=False)
class BuiltDataset:
    """A whole data set in memory. `vocabulary[i]` is the name of token i; token 0 is padding."""

    task: Task
    grid: tuple[int, int]
    vocabulary: tuple[str, ...]
    splits: Mapping[SplitName, BuiltSplit]
    augmentation: Augmentation = field(default_factory=NoAugmentation)
    identifiers: IdentifierTable | None = None
