"""Moves from the best trials, chosen among by a Gaussian process, with random draws between."""

from typing import Any, ClassVar, Literal

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from pydantic import Field

from trm.search.samplers.coordinates import Coordinates, Point
from trm.search.samplers.distributions import distribution
from trm.search.samplers.rung_process import RungProcess
from trm.search.samplers.sampler import Ask, SamplerSettings
from trm.search.samplers.standing import standings

FEWEST = 4
"""Trials with a score before a process is fitted; until then the first move is taken."""
STEPS = (0.04, 0.35)
"""Least and greatest standard deviation of a move, as a share of a knob's range; drawn evenly in the logarithm."""
MOVED = 0.5
"""Share of the knobs that move."""
ELITE = 0.8
"""Mean of the exponential by which a move's trial is drawn among the best: the first with 71 %, the second with 21 %."""


class Surrogate(SamplerSettings):
    """Moves from the best trials, of several the one that a Gaussian process over all rungs expects most of; random draws between.

    A tournament of a few moves trusts the process a little: its mistakes choose among good moves, not the place to search.
    """

    most_shown: ClassVar[int | None] = 80
    """An ask grows with the cube of their number."""
    learns_from_earlier: ClassVar[bool] = True
    mixes_with_beliefs: ClassVar[bool] = True
    moves_from_best: ClassVar[bool] = True

    type: Literal["surrogate"] = "surrogate"
    """Names the sampler."""
    random_share: float = Field(0.25, ge=0, le=1)
    """Share of the trials that are drawn at random, whatever is known."""
    moves: int = Field(8, ge=1, le=1000)
    """Moves of which the process chooses one."""

    def sampler(self, ask: Ask) -> BaseSampler:
        """Draws all knobs together."""
        return _Moves(Coordinates(ask.knobs), np.random.default_rng(ask.seed), self)


class _Moves(BaseSampler):  # type: ignore[misc]
    def __init__(self, coordinates: Coordinates, draw: np.random.Generator, settings: Surrogate) -> None:
        self._coordinates, self._draw, self._settings = coordinates, draw, settings
        self._known: _Known | None = None

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {path: distribution(knob) for path, knob in self._coordinates.knobs.items()}

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        if self._known is None:  # the study shows the same trials for as long as this sampler lives
            self._known = _Known(study, self._coordinates, self._draw)
        known = self._known
        if not known.ranked or self._draw.random() < self._settings.random_share:
            return self._coordinates.params(self._coordinates.drawn(self._draw))
        moves = [self._move(known.ranked) for _ in range(self._settings.moves if known.process is not None else 1)]
        if known.process is None:
            return moves[0]
        points = np.array([self._coordinates.point(self._coordinates.searched(params)) for params in moves])
        return moves[int(known.process.improvement(points).argmax())]

    def sample_independent(self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution) -> Any:
        return RandomSampler(int(self._draw.integers(2**32))).sample_independent(study, trial, param_name, param_distribution)

    def _move(self, ranked: list[Point]) -> dict[str, Any]:
        start = ranked[min(int(self._draw.exponential(ELITE)), len(ranked) - 1)]
        scale = float(np.exp(self._draw.uniform(*np.log(STEPS))))
        return self._coordinates.params(self._coordinates.moved(start, self._draw, scale=scale, share=MOVED))


class _Known:
    """What the study's trials say."""

    def __init__(self, study: Study, coordinates: Coordinates, draw: np.random.Generator) -> None:
        trials = [one for one in study.get_trials(deepcopy=False) if _is_told(one)]
        scores = _weighed(trials, draw) if len(study.directions) > 1 else [_scores(study, one) for one in trials]
        points = [coordinates.point(one.params) for one in trials]
        rows = standings(scores) if any(scores) else []
        worth = {trial: value for trial, _, value in rows}
        self.ranked = [points[trial] for trial in sorted(worth, key=lambda trial: -worth[trial]) if scores[trial]]
        self.process: RungProcess | None = None
        if len(self.ranked) >= FEWEST:
            last = max(1, *(rung for _, rung, _ in rows))
            self.process = RungProcess(
                np.array([points[trial] for trial, _, _ in rows]),
                np.array([rung / last for _, rung, _ in rows]),
                np.array([value for _, _, value in rows]),
                coordinates.is_name,
            )


def _is_told(trial: FrozenTrial) -> bool:
    """Whether a trial is scored, or ended without a score by its own fault."""
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED)


def _scores(study: Study, trial: FrozenTrial) -> dict[int, float]:
    """Scores by rung, less is better; none where a constraint is broken."""
    sign = 1.0 if study.direction.name == "MINIMIZE" else -1.0
    if any(value > 0 for value in trial.constraints.values()):
        return {}
    return {rung: sign * value for rung, value in trial.intermediate_values.items()}


def _weighed(trials: list[FrozenTrial], draw: np.random.Generator) -> list[dict[int, float]]:
    """With several objectives: places weighed against each other at random, anew for every ask, so that asks go along the front.

    The largest weighed place, and a little of their sum (augmented Chebyshev: Knowles 2006, eq. 2).
    """
    weights = draw.dirichlet(np.ones(len(trials[0].values))) if trials else np.ones(0)
    places = [weights * np.array(trial.values) for trial in trials]
    return [{0: float(place.max() + 0.05 * place.sum())} for place in places]
