"""Tiny runs for the tests of trm.training: a data set in memory, configurations, and what other processes do with them."""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from safetensors.torch import save_file

from trm.config import RunConfig
from trm.data.manifest import Manifest, ShardInfo, SplitInfo
from trm.data.plan import TrainPlan
from trm.data.split import Split
from trm.training.gang import SOLO, Gang, TorchGang
from trm.training.loop import train
from trm.training.reporting import Progress, Reporter
from trm.training.start import start_plan
from trm.training.state import TrainingState

STEPS = 20
GROUPS, EXAMPLES, FORMS = 6, 3, 2
BASE: dict[str, Any] = {
    "data": {"folder": "somewhere"},
    "seed": 7,
    "model": {
        "H_cycles": 2,
        "L_cycles": 1,
        "L_layers": 1,
        "hidden_size": 16,
        "num_heads": 2,
        "puzzle_emb_len": 1,
        "halt_max_steps": 4,
        "halt_exploration_prob": 0.5,
    },
    "optim": {"lr": 3e-3, "lr_warmup_steps": 4, "ema_rate": 0.9},
    "training": {"global_batch_size": 8, "steps": STEPS},
    "evaluation": {"batch_size": 8},
}
VARIANTS: dict[str, dict[str, Any]] = {
    "attention": {},
    "mlp": {"model": {"mlp_t": True, "pos_encodings": "none"}, "optim": {"ema_warmup": True, "grad_clip": 0.05}},
    "plain": {
        "model": {"puzzle_emb_ndim": 0, "puzzle_emb_len": 0, "pos_encodings": "learned", "halt_exploration_prob": 0.0},
        "optim": {"ema": False, "lr_min_ratio": 0.1},
        "training": {"loss": "softmax"},
    },
    "continue": {"model": {"no_ACT_continue": False}},
}


def config_of(variant: str = "attention", **sections: dict[str, Any]) -> RunConfig:
    """The base configuration, a variant laid over it, and further sections over that."""
    values = dict(BASE)
    for changes in (VARIANTS[variant], sections):
        values |= {name: {**values[name], **change} if isinstance(change, dict) else change for name, change in changes.items()}
    return RunConfig.model_validate(values)


def split_of(name: str, seed: int) -> Split:
    """Random rows of 2 x 3 cells: groups of several examples, and several identifiers a group."""
    draws = np.random.default_rng(seed)
    rows = GROUPS * EXAMPLES
    inputs = draws.integers(1, 4, (rows, 6)).astype(np.uint8)
    labels = (inputs % 3 + 1).astype(np.uint8)
    labels[::4, 0] = 0
    starts = np.arange(0, (GROUPS + 1) * FORMS, FORMS, dtype=np.int64) + 1
    codes = np.zeros(starts[-1], dtype=np.int32)
    return Split(name, inputs, labels, np.repeat(np.arange(GROUPS, dtype=np.int32), EXAMPLES), starts, codes)


def manifest() -> Manifest:
    """What `split_of` makes."""
    info = SplitInfo(
        rows=GROUPS * EXAMPLES,
        groups=GROUPS,
        mean_examples=EXAMPLES,
        shards=(ShardInfo(file="x", rows=GROUPS * EXAMPLES, bytes=0, sha256=""),),
        content_sha256="",
    )
    return Manifest(
        name="tiny",
        task="sudoku",
        grid=(2, 3),
        vocabulary=("pad", "blank", "1", "2"),
        seq_len=6,
        num_puzzle_identifiers=GROUPS * FORMS + 1,
        splits={"train": info, "validation": info, "test": info},
        seed=0,
        recipe={},
        recipe_digest="",
    ).sealed()


SPLITS = {"train": split_of("train", 1), "validation": split_of("validation", 2), "test": split_of("test", 3)}


class Losses(Reporter):
    """Remembers the loss of every step; each is told one step later, the last one by the running metrics."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_step(self, progress: Progress) -> bool:
        self.values.append(progress.loss)
        return False


def begin(config: RunConfig, gang: Gang = SOLO, **given: Any) -> TrainingState:
    """A run before its first step whose halting head already wants to halt some rows, so that halting is exercised."""
    state = TrainingState(config, manifest().shape, data_hash=manifest().content_hash, max_steps=STEPS, gang=gang, **given)
    with torch.no_grad():
        state.model.halting_bias.fill_(0.0)
        state.model.halting_head.copy_(torch.randn(2, 16, generator=torch.Generator().manual_seed(3)))
    return state


def resume(folder: Path, config: RunConfig, gang: Gang = SOLO) -> TrainingState:
    """The run in a checkpoint."""
    shape, data_hash = manifest().shape, manifest().content_hash
    return TrainingState.load(folder, config, shape, data_hash=data_hash, max_steps=STEPS, gang=gang)


def advance(state: TrainingState, until_steps: int, reporter: Reporter | None = None) -> TrainPlan:
    """Trains with the state's own share of the tiny data."""
    plan = start_plan(state, SPLITS["train"], manifest())
    train(state, plan, until_steps=until_steps, reporter=reporter or Reporter())
    return plan


def everything(state: TrainingState) -> dict[str, torch.Tensor]:
    """All tensors and counters that a run is made of, by name."""
    files = state.files_to_save()
    tensors = {f"{file}/{name}": value.detach().clone() for file, values in files.items() for name, value in values.items()}
    counters = [state.step, state.position.step, state.position.visit, *state.metrics.totals.values()]
    return tensors | {"counters": torch.tensor(counters, dtype=torch.float64)}


def continue_all(folder: Path) -> None:
    """In a new process: every checkpoint `folder/VARIANT/half` is continued; what it comes to goes to `end.safetensors`."""
    torch.set_num_threads(1)
    for variant in sorted(folder.iterdir()):
        compiles = {"compile": True} if variant.name.endswith("-compiled") else {}
        state = resume(variant / "half", config_of(variant.name.removesuffix("-compiled"), training=compiles))
        advance(state, STEPS)
        save_file(everything(state), variant / "end.safetensors")


def work_in_gang(folder: Path, rank: int, workers: int, variant: str, source: str) -> None:
    """One worker of a gang over `workers` processes: trains from the start, or from checkpoint `source` if it is not empty."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", store=dist.FileStore(str(folder / "store"), workers), rank=rank, world_size=workers, timeout=timedelta(seconds=60)
    )
    gang = TorchGang.current()
    config = config_of(variant, model={"forward_dtype": "float64"})
    state = resume(Path(source), config, gang) if source else begin(config, gang)
    losses = Losses()
    advance(state, STEPS, losses)
    state.save(folder / "end")
    if gang.is_leader:
        save_file({"losses": torch.tensor(losses.values, dtype=torch.float64)}, folder / "losses.safetensors")
    dist.destroy_process_group()


def save_forever(folder: Path) -> None:
    """In a new process: saves steps 1, 2, 3, ... to one folder until it is killed; says so on stdout."""
    state = begin(config_of())
    plan = start_plan(state, SPLITS["train"], manifest())
    while True:
        train(state, plan, until_steps=state.step + 1)
        state.max_steps = 10**9
        state.save(folder)
        sys.stdout.write("saved\n")
        sys.stdout.flush()


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    if command == "continue":
        continue_all(Path(arguments[0]))
    elif command == "gang":
        work_in_gang(Path(arguments[0]), int(arguments[1]), int(arguments[2]), arguments[3], arguments[4])
    elif command == "save":
        save_forever(Path(arguments[0]))
