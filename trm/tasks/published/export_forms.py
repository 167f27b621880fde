"""Which puzzles an exported split holds, and their rows: augmentations that are made on the fly are written out."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from trm.data.batches.augmenter import RowDraw
from trm.data.batches.keyed_random import hashed
from trm.data.batches.split import Split
from trm.data.format.manifest import ArcAugmentation, Augmentation, Manifest, NoAugmentation, PartInfo
from trm.tasks.augment import augmenter_for
from trm.tasks.choice import task_named

_TRANSLATION = 0x5854


@dataclass(frozen=True, eq=False)
class Layout:
    """The puzzles of an exported split in order, each a form of a stored one."""

    split: Split
    puzzles: Int64[np.ndarray, "exported"]
    """The stored puzzle behind each."""
    forms: Int64[np.ndarray, "exported"]
    """Which of the puzzle's forms it is; 0: as it is stored."""
    identifiers: Int64[np.ndarray, "exported"]
    """Its identifier in the data set."""

    @cached_property
    def puzzle_indices(self) -> Int64[np.ndarray, "exported_and_one"]:
        """Where each puzzle's rows begin."""
        return np.concatenate([[0], np.cumsum(np.diff(self.split.puzzle_offsets)[self.puzzles])]).astype(np.int64)

    @cached_property
    def group_indices(self) -> Int64[np.ndarray, "groups_and_one"]:
        """Where each group's puzzles begin."""
        return np.searchsorted(self.puzzles, self.split.group_puzzles).astype(np.int64)

    def rows(self, first: int, last: int) -> tuple[Int64[np.ndarray, "rows"], Int64[np.ndarray, "rows"]]:
        """For the rows of the exported puzzles `first` .. `last`: the stored row, and the exported puzzle."""
        sizes = np.diff(self.puzzle_indices[first : last + 1])
        exported = np.repeat(np.arange(first, last), sizes)
        within = np.arange(self.puzzle_indices[first], self.puzzle_indices[last]) - self.puzzle_indices[exported]
        return self.split.puzzle_offsets[self.puzzles[exported]] + within, exported


def layout_of(split: Split, manifest: Manifest, num_aug: int | None, *, is_trained: bool) -> Layout:
    """Every form of every puzzle, a puzzle's own form first: ARC's identifiers, and training forms of Sudoku.

    `num_aug` is how many forms there are at most besides a puzzle's own; None: as many as the data set says.
    """
    firsts = split.puzzle_offsets[:-1]
    groups, starts = split.groups[firsts], split.identifier_starts
    counts = np.ones(len(firsts), dtype=np.int64)
    identifiers = np.zeros(len(firsts), dtype=np.int64)
    if split.puzzle_identifiers is not None:
        identifiers = split.puzzle_identifiers[firsts].astype(np.int64)
    is_drawn = is_from_table(split)[firsts]
    if starts is not None:
        most = np.iinfo(np.int64).max if num_aug is None else num_aug + 1
        identifiers = np.where(is_drawn, starts[groups], identifiers)
        counts = np.where(is_drawn, np.minimum(starts[groups + 1] - starts[groups], most), counts)
    if is_trained:
        for low, high, augmentation in parts_of(manifest):
            if added := task_named(manifest.task).arrays.added_forms(augmentation, num_aug):
                counts[(groups >= low) & (groups < high)] = 1 + added
    puzzles = np.repeat(np.arange(len(firsts)), counts)
    forms = np.arange(len(puzzles)) - np.repeat(np.cumsum(counts) - counts, counts)
    return Layout(split, puzzles, forms, identifiers[puzzles] + np.where(is_drawn[puzzles], forms, 0))


def is_from_table(split: Split) -> Bool[np.ndarray, "rows"]:
    """Which rows are seen under all identifiers of their group in the identifier table."""
    if split.identifier_starts is None:
        return np.zeros(len(split), dtype=bool)
    return np.ones(len(split), dtype=bool) if split.puzzle_identifiers is None else np.asarray(split.puzzle_identifiers < 0)


def parts_of(manifest: Manifest) -> list[tuple[int, int, Augmentation]]:
    """First and last group (excluded) of each part, and its augmentation."""
    everything = PartInfo(name=manifest.name, groups=(0, 1 << 31), augmentation=manifest.augmentation)
    return [(*part.groups, part.augmentation) for part in manifest.parts or (everything,)]


class FormRows:
    """Makes the rows of exported puzzles."""

    def __init__(self, layout: Layout, manifest: Manifest, *, is_trained: bool) -> None:
        self._layout, self._manifest, self._is_trained = layout, manifest, is_trained
        plain = manifest.model_copy(
            update={
                "augmentation": _arc_only(manifest.augmentation),
                "parts": tuple(part.model_copy(update={"augmentation": _arc_only(part.augmentation)}) for part in manifest.parts),
            }
        )
        self._augmenter = augmenter_for(layout.split, plain)

    def make(self, first: int, last: int) -> tuple[UInt8[np.ndarray, "rows cells"], UInt8[np.ndarray, "rows cells"]]:
        """Questions and labels of the exported puzzles `first` .. `last`, translated as the reference's builder does."""
        rows, exported = self._layout.rows(first, last)
        numbers = np.arange(self._layout.puzzle_indices[first], self._layout.puzzle_indices[last])
        keys = hashed(self._manifest.seed, _TRANSLATION, numbers)
        draw = RowDraw(rows, self._layout.identifiers[exported].astype(np.int32), keys)
        grids = self._augmenter.train(draw) if self._is_trained else self._augmenter.evaluate(draw)
        inputs, labels = (np.maximum(cells, 0).astype(np.uint8) for cells in grids)
        forms = self._layout.forms[exported]
        if self._is_trained:
            groups = self._layout.split.groups[rows].astype(np.int64)
            inputs, labels = task_named(self._manifest.task).arrays.in_forms(inputs, labels, groups, forms, self._manifest)
        return inputs, labels


def _arc_only(augmentation: Augmentation) -> Augmentation:
    return augmentation if isinstance(augmentation, ArcAugmentation) else NoAugmentation()
