"""What if a leg could take idle slots while it runs, and give them back? A bound: nothing of this is in the product.

A sweep in simulated time whose legs to the last rung and the one before it, confirmations too, share what idles: at every event
the one that has most left is doubled first, up to `WIDEST` slots, at no cost. So many slots train `SHARE` as fast a slot for every
doubling.
"""

import math
from dataclasses import dataclass
from typing import Any

from benchmarks.search.course import Course, Trained
from trm.search.journal.events import LegStarted

WIDEST = 8
SHARE = 0.9


@dataclass
class _Wide:
    leg: LegStarted
    trained: Trained
    left: float
    """Seconds on one slot."""
    width: int = 1

    @property
    def rate(self) -> float:
        return float(self.width * SHARE ** math.log2(self.width))


class WideningCourse(Course):
    """One sweep on its way."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._wide: list[_Wide] = []
        self.used_seconds = 0.0
        """Of all slots, by legs."""

    @property
    def runs(self) -> int:
        return len(self._wide)

    def _start(self, leg: LegStarted, trained: Trained) -> None:
        self._wide.append(_Wide(leg, trained, trained.seconds))

    def _next_end(self) -> tuple[LegStarted, Trained]:
        self._widen()
        passed = min(one.left / one.rate for one in self._wide)
        self.used_seconds += passed * sum(one.width for one in self._wide)
        self._now += passed
        for one in self._wide:
            one.left -= passed * one.rate
        ended = min(self._wide, key=lambda one: one.left)
        self._wide.remove(ended)
        return ended.leg, ended.trained

    def _widen(self) -> None:
        state = self.search.state
        for one in self._wide:
            one.width = 1
        if not state.has_asked_all:
            return
        free, late = self._slots - self.runs, [one for one in self._wide if one.leg.rung >= state.rungs.last - 1]
        late.sort(key=lambda one: -one.left)
        for width in (2**power for power in range(int(math.log2(WIDEST)))):
            for one in late:
                if one.width == width <= free:
                    one.width, free = 2 * width, free - width
