"""Landscapes with a known optimum: how far a configuration lies from it, over mixed and conditional knobs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.search.judges.judge import Knob, Params, Value

STEP = 0.15
"""Of a knob's scale, that a default lies off the optimum."""


@dataclass(frozen=True)
class Term:
    """What one knob adds to the distance; nothing at its ideal value, wherever the others are at theirs."""

    knob: Knob
    ideal: float
    """Place of the best value, on the knob's own scale; of an unordered choice without meaning."""
    weight: float
    """Distance at the far end of the scale."""
    ripples: float = 0.0
    """Of the weight, what local optima add."""
    penalties: Mapping[Value, float] = field(default_factory=dict)
    """Of an unordered choice: value -> distance; 0 of the best."""
    follows: tuple[str, float] | None = None
    """Another knob, and how far the ideal moves with its way off its own ideal; null: it stays."""

    @property
    def is_numeric(self) -> bool:
        """Whether neighbouring values are alike."""
        return not self.penalties

    @property
    def best(self) -> Value:
        """The ideal value."""
        return self.knob.at(self.ideal) if self.is_numeric else min(self.penalties, key=self.penalties.__getitem__)

    def distance(self, value: Value, moved: float) -> float:
        """What the value adds, where the other knob lies so far off."""
        if not self.is_numeric:
            return self.penalties[value]
        ideal = self.ideal if self.follows is None else float(np.clip(self.ideal + self.follows[1] * moved, 0, 1))
        off = abs(self.knob.place(value) - ideal) / max(self.ideal, 1 - self.ideal)
        return self.weight * (off**2 + self.ripples * np.sin(3.5 * np.pi * off) ** 2 * min(1.0, 2 * off))


@dataclass(frozen=True)
class Landscape:
    """Terms, each after those of the knobs that it hangs on."""

    terms: Sequence[Term]

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """All knobs, in order."""
        return tuple(term.knob for term in self.terms)

    def distance(self, params: Params) -> float:
        """From the optimum: 0 there, larger than that everywhere else."""
        return sum(self.distances(params).values())

    def distances(self, params: Params) -> dict[str, float]:
        """Knob -> what it adds to the distance, of those that are active."""
        return {
            term.knob.name: term.distance(params[term.knob.name], self._moved(term, params))
            for term in self.terms
            if term.knob.is_active(params)
        }

    def _moved(self, term: Term, params: Params) -> float:
        if term.follows is None or term.follows[0] not in params:
            return 0.0
        other = next(one for one in self.terms if one.knob.name == term.follows[0])
        return other.knob.place(params[other.knob.name]) - other.ideal

    @property
    def optimum(self) -> dict[str, Value]:
        """The configuration at distance 0."""
        found: dict[str, Value] = {}
        for term in self.terms:
            if term.knob.is_active(found):
                found[term.knob.name] = term.best
        return found

    def default(self, generator: np.random.Generator) -> dict[str, Value]:
        """The optimum, but every number and ordered choice by `STEP` of its scale off, in a direction that is drawn."""
        found: dict[str, Value] = {}
        for term in self.terms:
            step = STEP if generator.random() < 0.5 else -STEP
            if not term.knob.is_active(found):
                continue
            if term.is_numeric:
                away = term.ideal + step
                found[term.knob.name] = term.knob.at(away if 0 <= away <= 1 else term.ideal - step)
            else:
                found[term.knob.name] = term.best
        return found


def numeric(knob: Knob, generator: np.random.Generator, *, weight: float, low: float = 0.1, high: float = 0.9) -> Term:
    """A term whose ideal is drawn between two places, at a value of the knob."""
    ideal = knob.place(knob.at(generator.uniform(low, high)))
    return Term(knob, ideal, weight * float(generator.gamma(2.0, 0.5)), ripples=float(generator.uniform(0.0, 0.12)))


def unordered(knob: Knob, generator: np.random.Generator, *, weight: float) -> Term:
    """A term of values without an order: the best is drawn, the others are so much worse, more or less."""
    best = int(generator.integers(len(knob.values)))
    others = weight * generator.uniform(0.3, 1.5, len(knob.values))
    return Term(
        knob, 0.0, weight, penalties={value: 0.0 if at == best else float(others[at]) for at, value in enumerate(knob.values)}
    )
