"""One split: a few flat arrays that can be shared between processes without copying; or its grids stay on storage."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int32, Int64, UInt8

from trm.data.format.manifest import Manifest

PAIR_ROW = "pair_row"
"""Extra column where ARC's forms are stored: the row of the split that holds the row's pair without augmentation."""
SAME_AS = "same_as"
"""Extra column where a split has a puzzle under several group numbers: the first of them."""
IDENTIFIER_COLUMNS = ("identifier_starts", "identifier_codes")


@runtime_checkable
class Grids(Protocol):
    """Grids of all rows of a split, of which some can be asked for: an array in memory, or `StoredGrids`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and cells."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any) -> np.ndarray:
        """The grids at these rows."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        """All of them."""


@dataclass(frozen=True, eq=False)
class Split:
    """The rows of a group together, as in `BuiltSplit`, and for ARC the identifier table. Arrays may be read-only.

    `identifier_starts` and `identifier_codes` are those of `IdentifierTable`, indexed by group number; None where all rows
    have identifier 0.
    """

    name: str
    inputs: UInt8[np.ndarray, "rows cells"] | Grids
    labels: UInt8[np.ndarray, "rows cells"] | Grids
    groups: Int32[np.ndarray, "rows"]
    identifier_starts: Int64[np.ndarray, "puzzles_and_one"] | None = None
    identifier_codes: Int32[np.ndarray, "identifiers"] | None = None
    extras: Mapping[str, np.ndarray] = field(default_factory=dict)
    puzzles: Int32[np.ndarray, "rows"] | None = None
    puzzle_identifiers: Int32[np.ndarray, "rows"] | None = None

    def __len__(self) -> int:
        return len(self.groups)

    @property
    def clusters(self) -> Int32[np.ndarray, "rows"]:
        """For each row the number of its puzzle, as scores count puzzles: its group, or the first with the same puzzle."""
        return self.extras.get(SAME_AS, self.groups)

    @cached_property
    def offsets(self) -> Int64[np.ndarray, "groups_and_one"]:
        """Rows `offsets[k]` .. `offsets[k + 1]` are those of the split's k-th group."""
        return np.concatenate([[0], np.flatnonzero(np.diff(self.groups)) + 1, [len(self.groups)]]).astype(np.int64)

    @cached_property
    def puzzle_offsets(self) -> Int64[np.ndarray, "puzzles_and_one"]:
        """Rows `puzzle_offsets[p]` .. `puzzle_offsets[p + 1]` are those of the split's p-th puzzle."""
        if self.puzzles is None:
            return self.offsets
        return np.concatenate([[0], np.flatnonzero(np.diff(self.puzzles)) + 1, [len(self.puzzles)]]).astype(np.int64)

    @cached_property
    def group_puzzles(self) -> Int64[np.ndarray, "groups_and_one"]:
        """Puzzles `group_puzzles[k]` .. `group_puzzles[k + 1]` are the forms of the split's k-th group."""
        return np.searchsorted(self.puzzle_offsets, self.offsets).astype(np.int64)

    def columns(self) -> dict[str, np.ndarray]:
        """Every array by name, for instance to put each into an object store; `from_columns` is the inverse."""
        columns = {"inputs": np.asarray(self.inputs), "labels": np.asarray(self.labels), "groups": self.groups, **self.extras}
        if self.identifier_starts is not None and self.identifier_codes is not None:
            columns |= {"identifier_starts": self.identifier_starts, "identifier_codes": self.identifier_codes}
        if self.puzzles is not None and self.puzzle_identifiers is not None:
            columns |= {"puzzles": self.puzzles, "puzzle_identifiers": self.puzzle_identifiers}
        return columns

    @classmethod
    def from_columns(cls, name: str, columns: Mapping[str, Any]) -> "Split":
        """A split over these arrays, or grids on storage; nothing is copied."""
        known = {"inputs", "labels", "groups", "puzzles", "puzzle_identifiers", *IDENTIFIER_COLUMNS}
        extras = {key: column for key, column in columns.items() if key not in known}
        return cls(name=name, extras=extras, **{key: columns[key] for key in known if key in columns})


def load_split(
    folder: str, manifest: Manifest, name: str, room: Callable[[tuple[int, ...], np.dtype], np.ndarray] = np.empty
) -> Split:
    """Read one split from the shards in `folder` (a path or any fsspec URL) into arrays that `room` makes.

    Raises DatasetError naming a shard that it cannot read, or that is not what the manifest says.
    """
    from trm.data.format import shards

    return Split.from_columns(name, shards.read_split_columns(folder, manifest, name, room))
