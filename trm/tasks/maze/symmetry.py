"""Which mazes are one maze turned or mirrored."""

import hashlib

import numpy as np
from jaxtyping import UInt8

from trm.tasks.making.dihedral import source_cells

ROWS_AT_ONCE = 1024


def symmetry_classes(inputs: UInt8[np.ndarray, "mazes cells"], side: int) -> list[bytes]:
    """For every maze a digest of the least of its eight forms: equal for two mazes that are one maze turned or mirrored."""
    sources = source_cells(side)
    classes = []
    for start in range(0, len(inputs), ROWS_AT_ONCE):
        forms = np.ascontiguousarray(inputs[start : start + ROWS_AT_ONCE, sources])  # (mazes, 8, cells)
        least = (min(form.tobytes() for form in eight) for eight in forms)
        classes += [hashlib.blake2b(form, digest_size=16).digest() for form in least]
    return classes
