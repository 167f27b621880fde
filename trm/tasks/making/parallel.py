"""Compiled work over rows on all cores."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

Result = TypeVar("Result")
PARTS_A_CORE = 8
"""Enough to share out rows of unequal work."""


def by_parts(work: Callable[..., Result], *columns: np.ndarray) -> list[Result]:
    """`work` of parts of the columns, in row order; it should let go of the interpreter's lock while it works."""
    cores = len(os.sched_getaffinity(0))
    parts = max(1, min(cores * PARTS_A_CORE, len(columns[0])))
    with ThreadPoolExecutor(cores) as pool:
        return list(pool.map(work, *(np.array_split(column, parts) for column in columns)))
