"""Whether more search would pay: how much better the best of the space may be than the best that was found.

A Gaussian process is fitted to all scores, with the rung beside the knobs: the most that it thinks possible at the last rung (its
mean and some of its standard deviations) less the least that the best trial is there (Makarova et al. 2022, Automatic termination
for hyperparameter optimization). How often that held is told in docs/how/findings.md. Where it is below what another seed moves a
score by, what more search finds is hardly told from luck. It ends no sweep.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trm.search.findings.confirmed import winner
from trm.search.journal.trial import Trial
from trm.search.samplers.coordinates import Coordinates
from trm.search.samplers.rung_process import RungProcess
from trm.search.space.rules import foretells_gain
from trm.search.state import SweepState
from trm.seeds import derived_seed
from trm.tasks.metrics import bounds

FEWEST_SCORED = 20
"""Trials with a score, below which nothing is said."""
ROUNDING = 1e-9
"""Less is nothing."""
MOST_SHOWN = 100
"""Trials that the process is fitted to, the latest: it grows with the cube of their number."""
SURE = 3.0
"""Standard deviations that are granted to what is possible, and denied to what was found; so it held in nine of ten sweeps."""
LOOKED_AT, BEST = 1000, 5
"""Points anywhere in the space, and as many near the best scores."""
STEPS, MOVED = (0.04, 0.35), 0.5
"""Least and greatest standard deviation of their distance, as a share of a knob's range, and the share of knobs that differ."""


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

    Other questions: a front, a population, whose scores are those of several configurations, and a space without knobs. Sweeps of
    earlier rules are told nothing, as ever.
    """
    scored = [trial for trial in state.searched if trial.score is not None]
    leader = state.leader
    is_plain = not state.space.objective.against and not state.space.scheduler.changes_knobs
    if (
        not foretells_gain(state.resolver.rules)
        or not is_plain
        or not state.space.search
        or len(scored) < FEWEST_SCORED
        or leader is None
    ):
        return None
    assert leader.score is not None, "the leader was scored"
    if (best := winner(state)) is None or state.order.is_scoreless(leader.score.objective):
        return None
    reached = leader.score.objective if best.confirmed is None else best.confirmed.mean
    most = _possible(state, scored)
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


def _possible(state: SweepState, scored: Sequence[Trial]) -> float:
    """By how much the best of the space may be better than the best of these trials, 0 where nothing tells them apart."""
    cube = Coordinates(dict(state.space.knobs_in_order()))
    rows = [
        (cube.point(trial.asked.params), rung / max(1, state.rungs.last), -state.order.cost(score.objective))
        for trial in scored[-MOST_SHOWN:]
        for rung, score in trial.scores.items()
        if math.isfinite(score.objective)
    ]
    points, rungs, values = (np.array(column) for column in zip(*rows, strict=True))
    spread = float(values.std())
    if spread <= ROUNDING:
        return 0.0
    process = RungProcess(points, rungs, (values - values.mean()) / spread, cube.is_name)
    best = points[np.argsort(-values, kind="stable")[:BEST]]
    mean, deviation = process.at(_anywhere(cube, best, derived_seed(state.space.seed, "more search", bits=32)))
    reached, doubt = process.at(points)
    return spread * float((mean + SURE * deviation).max() - (reached - SURE * doubt).max())


def _anywhere(cube: Coordinates, best: np.ndarray, seed: int) -> np.ndarray:
    """Points of the space, half of them near the best."""
    draw = np.random.default_rng(seed)
    scales = np.exp(draw.uniform(math.log(STEPS[0]), math.log(STEPS[1]), LOOKED_AT))
    near = [cube.moved(best[at % len(best)], draw, scale=float(scale), share=MOVED) for at, scale in enumerate(scales)]
    return np.array([cube.point(cube.searched(cube.params(point))) for point in [*draw.random((LOOKED_AT, len(cube))), *near]])
