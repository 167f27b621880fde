"""Values of a knob near one of them: how they are drawn, and how likely each is."""

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any, Protocol, runtime_checkable

from trm.search.knobs.knobs import ChoiceKnob, Knob, Scalar
from trm.search.knobs.places import cell, place, value_at

_NORMAL = NormalDist()
_LEAST, _MOST = 1e-12, 1 - 1e-12
"""Shares within which a normal distribution is looked up."""


@runtime_checkable
class Neighbourhood(Protocol):
    """A distribution over a knob's values, around one of them."""

    def value(self, share: float) -> Scalar:
        """The value below which `share` (0 included, 1 not) of the distribution lies."""
        ...

    def density(self, value: Scalar) -> float:
        """How many times as likely a value is as where the knob's values are drawn evenly."""
        ...


def neighbourhood(knob: Knob, around: Scalar, width: float) -> Neighbourhood:
    """Values near `around`: normal with a standard deviation of `width` of the knob's range, cut off at its ends.

    The range is logarithmic where the knob is drawn so. Of a choice that is not among numbers `around` is 1 / `width` times as
    likely as each other value.
    """
    if isinstance(knob, ChoiceKnob) and knob.numbers is None:
        return _Named(knob, around, 1 / width)
    return _Scaled(knob, around, width)


class _Named:
    def __init__(self, knob: ChoiceKnob, around: Scalar, times: float) -> None:
        self._values, total = knob.values, times + len(knob.values) - 1
        at = self._values.index(around)
        self._shares = [(times if index == at else 1.0) / total for index in range(len(self._values))]

    def value(self, share: float) -> Scalar:
        for value, own in zip(self._values, self._shares, strict=True):
            share -= own
            if share < 0:
                return value
        return self._values[-1]

    def density(self, value: Scalar) -> float:
        return len(self._values) * self._shares[self._values.index(value)]


class _Scaled:
    def __init__(self, knob: Knob, around: Scalar, width: float) -> None:
        self._knob, self._width = knob, width
        self._middle = place(knob, around)
        self._first, self._last = self._below(0.0), self._below(1.0)

    def value(self, share: float) -> Scalar:
        below = self._first + share * (self._last - self._first)
        at = self._middle + self._width * _NORMAL.inv_cdf(min(_MOST, max(_LEAST, below)))
        return value_at(self._knob, min(_MOST, max(0.0, at)))

    def density(self, value: Scalar) -> float:
        low, high = cell(self._knob, value)
        if low == high:
            return _NORMAL.pdf((low - self._middle) / self._width) / self._width / (self._last - self._first)
        return (self._below(high) - self._below(low)) / (high - low) / (self._last - self._first)

    def _below(self, place: float) -> float:
        return _NORMAL.cdf((place - self._middle) / self._width)


def log_density(near: Mapping[str, Neighbourhood], params: Mapping[str, Any]) -> float:
    """Logarithm of how many times as likely parameters are near those values as drawn evenly."""
    return sum(math.log(max(_LEAST, one.density(params[path]))) for path, one in near.items() if path in params)
