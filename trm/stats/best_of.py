"""Which of several configurations is best, from a few scores of each: estimates that share their noise, and P(best)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from trm.seeds import derived_seed
from trm.stats.intervals import t_quantile_975

Mode = Literal["max", "min"]


Scores = tuple[tuple[int, tuple[float, ...]], ...]
"""Candidates in order, each with its scores: larger is better, all finite."""


DRAWS = 4000
"""Of the posterior: a probability of 0.95 is known to 0.007 (two standard errors)."""


OWN_NOISE = 2.0
"""So many seeds' worth of belief that a candidate's seeds scatter as all candidates' do together."""


BETWEEN = 0.5
"""So much of the scatter between candidates counts as scatter of seeds: three equal scores do not prove that all will be."""


SPREADS = 0.5 * np.tan(np.pi / 2 * (np.arange(12) + 0.5) / 12)
"""Scatter of candidates' true means in units of a seed's, equally likely before: quantiles of a half-Cauchy distribution. Its
median is a half, since the best of one search lie close together (recorded: 0.25 on Sudoku 4x4, 1 on small mazes)."""


@dataclass(frozen=True)
class Confirmed:
    """What fresh seeds say of a candidate."""

    trial: int
    scores: tuple[float, ...]
    """One a fresh seed, in the order given; what came to no score stands as the worst."""
    failed: int
    """Of them, runs that came to no score."""
    mean: float
    low: float | None
    """With `high` the 95 % interval of the mean over seeds; both null while no candidate has two seeds."""
    high: float | None
    p_best: float
    """Probability that its mean over all seeds there are is the best of the candidates'."""
    own: tuple[float, ...] = ()
    """Scores of before, which made it a candidate, where they count: with `scores` what it is judged by."""

    @property
    def seeds(self) -> int:
        """How many scores the mean is of."""
        return len(self.own) + len(self.scores)


@dataclass(frozen=True)
class ConfirmationStatistics:
    """Confirmed candidates, best mean first."""

    rows: tuple[Confirmed, ...]
    is_supported: bool
    """Whether the first is the best of several with at least `certainty`."""
    sentence: str
    """In words, whether a best one is supported, and by what."""


def confirmation_statistics(
    scores: Mapping[int, Sequence[float]],
    mode: Mode,
    seed: int,
    *,
    certainty: float = 0.95,
    own: Mapping[int, Sequence[float]] | None = None,
) -> ConfirmationStatistics:
    """What the fresh seeds prove so far; candidates without any are left out.

    `own`: scores of before that count beside those. Scores that are to be large and lie between 0 and 1 are taken for shares: no
    interval of theirs goes beyond.
    """
    own = own or {}
    judged = together(own, scores)
    found = _finite(judged, mode)
    likely = p_best(judged, mode, seed)
    sign = 1.0 if mode == "max" else -1.0
    values = [value for _, every in found for value in every]
    is_share = mode == "max" and min(values, default=-1) >= 0 and max(values, default=2) <= 1
    least, most = (0.0, 1.0) if is_share else (-math.inf, math.inf)
    rows = []
    for (trial, every), (mean, half) in zip(found, _intervals(found), strict=True):
        failed = sum(not math.isfinite(value) for value in scores[trial])
        low, high = (None, None) if half is None else (max(sign * mean - half, least), min(sign * mean + half, most))
        before, fresh = every[: len(own.get(trial, ()))], every[len(own.get(trial, ())) :]
        told = (tuple(sign * value for value in part) for part in (fresh, before))
        rows.append(Confirmed(trial, next(told), failed, sign * mean, low, high, likely[trial], next(told)))
    rows.sort(key=lambda row: (-sign * row.mean, -row.p_best, row.trial))
    is_supported = len(rows) > 1 and rows[0].p_best >= certainty
    return ConfirmationStatistics(tuple(rows), is_supported, _sentence(rows, is_supported))


def together(own: Mapping[int, Sequence[float]], scores: Mapping[int, Sequence[float]]) -> dict[int, list[float]]:
    """Scores of before and those of fresh seeds, of each candidate that has a fresh one."""
    return {trial: [*own.get(trial, ()), *found] for trial, found in scores.items() if found}


def p_best(scores: Mapping[int, Sequence[float]], mode: Mode, seed: int) -> dict[int, float]:
    """Probability that a candidate's mean over all seeds there are is the best, of each that has a score; they add up to 1."""
    found = _finite(scores, mode)
    return dict(zip([trial for trial, _ in found], _p_best(found, derived_seed(seed, "p_best")), strict=True))


def _sentence(rows: Sequence[Confirmed], is_supported: bool) -> str:
    if not rows:
        return "no candidate has a score on a fresh seed"
    first = rows[0]
    if len(rows) == 1:
        return f"trial {first.trial} alone has scores on fresh seeds: it is compared with none"
    own = " and the search's own" if any(row.own for row in rows) else ""
    if is_supported:
        counts = ", ".join(str(len(row.scores)) for row in rows)
        return f"trial {first.trial} is the best of {len(rows)} with probability {first.p_best:.2f}, by {counts} fresh seeds{own}"
    rival = max(rows[1:], key=lambda row: row.p_best)
    return (
        f"no difference between trials {first.trial} and {rival.trial} is supported by {len(first.scores)} and {len(rival.scores)} "
        f"fresh seeds{own}: the probabilities of being the best of {len(rows)} are {first.p_best:.2f} and {rival.p_best:.2f}"
    )


