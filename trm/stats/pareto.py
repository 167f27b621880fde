"""Pareto fronts: points of which smaller is better in every coordinate, sorted by who dominates whom."""

import math
from collections.abc import Hashable, Sequence
from operator import le
from typing import Generic, TypeVar

Point = tuple[float, ...]
Key = TypeVar("Key", bound=Hashable)


def dominates(one: Point, other: Point) -> bool:
    """Whether `one` is nowhere worse than `other`, and somewhere better."""
    return all(map(le, one, other)) and one != other


class Fronts(Generic[Key]):
    """Non-dominated sorting that goes on: nobody in a front dominates another there, and somebody in the front before does.

    What the fronts are does not hang on the order in which points were added; adding one moves only those that it pushes down
    (Li et al. 2017, "Efficient nondomination level update").
    """

    def __init__(self) -> None:
        self._fronts: list[list[Key]] = []
        self._points: dict[Key, Point] = {}

    def __len__(self) -> int:
        return len(self._fronts)

    def __getitem__(self, index: int) -> Sequence[Key]:
        return self._fronts[index]

    def point(self, key: Key) -> Point:
        """Where a key stands."""
        return self._points[key]

    def add(self, key: Key, point: Point) -> range:
        """Adds a point; the fronts that changed."""
        assert key not in self._points, f"{key} is there already"
        self._points[key] = point
        first = level = self._level(point)
        moved = [key]
        while moved and level < len(self._fronts):
            front, points = self._fronts[level], [self._points[one] for one in moved]
            pushed = [one for one in front if any(dominates(point, self._points[one]) for point in points)]
            gone = set(pushed)
            self._fronts[level] = [one for one in front if one not in gone] + moved
            moved, level = pushed, level + 1
        if moved:
            self._fronts.append(moved)
            level += 1
        return range(first, level)

    def _level(self, point: Point) -> int:
        """The first front in which nobody dominates the point: whoever is dominated in a front is in all before it."""
        low, high = 0, len(self._fronts)
        while low < high:
            middle = (low + high) // 2
            if any(dominates(self._points[other], point) for other in self._fronts[middle]):
                low = middle + 1
            else:
                high = middle
        return low


def crowding(points: Sequence[Point]) -> list[float]:
    """How far each of the points of one front stands from its neighbours: NSGA-II's crowding distance (Deb et al. 2002).

    Infinite at the ends of a coordinate. Of equal points the first has the distance and the others have 0, so that copies do not
    hide how far apart the rest is.
    """
    distances = dict.fromkeys(points, 0.0)
    for coordinate in range(len(points[0]) if points else 0):
        ranked = sorted(distances, key=lambda point: (point[coordinate], point))
        values = [point[coordinate] for point in ranked]
        finite = [value for value in values if math.isfinite(value)]
        if values[0] == values[-1]:
            continue
        width = (finite[-1] - finite[0] if finite else 0.0) or 1.0
        for place, point in enumerate(ranked):
            is_end = place in (0, len(ranked) - 1)
            gap = math.inf if is_end else _gap(values[place - 1], values[place + 1])
            distances[point] += gap / width
    found = []
    for point in points:
        found.append(distances[point])
        distances[point] = 0.0
    return found


def _gap(low: float, high: float) -> float:
    return 0.0 if low == high else high - low
