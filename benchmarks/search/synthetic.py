"""Tables that nobody trained: curves that rise late and suddenly, as recursive models' do, and seeds that move them.

They check that what was chosen on recorded tables holds elsewhere; each landscape is drawn anew from its number.
"""

import itertools
import math

import numpy as np

from benchmarks.search.tables import Curve, Table
from trm.search.space.space import SearchSpace

FRACTIONS = (1 / 27, 1 / 16, 1 / 9, 1 / 8, 1 / 4, 1 / 3, 1 / 2, 1.0)
EPOCHS = (1, 2, 3, 4, 8, 9, 16, 27, 32, 64, 81)
EPOCH_STEPS = 66
SPACE = {
    "name": "synthetic",
    "data": {"recipe": "datasets/sudoku4x4.yaml"},
    "base": {
        "model": {"mlp_t": True, "pos_encodings": "none", "puzzle_emb_len": 1, "halt_max_steps": 4},
        "optim": {"lr_warmup_steps": 100},
        "training": {"global_batch_size": 8},
    },
    "search": {
        "model.H_cycles": {"type": "choice", "values": [1, 2, 3]},
        "model.L_cycles": {"type": "choice", "values": [1, 2]},
        "optim.lr": {"type": "choice", "values": [1e-3, 2.5e-3, 6e-3, 1.4e-2, 3e-2]},
        "optim.weight_decay": {"type": "choice", "values": [0.1, 0.5]},
    },
    "budget": {"trials": 25, "per_trial": 8e10},
}


def synthetic(number: int, *, seeds: int = 4, noise: float = 0.2, suddenness: float = 0.4) -> Table:
    """Landscape `number`: 60 configurations, curves over training FLOPs.

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
    ideal = {knob: draw.uniform(-0.3, 1.3) for knob in knobs} | {"optim.lr": draw.uniform(0.1, 0.9)}
    weight = {knob: draw.gamma(2.0, 0.3) for knob in knobs} | {"optim.lr": draw.uniform(3.0, 8.0)}
    places = {
        knob: {value: index / (len(one.values_in_order) - 1) for index, value in enumerate(one.values_in_order)}
        for knob, one in space.search.items()
    }
    curves: dict[tuple[int, int], Curve] = {}
    for config, one in enumerate(params):
        distance = sum(weight[knob] * (places[knob][one[knob]] - ideal[knob]) ** 2 for knob in knobs)
        own, width = draw.normal(0, 0.12), suddenness * draw.uniform(0.7, 1.3)
        for seed in range(seeds):
            rise = math.log(0.35) + 0.8 * distance + own + draw.normal(0, noise)
            top = float(np.clip(0.95 - 0.1 * distance + draw.normal(0, 0.02), 0.05, 1.0))
            curves[config, seed] = _curve(space, one, rise, top, width, draw)
    return Table(space, params, curves, noise=_noise(curves, len(params), seeds), epoch_steps=EPOCH_STEPS)


def _curve(space: SearchSpace, params: dict, rise: float, top: float, width: float, draw: np.random.Generator) -> Curve:
    step_flops = 2.5e6 * (params["model.H_cycles"] + 2) * (params["model.L_cycles"] + 1)
    last = math.ceil(space.budget.per_trial / step_flops)
    steps = {math.ceil(space.budget.per_trial * share / step_flops) for share in FRACTIONS}
    taken = np.array(sorted(steps | {EPOCH_STEPS * epoch for epoch in EPOCHS if EPOCH_STEPS * epoch < last}))
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
