"""A sweep without a cluster: synthetic learning curves and a clock of its own drive the real search."""

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trm.config.run import RunConfig
from trm.search.journal.events import Event, LegEnded, LegStarted
from trm.search.journal.priors import Prior
from trm.search.log import SweepLog
from trm.search.search import LegOrder, Search
from trm.search.space.space import SearchSpace
from trm.seeds import derived_seed


@dataclass(frozen=True)
class FakeCost:
    """What the search wants to know of a configuration."""

    step_flops: float
    params_count: int
    memory_bytes: int = 0
    checkpoint_bytes: int = 0
    inference_flops: float = 0.0


def cost_of(config: RunConfig) -> FakeCost:
    """A step's cost, growing as the real one does."""
    model = config.model
    depth = (model.H_cycles + 2) * (model.L_cycles + 1) * model.L_layers
    forward = 17 * 24.0 * model.hidden_size**2 * depth
    return FakeCost(config.training.global_batch_size * forward, 1000 * model.hidden_size, inference_flops=16 * forward)


Outcome = Callable[[LegOrder], dict[str, Any]]


def curve(order: LegOrder) -> dict[str, Any]:
    """A learning curve that depends on the configuration and the compute only."""
    config = order.config
    noise = derived_seed(config.seed, "curve", bits=20) / 2**20
    quality = 1 / (1 + abs(math.log10(config.optim.lr / 1e-3))) * min(1.0, config.model.H_cycles / 2) * (0.9 + 0.1 * noise)
    progress = order.until_steps / (order.until_steps + 400)
    return {"status": "completed", "objective": quality * progress, "standard_error": 0.01, "loss": 2 - quality * progress}


class KilledError(Exception):
    """The driver died."""


@dataclass
class Simulator:
    """Drives sweeps; kills the driver before or after the n-th event when asked to."""

    space: SearchSpace
    folder: Path
    outcome: Outcome = curve
    slots: int = 2
    kill_after: int | None = None
    """Events that this driver may journal."""
    flops_per_second: float = 1e10
    now: float = 1000.0
    priors: Sequence[Prior] = ()
    running: list[tuple[float, int, LegStarted]] = field(default_factory=list)
    busy: list[tuple[float, int]] = field(default_factory=list)
    """(time, legs running) after each advance."""
    orders: list[LegOrder] = field(default_factory=list)

    def run(self) -> SweepLog:
        """One driver's life, to the end of the sweep; KilledError when it dies before."""
        search = Search(self.space, cost_of, folder="data")
        log = _Fragile(self.folder, search, self.kill_after)
        self.running, fence = [], search.driver.fence + 1 if search.driver else 1
        try:
            log.start(self.now, driver="here:1", fence=fence, slots=self.slots, versions={"trm": "0"}, priors=self.priors)
            while (reason := search.is_done(self.now)) is None:
                for leg in log.advance(self.now, self.slots - len(self.running)):
                    self._start(search, leg)
                self.busy.append((self.now, len(self.running)))
                if self.running:
                    self.now, _, leg = heapq.heappop(self.running)
                    log.record(self._end(search, leg))
                    log.advance(self.now, 0)
                else:
                    assert search.is_done(self.now), "nothing runs and nothing is left to do, but the sweep is not done"
            assert log.close(self.now) == reason
        finally:
            log.journal.close()
        return log

    def _start(self, search: Search, leg: LegStarted) -> None:
        order = search.order(leg)
        self.orders.append(order)
        done = search.trials[leg.trial].result
        steps = order.until_steps - (done.steps if done else 0)
        seconds = steps * cost_of(order.config).step_flops / self.flops_per_second
        heapq.heappush(self.running, (self.now + seconds, leg.trial, leg))

    def _end(self, search: Search, leg: LegStarted) -> LegEnded:
        order = search.order(leg)
        flops = order.until_steps * cost_of(order.config).step_flops
        values: Mapping[str, Any] = {"steps": order.until_steps, "train_flops": flops, **self.outcome(order)}
        checkpoint = f"trials/{leg.trial:04d}/{order.until_steps}-{leg.attempt}" if values["status"] == "completed" else None
        return LegEnded(trial=leg.trial, rung=leg.rung, attempt=leg.attempt, checkpoint=checkpoint, at=self.now, **values)


class _Fragile(SweepLog):
    """Dies when it has journaled so many events: between the line and whatever would have come of it."""

    def __init__(self, folder: Path, search: Search, lives: int | None) -> None:
        super().__init__(folder, search)
        self._lives = math.inf if lives is None else lives

    def append(self, *events: Event) -> None:
        for event in events:
            if self._lives <= 0:
                raise KilledError
            self._lives -= 1
            super().append(event)
