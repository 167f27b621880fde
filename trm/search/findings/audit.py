"""What controls say of a sweep's early stopping: how often it was wrong, how well rungs foretell, what a longer start costs."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np

from trm.files.atomic import write_text_atomic
from trm.search.journal.trial import Trial
from trm.search.state import SweepState
from trm.stats.intervals import Interval, wilson
from trm.stats.rank_correlation import weighted_spearman

AUDIT = "audit.json"


@dataclass(frozen=True)
class RungAgreement:
    """How well a rung foretold the last one."""

    rung: int
    trials: int
    """Scored at both."""
    controls: int
    """Of them, those that early stopping would have ended."""
    spearman: float | None
    """Rank correlation; each control stands for all the early stops it was drawn from. Null: fewer than three, or all equal."""


@dataclass(frozen=True)
class LongerStart:
    """What it would have been to score trials first where the second rung is."""

    extra_train_flops: float
    """What the trials stopped at the first rung would have taken more."""
    extra_share: float
    """`extra_train_flops` as a share of all that the sweep took."""
    controls: int
    """Controls that were to be stopped at the first rung, and reached the second."""
    kept: int
    """Of them, those that would have gone on from the second."""


@dataclass(frozen=True)
class AuditReport:
    """What controls say of a sweep's early stopping, among the trials that reached the last rung."""

    share: float
    """Of early stops that become controls."""
    early_stops: int
    controls: int
    """Controls that came to a score at the last rung."""
    false_stops: int
    """Of them, those that ended better than every trial that was let go on."""
    false_stop_rate: float | None
    interval_95: Interval | None
    """Of that rate (Wilson)."""
    above_median: int
    """Controls that ended better than half of the trials that were let go on."""
    lost: float
    """By how much the best control ended better than the best that was let go on; 0 when none did."""
    rungs: tuple[RungAgreement, ...]
    longer_start: LongerStart | None
    """Null: no trial was stopped at the first rung."""

    @property
    def sentence(self) -> str:
        """The report on one line."""
        if self.interval_95 is None:
            missing = "no trial that was let go on" if self.controls else f"no control of {self.early_stops} early stops"
            return f"audit: {missing} has reached the last rung yet"
        low, high = (f"{100 * value:.0f}" for value in self.interval_95)
        found = [one for one in self.rungs if one.spearman is not None]
        foretold = f"; rank correlation of rung {found[0].rung} with the last {found[0].spearman:.2f}" if found else ""
        return (
            f"audit: {self.false_stops} of {self.controls} controls ended better than every trial that was let go on "
            f"(false stops: 95 % interval {low} to {high} %, of {self.early_stops} early stops){foretold}"
        )


def audit_report(state: SweepState) -> AuditReport | None:
    """What the controls so far say; null without an audit."""
    if state.audit is None:
        return None
    last = state.rungs.last
    ended = [trial for trial in state.searched if last in trial.results]
    controls = [_cost(state, trial, last) for trial in ended if trial.is_control]
    others = [_cost(state, trial, last) for trial in ended if not trial.is_control]
    best, middle = (min(others), median(others)) if others else (math.nan, math.nan)  # nothing is below those
    false_stops = sum(cost < best for cost in controls)
    rate = false_stops / len(controls) if controls and others else None
    return AuditReport(
        share=state.audit.share,
        early_stops=state.early_stops,
        controls=len(controls),
        false_stops=false_stops,
        false_stop_rate=rate,
        interval_95=wilson(rate, len(controls)) if rate is not None else None,
        above_median=sum(cost < middle for cost in controls),
        lost=max(0.0, best - min(controls)) if controls and others else 0.0,
        rungs=tuple(_agreement(state, rung) for rung in range(last)),
        longer_start=_longer_start(state) if last > 0 else None,
    )


def _cost(state: SweepState, trial: Trial, rung: int) -> float:
    return state.order.cost(trial.scores[rung].objective)


def _agreement(state: SweepState, rung: int) -> RungAgreement:
    """Trials let go on are all there; of the others only controls are, so that each counts for several."""
    last = state.rungs.last
    both = [trial for trial in state.searched if rung in trial.results and last in trial.results]
    controls = sum(trial.is_control for trial in both)
    stopped = sum(rung in trial.results and last not in trial.results for trial in state.searched)
    weight = 1.0 + stopped / controls if controls else 1.0
    weights = np.array([weight if trial.is_control else 1.0 for trial in both])
    here, there = (np.array([trial.scores[at].objective for trial in both]) for at in (rung, last))
    return RungAgreement(rung, len(both), controls, weighted_spearman(here, there, weights))


def _longer_start(state: SweepState) -> LongerStart | None:
    first = [trial for trial in state.searched if _stopped_at(trial) == 0]
    if not first:
        return None
    extra = 0.0
    for trial in first:
        steps = state.rungs.steps(trial.asked.amounts)
        extra += trial.asked.flops.between(steps[0], steps[1])
    controls = [trial for trial in first if 1 in trial.results]
    spent = sum(trial.spent_flops for trial in state.searched)
    kept = sum(_goes_on(state, trial) for trial in controls)
    return LongerStart(extra, extra / spent if spent else 0.0, len(controls), kept)


def _stopped_at(trial: Trial) -> int | None:
    """Rung at which early stopping ended the trial, or would have."""
    if trial.is_control:
        return trial.control_from
    return trial.rung if trial.status == "stopped" and trial.decided is not None and trial.decided.is_early else None


def _goes_on(state: SweepState, control: Trial) -> bool:
    """Whether it would have stood among the first 1/eta at the second rung, next to those that reached it."""
    scores = [trial for trial in state.searched if 1 in trial.results]
    better = sum(_cost(state, trial, 1) < _cost(state, control, 1) for trial in scores)
    return better < max(1, len(scores) // max(2, state.rungs.eta))


def write_audit(state: SweepState, folder: Path) -> AuditReport | None:
    """Writes `folder`/audit.json, atomically, and returns what it says; nothing without an audit."""
    report = audit_report(state)
    if report is not None:
        values = {"sentence": report.sentence, **asdict(report)}
        write_text_atomic(folder / AUDIT, json.dumps(values, indent=1, allow_nan=False) + "\n")
    return report
