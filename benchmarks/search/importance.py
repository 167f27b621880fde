"""Does "What mattered" tell the truth? Whole sweeps on landscapes where it is known which knobs matter.

`python -m benchmarks.search.importance --case one --trials 50 --sweeps 60` plays so many sweeps, the sampler and the scheduler
those that a user gets who sets nothing, and counts how often a knob that changes nothing is named, any of them in a sweep and one
of them, and how often the knob that decides most is named, comes first, and its share. Each sweep is another landscape: which
knobs count, where their best values are and how much they count is drawn anew; curves rise late and suddenly.
"""

import math
import sys
import zlib
from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np

from benchmarks.rows import emit, parser, spread
from benchmarks.search.replay import replay
from benchmarks.search.tables import Curve, Table, TableCost
from trm.config.run import RunConfig
from trm.search.findings.importance import Axis, importance
from trm.search.knobs.knobs import FloatKnob, IntKnob
from trm.search.space.space import SearchSpace
from trm.stats.intervals import wilson

Case = Literal["none", "one", "three", "within", "shifted"]
"""Which knobs count: none; one; three, of unequal weight; one that is there in some trials alone; one whose best value hangs on
another's."""
LIKELY = ("optim.lr", "model.mlp_t", "model.H_cycles", "optim.weight_decay", "optim.grad_clip")
"""Knobs of every kind that may count."""
WITHIN = "model.num_heads"
SHIFTED, BY = "optim.lr", "model.mlp_t"
PER_TRIAL = 8e10
SHARES = (1 / 81, 1 / 27, 1 / 16, 1 / 9, 1 / 8, 1 / 6, 1 / 4, 1 / 3, 1 / 2, 1.0)
EXAMPLES = 200
SPACE: dict[str, Any] = {
    "name": "importance",
    "data": {"recipe": "datasets/sudoku4x4.yaml"},
    "base": {
        "model": {"pos_encodings": "none", "puzzle_emb_len": 1, "halt_max_steps": 4, "hidden_size": 64},
        "optim": {"lr_warmup_steps": 100},
        "training": {"global_batch_size": 8},
    },
    "search": {
        "model.H_cycles": {"type": "int", "low": 1, "high": 3},
        "model.mlp_t": {"type": "choice", "values": [True, False]},
        WITHIN: {"type": "choice", "values": [1, 2, 4], "when": {"model.mlp_t": False}},
        "optim.lr": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
        "optim.weight_decay": {"type": "float", "low": 1e-2, "high": 1.0, "log": True},
        "optim.ema_rate": {"type": "float", "low": 0.9, "high": 0.999},
        "optim.beta1": {"type": "float", "low": 0.8, "high": 0.98},
        "optim.grad_clip": {"type": "choice", "values": [None, 1]},
    },
    "budget": {"per_trial": PER_TRIAL, "trials": 50},
    "tracking": {"enabled": False},
}


