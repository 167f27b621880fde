"""Judges with a known optimum: learning curves over a landscape, moved by seeds; nothing is stored, all is drawn from numbers."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from benchmarks.search.judges.judge import Knob, Params, Score, Value
from benchmarks.search.judges.landscape import Landscape, Term

LUCKS = np.array([NormalDist().inv_cdf((at + 0.5) / 64) for at in range(64)])
"""What a seed may be lucky by: as many values of a normal distribution, each as likely, so that a truth is a mean over them."""
HASTE_MOST = 0.9


@dataclass(frozen=True, kw_only=True)
class Synthetic:
    """What all families share: the truth falls with the distance from the optimum, the way there differs."""

    name: str
    family: str
    landscape: Landscape
    default: dict[str, Value]
    epochs: int
    top: float
    """Score at the optimum of a run that is neither lucky nor unlucky, nearly."""
    luck: float
    """What a standard deviation of a seed's luck counts, as a distance."""
    examples: int
    """Behind a score."""
    hastes: dict[str, float]
    """Knob -> how much sooner a run is on its way with the knob a whole scale above its ideal; ends are not touched by that."""

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """The space."""
        return self.landscape.knobs

    @property
    def best(self) -> float:
        """Truth of the optimum; every configuration lies at a distance of at least 0, and truths fall with it."""
        return self.truth(self.landscape.optimum)

    @property
    def noise(self) -> float:
        """Of the optimum's final scores: luck and examples."""
        finals = self._finals(self.landscape.optimum)
        share = float(finals.mean()) / 100
        return math.sqrt(float(finals.var()) + 1e4 * share * (1 - share) / self.examples)

    def truth(self, params: Params) -> float:
        """Mean over all that a seed may be lucky by."""
        return float(self._finals(params).mean())

    def cost(self, params: Params) -> float:
        """All cost alike."""
        return 1.0

    def score(self, params: Params, seed: int, epoch: int) -> Score:
        """The curve at an epoch, as so many examples measure it."""
        luck = LUCKS[np.random.default_rng([seed, 0]).integers(len(LUCKS))]
        far = np.array([self.landscape.distance(params) + self.luck * luck])
        points, loss = self.course(far, epoch / self.epochs, self._haste(params))
        draw = np.random.default_rng([seed, 1, epoch])
        share = float(np.clip(points[0] / 100, 0, 1))
        seen = draw.binomial(self.examples, share) / self.examples
        error = math.sqrt(max(seen * (1 - seen), 0.25 / self.examples) / self.examples)
        return Score(100 * seen, float(loss[0] + 0.01 * draw.standard_normal()), 100 * error)

    def course(self, far: np.ndarray, share: float, haste: float) -> tuple[np.ndarray, np.ndarray]:
        """Score in points and loss of runs at these distances after a share of their length; at the end haste counts nothing."""
        raise NotImplementedError

    def _finals(self, params: Params) -> np.ndarray:
        return self.course(self.landscape.distance(params) + self.luck * LUCKS, 1.0, self._haste(params))[0]

    def _haste(self, params: Params) -> float:
        off = {term.knob.name: term.knob.place(params[term.knob.name]) - term.ideal for term in self._hasty(params)}
        return float(np.clip(sum(self.hastes[name] * by for name, by in off.items()), -HASTE_MOST, HASTE_MOST))

    def _hasty(self, params: Params) -> list[Term]:
        return [term for term in self.landscape.terms if term.knob.name in self.hastes and term.knob.name in params]


@dataclass(frozen=True, kw_only=True)
class Late(Synthetic):
    """Zero for long, then a sudden rise, as the exact accuracy of recursive models; the loss falls before."""

    rise: float
    """Logarithm of the share of the length at which the optimum is half way up, were it without haste."""
    width: float
    """Of the rise, in that logarithm."""
    patience: float
    """How much longer than by its distance alone a run without haste is on its way; 1: no longer."""

    def course(self, far: np.ndarray, share: float, haste: float) -> tuple[np.ndarray, np.ndarray]:
        """A logistic curve over the logarithm of compute, which haste stretches about the end."""
        way = self.patience * math.exp(-haste) * math.log(share) - self.rise - far
        risen = _logistic(way / self.width)
        points = self.top * np.exp(-0.1 * np.maximum(far, 0)) * risen
        loss = 2.0 - 0.8 * _logistic(way / (4 * self.width)) - 0.9 * risen
        return np.where(points < 1.0, 0.0, points), loss


@dataclass(frozen=True, kw_only=True)
class Crossing(Synthetic):
    """Power laws: who is ahead early is not who is ahead at the end."""

    chance: float
    """Score of a run that learned nothing."""
    bend: float
    """Exponent of the power law of the optimum; the hastier a run, the smaller is its own."""

    def course(self, far: np.ndarray, share: float, haste: float) -> tuple[np.ndarray, np.ndarray]:
        """What it ends with above chance, times a power of the share of its length."""
        final = (self.top - self.chance) * np.exp(-np.maximum(far, 0))
        points = self.chance + final * share ** (self.bend * math.exp(-1.5 * haste))
        return points, 2.5 - 0.02 * points


@dataclass(frozen=True, kw_only=True)
class Failing(Crossing):
    """Seeds fail now and then: from some epoch on such a run knows nothing more."""

    fails: float
    """Share of the optimum's seeds that fail."""
    risky: str
    """The knob beyond whose ideal more fail."""
    guard: str
    """A switch without which twice as many fail, and which the optimum has on."""

    def risk(self, params: Params) -> float:
        """Share of the seeds that fail."""
        term = next(term for term in self.landscape.terms if term.knob.name == self.risky)
        excess = max(0.0, term.knob.place(params[self.risky]) - term.ideal)
        return min(0.95, (self.fails + 1.5 * excess**2) * (1.0 if params[self.guard] else 2.0))

    def truth(self, params: Params) -> float:
        """Those that fail end by chance."""
        risk = self.risk(params)
        return (1 - risk) * super().truth(params) + risk * self.chance

    def score(self, params: Params, seed: int, epoch: int) -> Score:
        """Of a run that has failed by then, chance."""
        draw = np.random.default_rng([seed, 2])
        is_failing, at = draw.random() < self.risk(params), int(draw.integers(1, self.epochs + 1))
        if not (is_failing and epoch >= at):
            return super().score(params, seed, epoch)
        return Score(self.chance, 4.0, 100 * math.sqrt(self.chance / 100 * (1 - self.chance / 100) / self.examples))


@dataclass(frozen=True, kw_only=True)
class Costly(Crossing):
    """Costs at full length differ up to a hundredfold, and the best is neither the cheapest nor the dearest."""

    powers: dict[str, float]
    """Knob -> exponent of its value in the cost."""
    unit: float
    """Cost of a typical configuration, the mean of random ones, in that product."""

    def cost(self, params: Params) -> float:
        """Product of powers, in typical configurations."""
        return product(self.powers, params) / self.unit


def product(powers: dict[str, float], params: Params) -> float:
    """What a configuration costs, in a unit of its own."""
    return math.prod(float(params[name]) ** power for name, power in powers.items())


def _logistic(at: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(at, -60, 60)))
