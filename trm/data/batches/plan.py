"""The batch plan: which rows a batch takes, as a function of seed and step, the same on one worker or eight."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Int32, Int64

from trm.config.training import require_divisible
from trm.data.batches.augmenter import AugmenterFor, RowDraw
from trm.data.batches.difficulty import Answers, WeightedVisits
from trm.data.batches.keyed_random import hashed, shuffled
from trm.data.batches.split import PAIR_ROW, Split
from trm.data.batches.visits import Visits
from trm.data.format.manifest import Manifest
from trm.errors import CheckpointError, DatasetError

_ORDER, _SLOT, _SUBSET, _VOTES = 0x4F, 0x53, 0x56, 0x57

AHEAD_CELLS = 1 << 15
"""As many cells are made at once: small batches are made several together, for the work of a call costs more than theirs."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows as the network takes them; label -100 is ignored by the loss."""

    inputs: Int32[np.ndarray, "batch cells"]
    labels: Int32[np.ndarray, "batch cells"]
    puzzle_identifiers: Int32[np.ndarray, "batch"]
    groups: Int32[np.ndarray, "batch"] | None = None
    """Each row's base puzzle, counted in the split's order, where its answers are told (`data.difficulty`)."""


@dataclass(frozen=True, eq=False)
class EvaluationBatch:
    """A batch, the example of the split that each row is a form of, and its augmentation (0: as stored; else an ARC code).

    An example is a row of the split: the row itself, or where ARC's forms are stored the one of them without augmentation.
    """

    batch: Batch
    rows: Int64[np.ndarray, "batch"]
    augmentations: Int32[np.ndarray, "batch"]


@dataclass(frozen=True)
class Position:
    """Where a plan stands: before `step`, and at which visit (a group, counted over epochs) that step begins."""

    step: int
    visit: int
    order: str = ""
    """Digest of what a stream's order hangs on beside its seed, of which a visit is a row; empty for a resident split."""


