"""Hartmann's functions of three and six numbers, at fidelities that say from much to next to nothing of the end.

Kandasamy, Dasarathy, Oliva, Schneider, Póczos (2017, arXiv 1703.06240) gave them fidelities: the weights of the four bumps shrink
away from the end. Bias, noise and the logarithm of the fidelity are those of `mf-prior-bench` (Mallik et al. 2023, PriorBand), in
code of our own. Nothing is read from a file. At the end there is neither bias nor noise.
"""

from dataclasses import dataclass

import numpy as np

from benchmarks.search.judges.judge import Knob, Params, Score, Value
from benchmarks.search.judges.landscape import STEP

EPOCHS = 100
WEIGHTS = np.array([1.0, 1.2, 3.0, 3.2])
LEVELS = {"good": (2.5, 2.0), "moderate": (3.0, 3.0), "bad": (3.5, 4.0), "terrible": (4.0, 5.0)}
"""How well early fidelities speak of the end: bias and noise."""
SHARPNESS = {
    3: np.array([[3.0, 10, 30], [0.1, 10, 35], [3.0, 10, 30], [0.1, 10, 35]]),
    6: np.array([[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]),
}
CENTRES = {
    3: 1e-4 * np.array([[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]]),
    6: 1e-4
    * np.array(
        [
            [1312, 1696, 5569, 124, 8283, 5886],
            [2329, 4135, 8307, 3736, 1004, 9991],
            [2348, 1451, 3522, 2883, 3047, 6650],
            [4047, 8828, 8732, 5743, 1091, 381],
        ]
    ),
}
OPTIMA = {
    3: (0.114589, 0.555649, 0.852547),
    6: (0.201690, 0.150011, 0.476874, 0.275332, 0.311652, 0.657300),
}
HIGHEST = {3: 3.862782, 6: 3.322368}
"""Values there, as published."""


@dataclass(frozen=True)
class Hartmann:
    """A function at a level."""

    name: str
    knobs: tuple[Knob, ...]
    default: dict[str, Value]
    """`STEP` off the optimum on every number, in directions that are drawn once."""
    bias: float
    spread: float
    """Of the noise at the first fidelity; it can only take away."""
    family: str = "hartmann"
    epochs: int = EPOCHS
    best: float = 100.0
    noise: float = 1.0
    """There is none at the end; a point is what makes no difference here."""

    def value(self, params: Params, share: float) -> float:
        """The function without noise, to be maximized; `share` 1 is the end, 0 the first fidelity."""
        at = np.array([float(params[knob.name]) for knob in self.knobs])
        bumps = np.exp(-(SHARPNESS[len(at)] * (at - CENTRES[len(at)]) ** 2).sum(axis=1))
        return float(((WEIGHTS - self.bias * (1 - share)) * bumps).sum())

    def score(self, params: Params, seed: int, epoch: int) -> Score:
        """In per cent of the optimum, what is below zero as zero; the loss tells it apart."""
        share = float(np.log(epoch) / np.log(EPOCHS))
        noise = abs(float(np.random.default_rng([seed, epoch]).standard_normal())) * self.spread * (1 - share)
        found = self.value(params, share) - noise
        return Score(float(np.clip(100 * found / HIGHEST[len(self.knobs)], 0, 100)), -found)

    def truth(self, params: Params) -> float:
        """At the end."""
        return min(100.0, 100 * self.value(params, 1.0) / HIGHEST[len(self.knobs)])

    def cost(self, params: Params) -> float:
        """All cost alike."""
        return 1.0


def hartmann(count: int, level: str) -> Hartmann:
    """The function of so many numbers at a level; ValueError for one that there is not."""
    if count not in OPTIMA or level not in LEVELS:
        raise ValueError(f"hartmann has 3 or 6 numbers at {', '.join(LEVELS)}, got {count} at {level}")
    knobs = tuple(Knob(f"x{at}", "float", 0.0, 1.0) for at in range(count))
    draw = np.random.default_rng([count, list(LEVELS).index(level)])
    away = [at + step if 0 <= at + (step := float(draw.choice([-STEP, STEP]))) <= 1 else at - step for at in OPTIMA[count]]
    default: dict[str, Value] = {knob.name: value for knob, value in zip(knobs, away, strict=True)}
    bias, spread = LEVELS[level]
    return Hartmann(f"hartmann_{count}_{level}", knobs, default, bias, spread)
