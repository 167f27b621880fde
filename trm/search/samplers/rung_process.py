"""A Gaussian process over knobs and rungs: what trials that were stopped early say of the last rung.

Two configurations are alike as their knobs are (Matern 5/2, a length a knob; Rasmussen and Williams 2006, eq. 4.17). What a rung
adds to that of the rung below is a process of its own with the same lengths, so that two scores share what they came through
together: k((x, r), (x', r')) = m(x, x') (s + d min(r, r')), as an intrinsic coregionalisation of Wiener increments (Swersky et al.
2013, section 2.2, have a free matrix there, which a few dozen trials do not tell). Lengths, s, d and noise are the likeliest under
log-normal priors; that of the lengths grows with the root of their number (arXiv 2402.02229, section 4).
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, solve_triangular
from scipy.optimize import minimize
from scipy.special import ndtr

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

JITTER = 1e-6
STEPS = 30
"""Of the optimizer: more move no proposal."""
SIGNAL, NOISE, RISE = math.log(1.0), math.log(0.1), math.log(0.3)
"""Logarithms of the priors' medians: values are normal scores, of which the variance is 1."""
SPREADS = (0.7, 1.0, 1.0)
"""Standard deviations of those logarithms."""
BOUNDS = ((-3.0, 3.0), (-9.0, 1.0), (-4.0, 2.0))
LENGTH_BOUNDS = (-4.0, 3.0)


class RungProcess:
    """What is expected of points at the last rung."""

    def __init__(self, points: Array, rungs: Array, values: Array, is_name: Mask) -> None:
        """A row a score: `points` (rows, knobs) in the unit cube, `rungs` 0 to 1, `values` larger is better; two rows at least.

        `is_name`: knobs whose values have no order.
        """
        self._points, self._rungs, self._is_name = points, rungs, is_name
        self._mean = float(values.mean())
        apart, shared = _apart(points, points, is_name), np.minimum(rungs[:, None], rungs)
        fitted = _fitted(apart, shared, values - self._mean)
        self._weights = np.exp(-2 * fitted[:-3])
        self._signal, noise, self._rise = np.exp(fitted[-3:])
        covariance = _matern(apart, self._weights) * (self._signal + self._rise * shared)
        self._factor = np.linalg.cholesky(covariance + (noise + JITTER) * np.eye(len(values)))
        self._solved = cho_solve((self._factor, True), values - self._mean)
        self._best = float(self.at(points)[0].max())

    def improvement(self, points: Array) -> Array:
        """Expected improvement (Jones et al. 1998, eq. 15) of each point over the best expectation among the rows."""
        mean, deviation = self.at(points)
        ahead = (mean - self._best) / deviation
        density = np.exp(-(ahead**2) / 2) / math.sqrt(2 * math.pi)
        return np.asarray(deviation * (ahead * ndtr(ahead) + density))

    def at(self, points: Array) -> tuple[Array, Array]:
        """Mean and standard deviation at the last rung."""
        across = _matern(_apart(points, self._points, self._is_name), self._weights) * (self._signal + self._rise * self._rungs)
        told = solve_triangular(self._factor, across.T, lower=True)
        variance = self._signal + self._rise - (told**2).sum(axis=0)
        return across @ self._solved + self._mean, np.sqrt(np.maximum(variance, 1e-9))


def _apart(one: Array, other: Array, is_name: Mask) -> Array:
    """Squared distances (knobs, rows, rows); 1 between two names."""
    difference = one.T[:, :, None] - other.T[:, None, :]
    return np.where(is_name[:, None, None], np.abs(difference) > JITTER, difference**2)


def _matern(apart: Array, weights: Array) -> Array:
    root = np.sqrt(5 * np.tensordot(weights, apart, 1) + 1e-12)
    return (1 + root + root**2 / 3) * np.exp(-root)


def _fitted(apart: Array, shared: Array, values: Array) -> Array:
    """Logarithms of lengths, signal, noise, rise."""
    knobs, identity = len(apart), np.eye(len(values))
    length = math.sqrt(2) / 2 + math.log(knobs) / 2 - math.log(2)
    middle, spread = np.array([*[length] * knobs, SIGNAL, NOISE, RISE]), np.array([*[1.0] * knobs, *SPREADS])

    def loss(at: Array) -> tuple[float, Array]:
        """Negative logarithm of the posterior, and its gradient (Rasmussen and Williams 2006, eq. 5.9)."""
        weights, (signal, noise, rise) = np.exp(-2 * at[:knobs]), np.exp(at[knobs:])
        root = np.sqrt(5 * np.tensordot(weights, apart, 1) + 1e-12)
        fading, scale = np.exp(-root), signal + rise * shared
        alike = (1 + root + root**2 / 3) * fading
        factor = np.linalg.cholesky(alike * scale + (noise + JITTER) * identity)
        inverse = cho_solve((factor, True), identity)
        solved = inverse @ values
        slope = (inverse - np.outer(solved, solved)) / 2
        along = slope * scale * (5 / 3) * (1 + root) * fading
        gradient = np.empty_like(at)
        gradient[:knobs] = weights * np.tensordot(apart, along, ((1, 2), (0, 1)))
        gradient[knobs:] = signal * (slope * alike).sum(), noise * np.trace(slope), rise * (slope * alike * shared).sum()
        away = (at - middle) / spread
        fit = values @ solved / 2 + np.log(np.diag(factor)).sum()
        return float(fit + (away**2).sum() / 2), gradient + away / spread

    bounds = [LENGTH_BOUNDS] * knobs + list(BOUNDS)
    found = minimize(loss, middle, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": STEPS})
    return np.asarray(found.x)
