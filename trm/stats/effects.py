"""Which of several axes move a score, how likely that is and by how much, from trials that somebody chose by what came before.

A sampler that follows what was good puts values without merit beside good ones, so that comparing the groups of one axis alone
names them. Here a set of axes is a model: scores are noise plus what each of its axes does, and what two of them do together. Its
likelihood asks what came of the trials, not how they were chosen. A set is believed by how well it explains the scores for its
size, an axis by the sets that hold it (Bayesian model averaging, Hoeting et al. 1999); what two axes explain alike is doubted.

Of sets of one size each is as likely beforehand, and larger ones less (beta-binomial, Scott and Berger 2010): one half says that
nothing matters. Effects are normal about zero, as wide as the noise times one of `WIDTHS`. Larger sets grow from the best.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy.linalg import cho_factor, cho_solve

WIDTHS = (0.5, 2.0, 8.0)
"""Variances that effects may have, in units of the noise's."""
SMOOTHNESS = (1.0, 1.0, 0.25)
"""Variances of a curve's line, parabola and cubic, in units of the axis's."""
TOGETHER = 0.5
"""Variance of what two axes do together, in units of what each does."""
MOST_AXES, GROWN = 6, 8
"""Axes that a set may have; sets of each size from which larger ones grow."""
HOPELESS = 14.0
"""Logarithm of how many times less likely the best set of a size is than the best of all, where it is not grown for long."""
NEGLIGIBLE = 1e-3
"""Probability of a set, below which it adds nothing to shares."""

Axes = tuple[str, ...]
"""A set of axes, by name; one or two of them stand for what they do, alone or together."""


@dataclass(frozen=True)
class Columns:
    """An axis as numbers; zero where it does not exist."""

    trials: Float64[np.ndarray, "trials columns"]
    reference: Float64[np.ndarray, "draws columns"]
    """The same of draws from all that could be tried: what shares are about."""


class Effect(NamedTuple):
    """What is known of an axis."""

    probability: float
    """That it moves the scores."""
    share: float
    """Of the differences between draws of the reference, noise included, what would be gone if this axis were fixed."""


def effects(axes: Mapping[str, Columns], scores: Float64[np.ndarray, " trials"], *, among: int | None = None) -> dict[str, Effect]:
    """What each axis does to scores that are not all equal; `among`: axes that might matter, where these are not all of them.

    Several axes may account for the same differences, so that shares need not sum to 1.
    """
    sets = _Sets(axes, scores - scores.mean(), max(among or 0, len(axes)))
    weights = sets.weights()
    most = max(weights.values())
    total = sum(math.exp(weight - most) for weight in weights.values())
    chances = {held: math.exp(weight - most) / total for held, weight in weights.items()}
    believed = {name: min(1.0, sum(chance for held, chance in chances.items() if name in held)) for name in axes}
    shares = sets.shares({held: chance for held, chance in chances.items() if chance >= NEGLIGIBLE})
    return {name: Effect(believed[name], shares.get(name, 0.0)) for name in axes}


def normal_scores(ranks: Float64[np.ndarray, " trials"]) -> Float64[np.ndarray, " trials"]:
    """Ranks from 1, of which equals share theirs, as quantiles of a normal distribution, so that no outlier decides."""
    return np.array([NormalDist().inv_cdf((rank - 0.5) / len(ranks)) for rank in ranks])


def curves(grid: Float64[np.ndarray, " places"], at: Float64[np.ndarray, " rows"]) -> Float64[np.ndarray, "rows columns"]:
    """Line, parabola and cubic at some places, uncorrelated over the grid's; fewer where the grid has fewer places."""
    degrees = np.arange(min(len(SMOOTHNESS), len(grid) - 1) + 1)
    _, mixing = np.linalg.qr(grid[:, None] ** degrees)
    raw = (at[:, None] ** degrees) @ np.linalg.inv(mixing) * math.sqrt(len(grid))
    return np.asarray(raw[:, 1:] * np.sqrt(SMOOTHNESS[: len(degrees) - 1]))


