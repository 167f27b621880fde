"""Moves from the best trials, chosen among by a Gaussian process, and random draws, as long as there are few; then TPE."""

import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from pydantic import Field

from trm.search.samplers.coordinates import Coordinates, Point
from trm.search.samplers.distributions import distribution
from trm.search.samplers.sampler import Ask, SamplerSettings
from trm.search.samplers.standing import standings
from trm.search.samplers.tpe import TPE

if TYPE_CHECKING:
    from trm.search.samplers.rung_process import RungProcess

MOST_FITTED = 80
"""Latest trials that a process is fitted to, which takes the cube of their number."""
FEWEST = 4
"""Trials with a score before a process is fitted; until then the first move is taken."""
STEPS = (0.04, 0.35)
"""Least and greatest standard deviation of a move, as a share of a knob's range; drawn evenly in the logarithm."""
MOVED = 0.5
"""Share of the knobs that move."""
RANDOM = 0.25
"""Share of the trials that are drawn at random, whatever is known, before TPE takes over."""
BEHIND = 1e12
"""No score is as bad."""
ELITE = 0.8
"""Mean of the exponential by which a move's trial is drawn among the best: the first with 71 %, the second with 21 %."""


class Surrogate(SamplerSettings):
    """Moves from the best trials that a Gaussian process over all rungs chooses among, random draws between; then Optuna's TPE.

    A tournament of a few moves trusts the process a little: its mistakes choose among good moves, not the place to search. Once
    there are enough trials for TPE's densities, those know better: over what trials are worth across rungs (`standing.py`), where
    Optuna would rank the few that finished before all others.
    """

    most_shown: ClassVar[int | None] = TPE.most_shown
    compares_rungs: ClassVar[bool] = True
    learns_from_earlier: ClassVar[bool] = True
    climb: ClassVar[float] = 1.35
    mixes_with_beliefs: ClassVar[bool] = True
    moves_from_best: ClassVar[bool] = True

    type: Literal["surrogate"] = "surrogate"
    """Names the sampler."""
    moves: int = Field(8, ge=1, le=1000)
    """Moves of which the process chooses one."""
    tpe_after: int | None = Field(16, ge=1)
    """Scored trials from which on TPE proposes; null: it never does."""

    def sampler(self, ask: Ask) -> BaseSampler:
        """The phase follows from the trials that it is shown."""
        draw = np.random.default_rng(ask.seed)
        after = math.inf if self.tpe_after is None else self.tpe_after
        moves = _Moves(Coordinates(ask.knobs), draw, self.moves)
        return _Phases(draw, after, moves, tpe=TPE().sampler(ask), drawn=RandomSampler(ask.seed))


class _Phases(BaseSampler):  # type: ignore[misc]
    """Who proposes this time is chosen when the space is asked for, before everything else of a proposal."""

    def __init__(
        self, draw: np.random.Generator, tpe_after: float, moves: BaseSampler, *, tpe: BaseSampler, drawn: BaseSampler
    ) -> None:
        self._draw, self._tpe_after = draw, tpe_after
        self._moves, self._tpe, self._drawn = moves, tpe, drawn
        self._now = drawn

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        scored = sum(_is_scored(one) for one in study.get_trials(deepcopy=False))
        is_late = scored >= self._tpe_after
        if is_late:
            self._now = self._tpe
        else:
            self._now = self._drawn if not scored or self._draw.random() < RANDOM else self._moves
        return dict(self._now.infer_relative_search_space(study, trial))

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        return dict(self._now.sample_relative(study, trial, search_space))

    def sample_independent(self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution) -> Any:
        return self._now.sample_independent(study, trial, param_name, param_distribution)


class _Moves(BaseSampler):  # type: ignore[misc]
    """Draws all knobs together, those too that turn out not to be active."""

    def __init__(self, coordinates: Coordinates, draw: np.random.Generator, moves: int) -> None:
        self._coordinates, self._draw, self._count = coordinates, draw, moves
        self._known: _Known | None = None

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {path: distribution(knob) for path, knob in self._coordinates.knobs.items()}

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        if self._known is None:  # the study shows the same trials for as long as this sampler lives
            self._known = _Known(study, self._coordinates, self._draw)
        process = self._known.process
        moves = [self._move(self._known.ranked) for _ in range(1 if process is None else self._count)]
        if process is None:
            return moves[0]
        points = np.array([self._coordinates.point(self._coordinates.searched(params)) for params in moves])
        return moves[int(process.improvement(points).argmax())]

    def sample_independent(self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution) -> Any:
        raise AssertionError("every knob is drawn together with the others")

    def _move(self, ranked: list[Point]) -> dict[str, Any]:
        start = ranked[min(int(self._draw.exponential(ELITE)), len(ranked) - 1)]
        scale = float(np.exp(self._draw.uniform(*np.log(STEPS))))
        return self._coordinates.params(self._coordinates.moved(start, self._draw, scale=scale, share=MOVED))


class _Known:
    """What the study's trials say."""

    def __init__(self, study: Study, coordinates: Coordinates, draw: np.random.Generator) -> None:
        trials = [one for one in study.get_trials(deepcopy=False) if _is_told(one)][-MOST_FITTED:]
        scores = _weighed(trials, draw) if len(study.directions) > 1 else [_scores(study, one) for one in trials]
        points = [coordinates.point(one.params) for one in trials]
        rows = standings(scores) if any(scores) else []
        worth = {trial: value for trial, _, value in rows}
        self.ranked = [points[trial] for trial in sorted(worth, key=lambda trial: -worth[trial]) if scores[trial]]
        self.process: "RungProcess | None" = None
        if len(self.ranked) >= FEWEST:
            from trm.search.samplers.rung_process import RungProcess  # brings scipy, slow to import

            last = max(1, *(rung for _, rung, _ in rows))
            self.process = RungProcess(
                np.array([points[trial] for trial, _, _ in rows]),
                np.array([rung / last for _, rung, _ in rows]),
                np.array([value for _, _, value in rows]),
                coordinates.is_name,
            )


def _is_scored(trial: FrozenTrial) -> bool:
    return bool(trial.intermediate_values) or trial.state == TrialState.COMPLETE


def _is_told(trial: FrozenTrial) -> bool:
    """Whether a trial is scored, or ended without a score by its own fault."""
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED)


def _scores(study: Study, trial: FrozenTrial) -> dict[int, float]:
    """Scores by rung, less is better; behind all others, by how far, where a constraint is broken."""
    sign = 1.0 if study.direction.name == "MINIMIZE" else -1.0
    broken = sum(max(0.0, value) for value in trial.constraints.values())
    return {rung: BEHIND * (1 + broken) if broken else sign * value for rung, value in trial.intermediate_values.items()}


def _weighed(trials: list[FrozenTrial], draw: np.random.Generator) -> list[dict[int, float]]:
    """With several objectives: places weighed against each other at random, anew for every ask, so that asks go along the front.

    The largest weighed place, and a little of their sum (augmented Chebyshev: Knowles 2006, eq. 2).
    """
    weights = draw.dirichlet(np.ones(len(trials[0].values))) if trials else np.ones(0)
    places = [weights * np.array(trial.values) for trial in trials]
    return [{0: float(place.max() + 0.05 * place.sum())} for place in places]
