"""Sweeps whose legs may have more workers where slots idle, in simulated time: by the product's own rule, or by a bound.

`WideningCourse` does what `Search.next_widening` says (`resources.max_workers`): each time a leg stops, and trains on only after
`RESTART` of a whole trial's time. `FreelyWideningCourse` is the bound: at every event whoever has most left is doubled first, and
what idles is given and taken at no cost. So many slots train `SHARE` as fast a slot for every doubling.
"""

import math
from dataclasses import dataclass
from typing import Any

from benchmarks.search.course import Course, Trained
from trm.search.journal.events import LegEnded, LegStarted, LegWidened, Spare

WIDEST = 8
SHARE = 0.9
RESTART = 0.01
"""Of the seconds of a trial of full length: half a minute of an hour's."""


def times_faster(slots: int) -> float:
    """How many times as fast a leg trains on so many slots as on one."""
    return float(slots * SHARE ** math.log2(slots))


@dataclass
class _Wide:
    leg: LegStarted
    trained: Trained
    left: float
    """Seconds on one slot."""
    slots: int = 1
    pause: float = 0.0
    """Seconds until it trains."""

    @property
    def over_in(self) -> float:
        return self.pause + self.left / times_faster(self.slots)

    def go_on(self, passed: float) -> float:
        """So many seconds pass; those of its slots in which it trained."""
        waits = min(self.pause, passed)
        self.pause -= waits
        self.left -= (passed - waits) * times_faster(self.slots)
        return (passed - waits) * self.slots


class FreelyWideningCourse(Course):
    """One sweep on its way, to its bound."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._wide: list[_Wide] = []
        self.used_seconds = 0.0
        """Of all slots, by legs that trained."""

    @property
    def runs(self) -> int:
        return len(self._wide)

    def _start(self, leg: LegStarted, trained: Trained) -> None:
        self._wide.append(_Wide(leg, trained, trained.seconds))

    def _next_end(self) -> tuple[LegStarted, Trained]:
        self._widen()
        passed = min(one.over_in for one in self._wide)
        ended = min(self._wide, key=lambda one: one.over_in)
        self._now += passed
        self.used_seconds += sum(one.go_on(passed) for one in self._wide)
        self._wide.remove(ended)
        return ended.leg, ended.trained

    def _widen(self) -> None:
        state = self.search.state
        for one in self._wide:
            one.slots = 1
        if not state.has_asked_all:
            return
        free, late = self._slots - self.runs, [one for one in self._wide if one.leg.rung >= state.rungs.last - 1]
        late.sort(key=lambda one: -one.left)
        for slots in (2**power for power in range(int(math.log2(WIDEST)))):
            for one in late:
                if one.slots == slots <= free:
                    one.slots, free = 2 * slots, free - slots


class WideningCourse(FreelyWideningCourse):
    """One sweep on its way, by the product's rule."""

    restart_seconds = 0.0
    """What stopping a leg and starting it again takes; set before it runs."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._stopped: dict[int, _Wide] = {}
        """Trial -> its leg, which yielded and waits for its slots."""

    @property
    def runs(self) -> int:
        """Slots that are taken; one of what is promised to a leg that yielded is for its start."""
        return self.search.state.held_slots - len(self._stopped)

    def _start(self, leg: LegStarted, trained: Trained) -> None:
        trial = self.search.state.trials[leg.trial]
        if trial.carried is None:
            super()._start(leg, trained)
            return
        before = self._stopped.pop(leg.trial)
        self._wide.append(_Wide(leg, trained, before.left, trial.slots, self.restart_seconds))

    def _widen(self) -> None:
        while (event := self.search.next_widening(self._now, self._spare())) is not None:
            self._take(event)
            self._yield(event)
            self._advance()

    def _spare(self) -> Spare:
        idle = self._slots - self.search.state.held_slots
        return Spare(idle=idle, most=WIDEST, workers=1, restart_seconds=self.restart_seconds)

    def _yield(self, event: LegWidened) -> None:
        one = next(one for one in self._wide if one.leg.trial == event.trial)
        self._wide.remove(one)
        self._stopped[event.trial] = one
        trial = self.search.state.trials[event.trial]
        done = 1 - one.left / one.trained.seconds
        steps = trial.steps + round(done * (one.leg.until_steps - trial.steps))
        name = {"trial": event.trial, "rung": event.rung, "attempt": event.attempt}
        flops = trial.asked.flops.up_to(steps)
        self._take(LegEnded(**name, status="yielded", steps=steps, train_flops=flops, at=self._now))