def levels(count: int, at: Sequence[int]) -> Float64[np.ndarray, "rows columns"]:
    """Contrasts of `count` levels, uncorrelated over them, at some of their numbers."""
    contrasts, _ = np.linalg.qr(np.hstack([np.ones((count, 1)), np.eye(count)[:, :-1]]))
    return np.asarray(contrasts[:, 1:] * math.sqrt(count))[list(at)]


class _Model:
    """What some axes do, alone or two together as well, with effects of every width.

    The equations of ridge regression, for the columns or, where these are more than the trials, for the trials.
    """

    def __init__(self, held: Axes, columns: Mapping[str, np.ndarray], scores: np.ndarray, *, are_together: bool) -> None:
        """`columns` of each axis; `scores` about their mean."""
        self._held, self._columns = held, columns
        self._blocks: list[Axes] = [(name,) for name in held]
        self._blocks += combinations(held, 2) if are_together else ()
        sizes = [math.prod(columns[name].shape[1] for name in block) for block in self._blocks]
        self._is_wide, self._ends = sum(sizes) > len(scores), np.cumsum(sizes)[:-1]
        gram, towards = self._likeness(are_together), scores
        if not self._is_wide:
            whole = self._whole()
            gram, towards = whole.T @ whole, whole.T @ scores
        solved, spread = zip(*(_solved(width * gram, towards) for width in WIDTHS), strict=True)
        self._solved = np.stack(solved)
        """Of columns, or of trials, by width."""
        freedom, left = len(scores) - 1, self._solved @ towards
        if not self._is_wide:
            left = float(scores @ scores) - np.array(WIDTHS) * left
        self.evidences = -np.array(spread) / 2 - freedom / 2 * np.log(left)
        """Logarithms of the scores' likelihood, by width, up to what all models share."""
        self.noises = left / freedom
        """Variances of what is left, by width."""

    def coefficients(self, weights: np.ndarray) -> dict[Axes, np.ndarray]:
        """Of each block's columns, in the mean over widths that weigh so much."""
        mean = (weights * np.array(WIDTHS)) @ self._solved
        if self._is_wide:
            return {block: _block(block, self._columns).T @ mean for block in self._blocks}
        return dict(zip(self._blocks, np.split(mean, self._ends), strict=True))

    def _whole(self) -> np.ndarray:
        """All columns, about their means."""
        rows = len(next(iter(self._columns.values())))
        columns = np.hstack([np.zeros((rows, 0)), *(_block(block, self._columns) for block in self._blocks)])
        return np.asarray(columns - columns.mean(0))

    def _likeness(self, are_together: bool) -> np.ndarray:
        """Products of the trials' columns, about their means: those of two axes together are products of each one's."""
        if not self._is_wide:
            return np.zeros((0, 0))
        alone = [self._columns[name] @ self._columns[name].T for name in self._held]
        found = np.sum(alone, axis=0)
        if are_together:
            found = found + TOGETHER / 2 * (found**2 - sum(one**2 for one in alone))
        middles = found.mean(0)
        return np.asarray(found - middles - middles[:, None] + middles.mean())


def _solved(gram: np.ndarray, towards: np.ndarray) -> tuple[np.ndarray, float]:
    """Solution of (identity + gram) x = towards, and the logarithm of the matrix's determinant."""
    if not len(gram):
        return towards, 0.0
    factor, is_lower = cho_factor(gram + np.eye(len(gram)), lower=True, check_finite=False)
    return cho_solve((factor, is_lower), towards, check_finite=False), 2 * float(np.log(np.diagonal(factor)).sum())


