"""The place of each trial among a sweep's, on its way to a tracking store: what changed, the best first, some at a time."""

from collections.abc import Collection, Mapping

from trm.search.findings.confirmed import ranked
from trm.search.state import SweepState
from trm.tracking.values import RANK, Held, Point, RunUpdate

RANKS_AT_A_TIME = 50
"""While a sweep runs; the best of those that changed. At its end all go out."""


def ranks_of(state: SweepState) -> dict[int, int]:
    """Trial -> place on the leaderboard, from 1; of those that were scored."""
    return {trial.number: place for place, (trial, _) in enumerate(ranked(state), start=1)}


def changed_ranks(
    state: SweepState, held: Mapping[int | None, Held], among: Collection[int | None] | None = None
) -> list[RunUpdate]:
    """Ranks that runs of the store, or those `among` which are on their way, do not tell as they are; the best first.

    The step is the number of events, so that the newest rank counts as the run's.
    """
    among, at = held if among is None else among, state.spending.clock.latest
    found = [(trial, rank) for trial, rank in ranks_of(state).items() if trial in among and held.get(trial, Held()).rank != rank]
    return [RunUpdate(trial, at, at, points=[Point(RANK, float(rank), state.events, at)]) for trial, rank in found]
