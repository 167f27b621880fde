"""Remembers Sudoku puzzles and knows them again in any symmetric form."""

from functools import partial

import numpy as np
from jaxtyping import Bool, Int64, UInt8, UInt64

from trm.tasks.making.equal_rows import first_equal
from trm.tasks.making.parallel import by_parts
from trm.tasks.sudoku.symmetry import canonical_forms, invariants


def symmetry_groups(
    questions: UInt8[np.ndarray, "rows cells"], answers: UInt8[np.ndarray, "rows cells"], size: int
) -> Int64[np.ndarray, "rows"]:
    """Numbers from 0, in order of their first rows, equal for puzzles that are symmetric forms of each other."""
    if not len(questions):
        return np.zeros(0, dtype=np.int64)
    keys = np.concatenate(by_parts(partial(invariants, size=size), questions, answers))
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    first = np.arange(len(keys))
    doubtful = np.flatnonzero(counts[inverse] > 1)
    if len(doubtful):
        parts = by_parts(partial(canonical_forms, size=size), questions[doubtful], answers[doubtful])
        first[doubtful] = doubtful[first_equal(np.concatenate(parts))]
    return np.asarray(np.unique(first, return_inverse=True)[1], dtype=np.int64)


class SeenPuzzles:
    """A set of puzzles of one size up to the symmetries of Sudoku, for any number of them.

    Puzzles of different invariants are different; canonical forms, a thousand times dearer, are made only where they are equal.
    Boards are digits, 0 for blank, with their unique solutions.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._keys: UInt64[np.ndarray, "puzzles"] = np.zeros(0, dtype=np.uint64)
        self._places = np.zeros(0, dtype=np.int64)
        self._boards: list[np.ndarray] = []  # of the first puzzle of each key, in order of their places
        self._starts = [0]
        self._forms: dict[int, set[bytes]] = {}  # where canonical forms had to be made

    def is_known(
        self, questions: UInt8[np.ndarray, "rows cells"], answers: UInt8[np.ndarray, "rows cells"]
    ) -> Bool[np.ndarray, "rows"]:
        """Which puzzles are symmetric forms of a remembered one; none is remembered for that."""
        keys = self._keys_of(questions, answers)
        is_known = self._has(keys)
        rows = np.flatnonzero(is_known)
        for row, form in zip(rows, self._canonical(questions[rows], answers[rows]), strict=True):
            is_known[row] = form in self._forms_of(int(keys[row]))
        return is_known

    def is_new(
        self, questions: UInt8[np.ndarray, "rows cells"], answers: UInt8[np.ndarray, "rows cells"]
    ) -> Bool[np.ndarray, "rows"]:
        """Which puzzles are symmetric forms of no remembered one and of none above them; all are remembered."""
        keys = self._keys_of(questions, answers)
        firsts = np.unique(keys, return_index=True)[1]
        firsts = firsts[~self._has(keys[firsts])]
        self._remember(keys[firsts], np.stack([questions[firsts], answers[firsts]], axis=1))
        is_new = np.zeros(len(keys), dtype=bool)
        is_new[firsts] = True
        rows = np.flatnonzero(~is_new)
        for row, form in zip(rows, self._canonical(questions[rows], answers[rows]), strict=True):
            forms = self._forms_of(int(keys[row]))
            is_new[row] = form not in forms
            forms.add(form)
        return is_new

    def _keys_of(self, questions: np.ndarray, answers: np.ndarray) -> np.ndarray:
        return np.concatenate(by_parts(partial(invariants, size=self._size), questions, answers))

    def _canonical(self, questions: np.ndarray, answers: np.ndarray) -> list[bytes]:
        parts = by_parts(partial(canonical_forms, size=self._size), questions, answers)
        return [form.tobytes() for part in parts for form in part]

    def _has(self, keys: np.ndarray) -> np.ndarray:
        if not len(self._keys):
            return np.zeros(len(keys), dtype=bool)
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        has: np.ndarray = self._keys[at] == keys
        return has

    def _remember(self, keys: np.ndarray, boards: np.ndarray) -> None:
        """Sorted keys that are not yet there, with the puzzles that have them."""
        at = np.searchsorted(self._keys, keys)
        places = np.arange(self._starts[-1], self._starts[-1] + len(keys))
        self._keys, self._places = np.insert(self._keys, at, keys), np.insert(self._places, at, places)
        self._boards.append(boards)
        self._starts.append(self._starts[-1] + len(keys))

    def _forms_of(self, key: int) -> set[bytes]:
        """The canonical forms of the remembered puzzles with this key."""
        if key not in self._forms:
            place = int(self._places[np.searchsorted(self._keys, np.uint64(key))])
            part = int(np.searchsorted(self._starts, place, side="right")) - 1
            question, answer = self._boards[part][place - self._starts[part]]
            self._forms[key] = {canonical_forms(question[None], answer[None], self._size)[0].tobytes()}
        return self._forms[key]
