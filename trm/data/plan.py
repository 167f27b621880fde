"""The batch plan: which rows a batch takes, as a function of seed and step, the same on one worker or eight."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32, Int64

from trm.config import require_divisible
from trm.data.augmentation.choice import augmenter_for
from trm.data.augmentation.rows import RowDraw
from trm.data.draws import below, hashed, shuffled
from trm.data.manifest import Manifest
from trm.data.split import Split
from trm.errors import DatasetError

_EPOCH, _FORM, _ORDER, _SLOT, _SUBSET = 0x45, 0x46, 0x4F, 0x53, 0x56


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows as the network takes them; label -100 is ignored by the loss."""

    inputs: Int32[np.ndarray, "batch cells"]
    labels: Int32[np.ndarray, "batch cells"]
    puzzle_identifiers: Int32[np.ndarray, "batch"]


@dataclass(frozen=True, eq=False)
class EvaluationBatch:
    """A batch, which example of the split each row is, and its augmentation (0: as stored; else an ARC code to invert)."""

    batch: Batch
    rows: Int64[np.ndarray, "batch"]
    augmentations: Int32[np.ndarray, "batch"]


@dataclass(frozen=True)
class Position:
    """Where a plan stands: before `step`, and at which visit (a group, counted over epochs) that step begins."""

    step: int
    visit: int


class TrainPlan:
    """Training batches of exactly the global size, endless, epoch after epoch without a seam.

    An epoch visits each group once in random order: a random augmentation of it, then its examples in random order, as many as
    the batch has room for (TRM.md). Row r of the global batch belongs to rank r // (global size / world size).
    """

    def __init__(
        self, split: Split, manifest: Manifest, *, global_batch_size: int, seed: int, rank: int = 0, world_size: int = 1
    ) -> None:
        if not len(split):
            raise DatasetError(f"training needs rows: split {split.name} of {manifest.name} has none", remedy="use another split")
        require_divisible(global_batch_size, world_size)
        self._split, self._seed, self._size = split, seed, global_batch_size
        local = global_batch_size // world_size
        self._local = slice(rank * local, (rank + 1) * local)
        self._augmenter = augmenter_for(split, manifest)
        self._sizes = np.diff(split.offsets)
        self._has_single_examples = bool((self._sizes == 1).all())
        self._anchor = self._latest = Position(0, 0)
        self._epochs: dict[int, np.ndarray] = {}

    def batch(self, step: int) -> Batch:
        """This rank's rows of the batch of `step` (from 0)."""
        position = self._find(step)
        draw, visits = self._draw(position)
        self._latest = Position(step + 1, position.visit + visits)
        inputs, labels = self._augmenter.train(draw[self._local])
        return Batch(inputs, labels, draw.puzzle_identifiers[self._local])

    def position(self) -> Position:
        """Where the next batch begins: after the one asked for last."""
        return self._latest

    def restore(self, position: Position) -> None:
        """Make the batches from `position` on cheap to reach; it must come from a plan over the same data, seed and size."""
        self._anchor = self._latest = position

    def _find(self, step: int) -> Position:
        """Where `step` begins; batches between the nearest known place and there are counted off, not made."""
        if self._has_single_examples:
            return Position(step, step * self._size)
        known = (self._latest, self._anchor, Position(0, 0))
        position = next(place for place in known if place.step <= step)
        while position.step < step:
            position = Position(position.step + 1, position.visit + len(self._groups(position.visit)))
        return position

    def _epoch(self, epoch: int) -> np.ndarray:
        if epoch not in self._epochs:
            self._epochs = {key: value for key, value in self._epochs.items() if key >= epoch - 1}
            self._epochs[epoch] = shuffled(len(self._sizes), self._seed, _EPOCH, epoch)
        return self._epochs[epoch]

    def _groups(self, visit: int) -> np.ndarray:
        """Groups visited by the batch that begins at `visit`, in order."""
        parts: list[np.ndarray] = []
        room = self._size
        while room > 0:
            epoch, start = divmod(visit, len(self._sizes))
            groups = self._epoch(epoch)[start : start + room]
            filled = np.cumsum(self._sizes[groups])
            groups = groups[: int(np.searchsorted(filled, room)) + 1]
            room -= int(filled[len(groups) - 1])
            visit += len(groups)
            parts.append(groups)
        visited: np.ndarray = np.concatenate(parts)
        return visited

    def _draw(self, position: Position) -> tuple[RowDraw, int]:
        """Rows of the whole global batch, and how many groups they visit."""
        groups = self._groups(position.visit)
        sizes = self._sizes[groups]
        visits = np.repeat(np.arange(len(groups)), sizes)
        rows = np.repeat(self._split.offsets[groups] - np.concatenate([[0], np.cumsum(sizes)[:-1]]), sizes) + np.arange(len(visits))
        if not self._has_single_examples:
            order = np.lexsort((hashed(self._seed, _ORDER, position.step, np.arange(len(visits))), visits))
            rows = rows[order]
        rows, visits = rows[: self._size], visits[: self._size]
        identifiers = self._identifiers(position, groups)[visits]
        return RowDraw(rows, identifiers, hashed(self._seed, _SLOT, position.step, np.arange(self._size))), len(groups)

    def _identifiers(self, position: Position, groups: np.ndarray) -> np.ndarray:
        """One identifier a visit, uniform over the group's."""
        starts = self._split.identifier_starts
        if starts is None:
            return np.zeros(len(groups), dtype=np.int32)
        puzzles = self._split.groups[self._split.offsets[groups]]
        bits = hashed(self._seed, _FORM, position.step, np.arange(len(groups)))
        identifiers: np.ndarray = starts[puzzles] + below(bits, starts[puzzles + 1] - starts[puzzles])
        return identifiers.astype(np.int32)


