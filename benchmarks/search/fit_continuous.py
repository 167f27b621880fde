"""Fit the surrogate that a recorded continuous space is replayed by, and say what it is worth.

`python -m benchmarks.search.fit_continuous sudoku6x6` reads `tables/continuous/TASK.parquet` and `.json`, writes
`TASK.npz`, which `judges/trained.py` reads, and a section `surrogate` into the `.json`. One Gaussian process a recorded
moment, for accuracy and for loss; length scales by marginal likelihood; seeds' noise from configurations of several seeds.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from scipy.optimize import minimize
from scipy.stats import spearmanr

from benchmarks.search.judges.judge import Limits, Params, Sweep, drawn
from benchmarks.search.judges.process import SQRT5, Processes, matern
from benchmarks.search.judges.tools import grid, random
from benchmarks.search.judges.trained import (
    EPOCHS,
    KNOBS,
    Noise,
    TrainedJudge,
    place,
    to_accuracy,
    to_latent,
)
from benchmarks.search.record_continuous import DESIGN
from trm.files.atomic import replacing, write_text_atomic

FOLDER = Path(__file__).parent / "tables" / "continuous"
BLANK_LOSS = float(np.log(8.0))
"""Of a network that knows nothing of a 6x6 Sudoku: eight tokens, each as likely."""
KNOTS = np.linspace(0.0, np.pi / 2, 17)
KERNEL = 0.08
"""Width, in angles, over which the spread of seeds is pooled."""
SURE = 0.1
"""Angle from which on a score tells how lucky a seed is; below nearly all are 0."""
LEAST_SPREAD = 0.02
"""Of a seed, in angles or logarithms: that of a handful of examples where all that were seen agree."""
SHARES = {"eighth": 1 / 8, "quarter": 1 / 4, "half": 1 / 2}
CHEAPEST: Params = {"model.hidden_size": 8, "model.H_cycles": 1, "model.L_cycles": 1}
PRIOR_SCALE, PRIOR_SPREAD = np.log(0.8), 1.0
"""What length scales are believed to be, in logarithms: without it knobs that hardly matter have any."""


class Recorded:
    """The runs of a table."""

    def __init__(self, path: Path) -> None:
        self.columns: dict[str, list[Any]] = pq.read_table(path.with_suffix(".parquet")).to_pydict()
        order = sorted(
            range(len(self.columns["step"])), key=lambda row: tuple(self.columns[n][row] for n in ("config", "seed", "step"))
        )
        self.runs: dict[tuple[int, int], list[int]] = {}
        for row in order:
            self.runs.setdefault((self.columns["config"][row], self.columns["seed"][row]), []).append(row)
        self.configs = sorted({config for config, _ in self.runs})

    def params(self, config: int) -> Params:
        """Its active knobs."""
        row = next(rows[0] for (one, _), rows in self.runs.items() if one == config)
        return {knob.name: value for knob in KNOBS if (value := self.columns[knob.name][row]) is not None}

    def curves(self, config: int) -> np.ndarray:
        """(seeds, outputs): angles at the recorded moments, then log losses."""
        found = []
        for (one, _), rows in self.runs.items():
            if one == config:
                accuracy = np.array([self.columns["exact_accuracy"][row] for row in rows])
                loss = np.array([self.columns["loss"][row] for row in rows], dtype=float)
                found.append(np.concatenate([to_latent(accuracy), np.log(np.clip(loss, 1e-6, 4 * BLANK_LOSS))]))
        return np.stack(found)


def fitted(inputs: np.ndarray, target: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, float]:
    """Length scales and signal of one output, the noise of each point known: the most likely, of two starts."""
    dim, centred = inputs.shape[1], target - target.mean()
    squares = (inputs[:, None] - inputs[None]) ** 2
    variance = max(float(centred.var()), 1e-6)

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        scales, signal = np.exp(at[:dim]), np.exp(at[dim])
        apart = np.maximum(squares @ scales**-2, 1e-18)
        alike = signal * matern(apart)
        lower = np.linalg.cholesky(alike + np.diag(noise))
        inverse = np.linalg.inv(lower).T @ np.linalg.inv(lower)
        weights = inverse @ centred
        value = 0.5 * centred @ weights + np.log(np.diag(lower)).sum()
        outer = np.outer(weights, weights) - inverse
        r = SQRT5 * np.sqrt(apart)
        slope = signal * (5 / 3) * (1 + r) * np.exp(-r)
        gradient = [-0.5 * (outer * slope * squares[:, :, k] / scales[k] ** 2).sum() for k in range(dim)]
        off = (at[:dim] - PRIOR_SCALE) / PRIOR_SPREAD
        whole = np.array([*gradient, -0.5 * (outer * alike).sum()]) + np.append(off / PRIOR_SPREAD, 0.0)
        return value + 0.5 * (off**2).sum(), whole

    starts = [np.append(np.full(dim, PRIOR_SCALE + shift), np.log(variance)) for shift in (0.0, 1.0)]
    bounds = [(np.log(0.05), np.log(30))] * dim + [(np.log(variance) - 5, np.log(variance) + 4)]
    best = min((minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds) for start in starts), key=lambda found: found.fun)
    return np.exp(best.x[:dim]), float(np.exp(best.x[dim]))


def noise_law(curves: list[np.ndarray], moments: int) -> Noise:
    """What seeds of one configuration differ by."""
    several = [one for one in curves if len(one) > 1]
    off = np.concatenate([(one - one.mean(0)) * np.sqrt(len(one) / (len(one) - 1)) for one in several])
    level = np.concatenate([np.broadcast_to(one.mean(0), one.shape) for one in several])
    angles, around = off[:, :moments].ravel(), level[:, :moments].ravel()
    near = np.exp(-0.5 * ((KNOTS[:, None] - around) / KERNEL) ** 2)
    spread = np.sqrt((near @ angles**2) / np.maximum(near.sum(1), 1e-12))
    loss_spread = off[:, moments:].std(0)
    tells = np.concatenate([level[:, :moments] > SURE, np.ones((len(off), moments), bool)], 1)
    sizes = np.concatenate([np.interp(level[:, :moments], KNOTS, spread), np.broadcast_to(loss_spread, (len(off), moments))], 1)
    return Noise(KNOTS, spread, loss_spread, _mixing(np.where(tells, off / np.maximum(sizes, 1e-9), np.nan)))


def _mixing(standard: np.ndarray) -> np.ndarray:
    """Square root of the correlation of the columns, each pair by the rows that have both; drawn to independence by a tenth."""
    held, found = np.nan_to_num(standard), np.isfinite(standard).astype(float)
    both = found.T @ found
    squares = [(held**2).T @ found, found.T @ held**2]
    correlation = np.where(both >= 10, (held.T @ held) / np.sqrt(np.maximum(squares[0] * squares[1], 1e-12)), 0.0)
    correlation = 0.9 * correlation + 0.1 * np.eye(len(correlation))
    np.fill_diagonal(correlation, 1.0)
    values, vectors = np.linalg.eigh(correlation)
    mended = vectors @ np.diag(np.maximum(values, 1e-3)) @ vectors.T
    scale = np.sqrt(np.diag(mended))
    return np.asarray(np.linalg.cholesky(mended / np.outer(scale, scale)))


def best_of(judge: TrainedJudge, held: Params | None = None, draws: int = 20_000) -> Params:
    """The configuration of the highest truth: the best of many drawn, then of many near the best; what is `held` stays."""
    generator, end = np.random.default_rng(0), len(judge.curve) - 1
    found: list[Params] = [{**drawn(KNOBS, generator), **(held or {})} for _ in range(draws)]
    for width in (0.15, 0.08, 0.04, 0.02):
        means = judge.processes.mean(np.stack([place(one) for one in found]))[:, end]
        best = [found[at] for at in np.argsort(-means)[:20]]
        found = best + [{**_near(one, width, generator), **(held or {})} for one in best for _ in range(200)]
    return max(found[:20], key=judge.truth)


def _near(params: Params, width: float, generator: np.random.Generator) -> Params:
    found = dict(params)
    for knob in KNOBS:
        if knob.name in params and knob.name != "optim.type":
            found[knob.name] = knob.at(float(np.clip(knob.place(params[knob.name]) + width * generator.standard_normal(), 0, 1)))
    return found


def _quality(processes: Processes, moments: int) -> list[dict[str, float]]:
    """A row a moment: of accuracies, each configuration predicted by the others."""
    rows = []
    for name, first in (("accuracy", 0), ("loss", moments)):
        for at in range(moments):
            truth, said = processes.targets[:, first + at], processes.left_out()[:, first + at]
            if name == "accuracy":
                truth, said = to_accuracy(truth), to_accuracy(said)
            if truth.std() == 0:
                continue  # nobody had solved a puzzle
            unexplained = float(((truth - said) ** 2).mean())
            rank = float(spearmanr(truth, said).statistic)
            rows.append(
                {
                    "of": name,
                    "moment": at,
                    "rank_correlation": round(rank, 3),
                    "r2": round(float(1 - unexplained / truth.var()), 3),
                }
            )
    return rows


def _likeness(judge: TrainedJudge, recorded: Recorded) -> dict[str, Any]:
    """What the recorded design and replayed runs of configurations drawn alike have in common: one seed each."""
    half, generator = len(judge.curve), np.random.default_rng(1)
    design = np.stack([recorded.curves(config)[0] for config in recorded.configs if config < DESIGN])
    shares = [max(1, round(share * EPOCHS)) for share in judge.curve]
    replayed = []
    for number in range(1000):
        params = drawn(KNOBS, generator)
        scores = [judge.score(params, number, share) for share in shares]
        replayed.append([[one.score / 100 for one in scores], [one.loss for one in scores]])
    curves = {"recorded": np.stack([to_accuracy(design[:, :half]), np.exp(design[:, half:])], 1), "replayed": np.array(replayed)}
    return {name: _figures(found, judge.curve) for name, found in curves.items()}


def _figures(found: np.ndarray, curve: np.ndarray) -> dict[str, Any]:
    """Of accuracies and losses (runs, 2, moments)."""

    def ranks(at: int) -> np.ndarray:
        """By accuracy, then by loss, as a rung ranks."""
        return np.argsort(np.lexsort((-found[:, 1, at], found[:, 0, at])))

    ends, moments = found[:, 0, -1], {name: int(np.argmin(abs(curve - share))) for name, share in SHARES.items()}
    return {
        "final_quantiles": [round(float(value), 3) for value in np.quantile(ends, [0.1, 0.25, 0.5, 0.75, 0.9, 0.99])],
        "zero_at_an_eighth": round(float(np.mean(found[:, 0, moments["eighth"]] == 0)), 3),
        "rank_correlation_with_the_end": {
            name: round(float(spearmanr(ranks(at), ranks(-1)).statistic), 3) for name, at in moments.items()
        },
    }


def _trivial(judge: TrainedJudge, sweeps: int = 200) -> dict[str, Any]:
    """Points lost by searches that know nothing, all at full length, and by the cheapest network at the best of all else."""

    def lost(tool: Callable[[Sweep], None], compute: int) -> float:
        regrets = []
        for seed in range(sweeps):
            sweep = Sweep(judge, seed, Limits(compute=compute))
            tool(sweep)
            regrets.append(sweep.moments[-1].regret)
        return round(float(np.mean(regrets)), 2)

    return {
        "grid_in_file_order_loses_after": {str(compute): lost(grid, compute) for compute in (8, 16)},
        "random_loses_after": {str(compute): lost(random, compute) for compute in (8, 16)},
        "cheapest_network_loses": round(judge.best - judge.truth(best_of(judge, CHEAPEST)), 2),
    }


def fit(path: Path) -> dict[str, Any]:
    """Writes the surrogate of a table; what it is worth."""
    recorded, notes = Recorded(path), json.loads(path.with_suffix(".json").read_text())
    curve = np.array(notes["fractions"])
    curves = [recorded.curves(config) for config in recorded.configs]
    inputs = np.stack([place(recorded.params(config)) for config in recorded.configs])
    targets, seeds = np.stack([one.mean(0) for one in curves]), np.array([len(one) for one in curves], dtype=float)
    law = noise_law(curves, len(curve))
    spread = np.concatenate(
        [law.deviation(targets[:, : len(curve)]), np.broadcast_to(law.loss_spread, (len(seeds), len(curve)))], 1
    )
    noise = np.maximum(spread, LEAST_SPREAD) ** 2 / seeds[:, None]
    parts = [fitted(inputs, targets[:, output], noise[:, output]) for output in range(targets.shape[1])]
    processes = Processes(inputs, targets, *(np.array(part) for part in zip(*parts, strict=True)), noise)
    judge = TrainedJudge(processes, curve, law, notes["examples"], {}, BLANK_LOSS)
    judge.optimum.update(best_of(judge))
    held = {name: getattr(processes, name) for name in ("inputs", "targets", "scales", "signal", "noise")}
    held |= {name: getattr(law, name) for name in ("levels", "spread", "loss_spread", "mixing")}
    held |= {
        "curve": curve,
        "examples": np.array(notes["examples"]),
        "optimum": place(judge.optimum),
        "blank_loss": np.array(BLANK_LOSS),
    }
    with replacing(path.with_suffix(".npz")) as to, to.open("wb") as file:
        np.savez_compressed(file, **held)
    notes["surrogate"] = {
        "points_sha256": hashlib.sha256(path.with_suffix(".parquet").read_bytes()).hexdigest(),
        "left_out": _quality(processes, len(curve)),
        "length_scales_of_final_accuracy": dict(
            zip([knob.name for knob in KNOBS], processes.scales[len(curve) - 1].round(3).tolist(), strict=True)
        ),
        **_likeness(judge, recorded),
        "optimum": judge.optimum,
        "best": round(judge.best, 2),
        "noise": round(judge.noise, 2),
        "default": judge.default,
        "default_loses": round(judge.best - judge.truth(judge.default), 2),
        **_trivial(judge),
    }
    write_text_atomic(path.with_suffix(".json"), json.dumps(notes, indent=1) + "\n")
    return notes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", help="name of a table in tables/continuous/")
    found = fit(FOLDER / parser.parse_args().task)["surrogate"]
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
