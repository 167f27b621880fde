"""Where a knob's values lie on its range: shares of the way through it, in the logarithm where it is drawn so.

A range has a place for every value, from 0 to 1. Where there are whole numbers or choices to draw from, each has a cell of it.
"""

import math
from typing import Any

from trm.search.knobs.knobs import ChoiceKnob, FloatKnob, IntKnob, Knob, Scalar, at_share

ONLY = 0.5
"""Place of a number that is the only one of its knob."""


def along(knob: Knob, value: Any) -> float:
    """How far a number is from the knob's first value to its last: 0 is the first, 1 the last."""
    if isinstance(knob, ChoiceKnob):
        assert knob.numbers is not None, "words lie nowhere"
        return knob.numbers.index(value) / max(1, len(knob.numbers) - 1)
    if knob.low == knob.high:
        return 0.0
    scale = math.log if knob.log else float
    return (scale(value) - scale(knob.low)) / (scale(knob.high) - scale(knob.low))


def cell(knob: Knob, value: Any) -> tuple[float, float]:
    """From where to where a draw that is even over the range brings the value; of a float both are its place."""
    if isinstance(knob, FloatKnob):
        return (0.0, 1.0) if knob.low == knob.high else (along(knob, value),) * 2
    if isinstance(knob, IntKnob) and knob.log:
        return _in_logarithm(knob, value - 0.5), _in_logarithm(knob, value + 0.5)
    index, count = _index(knob, value)
    return index / count, (index + 1) / count


def place(knob: Knob, value: Any) -> float:
    """Where a value lies; choices among words lie in the order of the file."""
    if isinstance(knob, FloatKnob):
        return ONLY if knob.low == knob.high else along(knob, value)
    if isinstance(knob, IntKnob) and knob.log:
        return _in_logarithm(knob, value)
    index, count = _index(knob, value)
    return (index + 0.5) / count


def value_at(knob: Knob, share: float) -> Scalar:
    """The value at `share` (0 included, 1 not) of the range; choices among numbers lie in their order."""
    if isinstance(knob, ChoiceKnob):
        return (knob.numbers or knob.values)[int(share * len(knob.values))]
    value: Scalar = at_share(knob, share)
    return value


def _index(knob: ChoiceKnob | IntKnob, value: Any) -> tuple[int, int]:
    """Number of a value among those to draw from, and how many these are."""
    if isinstance(knob, IntKnob):
        return int((value - knob.low) // knob.step), int(knob.count)
    values = knob.numbers or knob.values
    return values.index(value), len(values)


def _in_logarithm(knob: IntKnob, value: float) -> float:
    low, high = math.log(knob.low - 0.5), math.log(knob.high + 0.5)
    return (math.log(value) - low) / (high - low)
