"""Five figures of a sweep as Ray's metrics: Prometheus scrapes them with the cluster's, `monitoring/grafana.json` draws them."""

import time

from ray.util.metrics import Gauge

from trm.search.journal.events import Event, LegEnded
from trm.terminal.display import STATUS_ORDER
from trm.terminal.progress import Snapshot

SHOW_SECONDS = 10.0
"""Ray itself hands metrics on about as often."""
LOST = ("lost", "stalled")


class SweepGauges:
    """The gauges of one sweep, tagged with its name; they stay as they were last, until the driver ends."""

    def __init__(self, sweep: str, metric: str) -> None:
        self._trials = _gauge("trm_trials", "Trials by status", sweep, "status")
        self._speed = _gauge("trm_train_flops_per_second", "Training FLOP/s of all legs together", sweep)
        self._lost = _gauge("trm_legs_lost", "Legs that were lost or stood still, since this driver began", sweep)
        self._slots = _gauge("trm_slots", "Legs that may run side by side", sweep)
        self._best = _gauge("trm_best", "Best objective so far", sweep, "metric")
        self._metric, self._count = metric, 0
        self._shown: tuple[float, float] | None = None
        """When, and the sweep's training FLOPs then."""

    @property
    def is_due(self) -> bool:
        """Whether `show` would do something now."""
        return self._shown is None or time.monotonic() - self._shown[0] >= SHOW_SECONDS

    def note(self, event: Event) -> None:
        """Count the legs that this driver lost."""
        self._count += isinstance(event, LegEnded) and event.status in LOST

    def show(self, snapshot: Snapshot, slots: int) -> None:
        """Set all of them; more often than it is due, nothing happens."""
        if not self.is_due:
            return
        now, flops = time.monotonic(), snapshot.flops_spent
        before, self._shown = self._shown or (now - SHOW_SECONDS, flops), (now, flops)
        for status in STATUS_ORDER:
            self._trials.set(snapshot.statuses.get(status, 0), {"status": status})
        self._speed.set(max(0.0, flops - before[1]) / (now - before[0]))
        self._lost.set(self._count)
        self._slots.set(slots)
        if snapshot.best is not None:
            self._best.set(snapshot.best.objective, {"metric": self._metric})


def _gauge(name: str, about: str, sweep: str, *tags: str) -> Gauge:
    gauge = Gauge(name, about, ("sweep", *tags))
    gauge.set_default_tags({"sweep": sweep})
    return gauge
