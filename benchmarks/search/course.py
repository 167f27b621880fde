"""A whole sweep in simulated time through the search that real sweeps use; who trains its legs is told, nothing is written."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from trm.search.journal.events import DriverStarted, Event, LegEnded, LegStarted, SweepStarted
from trm.search.journal.priors import Prior
from trm.search.journal.trial import Trial
from trm.search.search import Search
from trm.search.space.rules import RULES


@dataclass(frozen=True)
class Trained:
    """What a leg comes to."""

    objective: float
    loss: float
    standard_error: float | None
    seconds: float
    """That the leg takes, from where the trial was."""


class Trainer(Protocol):
    """Who trains the legs of a sweep."""

    def train(self, trial: Trial, leg: LegStarted) -> Trained:
        """What the leg comes to; the same whenever it is asked."""
        ...

    def ended(self, trial: Trial, leg: LegStarted) -> bool:
        """A leg ended, and the search knows; whether that is enough, and the sweep is left where it stands."""
        ...


class Course:
    """One sweep on its way."""

    def __init__(self, search: Search, trainer: Trainer, *, slots: int = 1, rules: int = RULES) -> None:
        """Before its first event; `slots` legs run side by side, and it decides by `rules`."""
        self.search, self.events, self._rules = search, list[Event](), rules
        self._trainer, self._slots, self._now = trainer, slots, 1000.0
        self._running: list[tuple[float, int, LegStarted, Trained]] = []

    def run(self, priors: Sequence[Prior] = ()) -> None:
        """To its end, or until the trainer has enough."""
        space, now = self.search.state.space, self._now
        digest, read = space.frozen_digest(), list(priors)
        named = {"name": space.name, "seed": space.seed, "space_digest": digest, "versions": {}}
        self._take(SweepStarted(**named, rules=self._rules, priors=read, at=now))
        driver = DriverStarted(driver="replay:1", fence=1, slots=self._slots, budget=space.budget, at=now)
        self._take(driver.model_copy(update={"confirm": space.confirm, "audit": space.audit}))
        while self.search.is_done(self._now) is None:
            self._advance()
            if self.runs:
                leg, trained = self._next_end()
                self._end(leg, trained)
                if self._trainer.ended(self.search.state.trials[leg.trial], leg):
                    return
            else:
                assert self.search.is_done(self._now), "nothing runs and nothing is left to do, but the sweep is not done"
        for event in self.search.closing_events(self._now):
            self._take(event)

    @property
    def runs(self) -> int:
        """Legs that run."""
        return len(self._running)

    def _start(self, leg: LegStarted, trained: Trained) -> None:
        heapq.heappush(self._running, (self._now + trained.seconds, leg.trial, leg, trained))

    def _next_end(self) -> tuple[LegStarted, Trained]:
        """The leg that ends next; the time is that of its end."""
        self._now, _, leg, trained = heapq.heappop(self._running)
        return leg, trained

    def _take(self, event: Event) -> None:
        self.search.state.apply(event)
        self.events.append(event)

    def _advance(self) -> None:
        while events := self.search.next_events(self._now, self._slots - self.runs):
            for event in events:
                self._take(event)
                if isinstance(event, LegStarted):
                    self._start(event, self._trainer.train(self.search.state.trials[event.trial], event))

    def _end(self, leg: LegStarted, trained: Trained) -> None:
        self._take(
            LegEnded(
                trial=leg.trial,
                rung=leg.rung,
                attempt=leg.attempt,
                status="completed",
                objective=trained.objective,
                standard_error=trained.standard_error,
                loss=trained.loss,
                steps=leg.until_steps,
                train_flops=leg.until_steps * self.search.state.trials[leg.trial].asked.step_flops,
                train_seconds=trained.seconds,
                checkpoint=f"trials/{leg.trial:04d}/{leg.until_steps}-{leg.attempt}",
                at=self._now,
            )
        )
        for event in self.search.due_decisions(self._now):
            self._take(event)
