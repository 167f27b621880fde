"""ARC in the reference's arrays: the augmentation behind each identifier, the forms of one pair, and grids off the corner."""

import re
from itertools import groupby

import numpy as np
from jaxtyping import Bool, Int8, Int64, Integer, UInt8

from trm.data.batches.keyed_random import hashed
from trm.data.format.built import IdentifierTable
from trm.errors import DatasetError
from trm.tasks.arc.augment import CANVAS, FIRST_COLOUR, SEPARATOR, encode, invert, move, untranslate
from trm.tasks.making.large_arrays import chunks

BLANK_NAME = "<blank>"
_AUGMENTED = re.compile(r"(.*)\|\|\|t([0-7])\|\|\|(0[1-9]{9})", re.DOTALL)
Cornered = tuple[UInt8[np.ndarray, "rows 900"], UInt8[np.ndarray, "rows 900"], Int8[np.ndarray, "rows"], Int8[np.ndarray, "rows"]]
"""Questions and labels in the corner, and how far down and right they were."""
_REMEDY = "make the folder again with the published ARC builder, or set puzzle: other"


def identifier_table_of(names: list[str], where: str) -> IdentifierTable:
    """The table behind `identifiers.json`: consecutive names of one task are its identifiers, the unaugmented one first.

    Unused identifiers, named `<blank>`, become a base puzzle without rows. Raises DatasetError naming the entry that does not fit.
    """
    parsed = [_parsed(name, f"{where} entry {number}") for number, name in enumerate(names)]
    runs = [(base, len(list(run))) for base, run in groupby(parsed[1:], key=lambda entry: entry[0])]
    bases = tuple(base for base, _ in runs)
    starts = np.cumsum([1, *(count for _, count in runs)]).astype(np.int64)
    symmetries = np.array([symmetry for _, symmetry, _ in parsed], dtype=np.int64)
    permutations = np.array([list(permutation) for *_, permutation in parsed], dtype="U1").astype(np.int64)
    codes = encode(symmetries, permutations)
    seen: set[str] = set()
    for base, start in zip(bases, starts[:-1].tolist(), strict=True):
        if base in seen and base != BLANK_NAME:
            raise DatasetError(
                f"the identifiers of a task must follow each other: {where} entry {start} is {base} again", remedy=_REMEDY
            )
        seen.add(base)
        if codes[start] != 0:
            raise DatasetError(
                f"the first identifier of a task must be the unaugmented one: {where} entry {start} is {names[start]}",
                remedy=_REMEDY,
            )
    return IdentifierTable(bases, ("",) * len(bases), starts, codes)


def _parsed(name: str, where: str) -> tuple[str, int, str]:
    """Task, symmetry and colours of an identifier's name."""
    if SEPARATOR not in name:
        return name, 0, "0123456789"
    match = _AUGMENTED.fullmatch(name)
    if match is None or len(set(match[3])) != len(match[3]):
        raise DatasetError(f"an augmentation's name must be NAME|||tK|||PERMUTATION: {where} is {name!r}", remedy=_REMEDY)
    return match[1], int(match[2]), match[3]


def pair_rows(
    inputs: UInt8[np.ndarray, "rows 900"],
    labels: UInt8[np.ndarray, "rows 900"],
    codes: Integer[np.ndarray, "rows"],
    groups: Integer[np.ndarray, "rows"],
    puzzles: Integer[np.ndarray, "rows"],
) -> Int64[np.ndarray, "rows"]:
    """For each row the one that holds its pair without augmentation: the first row of the group with the same grids.

    Equal pairs of one puzzle are told apart by their order. -1 where the group has no such row.
    """
    hashes = np.empty(len(inputs), dtype=np.uint64)
    weights = hashed(np.arange(2)[:, None], np.arange(CANVAS * CANVAS)) | np.uint64(1)
    for chunk in chunks(len(inputs)):
        grids = (invert(np.asarray(cells[chunk]), codes[chunk]) for cells in (inputs, labels))
        hashes[chunk] = sum(cells.astype(np.uint64) @ side for cells, side in zip(grids, weights, strict=True))
    order = np.lexsort((hashes, puzzles))
    is_first = np.concatenate([[True], (np.diff(puzzles[order]) != 0) | (np.diff(hashes[order]) != 0)])
    firsts = np.flatnonzero(is_first)
    occurrence = np.empty(len(inputs), dtype=np.int64)
    occurrence[order] = np.arange(len(inputs)) - np.repeat(firsts, np.diff(np.append(firsts, len(inputs))))
    keys = np.stack([groups.astype(np.uint64), hashes, occurrence.astype(np.uint64)], axis=1)
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    found: np.ndarray = first[inverse.reshape(-1)]
    return np.where(codes[found] == 0, found, -1).astype(np.int64)


def cornered(inputs: UInt8[np.ndarray, "rows 900"], labels: UInt8[np.ndarray, "rows 900"]) -> Cornered:
    """Grids moved to the canvas's corner, question and answer by one offset, and how far down and right they were."""
    is_colour = inputs.reshape(-1, CANVAS, CANVAS) >= FIRST_COLOUR
    down, right = np.argmax(is_colour.any(2), axis=1), np.argmax(is_colour.any(1), axis=1)
    moved = [untranslate(cells, (down, right)) for cells in (inputs, labels)]
    return moved[0], moved[1], down.astype(np.int8), right.astype(np.int8)


def placed(
    cells: UInt8[np.ndarray, "rows 900"], down: Integer[np.ndarray, "rows"], right: Integer[np.ndarray, "rows"]
) -> UInt8[np.ndarray, "rows 900"]:
    """Grids in the corner moved down and right: undoes `cornered`."""
    return move(cells, np.zeros(len(cells), dtype=np.int64), (down.astype(np.int64), right.astype(np.int64)))


def is_undone(corner: Cornered, grids: tuple[UInt8[np.ndarray, "rows 900"], ...]) -> Bool[np.ndarray, "rows"]:
    """For which rows `placed` gives back the grids that `cornered` took: those that are published ARC rows."""
    inputs, labels, down, right = corner
    same = [(placed(cells, down, right) == there).all(1) for cells, there in zip((inputs, labels), grids, strict=True)]
    return np.asarray(same[0] & same[1])
