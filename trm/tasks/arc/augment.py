"""ARC grids on their canvas: encoding, the augmentation behind an identifier, translation, and the inverse of both.

An augmentation is one number, its code: 8 * (rank of the colour permutation) + symmetry. Code 0 changes nothing.
"""

import math

import numpy as np
from jaxtyping import Bool, Int32, Int64, Integer, UInt8

from trm.data.batches.augmenter import IGNORED, RowDraw
from trm.data.batches.keyed_random import below, hashed
from trm.data.batches.split import Split
from trm.tasks.making.dihedral import INVERSE, IS_COLUMN_FLIPPED, IS_ROW_FLIPPED, IS_SWAPPED, SYMMETRIES

CANVAS = 30
SEPARATOR = "|||"
PAD, END, FIRST_COLOUR, COLOURS = 0, 1, 2, 10
VOCABULARY = ("pad", "end", *map(str, range(COLOURS)))
_FACTORIALS = np.array([math.factorial(k) for k in range(COLOURS - 1)], dtype=np.int64)
_MARGIN = 32
"""Side of the canvas with room for a line that is always padding, whatever the grid's size."""
_TRANSLATION = 0x7452
_FIXED_EXAMPLE = 0x4678


def encode(symmetries: Integer[np.ndarray, "codes"], permutations: Integer[np.ndarray, "codes 10"]) -> Int32[np.ndarray, "codes"]:
    """Codes of augmentations; permutations map old colour to new and keep 0."""
    moved = permutations[:, 1:]
    smaller_later = [(moved[:, k + 1 :] < moved[:, k : k + 1]).sum(axis=1) for k in range(COLOURS - 1)]
    ranks = sum(count * factor for count, factor in zip(smaller_later, _FACTORIALS[::-1], strict=True))
    codes: np.ndarray = np.asarray(ranks) * SYMMETRIES + symmetries
    return codes.astype(np.int32)


def decode(
    codes: Integer[np.ndarray, "codes"],
) -> tuple[Int64[np.ndarray, "codes"], Int64[np.ndarray, "codes 10"]]:
    """Symmetries and colour permutations of codes; the inverse of `encode`."""
    rest = codes.astype(np.int64) // SYMMETRIES
    permutations = np.zeros((len(codes), COLOURS), dtype=np.int64)
    for k in range(COLOURS - 2, -1, -1):
        later = permutations[:, k + 2 :]
        digit = rest % (COLOURS - 1 - k)
        rest = rest // (COLOURS - 1 - k)
        later += later >= digit[:, None]
        permutations[:, k + 1] = digit
    permutations[:, 1:] += 1
    return codes.astype(np.int64) % SYMMETRIES, permutations


def name_ends(codes: Integer[np.ndarray, "codes"]) -> list[str]:
    """What follows a puzzle's name in that of each augmentation: `|||tK|||permutation` (K the symmetry), nothing for code 0."""
    symmetries, permutations = decode(codes)
    return [
        f"{SEPARATOR}t{symmetry}{SEPARATOR}{''.join(map(str, permutation))}" if code else ""
        for code, symmetry, permutation in zip(codes.tolist(), symmetries.tolist(), permutations.tolist(), strict=True)
    ]


def canvas(grids: list[np.ndarray]) -> UInt8[np.ndarray, "grids 900"]:
    """Grids of colours in the canvas's top-left corner, with their end markers: the row below and the column right."""
    cells = np.zeros((len(grids), CANVAS, CANVAS), dtype=np.uint8)
    for cell, grid in zip(cells, grids, strict=True):
        height, width = grid.shape
        cell[:height, :width] = grid + FIRST_COLOUR
        cell[height : height + 1, :width] = END
        cell[:height, width : width + 1] = END
    return cells.reshape(len(grids), CANVAS * CANVAS)


def sizes(cells: Integer[np.ndarray, "batch 900"]) -> tuple[Int64[np.ndarray, "batch"], Int64[np.ndarray, "batch"]]:
    """Heights and widths of the grids on untranslated canvases."""
    grids = cells.reshape(-1, CANVAS, CANVAS)
    return (grids[:, :, 0] >= FIRST_COLOUR).sum(axis=1), (grids[:, 0, :] >= FIRST_COLOUR).sum(axis=1)


