"""What a builder hands over: the splits of one data set in memory, before they are written as shards."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int32, Int64, UInt8

from trm.data.format.manifest import Augmentation, NoAugmentation, PartInfo, SplitName, TaskName


@dataclass(frozen=True, eq=False)
class BuiltSplit:
    """Rows of one split, unaugmented, those of a group together.

    `groups` is the base puzzle's number, unique over the whole data set: an ARC task that is trained on and tested keeps its
    number in both splits; elsewhere no group is in two splits. Token 0 is padding and is never scored. `extras` are further
    columns of one value a row (for instance `rating`), stored beside the grids. Grids may be memory-mapped.

    A group whose forms are stored (as in the reference's arrays) holds several puzzles: `puzzles` numbers them within the split,
    never falling, and `puzzle_identifiers` gives each row's identifier, the same for all rows of a puzzle; -1 there: one of the
    group's in the identifier table. Both are None when every group is one puzzle, under each of its identifiers in the table.
    """

    inputs: UInt8[np.ndarray, "rows cells"]
    labels: UInt8[np.ndarray, "rows cells"]
    groups: Int32[np.ndarray, "rows"]
    extras: Mapping[str, np.ndarray] = field(default_factory=dict)
    puzzles: Int32[np.ndarray, "rows"] | None = None
    puzzle_identifiers: Int32[np.ndarray, "rows"] | None = None
    draws: Int64[np.ndarray, "rows"] | None = None
    """Where a generated row came from, rising (`trm.tasks.making.chunks`); not stored, but each shard's range is."""

    def columns(self) -> dict[str, np.ndarray]:
        """Every column by name, as the shards store it."""
        columns = {"inputs": self.inputs, "labels": self.labels, "groups": self.groups, **self.extras}
        if self.puzzles is not None and self.puzzle_identifiers is not None:
            columns |= {"puzzles": self.puzzles, "puzzle_identifiers": self.puzzle_identifiers}
        return columns


@dataclass(frozen=True, eq=False)
class IdentifierTable:
    """Which puzzle identifiers belong to which base puzzle, and the augmentation behind each (ARC).

    Base puzzle g owns the identifiers `starts[g]` .. `starts[g + 1]`, the first of them unaugmented; `starts[0]` is 1, because
    identifier 0 is the blank one. `codes[i]` is the augmentation of identifier i, see `trm.tasks.arc.augment`.
    """

    names: tuple[str, ...]
    subsets: tuple[str, ...]
    starts: Int64[np.ndarray, "puzzles_and_one"]
    codes: Int32[np.ndarray, "identifiers"]


@dataclass(frozen=True, eq=False)
class BuiltDataset:
    """A whole data set in memory. `vocabulary[i]` is the name of token i; token 0 is padding.

    `skipped` counts the source's rows that were left out, by the rule they broke. `attachments` are small files, by name, that
    are kept as they came, for an export.
    """

    task: TaskName
    grid: tuple[int, int]
    vocabulary: tuple[str, ...]
    splits: Mapping[SplitName, BuiltSplit]
    augmentation: Augmentation = field(default_factory=NoAugmentation)
    identifiers: IdentifierTable | None = None
    skipped: Mapping[str, int] = field(default_factory=dict)
    doubled: Mapping[str, int] = field(default_factory=dict)
    """Rows that are kept although the split has their puzzle before, by the split."""
    attachments: Mapping[str, bytes] = field(default_factory=dict)
    duplicates: tuple[int, ...] = ()
    """Draws of a generated data set that were left out as symmetric forms of earlier ones."""
    num_puzzle_identifiers: int | None = None
    """Rows that a puzzle embedding needs, where rows name their identifiers; None: as many as the table has."""
    parts: tuple[PartInfo, ...] = ()
    """The data sets of a mixture, in order of their groups."""

    @property
    def identifier_count(self) -> int:
        """Rows that a puzzle embedding needs, the blank one included."""
        return self.num_puzzle_identifiers or (1 if self.identifiers is None else len(self.identifiers.codes))
