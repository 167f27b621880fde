"""Tables that nobody trained: curves that rise late and suddenly, as recursive models' do, and seeds that move them.

They check that what was chosen on recorded tables holds elsewhere; each landscape is drawn anew from its number.
"""

import itertools
import math

import numpy as np

from benchmarks.search.tables import Curve, Table
from trm.search.space import SearchSpace

FRACTIONS = (1 / 27, 1 / 16, 1 / 9, 1 / 8, 1 / 4, 1 / 3, 1 / 2, 1.0)
EPOCHS = (1, 2, 3, 4, 8, 9, 16, 27, 32, 64, 81)
SPACE = {
    "name": "synthetic",
    "data": {"recipe": "datasets/sudoku4x4.yaml"},
    "base": {
        "model": {"mlp_t": True, "pos_encodings": "none", "puzzle_emb_len": 1, "halt_max_steps": 8},
        "optim": {"lr_warmup_steps": 100},
        "training": {"global_batch_size": 64},
    },
    "search": {
        "model.H_cycles": {"type": "choice", "values": [1, 2, 3]},
        "model.L_cycles": {"type": "choice", "values": [1, 2, 4, 6]},
        "model.hidden_size": {"type": "choice", "values": [32, 64]},
        "optim.lr": {"type": "choice", "values": [3e-4, 1e-3, 3e-3]},
    },
    "budget": {"trials": 25, "per_trial": 1e12},
}


def synthetic(number: int, *, seeds: int = 4, noise: float = 0.08, suddenness: float = 0.35) -> Table:
    """Landscape `number`: 72 configurations, curves over training FLOPs.

    Each has a compute at which it rises (in log FLOPs, from its knobs, partly at random, and a little from the seed), a
    steepness and a ceiling; below a hundredth its accuracy is zero. `noise` is what a seed moves the rise by, in log units.
    """
    draw = np.random.default_rng(number)
    space = SearchSpace.model_validate(SPACE)
    knobs = list(space.search)
    params = [
        dict(zip(knobs, values, strict=True))
        for values in itertools.product(*(knob.values_in_order for knob in space.search.values()))
    ]
    ideal = {knob: draw.uniform(-0.5, 1.5) for knob in knobs}
    weight = {knob: draw.gamma(2.0, 0.5) for knob in knobs}
    places = {
        knob: {value: index / (len(one.values_in_order) - 1) for index, value in enumerate(one.values_in_order)}
        for knob, one in space.search.items()
    }
    curves: dict[tuple[int, int], Curve] = {}
    for config, one in enumerate(params):
        distance = sum(weight[knob] * (places[knob][one[knob]] - ideal[knob]) ** 2 for knob in knobs)
        own = draw.normal(0, 0.25)
        ceiling = min(1.0, 1.05 - 0.1 * distance + draw.normal(0, 0.03))
        for seed in range(seeds):
            rise = math.log(0.12) + 0.9 * distance + own + draw.normal(0, noise * 3)
            top = min(1.0, max(0.05, ceiling + draw.normal(0, noise / 4)))
            curves[config, seed] = _curve(space, one, rise, top, suddenness * draw.uniform(0.6, 1.4), draw)
    return Table(space, params, curves, noise=_noise(curves, len(params), seeds), epoch_steps=40)


def _curve(space: SearchSpace, params: dict, rise: float, top: float, width: float, draw: np.random.Generator) -> Curve:
    step_flops = 4e7 * params["model.hidden_size"] / 32 * (params["model.H_cycles"] + 2) * (params["model.L_cycles"] + 1)
    last = math.ceil(space.budget.per_trial / step_flops)
    steps = {math.ceil(space.budget.per_trial * share / step_flops) for share in FRACTIONS}
    taken = np.array(sorted(steps | {40 * epoch for epoch in EPOCHS if 40 * epoch < last}))
    shares = taken / last
    level = 1 / (1 + np.exp(-(np.log(shares) - rise) / width))
    accuracy = np.clip(top * level, 0, 1)
    accuracy = draw.binomial(200, np.where(accuracy < 0.01, 0.0, accuracy)) / 200
    loss = 2.0 - 1.2 * top * 1 / (1 + np.exp(-(np.log(shares) - rise) / (2.5 * width))) + draw.normal(0, 0.01, len(taken))
    return Curve(taken, taken * step_flops, accuracy, loss, taken * step_flops / 1.5e10)


def _noise(curves: dict[tuple[int, int], Curve], configs: int, seeds: int) -> float:
    finals = np.array([[curves[config, seed].accuracy[-1] for seed in range(seeds)] for config in range(configs)])
    best = finals.mean(axis=1).argsort()[-10:]
    return float(np.sqrt(finals[best].var(axis=1, ddof=1).mean()))
