"""Idle places for legs that run: who is to have them, when that one saves and stops, and where its workers are then.

The places are in hand before anything is journaled; the leg hears from the board that it is to stop, as on a node that leaves.
"""

import time
from collections.abc import Callable

from ray.actor import ActorHandle

from trm.cluster.places import Group, Places
from trm.search.journal.events import LegWidened, Spare
from trm.search.log import SweepLog
from trm.sweeps.steady_clock import steady_now
from trm.training.leg import Leg

PLACES_SECONDS = 5.0
"""Idle slots whose places are not there after so long are left to whoever has them."""


class Widening:
    """What a sweep's driver does with slots that idle; told several times a second to look."""

    def __init__(self, log: SweepLog, places: Places, board: ActorHandle, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._log, self._search, self._places, self._board, self._clock = log, log.search, places, board, clock
        self._lent: dict[int, list[Group]] = {}
        """Trial -> places that are its leg's, besides its own."""
        self._asked: dict[int, Leg] = {}
        """Trial -> its leg, which is to save and stop."""
        self._told: list[Leg] = []
        """What the board was told of those last."""
        self._short_since: float | None = None
        """Since when a leg is to be widened and a place for that is not there."""

    @property
    def lent(self) -> int:
        """Places that are a leg's besides its own."""
        return sum(map(len, self._lent.values()))

    def places_of(self, trial: int) -> list[str]:
        """Ids of the places that the trial's leg, which starts, has besides its own; of those that it is promised, none."""
        own = self._search.state.trials[trial].slots - 1
        return [self._places.groups.id_of(group) for group in self._lent.get(trial, [])[:own]]

    def settle(self) -> None:
        """Places of legs that are over, or have fewer slots again, are given back."""
        trials = self._search.state.trials
        self._asked = {trial: leg for trial, leg in self._asked.items() if trials[trial].wider is not None}
        for trial, groups in list(self._lent.items()):
            kept = max(0, trials[trial].held_slots - 1)
            self._lent[trial] = groups[:kept]
            for group in groups[kept:]:
                self._places.take_back(group)

    def look(self) -> None:
        """Widen a leg where that pays and its places are there; what was asked to stop is asked again, the board may be new."""
        self.settle()
        self._ask_to_yield()
        state = self._search.state
        idle = state.slots - state.held_slots
        is_wanted = idle > 0 and self._search.next_widening(steady_now(), self._spare(idle)) is not None
        is_short = is_wanted and self._places.ready < idle
        self._places.is_kept, self._places.ends_idle = is_wanted or bool(self._asked), is_short and not self._asked
        if not is_short:
            self._short_since = None
        elif self._short_since is None:
            self._short_since = self._clock()
        if is_wanted and (self._short_since is None or self._clock() - self._short_since > PLACES_SECONDS):
            self._widen(min(idle, self._places.ready))

    def _widen(self, idle: int) -> None:
        event = self._log.widen(steady_now(), self._spare(idle)) if idle else None
        if event is not None:
            self._promise(event)

    def _promise(self, event: LegWidened) -> None:
        before = self._search.state.trials[event.trial].slots
        self._lent.setdefault(event.trial, []).extend(self._places.lend(event.slots - before))
        self._asked[event.trial] = event.trial, event.rung, event.attempt
        self._places.ends_idle, self._short_since = False, None
        self._ask_to_yield()

    def _ask_to_yield(self) -> None:
        legs = list(self._asked.values())
        if legs or self._told:
            self._board.ask_to_yield.remote(legs)
        self._told = legs

    def _spare(self, idle: int) -> Spare:
        resources = self._search.state.space.resources
        return Spare(idle=idle, most=resources.most_slots, workers=resources.workers, restart_seconds=resources.restart_seconds)
