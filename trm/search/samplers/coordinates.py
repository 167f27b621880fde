"""Knobs as coordinates of a cube, one each from 0 to 1: where parameters lie, random points, and moves from one point."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm.search.knobs.knobs import ChoiceKnob, Knob
from trm.search.knobs.places import place, value_at

Point = NDArray[np.float64]
INACTIVE = 0.5
"""Where a knob stands that is not searched beside the other values."""


class Coordinates:
    """The cube of a space's knobs."""

    def __init__(self, knobs: Mapping[str, Knob]) -> None:
        """`knobs` in the order of their conditions."""
        self.knobs = dict(knobs)
        self.is_name = np.array([isinstance(knob, ChoiceKnob) and knob.numbers is None for knob in knobs.values()], dtype=bool)
        """By coordinate, whether its values have no order, so that any two of them are as far apart."""

    def __len__(self) -> int:
        return len(self.knobs)

    def point(self, params: Mapping[str, Any]) -> Point:
        """Where parameters lie."""
        return np.array([place(knob, params[path]) if path in params else INACTIVE for path, knob in self.knobs.items()])

    def params(self, point: Point) -> dict[str, Any]:
        """A value of every knob, those too that are not searched beside the other values."""
        return {
            path: value_at(knob, min(float(share), 1 - 1e-9)) for (path, knob), share in zip(self.knobs.items(), point, strict=True)
        }

    def searched(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Of parameters those alone that are searched beside the others."""
        found: dict[str, Any] = {}
        for path, knob in self.knobs.items():
            if knob.is_active(found):
                found[path] = params[path]
        return found

    def moved(self, point: Point, draw: np.random.Generator, *, scale: float, share: float) -> Point:
        """A point near another: each knob moves with probability `share`, at least one.

        A number moves by a normal of `scale`, reflected at the ends; a choice is drawn anew.
        """
        moves = draw.random(len(self)) < share
        moves[draw.integers(len(self))] = True
        away = np.abs(point + draw.normal(0.0, scale, len(self)))
        near = np.where(away > 1, np.clip(2 - away, 0, 1), away)
        target = np.where(self.is_name, draw.random(len(self)), near)
        return np.where(moves, target, point)
