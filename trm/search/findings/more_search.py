"""Whether more search would pay: how much better the best of the space may be than the best that was found.

A Gaussian process is fitted to the last scores of the better half of the trials, at whatever rung: the most that it thinks possible
anywhere (its mean and a few of its standard deviations) less the least that the best of them is (Makarova et al. 2022, Automatic
termination for hyperparameter optimization; Optuna's evaluator). Replayed, it held in 82 to 100 % of the sweeps of a problem
(docs/how/findings.md). Where it is below what another seed moves a score by, what more search finds is hardly told from luck. It
ends no sweep.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from trm.search.findings.confirmed import winner
from trm.search.journal.trial import Trial
from trm.search.knobs.knobs import ChoiceKnob, Knob
from trm.search.samplers.distributions import distribution
from trm.search.space.rules import foretells_gain
from trm.search.state import SweepState
from trm.seeds import derived_seed
from trm.tasks.metrics import bounds

FEWEST_SCORED = 20
"""Trials with a score, below which nothing is said."""
ROUNDING = 1e-9
"""Less is nothing."""
MOST_SHOWN = 250
"""Trials that the process is fitted to, the latest: it grows with the cube of their number."""


@dataclass(frozen=True)
class MoreSearch:
    """What more search may bring."""

    metric: str
    possible: float
    """The best of the space may be better than the best that was found by so much of the metric."""
    seed: float | None
    """What another seed moves a score by, one standard deviation; null: no configuration was trained twice."""

    @property
    def pays(self) -> bool | None:
        """Whether more search may find what is better than another seed would be; null: nobody knows what a seed does."""
        return None if self.seed is None else self.possible > self.seed

    @property
    def sentence(self) -> str:
        """In words."""
        most = f"the best of this space may be better by up to {self.possible:.2g} {self.metric} (an estimate)"
        if self.seed is None:
            return most
        both = f"{most}, and another seed moves a score by {self.seed:.2g}"
        return f"{both}: more search may pay" if self.pays else f"more search is not expected to pay: {both}"

    @property
    def values(self) -> dict[str, Any]:
        """As the leaderboard's file has it; JSON."""
        return {"possible": self.possible, "seed": self.seed, "pays": self.pays, "sentence": self.sentence}


def more_search(state: SweepState) -> MoreSearch | None:
    """What more search of the space would bring; None where few trials were scored, or the question is another.

    Other questions: a front, a population, whose scores are those of several configurations, and a space without knobs that every
    trial has. Sweeps of earlier rules are told nothing, as ever.
    """
    scored = [trial for trial in state.searched if trial.score is not None]
    leader, knobs = state.leader, _joint(state.space.search)
    is_plain = not state.space.objective.against and not state.space.scheduler.changes_knobs
    if not foretells_gain(state.resolver.rules) or not is_plain or not knobs or len(scored) < FEWEST_SCORED or leader is None:
        return None
    assert leader.score is not None, "the leader was scored"
    if (best := winner(state)) is None or state.order.is_scoreless(leader.score.objective):
        return None
    reached = leader.score.objective if best.confirmed is None else best.confirmed.mean
    shown = [_shown(trial, knobs, state) for trial in scored[-MOST_SHOWN:]]
    most = _regret_bound(shown, derived_seed(state.space.seed, "more search", bits=32))
    limit = bounds(state.space.objective.metric)[1 if state.order.mode == "max" else 0]
    most = most if most > ROUNDING else 0.0
    return MoreSearch(state.space.objective.metric, min(most, abs(limit - reached)), seed_deviation(state))


def seed_deviation(state: SweepState) -> float | None:
    """Standard deviation of scores at the last rung over the seeds of a configuration, pooled; None where none has two."""
    last, found = state.rungs.last, dict[str, list[float]]()
    for trial in state.trials:
        if last in trial.scores and not trial.adoptions:
            found.setdefault(trial.asked.digest, []).append(trial.scores[last].objective)
    several = [np.asarray(one) for one in found.values() if len(one) > 1]
    freedom = sum(len(one) - 1 for one in several)
    return math.sqrt(sum(float(((one - one.mean()) ** 2).sum()) for one in several) / freedom) if freedom else None


def _joint(search: dict[str, Knob]) -> dict[str, BaseDistribution]:
    """What every trial has of the knobs, choices of numbers in their order."""
    found = {}
    for path, knob in search.items():
        if knob.when or knob.count < 2:
            continue
        is_ordered = isinstance(knob, ChoiceKnob) and knob.numbers is not None
        found[path] = IntDistribution(0, len(knob.values_in_order) - 1) if is_ordered else distribution(knob)
    return found


def _shown(trial: Trial, knobs: dict[str, BaseDistribution], state: SweepState) -> FrozenTrial:
    params = {}
    for path in knobs:
        value, knob = trial.asked.params[path], state.space.search[path]
        numbers = knob.numbers if isinstance(knob, ChoiceKnob) else None
        params[path] = value if numbers is None else numbers.index(value)
    assert trial.score is not None, "only scored trials are shown"
    cost = state.order.cost(trial.score.objective)
    shown = create_trial(state=TrialState.COMPLETE, value=cost, params=params, distributions=knobs)
    shown.number = shown._trial_id = trial.number
    return shown


def _regret_bound(shown: Sequence[FrozenTrial], seed: int) -> float:
    from optuna.terminator import RegretBoundEvaluator  # brings torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return float(RegretBoundEvaluator(seed=seed).evaluate(list(shown), StudyDirection.MINIMIZE))
