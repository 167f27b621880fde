"""Replays a golden case of the published implementation and says how far every array is from it.

`python -m trm.parity PATH/NAME` reads NAME.json, NAME.pt and NAME.npz (format: `tests/golden/README.md`), prints a line an
array, and exits 1 when one lies beyond its tolerance, 2 when the case cannot be read.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trm.config.architectures import AnyNetwork
from trm.config.data import DataConfig
from trm.config.losses import AnyLoss, SoftmaxLoss, StablemaxLoss
from trm.config.networks import DataShape
from trm.config.optimizers import AdamATan2Config
from trm.config.recursive_networks import HrmConfig, LatentsConfig, SingleZConfig, TransformerConfig, TrmConfig
from trm.config.run import RunConfig
from trm.config.training import TrainingConfig
from trm.errors import EXIT_DONE, EXIT_FAILED, EXIT_INPUT, ConfigError, InputError
from trm.evaluation.answers import answers
from trm.files.json_files import read_json
from trm.losses.answer import CrossEntropy
from trm.losses.objective import Losses, supervision_loss
from trm.losses.softmax import softmax_cross_entropy
from trm.losses.stablemax import stablemax_cross_entropy
from trm.models import halting
from trm.models.build import build_network, from_published, to_published
from trm.models.network import Output
from trm.models.precision import DTYPES, weight_dtype
from trm.models.puzzle_embedding import PuzzleEmbedding
from trm.optim.adam_atan2 import AdamATan2
from trm.optim.averaging import WeightAverage
from trm.optim.schedule import lr_factor
from trm.optim.sign_sgd import SignSGD

RELATIVE, ABSOLUTE, SPREADS = 1e-4, 1e-5, 10.0
SIGN_FLIPS = 0.01
"""Share of the puzzle table's values whose gradient may have been so nearly zero that its sign is a coin toss."""
COUNTS = ("count", "exact_accuracy", "q_halt_accuracy", "steps", "halted")
METRICS = ("count", "accuracy", "exact_accuracy", "q_halt_accuracy", "steps")
STEP_ZERO = ("first_logits", "first_q_halt_logits")
STEP_ZERO_ROWS = ("loss", "grad_norm")
PUZZLE_TABLE = "final/inner.puzzle_emb.weights"
GIVEN = ("inputs", "labels", "puzzle_identifiers")
DIGEST_VALUES = 30
ARCHITECTURES: dict[str, tuple[AnyNetwork, tuple[str, ...]]] = {
    "trm": (TrmConfig(), ()),
    "trm_singlez": (SingleZConfig(), ()),
    "trm_hier6": (LatentsConfig(num_latents=6), ()),
    "hrm": (HrmConfig(), ("puzzle_emb_len",)),
    "transformer": (TransformerConfig(), ("puzzle_emb_len", "mlp_t")),
}
"""Architectures by the names of the published code, and fields of ours that it does not read there."""
LOSSES: dict[str, tuple[AnyLoss, CrossEntropy]] = {
    "stablemax_cross_entropy": (StablemaxLoss(), stablemax_cross_entropy),
    "softmax_cross_entropy": (SoftmaxLoss(), softmax_cross_entropy),
}
"""Losses by the names of the published code."""
FORMAT = "see tests/golden/README.md for the format"
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """A golden case as it was read."""

    model: AnyNetwork
    shape: DataShape
    optim: AdamATan2Config
    steps: int
    global_batch_size: int
    weights: dict[str, Tensor]
    arrays: Arrays
    unused: tuple[str, ...]
    """Model fields of the case that mean nothing here."""
    loss: tuple[AnyLoss, CrossEntropy]
    """What answers are judged by."""


@dataclass(frozen=True)
class Deviation:
    """How far one array is from the recorded one."""

    name: str
    largest: float
    """Largest absolute difference; infinite when shapes or finiteness differ."""
    allowed: float
    """Tolerance at the value that comes nearest to its tolerance or goes farthest beyond."""
    is_within: bool


