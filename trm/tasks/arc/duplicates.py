"""Pairs of different ARC tasks that are forms of each other: what one split gives away of another."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt64

from trm.data.batches.keyed_random import hashed
from trm.tasks.arc.augment import COLOURS
from trm.tasks.arc.identifiers import colour_sums
from trm.tasks.arc.pairs import Pair

Dealt = list[list[int]]
"""For each task the numbers of its pairs that a split has."""


def forms(pairs: tuple[Pair, ...]) -> UInt64[np.ndarray, "pairs"]:
    """A number for each pair, equal for pairs that one of the eight symmetries and a permutation of colours 1 to 9 make equal.

    Under a symmetry, the places of each colour in question and answer are one number; unordered, they know no colour's name.
    """
    sums = colour_sums(pairs)
    questions, answers = sums[:, :, 0], sums[:, :, 1]
    unordered = hashed(questions[..., 1:COLOURS], answers[..., 1:COLOURS]).sum(axis=2, dtype=np.uint64)
    shapes = hashed(questions[..., COLOURS], answers[..., COLOURS])
    smallest: np.ndarray = hashed(questions[..., 0], answers[..., 0], shapes, unordered).min(axis=0)
    return smallest


def without_duplicates(dealt: Dealt, others: Sequence[Dealt], forms_of: Sequence[UInt64[np.ndarray, "_"]]) -> Dealt:
    """The pairs `dealt` that are no form of a pair that another task has in one of the `others`."""
    owners: dict[int, set[int]] = defaultdict(set)
    for other in others:
        for task, numbers in enumerate(other):
            for number in numbers:
                owners[int(forms_of[task][number])].add(task)
    return [[number for number in numbers if owners[int(forms_of[task][number])] <= {task}] for task, numbers in enumerate(dealt)]
