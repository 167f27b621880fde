"""Legs of the last rungs have more workers where slots idle: which leg, how many, and whether that pays.

A decision from the journal and from what the driver says there is to spare (`Spare`). Whoever would take longest gets twice as
many slots, as long as slots idle and the batch divides; a leg is stopped for that only where it then ends sooner by more than
stopping it takes.
"""

from collections.abc import Callable

from trm.search.journal.events import LegStarted, Spare
from trm.search.journal.trial import Trial
from trm.search.state import SweepState

LATE_RUNGS = 2
"""Legs to so many of the last rungs are widened: what comes before them is over soon."""
LEAST_LEFT = 0.1
"""Of a leg that has taken longer than expected so much is taken to be left, as a share of that."""
WORTH = 2.0
"""A leg is stopped where it ends sooner by so many times what stopping it takes."""


def widened(
    state: SweepState, spare: Spare, now: float, divides: Callable[[LegStarted, int], bool]
) -> tuple[LegStarted, int] | None:
    """The leg to widen now, and to how many slots; None: none. `divides`: whether as many workers can share a leg's batch."""
    free = min(spare.idle, state.slots - state.held_slots)
    late = [leg for leg in state.open_legs if _may_widen(state, state.trials[leg.trial], leg)]
    left = {leg.trial: seconds for leg in late if (seconds := _left_seconds(state, leg, now)) is not None}
    slots = {number: state.trials[number].slots for number in left}
    legs = {leg.trial: leg for leg in late}

    def takes(number: int) -> float:
        """Seconds that are left of the leg, on the slots that it is to have."""
        alone = left[number] * state.facts.speeds.times_faster(state.trials[number].slots)
        return alone / state.facts.speeds.times_faster(slots[number])

    while growing := [
        number
        for number, count in slots.items()
        if count <= free and 2 * count <= spare.most and divides(legs[number], 2 * count * spare.workers)
    ]:
        longest = max(growing, key=lambda number: (takes(number), -number))
        free -= slots[longest]
        slots[longest] *= 2
    restart = state.facts.speeds.restart_seconds(spare.restart_seconds)
    pays = {number: left[number] - takes(number) - restart for number, count in slots.items() if count > state.trials[number].slots}
    best = max(pays, key=lambda number: (pays[number], -number), default=None)
    return None if best is None or pays[best] < WORTH * restart else (legs[best], slots[best])


def _may_widen(state: SweepState, trial: Trial, leg: LegStarted) -> bool:
    """Not a second time at once, and not what was in trouble: more workers are more that can go wrong."""
    return trial.wider is None and not trial.troubles and not trial.node_losses and leg.rung > state.rungs.last - LATE_RUNGS


def _left_seconds(state: SweepState, leg: LegStarted, now: float) -> float | None:
    """What is left of the leg on the slots that it has; None while no speed is known."""
    if leg.expected_seconds is None:
        return None
    whole = leg.expected_seconds * state.trials[leg.trial].pace
    return max(whole - (now - leg.at), LEAST_LEFT * whole)
