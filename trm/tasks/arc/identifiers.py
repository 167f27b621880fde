"""Which augmentations of an ARC task are told apart by its pairs: sought by hashing, without making a grid."""

import hashlib
from functools import cache

import numpy as np
from jaxtyping import Int32, Int64, UInt64

from trm.console.long_work import Report, silent
from trm.data.batches.keyed_random import below, hashed, permutations
from trm.data.format.built import IdentifierTable
from trm.tasks.arc.augment import CANVAS, COLOURS, encode
from trm.tasks.arc.pairs import ArcTask, Pair
from trm.tasks.making.dihedral import IS_COLUMN_FLIPPED, IS_ROW_FLIPPED, IS_SWAPPED, SYMMETRIES

TRIES = 5
"""Tries for every augmentation wanted."""
_CELL, _COLOUR, _SHAPE, _SYMMETRY, _PERMUTATION = 1, 2, 3, 4, 5
_PLACE_WEIGHTS = hashed(_CELL, np.arange(CANVAS)[:, None], np.arange(CANVAS))
_SHAPE_HASHES = hashed(_SHAPE, np.arange(CANVAS + 1)[:, None], np.arange(CANVAS + 1))
_COLOUR_WEIGHTS = hashed(_COLOUR, np.arange(COLOURS))


def identifier_table(tasks: list[ArcTask], *, num_aug: int, seed: int, report: Report = silent) -> IdentifierTable:
    """Up to 1 + `num_aug` identifiers a task, the unaugmented one first.

    What is tried depends on the seed and the task's name alone, so a task keeps its augmentations whatever tasks are
    beside it, and a smaller `num_aug` finds the first of those that a larger one finds.
    """
    codes = []
    for done, task in enumerate(tasks, 1):
        codes.append(distinct_codes(task, num_aug=num_aug, seed=seed))
        report("augmented puzzles", done, len(tasks))
    starts = np.cumsum([1, *map(len, codes)]).astype(np.int64)
    return IdentifierTable(
        names=tuple(task.name for task in tasks),
        subsets=tuple(task.subset for task in tasks),
        starts=starts,
        codes=np.concatenate([np.zeros(1, dtype=np.int32), *codes]),
    )


def distinct_codes(task: ArcTask, *, num_aug: int, seed: int) -> Int32[np.ndarray, "identifiers"]:
    """Code 0, then the first `num_aug` tried augmentations that give the task another set of pairs than all before them."""
    key = int.from_bytes(hashlib.sha256(task.name.encode()).digest()[:8], "little")
    sums = colour_sums(task.demonstrations + task.tests)
    codes = np.zeros(1, dtype=np.int32)
    hashes = task_hashes(sums, np.zeros(1, dtype=np.int64), np.arange(COLOURS)[None])
    for round_ in range(TRIES):
        if len(codes) > num_aug:
            break
        tries = np.arange(num_aug * round_, num_aug * (round_ + 1))
        symmetries = below(hashed(seed, key, _SYMMETRY, tries), SYMMETRIES)
        colours = np.zeros((num_aug, COLOURS), dtype=np.int64)
        colours[:, 1:] = permutations(hashed(seed, key, _PERMUTATION, tries), COLOURS - 1, 0) + 1
        codes = np.concatenate([codes, encode(symmetries, colours)])
        hashes = np.concatenate([hashes, task_hashes(sums, symmetries, colours)])
        first = np.sort(np.unique(hashes, return_index=True)[1])
        codes, hashes = codes[first], hashes[first]
    return codes[: num_aug + 1]


def task_hashes(
    sums: UInt64[np.ndarray, "symmetries pairs 2 11"],
    symmetries: Int64[np.ndarray, "codes"],
    colours: Int64[np.ndarray, "codes 10"],
) -> UInt64[np.ndarray, "codes"]:
    """A hash of the task's set of pairs under each augmentation: equal sets give equal hashes."""
    grids = sums[symmetries]  # (codes, pairs, 2, 11)
    weights = _COLOUR_WEIGHTS[colours]
    total = grids[..., COLOURS] + (grids[..., :COLOURS] * weights[:, None, None, :]).sum(axis=3, dtype=np.uint64)
    pairs = hashed(total[:, :, 0], total[:, :, 1])
    summed: np.ndarray = pairs.sum(axis=1, dtype=np.uint64)
    return summed


def colour_sums(pairs: tuple[Pair, ...]) -> UInt64[np.ndarray, "symmetries pairs 2 11"]:
    """For each symmetry and grid, the sum of cell weights of each colour, and last a number for the shape.

    The hash of a grid is linear in its colours' weights, so one pass over the cells serves every permutation.
    """
    sums = np.zeros((SYMMETRIES, len(pairs), 2, COLOURS + 1), dtype=np.uint64)
    for pair, grids in enumerate(pairs):
        for side, grid in enumerate(grids):
            height, width = grid.shape
            is_colour = (grid.reshape(-1) == np.arange(COLOURS)[:, None]).astype(np.uint64)
            sums[:, pair, side, :COLOURS] = (is_colour @ _cell_weights(height, width)).T
            sums[:, pair, side, COLOURS] = np.where(IS_SWAPPED, _SHAPE_HASHES[width, height], _SHAPE_HASHES[height, width])
    return sums


@cache
def _cell_weights(height: int, width: int) -> UInt64[np.ndarray, "cells symmetries"]:
    """Weight of each cell of a grid under each symmetry: that of the place where it comes to lie."""
    rows, columns = np.arange(height)[:, None], np.arange(width)[None, :]
    weights = np.empty((height, width, SYMMETRIES), dtype=np.uint64)
    for symmetry in range(SYMMETRIES):
        down, right, tall, wide = (columns, rows, width, height) if IS_SWAPPED[symmetry] else (rows, columns, height, width)
        down = tall - 1 - down if IS_ROW_FLIPPED[symmetry] else down
        right = wide - 1 - right if IS_COLUMN_FLIPPED[symmetry] else right
        weights[:, :, symmetry] = _PLACE_WEIGHTS[down, right]
    return weights.reshape(height * width, SYMMETRIES)
