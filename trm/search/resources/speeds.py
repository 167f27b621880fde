"""Seconds that steps and legs take, learned from those seen: a pure fold, so that a replay learns the same.

Only operations are used that every machine rounds alike.
"""

import math
from collections import deque
from dataclasses import dataclass
from statistics import median

from trm.config.step_costs import SPEED, StepCosts
from trm.search.journal.events import Asked, DriverStarted, Event, LegEnded, LegStarted, LegWidened, SlotsChanged, SpeedMeasured

WINDOW = 64
"""So many of the latest observations count."""
AGEING = 0.93
"""Weight of an observation against the next one's: half after 10."""
ENOUGH_STEPS = 20
"""Fewer steps weigh less."""
ROUNDS = 8
"""Of reweighting, towards the smallest sum of relative errors."""
NEAR = 0.1
"""A step whose cost differs by this share says half as much of another's own speed as one that costs the same."""
SHARE = 0.9
"""Twice the slots are taken to train so much as fast a slot, until a leg had so many."""
PRIOR = 0.5
"""Weight of the common line against observations near by."""


@dataclass(frozen=True)
class _Seen:
    step_flops: float
    seconds: float
    """Of one step."""
    trust: float
    """0 to 1."""


@dataclass(frozen=True)
class _Line:
    """Seconds of a step: a constant, and so much a FLOP."""

    start: float
    slope: float

    def at(self, step_flops: float) -> float:
        return self.start + self.slope * step_flops


class Speeds:
    """What the legs so far say of how long steps, evaluations and the rest take."""

    def __init__(self) -> None:
        self._seen: deque[_Seen] = deque(maxlen=WINDOW)
        self._eval_steps: deque[float] = deque(maxlen=WINDOW)
        """Evaluations, in steps of the trial's own that would have taken as long: both grow with the network."""
        self._overheads: deque[float] = deque(maxlen=WINDOW)
        self._line: _Line | None = None
        self._legs: dict[tuple[StepCosts, int, int], float] = {}
        """What was said of legs since something was seen last: a leg is asked about before it starts, and when it does."""
        self._host: str | None = None
        self._flops: dict[int, StepCosts] = {}
        self._steps: dict[int, int] = {}
        """Steps that a trial had made when it was scored last, or yielded."""
        self._promised: dict[int, int] = {}
        """Slots that a trial's next leg has, where more than one was promised."""
        self._slots: dict[int, int] = {}
        """Slots that a trial's leg has, if more than one."""
        self._alone: dict[int, float] = {}
        """Training FLOPs a second of a trial's leg on one slot, which has yielded."""
        self._began: dict[int, float] = {}
        """When a leg started that has more than one."""
        self._restarts: deque[float] = deque(maxlen=WINDOW)
        """Seconds of such legs in which they neither trained nor scored."""
        self._shares: dict[int, deque[float]] = {}
        """Slots of a leg -> how fast it trained, as a share of what as many legs of one slot do."""

    def apply(self, event: Event) -> None:
        """Takes in what the event says of speed; a driver on another host begins anew."""
        match event:
            case DriverStarted():
                host = event.driver.rpartition(":")[0]
                if self._host not in (None, host):
                    self.forget()
                self._host = host
                for known in (self._promised, self._slots, self._alone, self._began):
                    known.clear()
            case Asked():
                self._flops[event.trial] = event.flops
            case SpeedMeasured():
                self.observe(event.step_flops, event.steps, event.seconds)
            case LegStarted() if event.trial in self._slots:
                self._began[event.trial] = event.at
            case SlotsChanged():
                self._promised.clear()
            case LegWidened():
                self._promised[event.trial] = event.slots
            case LegEnded(status="yielded"):
                if (speed := event.metrics.get(SPEED)) is not None and self._slots.get(event.trial, 1) == 1:
                    self._alone[event.trial] = speed
                self._slots[event.trial] = self._promised.pop(event.trial, 1)
                self._steps[event.trial] = max(event.steps, self._steps.get(event.trial, 0))
            case LegEnded(status="completed"):
                flops = self._flops[event.trial]
                own = own_steps(event, flops, self._steps.get(event.trial, 0))
                if self._slots.get(event.trial, 1) > 1:
                    self._observe_wide(event)
                else:
                    self.observe_leg(
                        flops,
                        event.steps - own,
                        event.steps,
                        train_seconds=event.train_seconds,
                        eval_seconds=event.eval_seconds,
                        overhead_seconds=event.overhead_seconds,
                    )
                self._steps[event.trial] = event.steps
                self._is_over(event.trial)
            case LegEnded():
                self._is_over(event.trial)
            case _:
                pass

    def observe(self, step_flops: float, steps: int, seconds: float) -> None:
        """`steps` steps of `step_flops` FLOPs each took `seconds`; nothing is learned from none."""
        if steps <= 0 or seconds <= 0 or step_flops <= 0:
            return
        self._seen.append(_Seen(step_flops, seconds / steps, min(1.0, steps / ENOUGH_STEPS)))
        self._line = None
        self._legs.clear()

    def observe_leg(
        self, flops: StepCosts, first: int, last: int, *, train_seconds: float, eval_seconds: float, overhead_seconds: float
    ) -> None:
        """A leg that completed made the steps after `first` up to `last` of a run whose steps cost `flops`."""
        steps = last - first
        if steps <= 0:
            return
        each = flops.mean(last, first)
        self.observe(each, steps, train_seconds)
        if train_seconds > 0:
            share = each / flops.last if flops.last > 0 else 1.0  # an evaluation is as deep as the last step
            self._eval_steps.append(eval_seconds * steps / train_seconds * share)
            self._overheads.append(overhead_seconds)
            self._legs.clear()

    def _is_over(self, trial: int) -> None:
        """Its next leg has one slot."""
        for known in (self._promised, self._slots, self._alone, self._began):
            known.pop(trial, None)

    def _observe_wide(self, event: LegEnded) -> None:
        """A leg on several slots says nothing of one, but how much faster it was there."""
        slots, alone, speed = self._slots[event.trial], self._alone.get(event.trial), event.metrics.get(SPEED)
        if (began := self._began.get(event.trial)) is not None:
            self._restarts.append(event.at - began - event.train_seconds - event.eval_seconds)
        if alone and speed:
            self._shares.setdefault(slots, deque(maxlen=WINDOW)).append(speed / alone / slots)
            self._legs.clear()

    def restart_seconds(self, least: float) -> float:
        """What stopping a leg and starting it on more slots takes, as seen and at least so much."""
        return max(least, median(self._restarts)) if self._restarts else least

    def times_faster(self, slots: int) -> float:
        """How many times as fast a leg trains on so many slots, a power of two, as on one."""
        share, width = 1.0, 1
        while width < slots:
            width *= 2
            share = median(self._shares[width]) if width in self._shares else share * SHARE
        return share * slots

    def forget(self) -> None:
        """Other machines do the work from here on."""
        self._seen.clear()
        self._eval_steps.clear()
        self._overheads.clear()
        self._shares.clear()
        self._restarts.clear()
        self._line = None
        self._legs.clear()

    def step_seconds(self, step_flops: float) -> float | None:
        """Expected seconds of a step that costs so much; None until something was seen.

        A line over what was seen of late, by the smallest sum of relative errors, so that a slow first leg does not bend it;
        moved towards what steps of nearly the same cost took, because two networks of equal cost are not equally fast.
        """
        if not self._seen:
            return None
        if self._line is None:
            self._line = _fitted(list(self._seen))
        ratios, age = [(1.0, PRIOR)], 1.0
        for one in reversed(self._seen):
            apart = (max(step_flops, one.step_flops) / min(step_flops, one.step_flops) - 1) / NEAR
            ratios.append((one.seconds / self._line.at(one.step_flops), age * one.trust / (1 + apart * apart)))
            age *= AGEING
        return self._line.at(step_flops) * _weighted_median(ratios)

    def leg_seconds(self, flops: StepCosts, first: int, last: int, *, slots: int = 1) -> float | None:
        """Expected seconds of a leg of the steps after `first` up to `last`, on so many slots; None until something was seen.

        Training, evaluation and the rest.
        """
        if not self._seen:
            return None
        key = flops, first, last
        if key not in self._legs:
            self._legs[key] = self._leg_seconds(flops, first, last)
        return self._legs[key] / self.times_faster(slots)

    def _leg_seconds(self, flops: StepCosts, first: int, last: int) -> float:
        counts: dict[float, float] = {flops.last: median(self._eval_steps) if self._eval_steps else 0.0}
        for each, count in flops.counts(first, last):
            counts[each] = count + counts.get(each, 0.0)
        train_and_score = sum(count * (self.step_seconds(each) or 0.0) for each, count in counts.items())
        return train_and_score + (median(self._overheads) if self._overheads else 0.0)


