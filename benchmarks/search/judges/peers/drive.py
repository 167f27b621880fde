"""What the peers' drivers share: one objective, one code for every space, runs that are taken up again. Only numpy.

Everybody maximizes `objective`, the score less a millionth of the loss, so that of equal scores the smaller loss is better. A
choice whose values stand in an order is a whole number, its place in that order, as all these tools' manuals advise; of a choice
without order the tools see the places as labels.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.search.judges.judge import Judge, Knob, Params, Run, Score, Sweep, Value

LOSS_WEIGHT = 1e-6
"""Of the loss in the objective, points."""
LARGEST_LOSS = 1e6
"""What a loss that is larger, or no number, counts as."""
FIRST_RUNG = 1 / 8
"""Share of a full length after which a tool that stops or promotes looks first, as this project's own search does."""
DEEPEST = 3
"""Halvings below a full length that brackets have at most, as in BOHB's and DEHB's papers."""


def objective(score: Score) -> float:
    """What the tools maximize, in points; finite."""
    loss = min(score.loss, LARGEST_LOSS) if np.isfinite(score.loss) else LARGEST_LOSS
    return (score.score if np.isfinite(score.score) else 0.0) - LOSS_WEIGHT * loss


def error(value: float) -> float:
    """What a tool minimizes where it cannot maximize: what the objective lacks to 100, positive, for some take its logarithm."""
    return 100.0 - value


def is_spent(sweep: Sweep) -> bool:
    """Whether nothing more may be paid; a sweep may have begun all its trials and still train them on."""
    return sweep.compute >= sweep.limits.compute


def share(judge: Judge, of_full: float) -> int:
    """Epochs of such a share of a full length, at least one."""
    return max(1, round(judge.epochs * of_full))


def first_share(sweep: Sweep, eta: int, shallow: float) -> float:
    """Share of a full length that a factor of `eta` begins with: as deep as brackets get, where it has trials for such a bracket.

    `shallow` where it has not. Chosen on the judges for tuning, after 16 full lengths, paired: DEHB -7.4 +- 3.1 points against 1/9,
    Syne Tune's ASHA -3.2 +- 1.8 against 1/8, PriorBand the same way; Ray's ASHA, +4.2 +- 2.4, stays at its eighth.
    """
    return eta**-DEEPEST if eta**DEEPEST <= sweep.limits.trials else shallow


def least_budget(judge: Judge, first: float) -> float:
    """The lowest budget under Hyperband, in epochs, at least one; rounded so that no logarithm loses a level."""
    return max(1.0, judge.epochs * first) * (1 - 1e-6)


def levels(judge: Judge, first: float, eta: int) -> int:
    """Budgets under Hyperband, from the whole length down to a share of it; 1: the judge has no curves."""
    return math.floor(math.log(judge.epochs / least_budget(judge, first)) / math.log(eta)) + 1


def epoch_of(judge: Judge, budget: float) -> int:
    """The whole epoch nearest to a budget in epochs."""
    return min(judge.epochs, max(1, round(budget)))


def is_number(knob: Knob) -> bool:
    """Whether neighbouring codes are alike: all but choices without order."""
    return knob.kind != "choice" or knob.is_ordered


def encoded(knob: Knob, value: Value) -> Any:
    """What stands for the value in a tool: of a choice its place."""
    return knob.values.index(value) if knob.kind == "choice" else value


def decoded(knob: Knob, code: Any) -> Value:
    """The value that a code stands for, drawn into the knob's range where rounding left it."""
    if knob.kind == "choice":
        return knob.values[int(code)]
    if knob.kind == "int":
        return int(min(knob.high, max(knob.low, round(float(code)))))
    return float(min(knob.high, max(knob.low, float(code))))


def active(knobs: Sequence[Knob], codes: Mapping[str, Any]) -> dict[str, Value]:
    """The configuration of these codes, without those of knobs that are not active."""
    params: dict[str, Value] = {}
    for knob in knobs:
        if knob.is_active(params):
            params[knob.name] = decoded(knob, codes[knob.name])
    return params


def all_codes(knobs: Sequence[Knob], params: Params) -> dict[str, Any]:
    """Codes of all knobs, for a tool without conditions: of those that are not active the middle."""
    return {knob.name: encoded(knob, params[knob.name]) if knob.name in params else _middle(knob) for knob in knobs}


def _middle(knob: Knob) -> Any:
    if knob.kind == "choice":
        return (len(knob.values) - 1) // 2 if knob.is_ordered else 0
    value = float(np.sqrt(knob.low * knob.high)) if knob.is_log else (knob.low + knob.high) / 2
    return round(value) if knob.kind == "int" else value


@dataclass
class Configurations:
    """Runs of a tool that names configurations by their values: begun once, taken up again where asked for longer."""

    sweep: Sweep
    best: Run | None = None
    """Of the highest objective among the runs at the largest epoch that any was scored at, as authors of halving tools report."""
    _best: tuple[int, float] = (0, -np.inf)
    _runs: dict[tuple[tuple[str, Value], ...], list[Run]] = field(default_factory=dict)

    def train(self, params: Params, epoch: int) -> float | None:
        """The objective after that epoch, reported; None: the sweep is over. Asked again for no more, it is another run."""
        known = self._runs.setdefault(tuple(sorted(params.items())), [])
        run = next((one for one in known if one.epoch < epoch), None)
        if is_spent(self.sweep) or (run is None and self.sweep.is_over):
            return None
        if run is None:
            run = self.sweep.begin(params)
            known.append(run)
        value = objective(run.train_to(epoch))
        if (epoch, value) > self._best:
            self._best, self.best = (epoch, value), run
        self.sweep.report(self.best)
        return value
