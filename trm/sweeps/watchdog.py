"""Which legs stand still: without a step, or a batch of their evaluation, for several times what one should take.

Besides these: legs that no process begins, and legs that have answered but whose process does not come back.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from trm.search.journal.events import LegStarted
from trm.search.search import Search
from trm.training.leg import Leg, LegProgress

STALL_FACTOR = 10.0
"""A leg may be silent for so many times the seconds of one of its steps."""
START_FACTOR = 3.0
"""Before its first step it may be silent for so many times as long: it loads, streams and compiles."""
SLOW_DISK_BYTES_PER_SECOND = 20e6
"""A checkpoint may be written as slowly as this."""
AWAY_SECONDS = 10.0
"""When the driver itself stood still for so long, legs may have too (a machine that slept, a frozen container)."""


@dataclass(frozen=True)
class Pace:
    """What is known of a leg's speed when it starts."""

    step_seconds: float
    """Seconds that a step should take by what was learned so far; 0: unknown."""
    batch_steps: float
    """A batch of its evaluation takes the time of so many steps, at most about."""
    checkpoint_bytes: int


def pace_of(search: Search, leg: LegStarted) -> Pace:
    """What is known of the speed of `leg`, which starts now."""
    trial, config = search.state.trials[leg.trial], search.run_config(leg)
    rows = config.evaluation.batch_size or config.training.global_batch_size
    forwards = config.evaluation.breadth * config.pass_steps
    return Pace(
        step_seconds=(leg.expected_seconds or 0.0) / max(1, leg.until_steps - trial.begun_steps),
        batch_steps=forwards * rows / config.training.global_batch_size,
        checkpoint_bytes=trial.asked.checkpoint_bytes,
    )


@dataclass
class _Watched:
    pace: Pace
    progress: LegProgress | None = None
    heard_at: float | None = None
    """When its process first told of itself, or its progress last changed; None: it waits for a process."""
    left_at: float | None = None
    """Since when it waits though a process is idle."""


class Watchdog:
    """Told what the board says several times a minute, it names the legs that stand still. Its clock is monotonic seconds."""

    def __init__(self, floor_seconds: float) -> None:
        """`floor_seconds`: no leg is called stalled before it was silent for so long."""
        self._floor = floor_seconds
        self._legs: dict[Leg, _Watched] = {}
        self._answered: dict[Leg, float | None] = {}
        """When those were first looked at that have answered, and whose process has not come back."""
        self._looked_at: float | None = None
        self._was_away = False

    def add(self, leg: Leg, pace: Pace) -> None:
        """Watch a leg from here on; its time begins when its process is there."""
        self._legs[leg] = _Watched(pace)

    def remove(self, leg: Leg) -> None:
        """The leg ended."""
        self._legs.pop(leg, None)

    def answered(self, leg: Leg) -> None:
        """The leg ended, and its process is to come back for the next one."""
        self._answered[leg] = None

    def came_back(self, leg: Leg) -> None:
        """It did, or it died."""
        self._answered.pop(leg, None)

    def lingering(self, now: float) -> list[Leg]:
        """Legs that answered and whose process does not come back; asked right after `stalled`."""
        for leg, since in self._answered.items():
            if since is None or self._was_away:
                self._answered[leg] = now
        return [leg for leg, since in self._answered.items() if since is not None and now - since > self._floor]

    def stalled(self, now: float, heard: Mapping[Leg, LegProgress | None], *, is_process_idle: bool = False) -> dict[Leg, str]:
        """Legs that stand still, with the reason; `heard`: the newest progress of those whose process is there, None before any.

        A leg that no process has begun waits for one, unless one is idle: that one was given the leg, and stands still.
        """
        away = 0.0 if self._looked_at is None else now - self._looked_at
        self._looked_at, self._was_away = now, away > AWAY_SECONDS
        found: dict[Leg, str] = {}
        for leg, watched in self._legs.items():
            if leg not in heard:
                if watched.left_at is None or not is_process_idle or self._was_away:
                    watched.left_at = now
                if now - watched.left_at > self._floor:
                    found[leg] = f"not begun for {now - watched.left_at:.0f} s by an idle process"
                continue
            if watched.heard_at is None or _mark(heard[leg]) != _mark(watched.progress):
                watched.heard_at, watched.progress = now, heard[leg]
                continue
            if self._was_away:
                watched.heard_at += away
            silent, allowed = now - watched.heard_at, self._allowed(watched)
            if silent > allowed:
                found[leg] = f"no step for {silent:.0f} s, {_place(watched)}; {allowed:.0f} s are allowed"
        return found

    def _allowed(self, watched: _Watched) -> float:
        pace, progress = watched.pace, watched.progress
        speed = progress.steps_per_second if progress is not None else 0.0
        step = max(pace.step_seconds, 1.0 / speed if speed > 0 else 0.0)
        seconds = max(self._floor, STALL_FACTOR * step * max(1.0, pace.batch_steps))
        seconds += pace.checkpoint_bytes / SLOW_DISK_BYTES_PER_SECOND
        return seconds if progress is not None else START_FACTOR * seconds


def _mark(progress: LegProgress | None) -> tuple[int, int] | None:
    return None if progress is None else (progress.step, progress.evaluated)


def _place(watched: _Watched) -> str:
    if watched.progress is None:
        return "before the first"
    if watched.progress.evaluated:
        return f"in the evaluation at step {watched.progress.step}"
    return f"at step {watched.progress.step}"
