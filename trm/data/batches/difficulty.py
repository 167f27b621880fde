"""Visits by difficulty: a window of steps visits puzzles that were answered wrongly more often.

A window is at least an epoch long, and is planned from what was answered before the window before it began, so that nobody waits
for the device. Within it chunks of as many visits as there are groups follow each other: in each a group has its share of the
weights, rounded down or up, so that without answers each comes exactly once.
"""

import math
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64, Integer

from trm.config.data import Difficulty
from trm.data.batches.keyed_random import hashed, shuffled
from trm.data.batches.split import Split
from trm.data.batches.visits import Visits
from trm.data.format.manifest import Manifest

_SHARE, _ORDER = 0x4458, 0x444F
LEAST_STEPS = 32
"""Of a window: twice as many as an accelerator's host runs ahead."""
UNIT = 1 << 16
"""A weight of 1 as whole numbers have it: sums are exact, and the same on every machine."""


def window_steps(epoch_rows: float, global_batch_size: int) -> int:
    """Steps that are planned from the same answers."""
    return max(LEAST_STEPS, math.ceil(epoch_rows / global_batch_size))


def group_weights(
    seen: Integer[np.ndarray, "groups"], right: Integer[np.ndarray, "groups"], difficulty: Difficulty
) -> Int64[np.ndarray, "groups"]:
    """Weight of each group in units of 1 / `UNIT`: floor + (1 - right / (seen + 1)) ** strength."""
    wrong = 1 - right / (seen + 1)
    weights: np.ndarray = np.rint(UNIT * (difficulty.floor + wrong**difficulty.strength)).astype(np.int64)
    return weights


def drawn_groups(weights: Int64[np.ndarray, "groups"], *keys: int) -> Int64[np.ndarray, "groups"]:
    """As many visits as there are groups, each group's count its share of the weights rounded down or up, in random order."""
    count, total = len(weights), int(weights.sum())
    first = int(hashed(*keys, _SHARE)[0]) % total
    points = first + np.arange(count) * total  # each group owns as many of them, count apart, as its weight covers
    groups: np.ndarray = np.searchsorted(np.cumsum(weights) * count, points, side="right")
    in_order: np.ndarray = groups[shuffled(count, *keys, _ORDER)]
    return in_order.astype(np.int64)


@runtime_checkable
class Answers(Protocol):
    """What training knows of its puzzles when it plans a window."""

    steps: int
    """Steps of a window."""
    starts: dict[int, int]
    """Window -> the visit that it begins with, of those that are planned or being trained."""

    def weights(self, window: int) -> Int64[np.ndarray, "groups"]:
        """Of each group, by what was answered before the window before this one began."""


class WeightedVisits(Visits):
    """A walk over groups whose windows of steps visit each by its weight."""

    def __init__(self, split: Split, manifest: Manifest, answers: Answers, *, seed: int, global_batch_size: int) -> None:
        """Visits for batches of so many rows, of a data set without parts."""
        super().__init__(split, manifest, seed=seed)
        self._answers, self._batch = answers, global_batch_size
        self._window, self._weights = -1, np.empty(0, dtype=np.int64)

    def at(self, step: int, visit: int) -> None:
        """What comes next is asked for the batch of `step`, which begins with `visit`."""
        window, within = divmod(step, self._answers.steps)
        starts = self._answers.starts
        if window not in starts:
            assert within == 0 or self.has_single_examples, "a window is entered at its first step, or restored"
            starts[window] = visit - within * self._batch
        if window != self._window:
            self._window, self._weights, self._epochs = window, self._answers.weights(window), {}

    def _groups(self, visit: int, count: int) -> np.ndarray:
        first = visit - self._answers.starts[self._window]
        return self._walk(0, np.arange(first, first + count))

    def _epoch(self, part: int, epoch: int) -> np.ndarray:
        key = part, epoch
        if key not in self._epochs:
            self._epochs = {known: order for known, order in self._epochs.items() if known[1] >= epoch - 1}
            self._epochs[key] = drawn_groups(self._weights, self._seed, self._window, epoch)
        return self._epochs[key]
