"""Tiny runs for the tests of trm.training: a data set in memory, configurations, and what other processes do with them."""

import os
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from safetensors.torch import save_file

from trm.config.run import RunConfig
from trm.data.batches.split import Split
from trm.data.format.manifest import Manifest, ShardInfo, SplitInfo, SplitName
from trm.distributed import SOLO, Gang, TorchGang
from trm.training.loop import train
from trm.training.reporting import Progress, Reporter
from trm.training.run import RunOutcome, fit
from trm.training.start import start_plan
from trm.training.state import TrainingState

STEPS = 20
GROUPS, EXAMPLES, FORMS = 4, 3, 2
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


def config_of(variant: str = "attention", **sections: Any) -> RunConfig:
    """The base configuration, a variant laid over it, and further sections over that."""
    values = dict(BASE)
    for changes in (VARIANTS[variant], sections):
        values |= {name: {**values[name], **change} if isinstance(change, dict) else change for name, change in changes.items()}
    return RunConfig.model_validate(values)


def adopting(**sections: Any) -> RunConfig:
    """A run that may adopt a checkpoint of the base configuration: another seed, and knobs that change within a run."""
    values = {
        "model": {"halt_exploration_prob": 0.9, "halt_max_steps": 3},
        "optim": {"lr": 7e-3, "weight_decay": 0.02, "puzzle_emb_lr": 0.03, "puzzle_emb_weight_decay": 0.3, "ema_rate": 0.8},
    }
    return config_of(seed=11, **{name: {**values.get(name, {}), **sections.get(name, {})} for name in {**values, **sections}})


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


def manifest(*splits: SplitName) -> Manifest:
    """What `split_of` makes; with names, a data set of these splits alone."""
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
        splits=dict.fromkeys(splits or ("train", "validation", "test"), info),
        seed=0,
        recipe={},
        recipe_digest="",
        row_group_rows=4096,
    ).sealed()


SPLITS = {"train": split_of("train", 1), "validation": split_of("validation", 2), "test": split_of("test", 3)}


def begin(config: RunConfig, gang: Gang = SOLO, **given: Any) -> TrainingState:
    """A run before its first step whose halting head already wants to halt some rows, so that halting is exercised."""
    said = manifest()
    state = TrainingState(config, said.shape, data_hash=said.content_hash, names=said.names, max_steps=STEPS, gang=gang, **given)
    with torch.no_grad():
        state.model.halting_bias.fill_(0.0)
        state.model.halting_head.copy_(torch.randn(2, 16, generator=torch.Generator().manual_seed(3)))
    return state


class StopAt(Reporter):
    """Asks to stop at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, progress: Progress) -> bool:
        return progress.step == self.step


def begin_at(config: RunConfig, splits: tuple[SplitName, ...], checkpoint: Path) -> TrainingState:
    """The run in a checkpoint of a run on a data set of these splits."""
    known = manifest(*splits)
    return TrainingState.load(checkpoint, config, known.shape, data_hash=known.content_hash, max_steps=STEPS)


def resume(folder: Path, config: RunConfig, gang: Gang = SOLO, *, is_adopted: bool = False) -> TrainingState:
    """The run in a checkpoint."""
    shape, data_hash = manifest().shape, manifest().content_hash
    return TrainingState.load(folder, config, shape, data_hash=data_hash, max_steps=STEPS, gang=gang, is_adopted=is_adopted)


def advance(state: TrainingState, until_steps: int) -> None:
    """Trains with the state's own share of the tiny data."""
    train(state, start_plan(state, SPLITS["train"], manifest()), until_steps=until_steps)


def losses_until(state: TrainingState, until_steps: int) -> list[float]:
    """Trains likewise, and gives the mean loss a row of every step."""
    plan = start_plan(state, SPLITS["train"], manifest())
    losses = []
    for step in range(state.step, until_steps):
        train(state, plan, until_steps=step + 1)
        losses.append(state.metrics.take_report()["loss"])
    return losses


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
        state = resume(variant / "half", config_of(variant.name))
        advance(state, STEPS)
        save_file(everything(state), variant / "end.safetensors")


def work_in_gang(folder: Path, rank: int, workers: int) -> None:
    """One worker of a gang: trains every `folder/VARIANT`, from the start or from its checkpoint `half`."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", store=dist.FileStore(str(folder / "store"), workers), rank=rank, world_size=workers, timeout=timedelta(seconds=60)
    )
    gang = TorchGang.current()
    for variant in sorted(path for path in folder.iterdir() if path.is_dir()):
        half, is_adopted = variant / "half", variant.name.endswith("-adopted")
        double = {"forward_dtype": "float64"}
        config = adopting(model=double) if is_adopted else config_of(variant.name.partition("-")[0], model=double)
        state = resume(half, config, gang, is_adopted=is_adopted) if half.exists() else begin(config, gang)
        losses = losses_until(state, STEPS)
        state.save(variant / "end")
        if gang.is_leader:
            save_file({"losses": torch.tensor(losses, dtype=torch.float64)}, variant / "losses.safetensors")
    parts = [gang.all_gather_rows(torch.arange(rows * 2).view(rows, 2)) for rows in (rank, 3 * (1 - rank), 0)]
    assert [part.tolist() for part in parts] == [[[0, 1]], [[0, 1], [2, 3], [4, 5]], []]
    fit_whole(folder / "run", gang)
    fit_whole(folder / "unvalidated", gang, splits=("train", "test"))
    dist.barrier()
    # Torch may wait for itself when a process group goes: its thread lets go of a tensor, for which it needs Python's lock.
    os._exit(0)


def fit_whole(folder: Path, gang: Gang = SOLO, splits: tuple[SplitName, ...] = ()) -> RunOutcome:
    """A whole run in float64, in `folder`, on a data set of these splits."""
    config = config_of(model={"forward_dtype": "float64"}, training={"eval_every_steps": 8})
    return fit(config, SPLITS, manifest(*splits), folder=folder, gang=gang)


def die_while_saving(folder: Path) -> None:
    """In a new process: process after process saves step 1, then dies by SIGKILL at the n-th fsync of saving step 2.

    `folder/n` is what the n-th one leaves; the last one lives.
    """
    torch.set_num_threads(1)
    begin(config_of())  # what torch imports on first use, once for all
    status, number = 1, 0
    while status:
        number += 1
        child = os.fork()
        if not child:
            state = begin(config_of())
            for step in (1, 2):
                advance(state, step)
                if step == 2:
                    os.fsync = _deadly(os.fsync, number)
                state.save(folder / str(number) / f"step-{step}")
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert not status or os.WTERMSIG(status) == signal.SIGKILL


def _deadly(fsync: Callable[[Any], None], number: int) -> Callable[[Any], None]:
    countdown = iter(range(number - 1, -1, -1))

    def counted(handle: Any) -> None:
        if next(countdown) == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        fsync(handle)

    return counted


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    if command == "continue":
        continue_all(Path(arguments[0]))
    elif command == "gang":
        work_in_gang(Path(arguments[0]), int(arguments[1]), int(arguments[2]))
    elif command == "die":
        die_while_saving(Path(arguments[0]))
