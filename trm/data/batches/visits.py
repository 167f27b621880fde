"""Which puzzles training visits, in which order: a function of the seed and the visit's number."""

import numpy as np
from jaxtyping import Int32, Int64

from trm.data.batches.keyed_random import below, hashed, shuffled
from trm.data.batches.mixing import Mixing, quotas_of
from trm.data.batches.split import Split
from trm.data.format.manifest import Manifest
from trm.errors import DatasetError

_EPOCH, _FORM = 0x45, 0x46


class Visits:
    """An endless walk over the groups of a split, each visit to one puzzle of its group, drawn uniformly.

    An epoch visits each group once in random order. The parts of a mixture walk epochs of their own, mixed by their weights.
    """

    def __init__(self, split: Split, manifest: Manifest, *, seed: int) -> None:
        self._split, self._seed = split, seed
        self._sizes = np.diff(split.puzzle_offsets)
        self._forms = np.diff(split.group_puzzles)
        self._has_forms = bool((self._forms > 1).any())
        self.has_single_examples = bool((self._sizes == 1).all())
        self._firsts, self._mixing = self._parts(manifest)
        self._epochs: dict[tuple[int, int], np.ndarray] = {}

    def at(self, step: int, visit: int) -> None:
        """What comes next is asked for the batch of `step`, which begins with `visit`."""

    def filling(self, visit: int, room: int) -> tuple[Int64[np.ndarray, "puzzles"], Int64[np.ndarray, "puzzles"]]:
        """The puzzles visited from `visit` on until their examples fill `room` rows, and how many examples each has."""
        puzzles = self._puzzles(visit, room)
        sizes = self._sizes[puzzles]
        count = int(np.searchsorted(np.cumsum(sizes), room)) + 1
        return puzzles[:count], sizes[:count]

    def identifiers(self, visit: int, puzzles: Int64[np.ndarray, "puzzles"]) -> Int32[np.ndarray, "puzzles"]:
        """The identifier under which each puzzle is seen, when the first of them is visited at `visit`: one of the group's."""
        rows, starts = self._split.puzzle_offsets[puzzles], self._split.identifier_starts
        stored = self._split.puzzle_identifiers
        identifiers = np.full(len(rows), 0 if starts is None else -1, dtype=np.int32) if stored is None else stored[rows]
        if starts is None or not (is_drawn := identifiers < 0).any():
            return identifiers
        groups = self._split.groups[rows]
        drawn = starts[groups] + below(self._form_bits(visit, len(rows)), starts[groups + 1] - starts[groups])
        return np.where(is_drawn, drawn, identifiers).astype(np.int32)

    def _puzzles(self, visit: int, count: int) -> np.ndarray:
        groups = self._groups(visit, count)
        if not self._has_forms:
            return groups
        puzzles: np.ndarray = self._split.group_puzzles[groups] + below(self._form_bits(visit, count), self._forms[groups])
        return puzzles

    def _form_bits(self, visit: int, count: int) -> np.ndarray:
        return hashed(self._seed, _FORM, np.arange(visit, visit + count))

    def _groups(self, visit: int, count: int) -> np.ndarray:
        if self._mixing is None:
            return self._walk(0, np.arange(visit, visit + count))
        parts, numbers = self._mixing.at(visit, count)
        groups = np.empty(count, dtype=np.int64)
        for part in range(len(self._firsts) - 1):
            here = np.flatnonzero(parts == part)
            groups[here] = self._walk(part, numbers[here])
        return groups

    def _walk(self, part: int, numbers: np.ndarray) -> np.ndarray:
        """Groups that a part visits at its visits `numbers`, which rise."""
        first, size = self._firsts[part], self._firsts[part + 1] - self._firsts[part]
        epochs = numbers // size
        parts = [np.zeros(0, dtype=np.int64)]
        for epoch in range(int(epochs[0]), int(epochs[-1]) + 1) if len(epochs) else ():
            here = slice(*np.searchsorted(epochs, [epoch, epoch + 1]))
            parts.append(first + self._epoch(part, epoch)[numbers[here] - epoch * size])
        return np.concatenate(parts)

    def _epoch(self, part: int, epoch: int) -> np.ndarray:
        if (part, epoch) not in self._epochs:
            self._epochs = {key: order for key, order in self._epochs.items() if key[0] != part or key[1] >= epoch - 1}
            keys = (epoch,) if self._mixing is None else (epoch, part)
            size = int(self._firsts[part + 1] - self._firsts[part])
            self._epochs[part, epoch] = shuffled(size, self._seed, _EPOCH, *keys)
        return self._epochs[part, epoch]

    def _parts(self, manifest: Manifest) -> tuple[np.ndarray, Mixing | None]:
        """Where each part's groups begin among those of the split, and how their visits are mixed."""
        count = len(self._split.offsets) - 1
        if not manifest.parts:
            return np.array([0, count]), None
        of_group = self._split.groups[self._split.offsets[:-1]]
        sizes = np.array([((of_group >= low) & (of_group < high)).sum() for low, high in (part.groups for part in manifest.parts)])
        for part, size in zip(manifest.parts, sizes, strict=True):
            if not size:
                raise DatasetError(
                    f"training needs rows of every part: part {part.name} of {manifest.name} has none", remedy="leave it out"
                )
        weights = [part.weight for part in manifest.parts if part.weight is not None]
        return np.concatenate([[0], np.cumsum(sizes)]), Mixing(quotas_of(weights) if weights else sizes.tolist(), seed=self._seed)
