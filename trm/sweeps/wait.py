"""Waiting as a state: what a sweep waits for when no leg has a place, since when, and when that is worth a line."""

from typing import NamedTuple

from trm.terminal.display import duration

TELL_SECONDS = 60.0
"""What is waited for may change, and is told again at most so often."""


class Told(NamedTuple):
    """Something to write down."""

    what: str | None
    """What is waited for; null: nothing any more."""


class Wait:
    """Told once a second what is missing, it knows for how long; its clock is monotonic seconds."""

    def __init__(self, grace_seconds: float) -> None:
        """What is over within that time is no wait: processes end and begin."""
        self._grace = grace_seconds
        self._missing: str | None = None
        self._told: tuple[str, float] | None = None
        """What was written down last, and when."""
        self._now = 0.0
        self.since: float | None = None
        """When it began; None: nothing is missing."""

    @property
    def text(self) -> str | None:
        """What is waited for, and for how long; None: nothing that is worth a word."""
        if self.since is None or self._now - self.since < self._grace:
            return None
        return f"{self._missing}, {duration(self._now - self.since)}"

    def look(self, missing: str | None, now: float) -> Told | None:
        """This is missing now, null: nothing; what is to be written down of it."""
        self._missing, self._now = missing, now
        if missing is None:
            self.since = None
            told, self._told = self._told, None
            return Told(None) if told is not None else None
        self.since = now if self.since is None else self.since
        is_news = self._told is None or (missing != self._told[0] and now - self._told[1] >= TELL_SECONDS)
        if now - self.since < self._grace or not is_news:
            return None
        self._told = missing, now
        return Told(missing)