class _Sets:
    """Sets of axes, weighed by what they make of the scores."""

    def __init__(self, axes: Mapping[str, Columns], scores: np.ndarray, among: int) -> None:
        self._axes, self._scores, self._among = axes, scores, among
        self._columns = {name: axis.trials for name, axis in axes.items()}
        assert float(scores @ scores) > 0, "scores differ"

    def weights(self) -> dict[Axes, float]:
        """Set -> logarithm of its probability, up to what all share."""
        found: dict[Axes, float] = {(): self._weight(())}
        grown, hopeless = list[Axes]([()]), 0
        for _ in range(min(MOST_AXES, len(self._axes))):
            if hopeless == 2:  # two axes may do together what neither does alone
                break
            larger = {tuple(sorted({*held, name})) for held in grown for name in self._axes if name not in held}
            found |= {held: self._weight(held) for held in sorted(larger)}
            grown = sorted(larger, key=lambda held: (-found[held], held))[:GROWN]
            hopeless = hopeless + 1 if found[grown[0]] < max(found.values()) - HOPELESS else 0
        return found

    def shares(self, chances: Mapping[Axes, float]) -> dict[str, float]:
        """Share of each axis that a set holds: total indices (Jansen 1999) of what the sets foretell in the mean."""
        coefficients, noise = self._mean(chances)
        drawn = {name: self._axes[name].reference for held in coefficients for name in held}
        foretold = _foretold(coefficients, drawn)
        whole = float(np.var(foretold)) + noise
        moved = {name: _foretold(coefficients, {**drawn, name: _exchanged(drawn[name])}) for name in drawn}
        return {name: float(np.mean((other - foretold) ** 2)) / 2 / whole for name, other in moved.items()}

    def _mean(self, chances: Mapping[Axes, float]) -> tuple[dict[Axes, np.ndarray], float]:
        """Coefficients and noise in the mean of all models of some sets."""
        total, noise, coefficients = sum(chances.values()), 0.0, dict[Axes, np.ndarray]()
        for held, chance in chances.items():
            models = self._models(held)
            evidences = np.concatenate([model.evidences for model in models])
            likely = np.exp(evidences - evidences.max())
            parts = np.split(chance / total * likely / likely.sum(), len(models))
            for model, part in zip(models, parts, strict=True):
                noise += float(part @ model.noises)
                for block, values in model.coefficients(part).items() if held else ():
                    coefficients[block] = coefficients[block] + values if block in coefficients else values
        return coefficients, noise

    def _weight(self, held: Axes) -> float:
        evidences = np.concatenate([model.evidences for model in self._models(held)])
        most = float(evidences.max())
        return self._prior(len(held)) + most + math.log(float(np.exp(evidences - most).mean()))

    def _prior(self, size: int) -> float:
        """Logarithm of the probability of one set of that size, before anything was scored."""
        count = self._among
        return math.lgamma(1 + size) + math.lgamma(2 * count - size) + math.log(count) - math.lgamma(1 + 2 * count)

    def _models(self, held: Axes) -> list[_Model]:
        """Of the axes alone, and where there are several with what two of them do together."""
        kinds = (False, True) if len(held) > 1 else (False,)
        return [_Model(held, self._columns, self._scores, are_together=kind) for kind in kinds]


def _block(block: Axes, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """What one axis does, or two together, as columns."""
    if len(block) == 1:
        return columns[block[0]]
    one, other = (columns[name] for name in block)
    return np.asarray(math.sqrt(TOGETHER) * (one[:, :, None] * other[:, None, :]).reshape(len(one), -1))


def _foretold(coefficients: Mapping[Axes, np.ndarray], columns: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.asarray(sum(_block(block, columns) @ values for block, values in coefficients.items()))


def _exchanged(columns: np.ndarray) -> np.ndarray:
    """The axis's values, each given to another draw that has one."""
    having = np.flatnonzero(columns.any(axis=1))
    exchanged = columns.copy()
    exchanged[having] = columns[np.roll(having, 1)]
    return exchanged
