"""Arrays that may be larger than memory: big ones live in a temporary file that goes when they go."""

import math
import tempfile
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Shaped

IN_MEMORY_BYTES = 1 << 28
"""Smaller arrays stay in memory."""
CHUNK_ROWS = 1 << 13


def room(shape: tuple[int, ...], kind: type | np.dtype = np.uint8) -> Shaped[np.ndarray, "..."]:
    """An array to fill."""
    kind = np.dtype(kind)
    if math.prod(shape) * kind.itemsize <= IN_MEMORY_BYTES:
        return np.empty(shape, dtype=kind)
    with tempfile.TemporaryFile(prefix="trm-rows-") as file:
        return np.memmap(file, dtype=kind, mode="w+", shape=shape)


def chunks(rows: int) -> Iterator[slice]:
    """Slices of at most `CHUNK_ROWS` that cover so many rows."""
    for start in range(0, rows, CHUNK_ROWS):
        yield slice(start, min(start + CHUNK_ROWS, rows))


def joined(parts: Sequence[Shaped[np.ndarray, "..."]]) -> Shaped[np.ndarray, "..."]:
    """The arrays one after the other; one alone as it is."""
    if len(parts) == 1:
        return parts[0]
    whole = room((sum(map(len, parts)), *parts[0].shape[1:]), parts[0].dtype)
    start = 0
    for part in parts:
        for chunk in chunks(len(part)):
            whole[start + chunk.start : start + chunk.stop] = part[chunk]
        start += len(part)
    return whole


def taken(array: Shaped[np.ndarray, "..."], rows: np.ndarray, kind: type | np.dtype) -> Shaped[np.ndarray, "..."]:
    """`array[rows]` as another type; the array itself when that is the same."""
    if array.dtype == kind and len(rows) == len(array) and (not len(rows) or (rows[0] == 0 and (np.diff(rows) == 1).all())):
        return array
    whole = room((len(rows), *array.shape[1:]), kind)
    for chunk in chunks(len(rows)):
        whole[chunk] = array[rows[chunk]]
    return whole
