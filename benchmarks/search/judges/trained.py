"""Our own training on a continuous space: 6x6 Sudoku by mixers that answer at once, replayed by a surrogate; only numpy.

The optimum is not the cheapest network, Muon and the share of the run in which the learning rate falls are among the knobs, and
accuracy rises late. Recorded by `benchmarks/search/record_continuous.py`, fitted by `fit_continuous.py`; what the fit is worth
stands in `tables/continuous/sudoku6x6.json`. Lengths are training FLOPs, so all runs cost alike.
"""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from statistics import NormalDist

import numpy as np

from benchmarks.search.judges.judge import Knob, Params, Score, Value
from benchmarks.search.judges.process import Processes

INSTANCE = "sudoku6x6"
FITTED = Path(__file__).parents[1] / "tables" / "continuous" / f"{INSTANCE}.npz"
EPOCHS = 48
"""A sixteenth, an eighth, a quarter, a third of a length are whole epochs."""
LUCKS = np.array([NormalDist().inv_cdf((at + 0.5) / 64) for at in range(64)])
"""What a seed may be lucky by: as many values of a normal distribution, each as likely, so that a truth is a mean over them."""
KNOBS = (
    Knob("model.hidden_size", "choice", values=(8, 12, 16, 24), is_ordered=True),
    Knob("model.H_cycles", "int", 1, 2),
    Knob("model.L_cycles", "int", 1, 5),
    Knob("optim.type", "choice", values=("adam_atan2", "muon")),
    Knob("optim.lr", "float", 1.5e-3, 1e-1, is_log=True),
    Knob("optim.rest_lr", "float", 1e-3, 3e-2, is_log=True, when={"optim.type": ("muon",)}),
    Knob("optim.weight_decay", "float", 1e-2, 3.0, is_log=True),
    Knob("optim.lr_decay_share", "float", 0.02, 1.0),
)
DEFAULT: dict[str, Value] = {
    "model.hidden_size": 16,
    "model.H_cycles": 1,
    "model.L_cycles": 2,
    "optim.type": "adam_atan2",
    "optim.lr": 5e-3,
    "optim.weight_decay": 0.1,
    "optim.lr_decay_share": 0.2,
}
"""Middling width and depth, the project's optimizer and decays, the rate that 9x9 Sudoku wanted; written down before the runs."""


def place(params: Params) -> np.ndarray:
    """(dim,): a configuration in the unit cube; a knob that is not active lies in the middle."""
    return np.array([knob.place(params[knob.name]) if knob.name in params else 0.5 for knob in KNOBS])


def to_latent(accuracy: np.ndarray) -> np.ndarray:
    """The angle whose squared sine is the accuracy: as noisy everywhere as shares are."""
    return np.arcsin(np.sqrt(accuracy))


def to_accuracy(latent: np.ndarray) -> np.ndarray:
    """The accuracy of an angle; beyond the ends none and all."""
    return np.sin(np.clip(latent, 0.0, np.pi / 2)) ** 2


@dataclass(frozen=True)
class Noise:
    """What a seed moves a run by, around its configuration's mean curves: angles of accuracy, then logarithms of the loss."""

    levels: np.ndarray
    """(knots,), growing: angles of mean accuracy."""
    spread: np.ndarray
    """(knots,), standard deviation of one seed's angle there; on lines between."""
    loss_spread: np.ndarray
    """(moments,), standard deviation of the logarithm of one seed's loss."""
    mixing: np.ndarray
    """(outputs, outputs), lower triangle: its product with its transpose is the correlation of all of them."""

    def deviation(self, latent: np.ndarray) -> np.ndarray:
        """Standard deviation of a seed's angle where the mean angle is `latent`."""
        return np.interp(latent, self.levels, self.spread)


@dataclass
class TrainedJudge:
    """The judge."""

    processes: Processes
    curve: np.ndarray
    """(moments,), recorded shares of a full length, growing to 1."""
    law: Noise
    examples: int
    optimum: dict[str, Value]
    """The configuration of the highest truth that a search of the surrogate found."""
    blank_loss: float
    """Of a network that knows nothing: where losses start."""
    name: str = f"trm_{INSTANCE}"
    family: str = "trm"
    knobs: tuple[Knob, ...] = KNOBS
    epochs: int = EPOCHS
    default: dict[str, Value] = field(default_factory=lambda: dict(DEFAULT))
    _means: dict[tuple[Value | None, ...], np.ndarray] = field(default_factory=dict)

    @property
    def best(self) -> float:
        """Truth of the optimum."""
        return self.truth(self.optimum)

    @property
    def noise(self) -> float:
        """Of the optimum's final scores."""
        return float(100 * self._finals(self.optimum).std())

    def cost(self, params: Params) -> float:
        """All runs are as long in training FLOPs."""
        return 1.0

    def truth(self, params: Params) -> float:
        """Mean final score over all that a seed may be lucky by."""
        return float(100 * self._finals(params).mean())

    def score(self, params: Params, seed: int, epoch: int) -> Score:
        """The run's score, in steps of an example; between recorded moments on the line of angles and of log losses."""
        mean, half = self._mean(params), len(self.curve)
        words = np.frombuffer(place(params).tobytes(), dtype=np.uint32)
        luck = self.law.mixing @ np.random.default_rng([seed, *words.tolist()]).standard_normal(2 * half)
        angles = mean[:half] + luck[:half] * self.law.deviation(mean[:half])
        losses = mean[half:] + luck[half:] * self.law.loss_spread
        moments = np.concatenate([[0.0], self.curve])
        angle = np.interp(epoch / self.epochs, moments, np.concatenate([[0.0], angles]))
        loss = np.interp(epoch / self.epochs, moments, np.concatenate([[np.log(self.blank_loss)], losses]))
        share = float(np.round(to_accuracy(angle) * self.examples) / self.examples)
        return Score(100 * share, float(np.exp(loss)), float(100 * np.sqrt(share * (1 - share) / self.examples)))

    def _mean(self, params: Params) -> np.ndarray:
        """(outputs,): mean angles at the recorded moments, then mean log losses."""
        key = tuple(params.get(knob.name) for knob in self.knobs)
        if key not in self._means:
            self._means[key] = self.processes.mean(place(params)[None])[0]
        return self._means[key]

    def _finals(self, params: Params) -> np.ndarray:
        """Accuracies at the end, each as likely."""
        angle = self._mean(params)[len(self.curve) - 1]
        return to_accuracy(angle + LUCKS * self.law.deviation(angle))


@cache
def trained(instance: str) -> TrainedJudge:
    """The judge of that name, of what lies in this repository; ValueError for a name that is none."""
    if instance != INSTANCE:
        raise ValueError(f"trm_{instance} is no judge; there is trm_{INSTANCE}")
    with np.load(FITTED, allow_pickle=False) as held:
        found = {name: held[name] for name in held.files}
    names = ("inputs", "targets", "scales", "signal", "noise")
    optimum = {knob.name: knob.at(at) for knob, at in zip(KNOBS, found["optimum"].tolist(), strict=True)}
    return TrainedJudge(
        Processes(**{name: found[name] for name in names}),
        found["curve"],
        Noise(found["levels"], found["spread"], found["loss_spread"], found["mixing"]),
        int(found["examples"]),
        {knob.name: optimum[knob.name] for knob in KNOBS if knob.is_active(optimum)},
        float(found["blank_loss"]),
    )