def read_case(path: Path) -> Case:
    """The case whose three files start with `path`; ConfigError when one cannot be read or used."""
    path = path.with_suffix("") if path.suffix in (".json", ".pt", ".npz") else path
    files = {suffix: path.parent / f"{path.name}{suffix}" for suffix in (".json", ".pt", ".npz")}
    for file in files.values():
        if not file.is_file():
            raise ConfigError(
                f"a golden case is NAME.json, NAME.pt and NAME.npz: {file} is missing", remedy="give PATH/NAME without a suffix"
            )
    try:
        described = read_json(files[".json"], dict, error=ConfigError, remedy=FORMAT)
        weights = torch.load(files[".pt"], map_location="cpu", weights_only=True)
        with np.load(files[".npz"], allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        return _case(described, weights, arrays)
    except ConfigError:
        raise
    except Exception as problem:  # torch and NumPy raise what they like
        raise ConfigError(f"{path} is no golden case: {problem!r:.300}", remedy=FORMAT) from problem


def _case(described: Mapping[str, Any], weights: dict[str, Tensor], arrays: Arrays) -> Case:
    fields, train = dict(described["model"]), described["train"]
    shape = DataShape(fields.pop("seq_len"), fields.pop("vocab_size"), fields.pop("num_puzzle_identifiers"))
    if described["arch"] not in ARCHITECTURES:
        raise ConfigError(f"arch must be one of {', '.join(ARCHITECTURES)}, got {described['arch']!r}", remedy=FORMAT)
    blank, unread = ARCHITECTURES[described["arch"]]
    known = {name: fields.pop(name) for name in list(fields) if name in type(blank).model_fields and name not in unread}
    known.setdefault("puzzle_emb_ndim", 0)
    if known.get("mlp_t"):
        known["pos_encodings"] = "none" if known.get("pos_encodings") == "rope" else known.get("pos_encodings", "none")
    loss = next((str(part["loss_type"]) for part in (described, train, fields) if "loss_type" in part), "stablemax_cross_entropy")
    if loss not in LOSSES:
        raise ConfigError(f"loss_type must be one of {', '.join(LOSSES)}, got {loss!r}", remedy=FORMAT)
    optim = AdamATan2Config(
        lr=train["lr"],
        lr_warmup_steps=train["lr_warmup_steps"],
        lr_min_ratio=train.get("lr_min_ratio", 1.0),
        beta1=train["betas"][0],
        beta2=train["betas"][1],
        weight_decay=train["weight_decay"],
        puzzle_emb_lr=train["puzzle_emb_lr"],
        puzzle_emb_weight_decay=train["puzzle_emb_weight_decay"],
        ema_rate=train["ema_rate"],
    )
    model = type(blank).model_validate(blank.model_dump(exclude_unset=True) | known)
    batch, unused = train["global_batch_size"], tuple(sorted(fields))
    return Case(model, shape, optim, train["steps"], batch, weights, arrays, unused, LOSSES[loss])


class Replay:
    """The case run again on our model, losses and optimizers."""

    def __init__(self, case: Case) -> None:
        self.case = case
        dtype = DTYPES.get(case.model.forward_dtype, torch.float32)
        self.model = build_network(case.model, case.shape, dtype=dtype)
        state, table = from_published(case.weights, case.model, case.shape)
        self.model.load_state_dict(state)
        self.table = PuzzleEmbedding(case.model, case.shape, dtype=weight_dtype(dtype))
        if table is not None:
            self.table.weight.copy_(table)
        optim = case.optim
        self.adam = AdamATan2(self.model.parameters(), betas=(optim.beta1, optim.beta2), weight_decay=optim.weight_decay)
        self.sign = SignSGD(self.table.weight, lr=optim.puzzle_emb_lr, weight_decay=optim.puzzle_emb_weight_decay)
        self.average = WeightAverage(self.model.named_parameters(), rate=optim.ema_rate)

    def arrays(self) -> Arrays:
        """Everything that the case's .npz should hold, by the same names."""
        inputs, labels, identifiers = (torch.from_numpy(self.case.arrays[name]) for name in GIVEN)
        carry = halting.initial_carry(self.model, inputs.shape[1], inputs.shape[2], "cpu")
        rows: dict[str, list[Any]] = {}
        first: Arrays = {}
        for i in range(self.case.steps):
            carry = halting.refill(carry, inputs[i], labels[i], identifiers[i], self.model)
            carry, output, figures = self._train_step(carry, i + 1)
            first = first or {"first_logits": _numpy(output.logits), "first_q_halt_logits": _numpy(output.q_halt)}
            for name, value in figures.items():
                rows.setdefault(name, []).append(value)
        evaluated = self._evaluate(inputs[-1], labels[-1], identifiers[-1])
        return first | {name: np.array(values) for name, values in rows.items()} | evaluated | self._digests()

    def _train_step(self, carry: halting.Carry, step: int) -> tuple[halting.Carry, Output, dict[str, Any]]:
        config, optim = self.case.model, self.case.optim
        share = lr_factor(step, optim, self.case.steps)
        lr = optim.lr * share
        puzzle_rows = self.table.rows(carry.puzzle_identifiers, requires_grad=True) if config.puzzle_ndim else None
        latents, output = self.model(carry.latents, carry.inputs, puzzle_rows)
        carry = halting.advance(carry, latents, output, config, None)
        target = None
        if config.halting.learns_continue:
            with torch.no_grad():
                target = halting.continue_target(self.model(latents, carry.inputs, puzzle_rows)[1], carry.steps, config)
        losses = self._losses(output, carry.labels, target)
        self.adam.zero_grad(set_to_none=True)
        torch.autograd.backward(losses.loss / self.case.global_batch_size)
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.model.parameters() if p.grad is not None])
        self.adam.param_groups[0]["lr"] = lr
        self.adam.step()
        if puzzle_rows is not None and puzzle_rows.grad is not None:
            self.sign.apply(carry.puzzle_identifiers, puzzle_rows.grad, self.sign.numbers(optim.puzzle_emb_lr * share))
        self.average.update(step)
        figures: dict[str, Any] = {
            "loss": losses.loss.item(),
            "lm_loss": losses.answer_loss.item(),
            "q_halt_loss": losses.halting_loss.item(),
        }
        if losses.continue_loss is not None:
            figures["q_continue_loss"] = losses.continue_loss.item()
        figures |= {"grad_norm": norm.item(), "lr": lr, "halted": carry.halted.numpy()}
        return carry, output, figures | _metrics(losses, output, carry.halted, carry.steps)

    @torch.no_grad()
    def _evaluate(self, inputs: Tensor, labels: Tensor, identifiers: Tensor) -> Arrays:
        """What an evaluation of the batch answers: after all steps, or at each row's halt where the network stops there."""
        model = self.case.model
        rows = self.table.rows(identifiers) if model.puzzle_ndim else None
        run = RunConfig(data=DataConfig(folder="golden"), model=model, training=TrainingConfig(steps=self.case.steps))
        found = answers(self.model, inputs, rows, run)
        assert found.final is not None, "all steps are made"
        steps = found.halting_step if model.halting.stops_evaluation else torch.full_like(found.halting_step, model.halt_max_steps)
        metrics = _metrics(self._losses(found.final, labels), found.final, torch.ones_like(steps, dtype=torch.bool), steps)
        named = {"eval_logits": _numpy(found.final.logits), "eval_q_halt_logits": _numpy(found.final.q_halt)}
        return named | {"eval_metrics": np.array([metrics[name] for name in METRICS])}

    def _losses(self, output: Output, labels: Tensor, target: Tensor | None = None) -> Losses:
        cross = self.case.loss[1]
        return supervision_loss(output, labels, cross_entropy=cross, dtype=torch.float64, continue_target=target)

    def _digests(self) -> Arrays:
        table = self.table.weight if self.case.model.puzzle_ndim else None
        final = to_published(self.model.state_dict(), table, self.case.model, prefix="final/inner.")
        ema = to_published(self.average.average, None, self.case.model, prefix="ema/inner.")
        return {key: digest(value) for key, value in (final | ema).items()}


