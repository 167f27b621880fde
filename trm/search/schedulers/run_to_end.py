"""No early stopping. Base class of schedulers that never pause a trial."""

from collections.abc import Sequence
from typing import Literal

from trm.search.schedulers.complete import rank_text
from trm.search.schedulers.rungs import Rungs
from trm.search.schedulers.scheduler import Decision, Exploit, Scheduler, SchedulerContext, SchedulerSettings, SearchedKnobs


class NoScheduler(SchedulerSettings):
    """Every trial runs to its end."""

    type: Literal["none"] = "none"
    """Names the scheduler."""

    def scheduler(self, searched: SearchedKnobs) -> Scheduler:
        """Stops nobody."""
        return RunToEnd()

    def rungs_up_to(self, per_trial: float) -> Rungs:
        """One rung."""
        return Rungs((per_trial,), 1)

    def following(self, rungs: Rungs, amount: float, per_trial: float) -> float | None:
        """Any larger amount is one more rung."""
        return amount + (per_trial - rungs.amounts[-1])


class RunToEnd:
    """Every trial goes on to its end."""

    def group(self, trial: int) -> int:
        """All trials are one group."""
        return 0

    def first_rung(self, trial: int) -> int:
        """The first."""
        return 0

    def decision(self, context: SchedulerContext, trial: int, rung: int) -> Decision:
        """Goes on."""
        return Decision("running", rank_text(context, 0, trial, rung))

    def stops(self, context: SchedulerContext) -> Sequence[tuple[int, str]]:
        """None."""
        return ()

    def exploits(self, context: SchedulerContext) -> Sequence[Exploit]:
        """None."""
        return ()

    def promotion(self, context: SchedulerContext) -> int | None:
        """The best of those that rest at what was the last rung before the rungs grew, and are not stopped there.

        A sweep that ended before their turn came has stopped them too: the decision on them tells, not what they are called.
        """
        rungs = context.rungs.get(0, [])
        for rung in range(len(rungs) - 2, -1, -1):
            for trial in rungs[rung].paused:
                if self.decision(context, trial, rung).status == "running":
                    return trial
        return None

    def may_ask(self, context: SchedulerContext) -> bool:
        """Always."""
        return True
