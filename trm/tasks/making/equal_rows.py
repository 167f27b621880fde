"""Rows that are equal, cell by cell."""

from typing import no_type_check

import numpy as np
from jaxtyping import Int64, UInt8

from trm.tasks.making.compiled import compiled


def twins(rows: UInt8[np.ndarray, "rows cells"], others: UInt8[np.ndarray, "others cells"]) -> Int64[np.ndarray, "rows"]:
    """For each row the number of an equal one among `others`, -1 where there is none."""
    if not len(rows) or not len(others):
        return np.full(len(rows), -1, dtype=np.int64)
    mine, theirs = _hashes(np.ascontiguousarray(rows)), _hashes(np.ascontiguousarray(others))
    order = np.argsort(theirs, kind="stable")
    found = order[np.minimum(np.searchsorted(theirs, mine, sorter=order), len(order) - 1)]
    maybe = np.flatnonzero(theirs[found] == mine)
    twin = np.full(len(rows), -1, dtype=np.int64)
    is_equal = (rows[maybe] == others[found[maybe]]).all(axis=1)
    twin[maybe[is_equal]] = found[maybe[is_equal]]
    return twin


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