def _sources(extents: np.ndarray, is_flipped: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Old coordinate behind each new one, along one axis: inside the grid, on the marker behind it, or in the margin."""
    position = np.arange(CANVAS) - offsets[:, None]
    extent = extents[:, None]
    inside = np.where(is_flipped[:, None], extent - 1 - position, position)
    source = np.where(position == extent, extent, _MARGIN - 1)
    return np.where((position >= 0) & (position < extent), inside, source)


def move(
    cells: UInt8[np.ndarray, "batch 900"],
    symmetries: Integer[np.ndarray, "batch"],
    offsets: tuple[Integer[np.ndarray, "batch"], Integer[np.ndarray, "batch"]],
) -> UInt8[np.ndarray, "batch 900"]:
    """Untranslated canvases under a symmetry of their grids, shifted down and right by `offsets`; markers follow."""
    count = len(cells)
    heights, widths = sizes(cells)
    is_swapped = IS_SWAPPED[symmetries]
    down = _sources(np.where(is_swapped, widths, heights), IS_ROW_FLIPPED[symmetries], offsets[0])
    right = _sources(np.where(is_swapped, heights, widths), IS_COLUMN_FLIPPED[symmetries], offsets[1])
    down *= np.where(is_swapped, 1, _MARGIN)[:, None]
    right *= np.where(is_swapped, _MARGIN, 1)[:, None]
    down += np.arange(count)[:, None] * _MARGIN**2
    margin = np.zeros((count, _MARGIN, _MARGIN), dtype=np.uint8)
    margin[:, :CANVAS, :CANVAS] = cells.reshape(-1, CANVAS, CANVAS)
    moved: np.ndarray = np.take(margin.reshape(-1), down[:, :, None] + right[:, None, :])
    return moved.reshape(count, -1)


def recolour(cells: UInt8[np.ndarray, "batch 900"], values: np.ndarray) -> np.ndarray:
    """`values[row, token]` for every cell of each row."""
    starts = np.arange(0, values.size, values.shape[1])[:, None]
    recoloured: np.ndarray = np.take(values.reshape(-1), starts + cells)
    return recoloured


def token_values(permutations: Int64[np.ndarray, "batch 10"], pad: int, kind: type) -> np.ndarray:
    """For each row the new token of every old one, as (batch, 12); padding becomes `pad`."""
    values: np.ndarray = np.empty((len(permutations), len(VOCABULARY)), dtype=kind)
    values[:, PAD], values[:, END] = pad, END
    values[:, FIRST_COLOUR:] = permutations + FIRST_COLOUR
    return values


def apply(cells: UInt8[np.ndarray, "batch 900"], codes: Integer[np.ndarray, "batch"]) -> UInt8[np.ndarray, "batch 900"]:
    """Untranslated canvases under their augmentations."""
    symmetries, permutations = decode(codes)
    nowhere = np.zeros(len(cells), dtype=np.int64)
    return recolour(move(cells, symmetries, (nowhere, nowhere)), token_values(permutations, PAD, np.uint8))


def invert(cells: UInt8[np.ndarray, "batch 900"], codes: Integer[np.ndarray, "batch"]) -> UInt8[np.ndarray, "batch 900"]:
    """The canvases that `apply` made these of; for predictions, give them cropped and marked (see `crop`)."""
    symmetries, permutations = decode(codes)
    nowhere = np.zeros(len(cells), dtype=np.int64)
    values = token_values(np.argsort(permutations, axis=1), PAD, np.uint8)
    return recolour(move(cells, INVERSE[symmetries], (nowhere, nowhere)), values)


def _place(heights: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Which canvas cells lie in rectangles from the top-left corner, as (batch, canvas, canvas)."""
    line = np.arange(CANVAS)
    inside: np.ndarray = (line < heights[:, None])[:, :, None] & (line < widths[:, None])[:, None, :]
    return inside


def crop(cells: Integer[np.ndarray, "batch 900"]) -> UInt8[np.ndarray, "batch 900"]:
    """Predicted canvases as encoded grids: the largest rectangle from the top-left corner that holds colours only.

    The first of equal areas counts, fewest rows first; a prediction without a colour in the corner becomes all padding.
    """
    grids = cells.reshape(-1, CANVAS, CANVAS)
    is_colour = (grids >= FIRST_COLOUR) & (grids < FIRST_COLOUR + COLOURS)
    reach = np.logical_and.accumulate(is_colour, axis=2).sum(axis=2)  # colours from the left of each row
    reach = np.minimum.accumulate(reach, axis=1)
    heights = np.argmax(reach * np.arange(1, CANVAS + 1), axis=1) + 1
    widths = np.take_along_axis(reach, heights[:, None] - 1, axis=1)[:, 0]
    heights = np.where(widths > 0, heights, 0)
    line = np.arange(CANVAS)
    below_it = (line == heights[:, None])[:, :, None] & (line < widths[:, None])[:, None, :]
    beside_it = (line < heights[:, None])[:, :, None] & (line == widths[:, None])[:, None, :]
    marked = np.where(below_it | beside_it, END, PAD)
    return np.where(_place(heights, widths), grids, marked).astype(np.uint8).reshape(len(cells), -1)


def untranslate(
    cells: UInt8[np.ndarray, "batch 900"], offsets: tuple[Integer[np.ndarray, "batch"], Integer[np.ndarray, "batch"]]
) -> UInt8[np.ndarray, "batch 900"]:
    """The canvases that `move` shifted by `offsets`: the rectangle from there, back in the corner with its end markers."""
    wide = np.zeros((len(cells), 2 * CANVAS, 2 * CANVAS), dtype=np.uint8)
    wide[:, :CANVAS, :CANVAS] = cells.reshape(-1, CANVAS, CANVAS)
    line, rows = np.arange(CANVAS), np.arange(len(cells))[:, None, None]
    shifted = wide[rows, (offsets[0][:, None] + line)[:, :, None], (offsets[1][:, None] + line)[:, None, :]]
    return crop(shifted.reshape(len(cells), -1))


class ArcRows:
    """ARC examples under the augmentation of their identifier; in training all but one example a puzzle are moved about.

    Which one stays is told from the columns `pair`, a row's number among its puzzle's rows in the split, and `pairs`, how many
    those are: so rows may come in any order, a few at a time.
    """

    def __init__(self, split: Split, *, translate: bool, seed: int) -> None:
        assert split.identifier_codes is not None
        self._inputs, self._labels, self._codes = split.inputs, split.labels, split.identifier_codes
        self._extras, self._translate, self._seed = split.extras, translate, seed

    def is_fixed(self, draw: RowDraw) -> Bool[np.ndarray, "batch"]:
        """Whether the row is the one example of its identifier that is never translated."""
        bits = hashed(self._seed, _FIXED_EXAMPLE, draw.puzzle_identifiers.astype(np.int64))
        chosen: np.ndarray = below(bits, self._extras["pairs"][draw.rows]) == self._extras["pair"][draw.rows]
        return chosen

    def offsets(self, draw: RowDraw) -> tuple[Int64[np.ndarray, "batch"], Int64[np.ndarray, "batch"]]:
        """How far down and right `train` moves question and answer, uniform over where both fit."""
        symmetries = self._codes[draw.puzzle_identifiers] % SYMMETRIES
        spans = [np.maximum(*pair) for pair in zip(sizes(self._inputs[draw.rows]), sizes(self._labels[draw.rows]), strict=True)]
        is_swapped = IS_SWAPPED[symmetries]
        is_moved = ~self.is_fixed(draw)
        bits = hashed(draw.keys[:, None], _TRANSLATION, np.arange(2))
        extents = np.where(is_swapped, spans[1], spans[0]), np.where(is_swapped, spans[0], spans[1])
        down, right = (below(bits[:, axis], CANVAS - extents[axis] + 1) * is_moved for axis in range(2))
        return down, right

    def _rows(self, draw: RowDraw, is_translated: bool) -> tuple[np.ndarray, np.ndarray]:
        symmetries, permutations = decode(self._codes[draw.puzzle_identifiers])
        nowhere = np.zeros(len(draw.rows), dtype=np.int64)
        offsets = self.offsets(draw) if is_translated else (nowhere, nowhere)
        inputs = move(self._inputs[draw.rows], symmetries, offsets)
        labels = move(self._labels[draw.rows], symmetries, offsets)
        as_input, as_label = token_values(permutations, PAD, np.int32), token_values(permutations, IGNORED, np.int32)
        return recolour(inputs, as_input), recolour(labels, as_label)

    def train(self, draw: RowDraw) -> tuple[Int32[np.ndarray, "batch cells"], Int32[np.ndarray, "batch cells"]]:
        """Rows as their identifiers say, translated as the slots' bits say."""
        return self._rows(draw, self._translate)

    def evaluate(self, draw: RowDraw) -> tuple[Int32[np.ndarray, "batch cells"], Int32[np.ndarray, "batch cells"]]:
        """Rows as their identifiers say, in the canvas's corner."""
        return self._rows(draw, False)
