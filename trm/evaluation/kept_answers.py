"""A few puzzles of an evaluation, solved and failed, with what was answered after every step: kept while it passes by."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trm.data.batches.augmenter import IGNORED
from trm.data.batches.keyed_random import hashed
from trm.data.batches.split import Split
from trm.data.format.manifest import Manifest
from trm.evaluation.answers_file import AnsweredBatch

MOST_CELLS = 1 << 19
"""Of all grids that are kept, so that the file stays below a few megabytes of text."""
MOST_KEPT = 32
"""Puzzles of each kind."""
_CHOICE = 0x4B455054
"""Keeps the choice apart from every other use of rows' numbers."""
FIRST_LETTER = ord("0")
"""Token 0 in a text of cells; the others follow, a letter each."""


def cells_text(cells: np.ndarray) -> str:
    """Tokens as a text, a letter each."""
    return "".join(chr(FIRST_LETTER + int(token)) for token in np.asarray(cells).reshape(-1))


@dataclass(eq=False)
class _Row:
    """What was answered to a row, step by step."""

    cells: list[np.ndarray] = field(default_factory=list)
    halting: list[float] = field(default_factory=list)
    is_exact: bool = False


class AnswerKeeper:
    """Takes batches as they are answered after each step; which rows stay is a function of their numbers and of who solved them.

    Of ARC's forms only a task as it stands is kept.
    """

    def __init__(self, split: Split, steps: int) -> None:
        self._split = split
        self._most = max(1, min(MOST_KEPT, MOST_CELLS // (2 * int(split.inputs.shape[1]) * (steps + 2))))
        self._open: dict[int, _Row] = {}
        self._kept: dict[bool, dict[int, _Row]] = {True: {}, False: {}}
        self._batch: object = None
        self.seen = {True: 0, False: 0}
        """Rows that were solved, and those that were not."""

    def __call__(self, answered: AnsweredBatch) -> None:
        """Takes the answers of a batch after one step; its later steps follow before another batch comes."""
        if answered.batch is not self._batch:
            self._close()
            self._batch = answered.batch
        halting = 1 / (1 + np.exp(-np.clip(answered.halting_logits, -700, 700)))
        labels = answered.batch.batch.labels
        for place in np.flatnonzero(answered.batch.augmentations == 0):
            number = int(answered.batch.rows[place])
            row = self._open.setdefault(number, _Row())
            row.cells.append(np.where(labels[place] == IGNORED, self._split.labels[number], answered.cells[place]).astype(np.uint8))
            row.halting.append(float(halting[place]))
            row.is_exact = bool(answered.columns["is_exact"][place])

    def _close(self) -> None:
        for number, row in self._open.items():
            kept = self._kept[row.is_exact]
            self.seen[row.is_exact] += 1
            kept[number] = row
            if len(kept) > self._most:
                del kept[max(kept, key=lambda one: int(hashed(_CHOICE, one)[0]))]
        self._open = {}

    def values(self, manifest: Manifest, names: Sequence[str] | None = None, train: Split | None = None) -> dict[str, Any]:
        """JSON: what reading the puzzles takes, how they were chosen, and each with its answers.

        `names` are the puzzles' by their numbers; with `train` each has the rows of its group that are trained on.
        """
        self._close()
        rows = sorted((number, row) for kept in self._kept.values() for number, row in kept.items())
        return {
            "task": manifest.task,
            "data": manifest.name,
            "content_hash": manifest.content_hash,
            "split": self._split.name,
            "grid": list(manifest.grid),
            "vocabulary": list(manifest.vocabulary),
            "solved": self.seen[True],
            "failed": self.seen[False],
            "puzzles": [self._values(number, row, names) | self._demonstrations(number, train) for number, row in rows],
        }

    def _values(self, number: int, row: _Row, names: Sequence[str] | None) -> dict[str, Any]:
        split = self._split
        group = int(split.groups[number])
        return {
            "row": number,
            "puzzle": int(split.clusters[number]),
            "name": None if names is None else names[group],
            "pair": int(split.extras["pair"][number]) + 1 if "pair" in split.extras else None,
            "question": cells_text(split.inputs[number]),
            "right": cells_text(split.labels[number]),
            "is_exact": row.is_exact,
            "halting": [round(share, 5) for share in row.halting],
            "steps": [cells_text(cells) for cells in row.cells],
        }

    def _demonstrations(self, number: int, train: Split | None) -> dict[str, Any]:
        """The pairs of the row's group in the training split, as they stand; nothing where it is not given."""
        if train is None:
            return {}
        rows = np.flatnonzero(train.groups == self._split.groups[number])
        if train.puzzles is not None and len(rows):
            rows = rows[train.puzzles[rows] == train.puzzles[rows[0]]]  # the first of its stored forms
        return {"demonstrations": [[cells_text(grids[row]) for grids in (train.inputs, train.labels)] for row in rows.tolist()]}