def _finite(scores: Mapping[int, Sequence[float]], mode: Mode) -> Scores:
    """The scores, larger being better, by trial; one that is missing is worse than all others are, or 0 where that is worse."""
    sign = 1.0 if mode == "max" else -1.0
    signed = {trial: [sign * value for value in found] for trial, found in sorted(scores.items()) if found}
    finite = [value for found in signed.values() for value in found if math.isfinite(value)] or [0.0]
    least, most = min(finite), max(finite)
    worst = min(0.0, least) if mode == "max" else least - ((most - least) or abs(least) or 1.0)
    return tuple((trial, tuple(value if math.isfinite(value) else worst for value in found)) for trial, found in signed.items())


@dataclass(frozen=True)
class _Noise:
    """What the candidates' scores say of the scatter of seeds."""

    means: np.ndarray
    counts: np.ndarray
    squares: np.ndarray
    """Sum of squared deviations from the mean, a candidate."""
    pooled: float
    """Variance of a seed, of all candidates together."""
    freedom: float
    """Degrees of freedom of `pooled`."""


def _noise(found: Scores) -> _Noise:
    values = [np.asarray(own) for _, own in found]
    means = np.array([own.mean() for own in values])
    squares = np.array([((own - own.mean()) ** 2).sum() for own in values])
    counts = np.array([len(own) for own in values])
    freedom = float((counts - 1).sum()) + BETWEEN * (len(values) - 1)
    between = BETWEEN * float(((means - means.mean()) ** 2).sum())
    tiny = (1e-9 * max(1e-9, float(np.abs(means).max()))) ** 2
    return _Noise(means, counts, squares, max((float(squares.sum()) + between) / freedom if freedom else 0.0, tiny), freedom)


def _intervals(found: Scores) -> list[tuple[float, float | None]]:
    """Mean and half width of the 95 % interval of each."""
    if not any(len(own) > 1 for _, own in found):
        return [(float(np.mean(own)), None) for _, own in found]
    noise = _noise(found)
    freedom = OWN_NOISE + noise.counts - 1
    variances = (OWN_NOISE * noise.pooled + noise.squares) / freedom
    halves = [t_quantile_975(float(free)) * math.sqrt(v / n) for free, v, n in zip(freedom, variances, noise.counts, strict=True)]
    return [(float(mean), half) for mean, half in zip(noise.means, halves, strict=True)]


@lru_cache(maxsize=64)
def _p_best(found: Scores, seed: int) -> tuple[float, ...]:
    """Shares of posterior draws in which each candidate's mean is the largest.

    Seeds scatter normally about a candidate's mean, with a variance of its own that leans on the pooled one; the means scatter
    about a common one, by a spread that the data choose. So small differences between candidates shrink towards none.
    """
    if len(found) < 2 or not any(len(own) > 1 for _, own in found):
        return tuple(1 / len(found) for _ in found)
    noise, rng = _noise(found), np.random.default_rng(seed)
    pooled = noise.pooled * noise.freedom / rng.chisquare(noise.freedom, (DRAWS, 1))
    own = (OWN_NOISE * pooled + noise.squares) / rng.chisquare(OWN_NOISE + noise.counts - 1, (DRAWS, len(found)))
    errors = own / noise.counts
    spreads, centres = _spreads(noise.means, errors, pooled, rng)
    precision = 1 / errors + 1 / spreads
    means = (noise.means / errors + centres / spreads) / precision + rng.standard_normal(errors.shape) / np.sqrt(precision)
    wins = np.bincount(means.argmax(1), minlength=len(found))
    return tuple(float(count) / DRAWS for count in wins)


def _spreads(means: np.ndarray, errors: np.ndarray, pooled: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws (draws, 1) of the variance of candidates' true means, and of what they scatter about, given their errors' variances."""
    variances = errors[:, None, :] + (SPREADS**2 * pooled)[:, :, None]  # (draws, spreads, candidates)
    weights = 1 / variances
    total = weights.sum(-1)
    centres = (weights * means).sum(-1) / total
    misfit = (weights * (means - centres[..., None]) ** 2).sum(-1)
    logs = -0.5 * (np.log(variances).sum(-1) + np.log(total) + misfit)
    shares = np.exp(logs - logs.max(1, keepdims=True)).cumsum(1)
    chosen = (rng.random((DRAWS, 1)) * shares[:, -1:] > shares).sum(1, keepdims=True)
    centre = np.take_along_axis(centres, chosen, 1) + rng.standard_normal((DRAWS, 1)) / np.sqrt(
        np.take_along_axis(total, chosen, 1)
    )
    return SPREADS[chosen] ** 2 * pooled, centre