class TrainPlan:
    """Training batches of exactly the global size, endless, epoch after epoch without a seam.

    An epoch visits each group once in random order: a random augmentation or stored form of it, then that puzzle's examples in
    random order, as many as the batch has room for (TRM.md; `trm.data.batches.visits`). Row r of the global batch belongs to rank
    r // (global size / world size).
    """

    def __init__(
        self,
        split: Split,
        manifest: Manifest,
        augmenter_for: AugmenterFor,
        *,
        global_batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        answers: Answers | None = None,
    ) -> None:
        """`answers`: what decides how often each puzzle is visited; None: each once an epoch."""
        if not len(split):
            raise DatasetError(f"training needs rows: split {split.name} of {manifest.name} has none", remedy="use another split")
        require_divisible(global_batch_size, world_size)
        self._split, self._seed, self._size = split, seed, global_batch_size
        local = global_batch_size // world_size
        self._local = slice(rank * local, (rank + 1) * local)
        self._augmenter = augmenter_for(split, manifest)
        self._is_weighed = answers is not None
        self._visits = (
            Visits(split, manifest, seed=seed)
            if answers is None
            else WeightedVisits(split, manifest, answers, seed=seed, global_batch_size=global_batch_size)
        )
        self._anchor = self._latest = Position(0, 0)
        self._most_together = max(1, AHEAD_CELLS // (local * split.inputs.shape[1]))
        if answers is not None:
            self._most_together = min(self._most_together, answers.steps // 2)
        self._together = 0
        self._made: dict[int, tuple[Batch, Position]] = {}

    def batch(self, step: int) -> Batch:
        """This rank's rows of the batch of `step` (from 0)."""
        if step not in self._made:
            goes_on = step - 1 in self._made
            self._together = min(2 * self._together, self._most_together) if goes_on else 1  # who jumps about wants one
            self._made = self._make(self._find(step))
        batch, self._latest = self._made[step]
        return batch

    def _make(self, position: Position) -> dict[int, tuple[Batch, Position]]:
        """The batches from `position` on that are made together, by their steps, and where each ends."""
        draws, ends = [], []
        for _ in range(self._together):
            draw, visits = self._draw(position)
            position = Position(position.step + 1, position.visit + visits)
            draws.append(draw[self._local])
            ends.append(position)
        joined = RowDraw(*(np.concatenate([getattr(draw, part.name) for draw in draws]) for part in fields(RowDraw)))
        inputs, labels = (np.split(cells, len(draws)) for cells in self._augmenter.train(joined))
        groups = [self._groups_of(draw.rows) for draw in draws]
        batches = [Batch(*part) for part in zip(inputs, labels, [draw.puzzle_identifiers for draw in draws], groups, strict=True)]
        return {end.step - 1: (batch, end) for batch, end in zip(batches, ends, strict=True)}

    def _groups_of(self, rows: np.ndarray) -> np.ndarray | None:
        if not self._is_weighed:
            return None
        return (np.searchsorted(self._split.offsets, rows, side="right") - 1).astype(np.int32)

    def position(self) -> Position:
        """Where the next batch begins: after the one asked for last."""
        return self._latest

    def restore(self, position: Position) -> None:
        """Make the batches from `position` on cheap to reach; it must come from a plan over the same data, seed and size.

        CheckpointError when it comes from a stream, whose rows have another order.
        """
        if position.order:
            raise CheckpointError("the checkpoint's place is in a stream of its data", remedy="set data.mode to 'stream'")
        self._anchor = self._latest = position

    def _find(self, step: int) -> Position:
        """Where `step` begins; batches between the nearest known place and there are counted off, not made."""
        if self._visits.has_single_examples:
            return Position(step, step * self._size)
        known = (self._latest, self._anchor, Position(0, 0))
        position = next(place for place in known if place.step <= step)
        while position.step < step:
            self._visits.at(position.step, position.visit)
            puzzles, _ = self._visits.filling(position.visit, self._size)
            position = Position(position.step + 1, position.visit + len(puzzles))
        return position

    def _draw(self, position: Position) -> tuple[RowDraw, int]:
        """Rows of the whole global batch, and how many visits they take."""
        self._visits.at(position.step, position.visit)
        puzzles, sizes = self._visits.filling(position.visit, self._size)
        visits = np.repeat(np.arange(len(puzzles)), sizes)
        firsts = self._split.puzzle_offsets[puzzles] - np.concatenate([[0], np.cumsum(sizes)[:-1]])
        rows = np.repeat(firsts, sizes) + np.arange(len(visits))
        if not self._visits.has_single_examples:
            order = np.lexsort((hashed(self._seed, _ORDER, position.step, np.arange(len(visits))), visits))
            rows = rows[order]
        rows, visits = rows[: self._size], visits[: self._size]
        identifiers = self._visits.identifiers(position.visit, puzzles)[visits]
        return RowDraw(rows, identifiers, hashed(self._seed, _SLOT, position.step, np.arange(self._size))), len(puzzles)


class EvaluationPlan:
    """Batches that score a split: each example once, or for ARC once under each augmentation of its task (votes).

    `max_examples` picks a fixed subset of the examples, a function of the seed; `max_augmentations` keeps that many
    augmentations of a task, a function of the seed too: the unaugmented one, and others of which more always add to fewer.
    Ranks take turns row by row; the last batch may be short.
    """

    def __init__(
        self,
        split: Split,
        manifest: Manifest,
        augmenter_for: AugmenterFor,
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
        self._example_of = split.extras.get(PAIR_ROW)
        self.examples = self._subset(max_examples, seed)
        rows, identifiers = self._passes()
        if max_augmentations is not None:
            kept = self.first_votes(rows, identifiers, max_augmentations, seed)
            rows, identifiers = rows[kept], identifiers[kept]
        self._rows, self._identifiers = rows[rank::world_size], identifiers[rank::world_size]

    def part(self, number: int, count: int) -> "EvaluationPlan":
        """One of `count` runs of whole batches that make up this plan, in order: each batch is the very one that it is here."""
        part, batches, size = copy.copy(self), len(self), self._batch_size
        rows = slice(batches * number // count * size, batches * (number + 1) // count * size)
        part._rows, part._identifiers = self._rows[rows], self._identifiers[rows]
        return part

    def first_batch(self) -> "EvaluationPlan":
        """The first batch alone, and its examples."""
        part = self.part(0, len(self))
        asked = part._rows if self._example_of is None else self._example_of[part._rows]
        part.examples = np.unique(asked).astype(self.examples.dtype)
        return part

    def in_batches_of(self, rows: int) -> "EvaluationPlan":
        """The same rows in batches of another size."""
        part = copy.copy(self)
        part._batch_size = rows
        return part

    @property
    def split(self) -> Split:
        """The split that is scored."""
        return self._split

    @property
    def passes(self) -> tuple[Int64[np.ndarray, " passes"], Int32[np.ndarray, " passes"]]:
        """The rows that this rank scores, and the identifier of each."""
        return self._rows, self._identifiers

    @property
    def batch_size(self) -> int:
        """Rows of every batch but the last."""
        return self._batch_size

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
            examples = rows if self._example_of is None else self._example_of[rows].astype(np.int64)
            yield EvaluationBatch(Batch(inputs, labels, identifiers), examples, augmentations)

    def _subset(self, max_examples: int | None, seed: int) -> np.ndarray:
        count = len(self._split)
        examples: np.ndarray = np.arange(count)
        if self._example_of is not None:
            examples = np.flatnonzero(self._example_of == examples)
        if max_examples is None or max_examples >= len(examples):
            return examples
        chosen: np.ndarray = examples[np.sort(shuffled(len(examples), seed, _SUBSET)[:max_examples])]
        return chosen

    def first_votes(self, rows: np.ndarray, identifiers: np.ndarray, most: int, seed: int) -> np.ndarray:
        """Which of these passes are among the first `most` of their example: the unaugmented one, then the others in the seed's
        order."""
        examples = rows if self._example_of is None else self._example_of[rows]
        keys = hashed(seed, _VOTES, identifiers) >> np.uint64(1)
        codes = self._split.identifier_codes
        keys[rows != examples if codes is None else codes[identifiers] != 0] |= np.uint64(1 << 63)
        order = np.lexsort((keys, examples))
        ordered = examples[order]
        firsts = np.flatnonzero(np.concatenate([[True], np.diff(ordered) != 0]))
        within = np.arange(len(ordered)) - np.repeat(firsts, np.diff(np.append(firsts, len(ordered))))
        kept: np.ndarray = np.sort(order[within < most])
        return kept

    def _passes(self) -> tuple[np.ndarray, np.ndarray]:
        """The rows to score and the identifier of each, the forms of an example one after the other."""
        rows, starts = self._forms(), self._split.identifier_starts
        stored = self._split.puzzle_identifiers
        if starts is None:
            return rows, np.zeros(len(rows), dtype=np.int32) if stored is None else stored[rows]
        groups = self._split.groups[rows]
        counts = starts[groups + 1] - starts[groups]
        firsts = starts[groups]
        if stored is not None:
            is_stored = stored[rows] >= 0
            counts, firsts = np.where(is_stored, 1, counts), np.where(is_stored, stored[rows], firsts)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.repeat(rows, counts), (np.repeat(firsts, counts) + within).astype(np.int32)

    def _forms(self) -> np.ndarray:
        """The stored rows that are forms of the examples, each example's in order of their rows."""
        if self._example_of is None:
            return self.examples
        order = np.argsort(self._example_of, kind="stable")
        of_row = self._example_of[order]
        firsts = np.searchsorted(of_row, self.examples)
        counts = np.searchsorted(of_row, self.examples, side="right") - firsts
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        rows: np.ndarray = order[np.repeat(firsts, counts) + within]
        return rows