def own_steps(ended: LegEnded, flops: StepCosts, steps_before: int) -> int:
    """Steps that a leg made itself: a second attempt goes on from where the first one left, so its speed tells.

    `flops`: what the run's steps cost; `steps_before`: steps at the rung before.
    """
    speed = ended.metrics.get(SPEED)
    if speed is None:
        return max(0, ended.steps - steps_before)
    return flops.steps_back(ended.steps, speed * ended.train_seconds)


def _fitted(seen: list[_Seen]) -> _Line:
    """Start and slope, neither negative, of the smallest weighted sum of relative errors."""
    largest = max(one.step_flops for one in seen)
    ages = [1.0]
    for _ in seen[1:]:
        ages.append(ages[-1] * AGEING)
    rows = [(1 / one.seconds, one.step_flops / largest / one.seconds) for one in seen]
    trusts = [age * one.trust for age, one in zip(reversed(ages), seen, strict=True)]
    weights = trusts
    start, slope = 0.0, 0.0
    for _ in range(ROUNDS):
        start, slope = _solved(rows, weights)
        weights = []
        for trust, (x, y) in zip(trusts, rows, strict=True):
            share = start * x + slope * y  # predicted over seen
            error = abs(share - 1) / math.sqrt(share)  # twice as fast is as wrong as half as fast
            weights.append(trust / share / (error if error > 0.02 else 0.02))
    return _Line(start, slope / largest)


def _solved(rows: list[tuple[float, float]], weights: list[float]) -> tuple[float, float]:
    """Non-negative least squares of start * x + slope * y = 1; through the origin where the rows do not tell both."""
    xx = xy = yy = x1 = y1 = 0.0
    for w, (x, y) in zip(weights, rows, strict=True):
        wx, wy = w * x, w * y
        xx, xy, yy = xx + wx * x, xy + wx * y, yy + wy * y
        x1, y1 = x1 + wx, y1 + wy
    determinant = xx * yy - xy * xy
    if determinant > 1e-6 * xx * yy:
        start, slope = (yy * x1 - xy * y1) / determinant, (xx * y1 - xy * x1) / determinant
        if start >= 0 and slope >= 0:
            return start, slope
        if slope < 0:
            return x1 / xx, 0.0
    return 0.0, y1 / yy


def _weighted_median(pairs: list[tuple[float, float]]) -> float:
    """The value at which half of the weight is reached."""
    half, total = sum(weight for _, weight in pairs) / 2, 0.0
    for value, weight in sorted(pairs):
        total += weight
        if total >= half:
            return value
    raise AssertionError("weights are positive")
