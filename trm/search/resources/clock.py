"""The sweep's wall clock, read from the journal: seconds that drivers ran, added up."""

from dataclasses import dataclass


@dataclass
class Clock:
    """Seconds over all drivers; the time between two drivers does not count."""

    before: float = 0.0
    """Seconds of the drivers that are gone, each up to its last event."""
    started: float | None = None
    """When this driver started."""
    latest: float = 0.0
    """When the last event happened."""

    def read(self, at: float) -> None:
        """An event happened at `at`; a clock that was set back stands still."""
        self.latest = max(self.latest, at)

    def start(self, at: float) -> None:
        """A driver started at `at`."""
        self.stop()
        self.started, self.latest = at, at

    def stop(self) -> None:
        """The driver is gone: what it ran is what its events show."""
        if self.started is not None:
            self.before += max(0.0, self.latest - self.started)
        self.started = None

    def elapsed(self, now: float) -> float:
        """Seconds up to `now`."""
        return self.before + (max(0.0, max(now, self.latest) - self.started) if self.started is not None else 0.0)