class Landscape(Table):
    """A space whose configurations are scored as they are met, though nobody trained them."""

    def __init__(self, case: Case, number: int, sections: Mapping[str, Any]) -> None:
        """Landscape `number` of a case; `sections` of the space replace what a user gets who sets nothing."""
        space = SearchSpace.model_validate({**SPACE, **sections})
        super().__init__(space, [], _Curves(self), noise=0.0, epoch_steps=1, examples=EXAMPLES)
        self._draw, self._number = np.random.default_rng([zlib.crc32(case.encode()), number]), number
        self._case = case
        self.weights = self._weights(case)
        """Searched path -> by how much its worst value makes a curve rise later, in log FLOPs; of those that count."""
        self.counting = {*self.weights, *({BY} if case in ("within", "shifted") else ())}
        """Knobs that count, and those that say how others do."""
        self._ideal = {path: self._draw.uniform(0.0, 1.0) for path in space.search}
        self._met: list[Mapping[str, Any]] = []

    def config(self, params: Mapping[str, Any]) -> int:
        """Number of the configuration, a new one if it was not met before."""
        key = self.key(params)
        if key not in self._by_params:
            self._by_params[key] = len(self._met)
            self._met.append(dict(params))
        return self._by_params[key]

    def seeds(self, config: int) -> list[int]:
        """As many as anybody asks for."""
        return list(range(4))

    def cost_of(self, config: RunConfig) -> TableCost:
        """Deeper recursion costs more."""
        return TableCost(2.5e6 * (config.model.H_cycles + 2), params_count=2000 - 300 * config.model.mlp_t)

    def curve(self, config: int, seed: int) -> Curve:
        """A run: it rises the later, and less high, the farther its values are from the best ones."""
        params = self._met[config]
        draw = np.random.default_rng([self._number, seed, zlib.crc32(repr(self.key(params)).encode())])
        distance = sum(weight * self._offence(path, params) for path, weight in self.weights.items())
        rise, width = math.log(0.25) + distance + draw.normal(0, 0.15), 0.4 * draw.uniform(0.7, 1.3)
        top = float(np.clip(0.95 - 0.1 * distance + draw.normal(0, 0.02), 0.05, 1.0))
        step_flops = 2.5e6 * (params["model.H_cycles"] + 2)
        steps = np.array(sorted({math.ceil(PER_TRIAL * share / step_flops) for share in SHARES}))
        after = np.log(steps / steps[-1]) - rise
        level = top / (1 + np.exp(-after / width))
        accuracy = draw.binomial(EXAMPLES, np.where(level < 0.01, 0.0, level)) / EXAMPLES
        loss = 2.0 - 1.2 * top / (1 + np.exp(-after / (2.5 * width))) + draw.normal(0, 0.01, len(steps))
        return Curve(steps, steps * step_flops, accuracy, loss, steps * step_flops / 1.5e10)

    def _weights(self, case: Case) -> dict[str, float]:
        if case == "none":
            return {}
        if case == "within":
            return {WITHIN: 2.0}
        if case == "shifted":
            return {SHIFTED: 2.5}
        chosen = [LIKELY[index] for index in self._draw.permutation(len(LIKELY))]
        return dict(zip(chosen, (2.5,) if case == "one" else (2.5, 1.2, 0.8), strict=False))

    def _offence(self, path: str, params: Mapping[str, Any]) -> float:
        """0 where a knob has its best value, about 1 at its worst, a third where it has none."""
        if path not in params:
            return 1 / 3
        knob, value, ideal = self.space.search[path], params[path], self._ideal[path]
        if self._case == "shifted":
            ideal = 0.8 if params[BY] else 0.2
        if isinstance(knob, FloatKnob | IntKnob):
            scale = math.log if knob.log else float
            place = (scale(value) - scale(knob.low)) / (scale(knob.high) - scale(knob.low))
        else:
            count = len(knob.values_in_order)
            place, ideal = knob.values_in_order.index(value) / (count - 1), round(ideal * (count - 1)) / (count - 1)
        return ((place - ideal) / max(ideal, 1 - ideal)) ** 2


class _Curves(dict[tuple[int, int], Curve]):
    def __init__(self, landscape: Landscape) -> None:
        super().__init__()
        self._landscape = landscape

    def __missing__(self, run: tuple[int, int]) -> Curve:
        self[run] = self._landscape.curve(*run)
        return self[run]


def measure(case: Case, trials: int, sweeps: int, sections: Mapping[str, Any]) -> dict[str, object]:
    """What is named in so many sweeps, and what ought to be."""
    inert: list[list[Axis]] = []
    deciding: list[tuple[float, bool, bool]] = []
    for number in range(sweeps):
        landscape = Landscape(case, number, {**sections, "budget": {"per_trial": PER_TRIAL, "trials": trials}})
        search = replay(landscape.space, landscape, number).search
        assert search is not None
        told = importance(search.state).told
        assert told is not None
        knobs = [axis for axis in told.axes if axis.kind == "knob"]
        inert.append([axis for axis in knobs if axis.name not in landscape.counting])
        if landscape.weights:
            wanted = next(iter(landscape.weights))
            found = next((axis for axis in knobs if axis.name == wanted), None)
            share = 0.0 if found is None else found.importance
            deciding.append((share, share > 0, share > 0 and share == max(axis.importance for axis in knobs)))
    false = sum(any(axis.is_clear for axis in axes) for axes in inert) / sweeps
    each = [axis.is_clear for axes in inert for axis in axes]
    row: dict[str, object] = {"benchmark": "importance", "case": case, "trials": trials, "sweeps": sweeps, **sections}
    row |= {"sweeps_that_name_an_inert_knob": round(false, 3), "interval_95": [round(end, 3) for end in wilson(false, sweeps)]}
    row["an_inert_knob_is_named"] = round(sum(each) / len(each), 3)
    if deciding:
        row["deciding_named"] = round(sum(named for _, named, _ in deciding) / sweeps, 3)
        row["deciding_first"] = round(sum(first for _, _, first in deciding) / sweeps, 3)
        row["deciding_share_when_named"] = spread([share for share, named, _ in deciding if named] or [0.0])
    return row


def main(argv: list[str]) -> None:
    """Measures what the command line asks for."""
    arguments = parser(__doc__)
    arguments.add_argument("--case", choices=get_args(Case), action="append", help="all when left out")
    arguments.add_argument("--trials", type=int, nargs="+", default=[25, 50, 100])
    arguments.add_argument("--sweeps", type=int, default=60)
    arguments.add_argument("--sampler", help="another than the default")
    options = arguments.parse_args(argv)
    sections = {"sampler": {"type": options.sampler}} if options.sampler else {}
    for case in options.case or get_args(Case):
        for trials in options.trials:
            emit(measure(case, trials, options.sweeps, sections), options.out)


if __name__ == "__main__":
    main(sys.argv[1:])
