"""What controls say of a sweep's early stopping: how often it was wrong, how well rungs foretell, what a longer start costs."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from trm.console.redaction import stored
from trm.files.atomic import write_text_atomic
from trm.search.journal.trial import Trial
from trm.search.order import Score
from trm.search.state import SweepState
from trm.seeds import derived_seed
from trm.stats.intervals import Interval, wilson
from trm.stats.rank_correlation import FEWEST, spearman_interval, weighted_spearman

AUDIT = "audit.json"
RESAMPLES = 2000


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
    interval_95: Interval | None
    """Of `spearman` (Bonett and Wright 2000), by as many trials as their weights are worth; null: fewer than five."""


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
    interval_95: Interval | None
    """Of the share of `kept` (Wilson); null: there was no control."""


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
    above_median_interval_95: Interval | None
    """Of their share (Wilson)."""
    lost: float
    """By how much the best control ended better than the best that was let go on; 0 when none did."""
    lost_interval_95: Interval | None
    """Of `lost`: controls are drawn again, with replacement, and every score is moved by its standard error (bootstrap)."""
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
        return (
            f"audit: {self.false_stops} of {self.controls} controls ended better than every trial that was let go on "
            f"(false stops: 95 % interval {low} to {high} %, of {self.early_stops} early stops){self._lost}{self._foretold}"
        )

    @property
    def _lost(self) -> str:
        if self.lost_interval_95 is None:
            return ""
        low, high = self.lost_interval_95
        return f", which cost {self.lost:.4f} (95 % interval {low:.4f} to {high:.4f})"

    @property
    def _foretold(self) -> str:
        for one in self.rungs:
            if one.spearman is not None:
                sure = "" if one.interval_95 is None else " (95 % interval {:.2f} to {:.2f})".format(*one.interval_95)
                return f"; rank correlation of rung {one.rung} with the last {one.spearman:.2f}{sure}"
        return ""


def audit_report(state: SweepState) -> AuditReport | None:
    """What the controls so far say; null without an audit."""
    if state.audit is None:
        return None
    last = state.rungs.last
    ended = [trial for trial in state.searched if last in trial.results]
    controls = [trial.scores[last] for trial in ended if trial.is_control]
    others = [trial.scores[last] for trial in ended if not trial.is_control]
    costs = [state.order.cost(one.objective) for one in controls]
    let_go = [state.order.cost(one.objective) for one in others]
    best, middle = (min(let_go), median(let_go)) if let_go else (math.nan, math.nan)  # nothing is below those
    is_known = bool(controls and others)
    false_stops, above_median = sum(cost < best for cost in costs), sum(cost < middle for cost in costs)
    lost = max(0.0, best - min(costs)) if is_known else 0.0
    rate = false_stops / len(controls) if is_known else None
    return AuditReport(
        share=state.audit.share,
        early_stops=state.early_stops,
        controls=len(controls),
        false_stops=false_stops,
        false_stop_rate=rate,
        interval_95=wilson(rate, len(controls)) if rate is not None else None,
        above_median=above_median,
        above_median_interval_95=wilson(above_median / len(controls), len(controls)) if is_known else None,
        lost=lost,
        lost_interval_95=_lost_interval(state, controls, others, lost) if is_known else None,
        rungs=tuple(_agreement(state, rung) for rung in range(last)),
        longer_start=_longer_start(state) if last > 0 else None,
    )


def _lost_interval(state: SweepState, controls: Sequence[Score], others: Sequence[Score], lost: float) -> Interval:
    """What the best control might have won, had others been controls and other puzzles been asked."""
    draws = np.random.default_rng(derived_seed(state.space.seed, "audit interval"))
    best = min(others, key=state.order.key)
    chosen = draws.integers(len(controls), size=(RESAMPLES, len(controls)))
    costs, errors = (
        np.array(column) for column in zip(*((_cost_of(state, one), one.standard_error) for one in controls), strict=True)
    )
    there = (costs[chosen] + errors[chosen] * draws.standard_normal(chosen.shape)).min(axis=1)
    here = _cost_of(state, best) + best.standard_error * draws.standard_normal(RESAMPLES)
    low, high = np.quantile(np.maximum(0.0, here - there), (0.025, 0.975))
    return Interval(min(lost, float(low)), max(lost, float(high)))


def audit_notes(state: SweepState) -> dict[str, Any] | None:
    """What the leaderboard says of early stopping; JSON; null without an audit."""
    report = audit_report(state)
    if report is None:
        return None
    told = ("early_stops", "controls", "false_stops", "false_stop_rate", "interval_95", "lost", "lost_interval_95")
    return {"sentence": report.sentence, **{name: getattr(report, name) for name in told}}


def _cost_of(state: SweepState, score: Score) -> float:
    return state.order.cost(score.objective)


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
    rho, worth = weighted_spearman(here, there, weights), float(weights.sum() ** 2 / (weights**2).sum()) if both else 0.0
    interval = Interval(*spearman_interval(rho, worth)) if rho is not None and worth >= FEWEST else None
    return RungAgreement(rung, len(both), controls, rho, interval)


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
    interval = wilson(kept / len(controls), len(controls)) if controls else None
    return LongerStart(extra, extra / spent if spent else 0.0, len(controls), kept, interval)


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
        write_text_atomic(folder / AUDIT, json.dumps(stored(values), indent=1, allow_nan=False) + "\n")
    return report
