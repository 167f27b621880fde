"""Four families of judges with a known optimum, each instance drawn from its number: `late_0`, `crossing_3`, `costly_7`.

A default lies 15 % of the scale off the optimum on every number and ordered choice; unordered choices are right in it.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.search.judges.curves import Costly, Crossing, Failing, Late, Synthetic, product
from benchmarks.search.judges.judge import Knob, drawn
from benchmarks.search.judges.landscape import Landscape, Term, numeric, unordered

INSTANCES = 9
"""Of each family."""


def float_knob(name: str, low: float, high: float, *, log: bool = False, when: Mapping[str, tuple[Any, ...]] | None = None) -> Knob:
    """A number."""
    return Knob(name, "float", low, high, is_log=log, when=when or {})


def int_knob(name: str, low: int, high: int, *, log: bool = False) -> Knob:
    """A whole number."""
    return Knob(name, "int", low, high, is_log=log)


def choice(name: str, *values: Any, ordered: bool = False, when: Mapping[str, tuple[Any, ...]] | None = None) -> Knob:
    """One of a few."""
    return Knob(name, "choice", values=values, is_ordered=ordered, when=when or {})


def late(number: int) -> Late:
    """Ten knobs, two of them conditional, on an optimizer and a schedule."""
    draw = np.random.default_rng([number, 1])
    terms = [
        unordered(choice("optimizer", "adam", "muon", "lion"), draw, weight=0.35),
        numeric(float_knob("lr", 1e-4, 3e-2, log=True), draw, weight=2.2, low=0.2, high=0.8),
        numeric(float_knob("momentum", 0.8, 0.99, when={"optimizer": ("muon", "lion")}), draw, weight=0.4),
        numeric(float_knob("weight_decay", 1e-3, 1.0, log=True), draw, weight=0.7),
        numeric(choice("width", 64, 96, 128, 192, 256, 384, ordered=True), draw, weight=0.7),
        numeric(int_knob("cycles", 1, 8), draw, weight=0.9),
        unordered(choice("schedule", "constant", "cosine", "linear"), draw, weight=0.2),
        numeric(float_knob("decay_share", 0.05, 1.0, when={"schedule": ("linear",)}), draw, weight=0.4),
        numeric(float_knob("dropout", 0.0, 0.4), draw, weight=0.4),
        numeric(int_knob("batch", 16, 256, log=True), draw, weight=0.5),
    ]
    landscape = Landscape(_following(terms, "lr", "width", draw))
    return Late(
        **_shared("late", number, landscape, draw, luck=0.12, examples=500, epochs=40),
        top=float(draw.uniform(85, 97)),
        hastes={"lr": float(draw.uniform(0.2, 0.9)), "cycles": -float(draw.uniform(0.2, 0.9))},
        rise=float(draw.uniform(-1.5, -0.8)),
        width=float(draw.uniform(0.12, 0.3)),
        patience=float(draw.uniform(0.8, 1.3)),
    )


def crossing(number: int) -> Crossing:
    """Seven numbers; the more haste, the sooner and the less."""
    draw = np.random.default_rng([number, 2])
    landscape = Landscape(_following(_seven(draw), "lr", "batch", draw))
    shared = _power_law("crossing", number, landscape, draw, epochs=27, luck=0.03)
    return Crossing(**{**shared, "bend": 2 * shared["bend"]})


def failing(number: int) -> Failing:
    """Eight knobs; a clip with its own norm guards against failing, as a lower learning rate does."""
    draw = np.random.default_rng([number, 3])
    clip = Term(choice("clip", True, False), 0.0, 0.1, penalties={True: 0.0, False: float(draw.uniform(0.02, 0.2))})
    norm = numeric(float_knob("clip_norm", 0.1, 10.0, log=True, when={"clip": (True,)}), draw, weight=0.3)
    activation = unordered(choice("activation", "relu", "gelu", "swiglu", "tanh"), draw, weight=0.25)
    landscape = Landscape(_following([clip, norm, activation, *_seven(draw)[:5]], "lr", "batch", draw))
    return Failing(
        **_power_law("failing", number, landscape, draw, epochs=50, luck=0.06),
        fails=float(draw.uniform(0.03, 0.1)),
        risky="lr",
        guard="clip",
    )


def costly(number: int) -> Costly:
    """Eight knobs, three of which make a run up to a hundred times dearer."""
    draw = np.random.default_rng([number, 4])
    terms = [
        numeric(int_knob("width", 32, 512, log=True), draw, weight=1.0, low=0.3, high=0.8),
        numeric(int_knob("layers", 1, 8), draw, weight=0.5, low=0.2, high=0.8),
        numeric(int_knob("cycles", 1, 6), draw, weight=0.4, low=0.2, high=0.8),
        numeric(float_knob("lr", 1e-4, 1e-1, log=True), draw, weight=1.8, low=0.2, high=0.8),
        numeric(float_knob("weight_decay", 1e-5, 1e-1, log=True), draw, weight=0.4),
        unordered(choice("mixer", "attention", "mlp", "conv"), draw, weight=0.3),
        numeric(choice("heads", 1, 2, 4, 8, 16, ordered=True, when={"mixer": ("attention",)}), draw, weight=0.3),
        numeric(int_knob("kernel", 1, 9), draw, weight=0.3),
    ]
    terms[-1] = Term(**{**vars(terms[-1]), "knob": Knob("kernel", "int", 1, 9, when={"mixer": ("conv",)})})
    landscape = Landscape(_following(terms, "lr", "width", draw))
    powers = {"width": 0.9, "layers": 0.6, "cycles": 0.5}
    random = [product(powers, drawn(landscape.knobs, draw)) for _ in range(400)]
    shared = _power_law("costly", number, landscape, draw, epochs=32, luck=0.03)
    hastes = {"lr": float(draw.uniform(0.2, 0.8)), "width": -float(draw.uniform(0.2, 0.8))}
    return Costly(**{**shared, "hastes": hastes}, powers=powers, unit=float(np.mean(random)))


def _seven(draw: np.random.Generator) -> list[Term]:
    return [
        numeric(float_knob("lr", 1e-4, 1e-1, log=True), draw, weight=1.6, low=0.2, high=0.8),
        numeric(int_knob("batch", 16, 512, log=True), draw, weight=0.6),
        numeric(float_knob("weight_decay", 1e-5, 1e-1, log=True), draw, weight=0.5),
        numeric(float_knob("momentum", 0.1, 0.99), draw, weight=0.4),
        numeric(int_knob("layers", 1, 6), draw, weight=0.5),
        numeric(int_knob("units", 64, 1024, log=True), draw, weight=0.4),
        numeric(float_knob("dropout", 0.0, 0.8), draw, weight=0.5),
    ]


def _following(terms: list[Term], knob: str, other: str, draw: np.random.Generator) -> list[Term]:
    """The terms, the ideal of one knob moving with another, which stands before it then."""
    by = float(draw.uniform(0.15, 0.5) * draw.choice([-1, 1]))
    return [Term(**{**vars(term), "follows": (other, by)}) if term.knob.name == knob else term for term in terms]


def _shared(
    family: str, number: int, landscape: Landscape, draw: np.random.Generator, *, luck: float, examples: int, epochs: int
) -> dict[str, Any]:
    return {
        "name": f"{family}_{number}",
        "family": family,
        "landscape": landscape,
        "default": landscape.default(draw),
        "epochs": epochs,
        "luck": luck * float(draw.uniform(0.7, 1.4)),
        "examples": examples,
    }


def _power_law(
    family: str, number: int, landscape: Landscape, draw: np.random.Generator, *, epochs: int, luck: float
) -> dict[str, Any]:
    return {
        **_shared(family, number, landscape, draw, luck=luck, examples=2000, epochs=epochs),
        "top": float(draw.uniform(80, 97)),
        "chance": float(draw.uniform(5, 30)),
        "bend": float(draw.uniform(0.15, 0.35)),
        "hastes": {"lr": float(draw.uniform(0.3, 1.0)), "layers": -float(draw.uniform(0.2, 0.8))},
    }


FAMILIES: Mapping[str, Callable[[int], Synthetic]] = {"late": late, "crossing": crossing, "failing": failing, "costly": costly}
