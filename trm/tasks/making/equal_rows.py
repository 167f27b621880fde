"""Rows that are equal, cell by cell."""

from typing import no_type_check

import numpy as np
from jaxtyping import Bool, Int64, Integer, UInt8

from trm.tasks.making.compiled import compiled


def equal_row(rows: UInt8[np.ndarray, "rows cells"], others: UInt8[np.ndarray, "others cells"]) -> Int64[np.ndarray, "rows"]:
    """For each row the number of an equal one among `others`, -1 where there is none."""
    if not len(rows) or not len(others):
        return np.full(len(rows), -1, dtype=np.int64)
    mine, theirs = _hashes(np.ascontiguousarray(rows)), _hashes(np.ascontiguousarray(others))
    order = np.argsort(theirs, kind="stable")
    found = order[np.minimum(np.searchsorted(theirs, mine, sorter=order), len(order) - 1)]
    maybe = np.flatnonzero(theirs[found] == mine)
    equal = np.full(len(rows), -1, dtype=np.int64)
    is_equal = (rows[maybe] == others[found[maybe]]).all(axis=1)
    equal[maybe[is_equal]] = found[maybe[is_equal]]
    return equal


def first_equal(rows: UInt8[np.ndarray, "rows cells"]) -> Int64[np.ndarray, "rows"]:
    """For each row the number of the first that is equal to it: its own, where none before it is."""
    first = np.arange(len(rows))
    if not len(rows):
        return first
    hashes = _hashes(np.ascontiguousarray(rows))
    order = np.argsort(hashes, kind="stable")
    begins = np.concatenate([[True], np.diff(hashes[order]) != 0])
    of_hash = order[np.flatnonzero(begins)][np.cumsum(begins) - 1]
    later = np.flatnonzero(~begins)
    is_equal = (rows[order[later]] == rows[of_hash[later]]).all(axis=1)
    first[order[later[is_equal]]] = of_hash[later[is_equal]]
    return first


def is_among(rows: UInt8[np.ndarray, "rows cells"], others: UInt8[np.ndarray, "others cells"]) -> Bool[np.ndarray, "rows"]:
    """Which rows are equal to one of the others."""
    return np.asarray(equal_row(rows, others) >= 0)


def beside(cells: UInt8[np.ndarray, "rows cells"], *numbers: Integer[np.ndarray, "rows"]) -> UInt8[np.ndarray, "rows more"]:
    """Cells with numbers of each row behind them, as bytes."""
    return np.concatenate([cells, *(column.astype("<i8").view(np.uint8).reshape(-1, 8) for column in numbers)], axis=1)


def contradictions(
    inputs: UInt8[np.ndarray, "rows cells"], labels: UInt8[np.ndarray, "rows cells"], identifiers: Integer[np.ndarray, "rows"]
) -> tuple[Bool[np.ndarray, "rows"], tuple[int, int] | None]:
    """Which rows have a question that another row answers otherwise under the same identifier, and the first two such rows."""
    first = first_equal(beside(inputs, identifiers))
    is_other = (labels != labels[first]).any(axis=1)
    if not is_other.any():
        return np.zeros(len(first), dtype=bool), None
    row = int(np.argmax(is_other))
    return np.isin(first, first[is_other]), (int(first[row]), row)


@compiled()
@no_type_check
def _hashes(rows: np.ndarray) -> np.ndarray:
    hashes = np.empty(len(rows), dtype=np.uint64)
    for row in range(len(rows)):
        bits = np.uint64(0xCBF29CE484222325)
        for cell in rows[row]:
            bits = (bits ^ np.uint64(cell)) * np.uint64(0x100000001B3)  # FNV-1a
        hashes[row] = bits
    return hashes
