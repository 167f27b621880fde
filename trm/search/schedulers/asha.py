"""Asynchronous successive halving: pausing and promoting (arXiv 1810.05934, algorithm 2), or stopping only."""

import sys
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from trm.config.base import Later
from trm.search.schedulers.complete import is_complete, rank_text, stops_in
from trm.search.schedulers.foretelling import open_rungs, tells
from trm.search.schedulers.run_to_end import RunToEnd
from trm.search.schedulers.rung import Rung
from trm.search.schedulers.rungs import ETA, RUNGS, Rungs
from trm.search.schedulers.scheduler import Decision, Exploit, Scheduler, SchedulerContext, SchedulerSettings, SearchedKnobs
from trm.search.space.rules import promotes_sparingly

EVERYONE = range(sys.maxsize)


class Asha(SchedulerSettings):
    """Asynchronous successive halving (arXiv 1810.05934), with the rules of `rung.py`."""

    type: Literal["asha"] = "asha"
    """Names the scheduler."""
    eta: int | None = Field(None, ge=2, le=16)
    """Each rung has eta times the fidelity of the one before, and about 1/eta of its trials; null: chosen as rungs are."""
    rungs: int | None = Field(None, ge=1, le=10)
    """Rungs, the last at `budget.per_trial`; null: chosen when the sweep starts, from its budget and costs."""
    promotes: bool = True
    """True: trials pause at a rung and the best are promoted (algorithm 2). False: each goes on at once or is stopped for good."""
    waits_for_rise: Annotated[bool, Later] = False
    """True: from a rung at which nearly nobody has risen all go on, until finished trials show that it foretold them."""

    def scheduler(self, searched: SearchedKnobs) -> Scheduler:
        """Promotes, or only stops."""
        if not self.promotes:
            return StoppingAsha(opens=self.waits_for_rise)
        return PromotingAsha(is_sparing=promotes_sparingly(searched.rules), opens=self.waits_for_rise)

    def rungs_up_to(self, per_trial: float) -> Rungs:
        """Geometric rungs."""
        return Rungs.geometric(per_trial, self.eta or ETA, self.rungs or RUNGS)

    def following(self, rungs: Rungs, amount: float, per_trial: float) -> float | None:
        """Eta times as much."""
        return amount * rungs.eta


class PromotingAsha:
    """While trials still arrive, the best 1/eta of a rung go on; when none can arrive, its survivors do (see `rung.py`).

    Algorithm 2 promotes whoever is among the best when he comes, however many went on before him. A sampler that learns brings
    trials that are better than most before them: nearly all of them would go on, and the compute with them. So once a rung's
    share has gone on, only its new best does.

    Where slots are so many that all trials could begin before any has come far, they do: who is promoted is then chosen among all.

    From a rung that does not tell of the end (`foretelling.py`) everybody goes on.
    """

    def __init__(self, *, is_sparing: bool = True, opens: bool = False) -> None:
        """`is_sparing`: whether those who went on before count against a rung's share; `opens`: whether rungs may be open."""
        self._is_sparing, self._opens = is_sparing, opens

    def group(self, trial: int) -> int:
        """All trials are one group."""
        return 0

    def first_rung(self, trial: int) -> int:
        """The first."""
        return 0

    def decision(self, context: SchedulerContext, trial: int, rung: int) -> Decision:
        """Rests until it is promoted or stopped."""
        return Decision("paused", rank_text(context, 0, trial, rung))

    def stops(self, context: SchedulerContext) -> Sequence[tuple[int, str]]:
        """Trials of complete rungs that are no survivors; none at an open rung, or above one."""
        rungs = context.rungs.get(0, [])
        still = min(self._open(rungs), default=len(rungs))
        coming = {trial for rung in rungs[still:-1] for trial in rung.paused}
        return [(trial, reason) for trial, reason in stops_in(context, 0, EVERYONE) if trial not in coming]

    def exploits(self, context: SchedulerContext) -> Sequence[Exploit]:
        """None."""
        return ()

    def promotion(self, context: SchedulerContext) -> int | None:
        """The best that may go on, from the highest rung that has one; none before all have begun, where slots are many."""
        if context.asks_first and not context.is_asking_over:
            return None
        rungs = context.rungs.get(0, [])
        opened = self._open(rungs)
        for rung in range(len(rungs) - 2, -1, -1):
            if rung in opened:
                return rungs[rung].paused[0]
            best = rungs[rung].promotable()
            if (
                best is not None
                and self._is_sparing
                and rungs[rung].rank(best)
                and self._gone_on(context, rung) >= rungs[rung].quota
            ):
                best = None
            if best is None and rung < min(opened, default=len(rungs)) and is_complete(context, 0, rung, EVERYONE):
                best = rungs[rung].resting_survivor()
            if best is not None:
                return best
        return None

    def may_ask(self, context: SchedulerContext) -> bool:
        """Always."""
        return True

    def _open(self, rungs: Sequence[Rung]) -> list[int]:
        return open_rungs(rungs) if self._opens else []

    def _gone_on(self, context: SchedulerContext, rung: int) -> int:
        """Trials that were scored at the next rung, or are on their way there."""
        return len(context.rungs[0][rung + 1]) + list(context.targets.values()).count(rung + 1)


class StoppingAsha(RunToEnd):
    """A trial that is scored goes on at once if it would survive its rung as that stands, or is stopped for good.

    Who arrives early meets few others and goes on more easily: what becomes of a trial depends on when it arrives, as in every
    scheduler that never waits. From a rung that does not tell of the end (`foretelling.py`) everybody goes on.
    """

    def __init__(self, *, opens: bool = False) -> None:
        """`opens`: whether rungs may be open."""
        self._opens = opens

    def decision(self, context: SchedulerContext, trial: int, rung: int) -> Decision:
        """Goes on or is stopped."""
        rungs = context.rungs[0]
        goes_on = rungs[rung].is_survivor(trial) or (self._opens and not tells(rungs[rung], rungs[-1]))
        return Decision("running" if goes_on else "stopped", rank_text(context, 0, trial, rung))

    def stops(self, context: SchedulerContext) -> Sequence[tuple[int, str]]:
        """Trials that are paused at what was the last rung before the rungs grew, and would not go on from it."""
        found = stops_in(context, 0, range(0))
        rungs = context.rungs.get(0, [])
        coming = {trial for rung in (open_rungs(rungs) if self._opens else ()) for trial in rungs[rung].paused}
        return [(trial, reason) for trial, reason in found if trial not in coming]
