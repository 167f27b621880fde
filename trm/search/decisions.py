"""What becomes of a trial whose leg ended.

| the leg | the trial |
| --- | --- |
| completed, at the last rung | is finished |
| completed, below it | rests, goes on or stops, as its scheduler says |
| completed, its objective not a finite number | has diverged |
| diverged, out of memory | ends as that, at once: the same seed would meet the same end |
| out of memory with more workers than usual | is tried again without them |
| failed by itself | is tried once more, from the same checkpoint; failed again, it has failed |
| stalled: killed because it made no step | is tried once more; stalled again, it has failed, by that name |
| lost with its process | is tried again without blame; after MAX_LOSSES it is set aside, and a resume tries it again |
| lost with its whole node | is tried again; after MAX_NODE_LOSSES it is set aside as well |

Each of the last three has a count of its own within a stretch, from one rung to the next.
"""

from collections.abc import Iterable

from trm.search.journal.events import Decided, TrialStatus
from trm.search.journal.trial import Trial
from trm.search.schedulers.scheduler import Decision

MAX_FAILURES = 2
"""Legs of one stretch that may fail by themselves; then the trial has failed."""
MAX_STALLS = 2
"""Legs of one stretch that may stall; then the trial has failed."""
MAX_LOSSES = 5
"""Legs of one stretch that may be lost; then something is wrong that retrying now does not mend.

The trial is stopped, not failed: nothing says that its configuration is to blame.
"""

MAX_NODE_LOSSES = 20
"""As many that may be lost together with their nodes: those say nothing of the trial, unless it is what ends nodes."""


def decision(trial: Trial, scored: Decision | None, metric: str, now: float) -> Decided | None:
    """The decision about a trial whose last leg ended; None when there is nothing to decide.

    `scored` is what its scheduler says of a trial that rests below the last rung.
    """
    rung = trial.rung
    if trial.target_rung is None and rung is not None:
        if scored is None:
            return _decided(trial, rung, "finished", "it reached the last rung", now)
        is_early = scored.status == "stopped"
        return Decided(trial=trial.number, rung=rung, status=scored.status, reason=scored.reason, is_early=is_early, at=now)
    trouble, target = trial.trouble, trial.target_rung
    if trouble is None or target is None:
        return None
    error = trouble.error or trouble.status
    if trouble.status == "completed":
        return _decided(trial, target, "diverged", f"its {metric} is not a finite number", now)
    is_wide = (trouble.rung, trouble.attempt) in trial.wide
    if trouble.status == "diverged" or (trouble.status == "out_of_memory" and not is_wide):
        return _decided(trial, target, trouble.status, error, now)
    if trouble.status == "failed" and (count := trial.troubles["failed"]) >= MAX_FAILURES:
        return _decided(trial, target, "failed", f"failed {count} times: {error}", now)
    if trouble.status == "stalled" and (count := trial.troubles["stalled"]) >= MAX_STALLS:
        return _decided(trial, target, "failed", f"stalled {count} times: {error}", now)
    if trouble.status == "lost" and is_set_aside(trial):
        count = trial.troubles["lost"] + trial.node_losses
        return stopped(trial, f"lost {count} times, set aside until a resume: {error}", now)
    return _decided(trial, target, "running", f"{trouble.status}, to be tried again: {error}", now)


def is_set_aside(trial: Trial) -> bool:
    """Whether a trial was lost so often that it waits for another driver."""
    return trial.troubles["lost"] >= MAX_LOSSES or trial.node_losses >= MAX_NODE_LOSSES


def set_aside(trials: Iterable[Trial]) -> list[str]:
    """The trials that a resume is to try again because they were lost too often, each with the reason."""
    found = [trial for trial in trials if trial.status == "stopped" and is_set_aside(trial)]
    return [f"trial {trial.number} was {trial.decided.reason}" for trial in found if trial.decided is not None]


def stopped(trial: Trial, reason: str, now: float, *, is_early: bool = False, reopens: bool = True) -> Decided:
    """The decision to stop a trial, which a sweep with a larger budget may take up again if it `reopens`."""
    rung = trial.target_rung if trial.rung is None else trial.rung
    return Decided(trial=trial.number, rung=rung or 0, status="stopped", reason=reason, reopens=reopens, is_early=is_early, at=now)


def _decided(trial: Trial, rung: int, status: TrialStatus, reason: str, now: float) -> Decided:
    return Decided(trial=trial.number, rung=rung, status=status, reason=reason, at=now)