class EvaluationPlan:
    """Batches that score a split: each example once, or for ARC once under each augmentation of its task (votes).

    `max_examples` picks a fixed subset of the examples, a function of the seed; `max_augmentations` keeps that many
    augmentations of a task, the unaugmented one first. Ranks take turns row by row; the last batch may be short.
    """

    def __init__(
        self,
        split: Split,
        manifest: Manifest,
        *,
        batch_size: int,
        max_examples: int | None,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        max_augmentations: int | None = None,
    ) -> None:
        self._split, self._batch_size = split, batch_size
        self._augmenter = augmenter_for(split, manifest)
        self.examples = self._subset(max_examples, seed)
        rows, identifiers = self._passes(max_augmentations)
        self._rows, self._identifiers = rows[rank::world_size], identifiers[rank::world_size]

    @property
    def split(self) -> Split:
        """The split that is scored."""
        return self._split

    @property
    def num_rows(self) -> int:
        """Rows that this rank scores."""
        return len(self._rows)

    def __len__(self) -> int:
        return -(-len(self._rows) // self._batch_size)

    def __iter__(self) -> Iterator[EvaluationBatch]:
        for start in range(0, len(self._rows), self._batch_size):
            part = slice(start, start + self._batch_size)
            rows, identifiers = self._rows[part], self._identifiers[part]
            inputs, labels = self._augmenter.evaluate(RowDraw(rows, identifiers, np.zeros(len(rows), dtype=np.uint64)))
            codes = self._split.identifier_codes
            augmentations = np.zeros(len(rows), dtype=np.int32) if codes is None else codes[identifiers]
            yield EvaluationBatch(Batch(inputs, labels, identifiers), rows, augmentations)

    def _subset(self, max_examples: int | None, seed: int) -> np.ndarray:
        count = len(self._split)
        if max_examples is None or max_examples >= count:
            return np.arange(count)
        return np.sort(shuffled(count, seed, _SUBSET)[:max_examples])

    def _passes(self, max_augmentations: int | None) -> tuple[np.ndarray, np.ndarray]:
        starts = self._split.identifier_starts
        if starts is None:
            return self.examples, np.zeros(len(self.examples), dtype=np.int32)
        puzzles = self._split.groups[self.examples]
        counts = starts[puzzles + 1] - starts[puzzles]
        if max_augmentations is not None:
            counts = np.minimum(counts, max_augmentations)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.repeat(self.examples, counts), (np.repeat(starts[puzzles], counts) + within).astype(np.int32)
