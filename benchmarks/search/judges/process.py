"""Gaussian processes over the unit cube, several outputs at once, length scales and noise given; only numpy."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

SQRT5 = float(np.sqrt(5.0))


def matern(squares: np.ndarray) -> np.ndarray:
    """Matern 5/2 correlations at squared scaled distances (Rasmussen and Williams 2006, eq. 4.17)."""
    r = SQRT5 * np.sqrt(squares)
    return (1 + r + r * r / 3) * np.exp(-r)


@dataclass(frozen=True)
class Processes:
    """One process an output, each with length scales of its own, through targets that are noisy."""

    inputs: np.ndarray
    """(points, dim)"""
    targets: np.ndarray
    """(points, outputs)"""
    scales: np.ndarray
    """(outputs, dim), length scales."""
    signal: np.ndarray
    """(outputs,), prior variance."""
    noise: np.ndarray
    """(points, outputs), variance of each target around the truth."""

    @cached_property
    def level(self) -> np.ndarray:
        """(outputs,), prior mean."""
        return self.targets.mean(0)

    @cached_property
    def _solved(self) -> tuple[np.ndarray, np.ndarray]:
        """Weights (outputs, points), and inverse covariances (outputs, points, points)."""
        inverses = np.stack([np.linalg.inv(self._covariance(output)) for output in range(len(self.signal))])
        return np.einsum("kij,jk->ki", inverses, self.targets - self.level), inverses

    def _covariance(self, output: int) -> np.ndarray:
        scaled = self.inputs / self.scales[output]
        squares = ((scaled[:, None] - scaled[None]) ** 2).sum(-1)
        return self.signal[output] * matern(squares) + np.diag(self.noise[:, output])

    def mean(self, at: np.ndarray) -> np.ndarray:
        """Posterior mean at points (n, dim): (n, outputs)."""
        weights = self._solved[0]
        found = []
        for output, scale in enumerate(self.scales):
            a, b = at / scale, self.inputs / scale
            squares = np.maximum((a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T, 0.0)
            found.append(self.signal[output] * matern(squares) @ weights[output])
        return self.level + np.stack(found, 1)

    def left_out(self) -> np.ndarray:
        """(points, outputs), what each point would be said to be by the others alone (ibid., eq. 5.12)."""
        weights, inverses = self._solved
        return self.targets - (weights / np.einsum("kii->ki", inverses)).T