def _metrics(losses: Losses, output: Output, halted: Tensor, steps: Tensor) -> dict[str, float]:
    """Sums over the rows that halted at this step and have a label."""
    counted = halted & (losses.labelled_cells > 0)
    share = losses.correct_cells / losses.labelled_cells.clamp(min=1)
    agrees = (output.q_halt >= 0) == losses.is_exact
    columns = (torch.ones_like(share), share, losses.is_exact, agrees, steps)
    return {name: column[counted].sum().item() for name, column in zip(METRICS, columns, strict=True)}


def digest(values: Tensor) -> np.ndarray:
    """Sum, L2 norm, then the first 30 of every (size // 30)-th value, float64."""
    flat = values.detach().double().flatten().numpy()
    stride = max(1, flat.size // DIGEST_VALUES)
    return np.concatenate(([flat.sum(), np.linalg.norm(flat)], flat[::stride][:DIGEST_VALUES]))


def _numpy(values: Tensor) -> np.ndarray:
    array: np.ndarray = values.detach().to(torch.promote_types(values.dtype, torch.float32)).numpy()
    return array


def compare(found: Arrays, case: Case) -> Iterator[Deviation]:
    """Every recorded array against ours, in the recorded order."""
    for name, expected in case.arrays.items():
        if name in GIVEN or name.startswith("spread/"):
            continue
        ours = found.get(name)
        if ours is None or ours.shape != expected.shape:
            yield Deviation(name, float("inf"), 0.0, False)
            continue
        difference = np.abs(ours.astype(np.float64) - expected.astype(np.float64))
        allowed = tolerance(name, expected, float(case.arrays.get(f"spread/{name}", 0.0)))
        is_within = bool(np.all(difference <= allowed))
        if name == PUZZLE_TABLE and not is_within:
            allowed = allowed + _sign_flips(difference > allowed, case)
            is_within = bool(np.all(difference <= allowed))
        worst = np.argmax(np.nan_to_num(difference - allowed, nan=np.inf))
        yield Deviation(name, float(difference.max(initial=0.0)), float(allowed.flat[worst]), is_within)


def tolerance(name: str, expected: np.ndarray, spread: float) -> np.ndarray:
    """What two correct implementations may differ by, value by value; counts not at all."""
    if name in COUNTS:
        return np.zeros(expected.shape)
    allowed: np.ndarray = RELATIVE * np.abs(expected.astype(np.float64)) + ABSOLUTE
    beyond = np.full(expected.shape, SPREADS * spread)
    if name in STEP_ZERO:
        beyond[...] = 0
    if name in STEP_ZERO_ROWS:
        beyond[0] = 0
    allowed = allowed + beyond
    if name == "eval_metrics":
        allowed[[METRICS.index(m) for m in METRICS if m in COUNTS]] = 0
    return allowed


def _sign_flips(is_off: np.ndarray, case: Case) -> np.ndarray:
    """Extra room in the puzzle table's digest: 1 % of its values may be off by twice the learning rates they met."""
    swing = 2 * sum(case.optim.puzzle_emb_lr * lr_factor(i + 1, case.optim, case.steps) for i in range(case.steps))
    flips = np.ceil(SIGN_FLIPS * case.shape.num_puzzle_identifiers * case.model.puzzle_ndim)
    room = np.zeros(is_off.shape)
    room[0], room[1] = flips * swing, np.sqrt(flips) * swing
    if is_off[2:].sum() <= np.ceil(SIGN_FLIPS * DIGEST_VALUES):
        room[2:] = swing
    return room


def main(arguments: Sequence[str] | None = None) -> int:
    """Replays the case named on the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m trm.parity", description="Replay a golden case and print every deviation.")
    parser.add_argument("case", type=Path, help="PATH/NAME of NAME.json, NAME.pt and NAME.npz")
    path = parser.parse_args(arguments).case
    try:
        case = read_case(path)
        replay = Replay(case)
    except InputError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return EXIT_INPUT
    deviations = list(compare(replay.arrays(), case))
    width = max(len(d.name) for d in deviations)
    for d in deviations:
        print(f"{d.name:<{width}}  largest {d.largest:9.3e}  allowed {d.allowed:9.3e}  {'ok' if d.is_within else 'BEYOND'}")
    if case.unused:
        print(f"fields without meaning here: {', '.join(case.unused)}")
    beyond = sum(not d.is_within for d in deviations)
    print(f"{path.name}: {len(deviations) - beyond} of {len(deviations)} arrays within their tolerance")
    return EXIT_FAILED if beyond else EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
