"""Everything that a run is between two steps, and how it goes to a checkpoint and comes back bit for bit."""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn

from trm.config.imports import import_versions
from trm.config.networks import DataNames, DataShape
from trm.config.run import RunConfig
from trm.config.training import require_divisible
from trm.data.batches.plan import Position
from trm.data.format.manifest import SplitInfo
from trm.distributed import SOLO, Gang
from trm.errors import CheckpointError, DivergedError, ResourceError
from trm.files.own_cache import kept_folder
from trm.files.weight_files import MODEL_FILE
from trm.kernels.build import COMPILERS
from trm.losses.choice import build_loss
from trm.losses.supervision import carried
from trm.models.arithmetic import TABLE_KEY
from trm.models.build import build_network
from trm.models.cost import run_cost
from trm.models.counting import network_sizes
from trm.models.fitting import first_not_finite, require_fit
from trm.models.halting import Carry, initial_carry
from trm.models.precision import forward_dtype, set_products, uses_kernels, weight_dtype
from trm.models.puzzle_embedding import PuzzleEmbedding
from trm.optim.averaging import WeightAverage
from trm.optim.choice import build_optimizer, build_row_optimizer
from trm.optim.frozen import freeze
from trm.optim.schedule import lr_factor
from trm.optim.sign_sgd import SignSGD
from trm.training.checkpoint import (
    MAY_DIFFER,
    MAY_DIFFER_ADOPTED,
    CheckpointMeta,
    installed_versions,
    read_meta,
    read_tensors,
    require_same_run,
    write_checkpoint,
)
from trm.training.curve import Curve, default_interval
from trm.training.depth import Depths
from trm.training.difficulty import Tally
from trm.training.failures import COMPILED_FOLDER, COMPILED_VARIABLE
from trm.training.feed import Item
from trm.training.running_metrics import RunningMetrics

AVERAGE_FILE = "average.safetensors"
"""Their average; absent without `optim.ema`."""
STATE_FILE = "state.safetensors"
"""The optimizers' state, the carry in the order of global slots, the puzzle embedding."""
UNNAMED = DataNames()
CARRY = "carry."
OPTIMIZER = "optimizer."


class TrainingState:
    """A run between two steps: weights, average, optimizers, carry, place in the data, counters, running metrics.

    Nothing here draws from a random generator after the start: data, augmentation and exploration are functions of
    (seed, step, slot), so the step counter is their random state.
    """

    def __init__(
        self,
        config: RunConfig,
        shape: DataShape,
        *,
        data_hash: str = "",
        names: DataNames = UNNAMED,
        train: SplitInfo | None = None,
        max_steps: int,
        device: torch.device | str = "cpu",
        gang: Gang = SOLO,
    ) -> None:
        """A run before its first step, on `device`, with this worker's share of the slots.

        `max_steps` is what the learning rate decays against and a depth schedule divides; `data_hash`, `names` and `train`, what is
        trained on, are the manifest's.
        """
        require_divisible(config.training.global_batch_size, gang.world_size, config.training.micro_batches)
        self.config, self.shape, self.data_hash, self.names, self.max_steps = config, shape, data_hash, names, max_steps
        self.device, self.gang = torch.device(device), gang
        dtype = forward_dtype(config.model, self.device)
        set_products(config.model, self.device)
        generator = torch.Generator().manual_seed(config.seed)
        fused = self._uses_kernels()
        self.model = build_network(config.model, shape, dtype=dtype, generator=generator, is_fused=fused).to(self.device)
        self.model.reads_cycles = config.reads_cycles
        if config.training.compile is True:
            compile_in_place(self.model, self.device)
        self.parameters = freeze(self.model, config.optim)
        """What is trained of the network."""
        self.network: nn.Module = gang.wrap(self.model)
        """The model as it is trained: in a gang its backward pass sums the gradients of all workers."""
        self._build_optimizers(weight_dtype(dtype))
        local_batch = config.training.global_batch_size // gang.world_size
        extras = carried(config, shape, local_batch, dtype, self.device)
        self.carry: Carry = initial_carry(
            self.model, local_batch, shape.seq_len, self.device, hypotheses=config.training.hypotheses, extras=extras
        )
        self.depths = Depths(config, self.model, max_steps)
        self.flops = run_cost(config, shape).flops(max_steps)
        """Training FLOPs of its steps, of all workers together."""
        self._flops_apart = 0.0
        """What it had taken beyond what steps of this length take, where a resume changed the length."""
        self.step = 0
        self.position = Position(0, 0)
        self.loss = build_loss(config, self.device)
        self.metrics = RunningMetrics(self.loss.metrics, self.device)
        self.tally = Tally(config, train, gang, self.device) if config.data.is_weighed and train is not None else None
        """What was answered of each puzzle, where they are weighed by it."""
        self.log_every = config.training.log_every_steps or default_interval(max_steps)
        """Steps from point to point of the training curve."""
        self.curve = Curve()
        self.start_lines: tuple[str, ...] = ()
        """What it began with and what of that was not taken, in words, where it did not begin with draws."""
        self.until_steps = 0
        """Step to which it is sure to be trained, as far as anybody said so."""
        self.stepper: Callable[[TrainingState, Item], None] | None = None
        """How a step is made; the loop decides at the first."""

    def _uses_kernels(self) -> bool:
        """All workers of a gang, or none: replicas that are updated by different arithmetic would drift apart."""
        uses = uses_kernels(self.config, self.device)
        if self.device.type != "cpu":
            return uses
        return int(self.gang.all_reduce_sum(torch.tensor(int(uses)))) == self.gang.world_size

    def _build_optimizers(self, dtype: torch.dtype) -> None:
        optim = self.config.optim
        parameters = {name: value for name, value in self.model.named_parameters() if optim.is_trained(name)}
        self.optimizer = build_optimizer(optim, parameters, uses_kernels=self.model.is_fused)
        self.average: WeightAverage | None = None
        if optim.ema and parameters:
            self.average = WeightAverage(parameters.items(), rate=optim.ema_rate, warmup=optim.ema_warmup)
        self.table: PuzzleEmbedding | None = None
        self.table_optimizer: SignSGD | None = None
        if self.config.model.puzzle_ndim:
            self.table = PuzzleEmbedding(self.config.model, self.shape, dtype=dtype).to(self.device)
            self.table_optimizer = build_row_optimizer(optim, self.table.weight) if optim.trains_rows else None

    def begin_with(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes weights by name, the puzzle embedding's table among them, before the first step; the average begins with them."""
        own = dict(self.model.state_dict())
        if self.table is not None:
            own[TABLE_KEY] = self.table.weight
        with torch.no_grad():
            for name, value in tensors.items():
                own[name].copy_(value)
            if self.average is not None:
                self.average.load({name: own[name] for name in self.average.average})

    @property
    def train_flops(self) -> float:
        """Training FLOPs spent since the run's start, of all workers together."""
        return self.flops.up_to(self.step) + self._flops_apart

    @property
    def lr(self) -> float:
        """Learning rate of the first group, of the puzzle embedding where it alone learns, at the step that was made last."""
        own = self.optimizer.groups or [one.group for one in (self.table_optimizer,) if one is not None]
        return own[0].lr * lr_factor(self.step, self.config.optim, self.max_steps)

    def speeds(self, steps: int, seconds: float) -> dict[str, float]:
        """Rows and training FLOPs a second over the last `steps`, which took `seconds`, of all workers; empty for no steps."""
        if not steps:
            return {}
        rows = steps * self.config.training.global_batch_size
        flops = self.flops.between(self.step - steps, self.step)
        figures = {"rows_per_second": rows / seconds, "flops_per_second": flops / seconds}
        if self.peak_memory_bytes is not None:
            figures["peak_memory_bytes"] = float(self.peak_memory_bytes)
        return figures

    @property
    def peak_memory_bytes(self) -> int | None:
        """Most that tensors held on the GPU since the state was made; None on a CPU."""
        return torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else None

    def averaged(self) -> AbstractContextManager[None]:
        """Within it the model holds the weights that are evaluated and exported: their average, if there is one."""
        return nullcontext() if self.average is None else self.average.swapped_in()

    def save(self, folder: str | Path) -> None:
        """Makes `folder` a durable checkpoint; every worker of a gang must call it, the leader writes.

        The sums of the running metrics must have been flushed (`train` returns with them flushed). Weights that are no finite
        numbers any more are not saved, in front of which older checkpoints would go: DivergedError, on every worker.
        """
        self._require_finite()
        files = self.files_to_save()
        self.curve.write()  # a run that goes on from here finds the points up to here
        if self.gang.is_leader:
            meta = CheckpointMeta(
                config=self.config,
                shape=self.shape,
                data_hash=self.data_hash,
                names=self.names,
                step=self.step,
                train_flops=self.train_flops,
                position=self.position,
                totals=self.metrics.totals,
                window=self.metrics.window,
                log_every=self.log_every,
                versions=installed_versions() | import_versions(),
            )
            write_checkpoint(folder, files, meta)
        self.gang.barrier()

    def _require_finite(self) -> None:
        held = dict(self.model.state_dict()) | ({} if self.table is None else {TABLE_KEY: self.table.weight})
        if (name := first_not_finite(held)) is not None:
            raise DivergedError(f"the weights {name} are no finite numbers any more at step {self.step}")

    def files_to_save(self) -> dict[str, dict[str, Tensor]]:
        """All tensors of the run, by file; a gang's carry is gathered, so every worker calls it and the leader has it whole."""
        carry = {CARRY + name: self.gang.gather(value) for name, value in self.carry.tensors().items()}
        files: dict[str, dict[str, Tensor]] = {MODEL_FILE: dict(self.model.state_dict())}
        if self.average is not None:
            files[AVERAGE_FILE] = dict(self.average.average)
        files[STATE_FILE] = {name: value for name, value in carry.items() if value is not None}
        files[STATE_FILE] |= {OPTIMIZER + name: value for name, value in self.optimizer.saved().items()}
        if self.table is not None:
            files[STATE_FILE][TABLE_KEY] = self.table.weight
        if self.tally is not None:
            files[STATE_FILE] |= {name: value for name, value in self.tally.saved().items() if value is not None}
        return files

    @classmethod
    def load(
        cls,
        folder: str | Path,
        config: RunConfig,
        shape: DataShape,
        *,
        data_hash: str = "",
        names: DataNames = UNNAMED,
        train: SplitInfo | None = None,
        max_steps: int,
        device: torch.device | str = "cpu",
        gang: Gang = SOLO,
        is_adopted: bool = False,
    ) -> "TrainingState":
        """The run as `save` left it, on any device and with any number of workers; `is_adopted`: with the knobs of `config`.

        CheckpointError when the folder is torn or of another run (see `checkpoint.MAY_DIFFER` and `MAY_DIFFER_ADOPTED`),
        DivergedError when its weights are no finite numbers any more.
        """
        meta = read_meta(folder)
        require_same_run(folder, meta, config, shape, data_hash, may_differ=MAY_DIFFER_ADOPTED if is_adopted else MAY_DIFFER)
        tensors = {name: read_tensors(folder, meta, name) for name in meta.files}
        _require_whole(tensors, config, shape, folder)
        state = cls(config, shape, data_hash=data_hash, names=names, train=train, max_steps=max_steps, device=device, gang=gang)
        try:
            state._restore(tensors)
        except (KeyError, RuntimeError, AssertionError) as error:
            raise CheckpointError(
                f"a checkpoint must hold every tensor of its configuration: {folder}: {error}",
                remedy="read it with the release that wrote it",
            ) from error
        state.step, state.position = meta.step, meta.position
        state._flops_apart = meta.train_flops - state.flops.up_to(meta.step)
        state.metrics.totals |= meta.totals
        if not is_adopted:  # the points of one that is adopted are another run's
            state.metrics.window |= meta.window
            state.log_every = config.training.log_every_steps or meta.log_every or state.log_every
        return state

    def _restore(self, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
        self.model.load_state_dict(tensors[MODEL_FILE])
        if self.average is not None:
            self.average.load(tensors[AVERAGE_FILE])
        saved = tensors[STATE_FILE]
        if self.table is not None:
            self.table.weight.copy_(saved[TABLE_KEY])
        self.optimizer.restore({k.removeprefix(OPTIMIZER): value for k, value in saved.items() if k.startswith(OPTIMIZER)})
        if self.tally is not None:
            self.tally.restore(saved)
        share = self.gang.share(self.config.training.global_batch_size)
        self.carry = self.carry.mapped(lambda name, own: saved[CARRY + name][share].to(self.device, own.dtype, copy=True))


def _require_whole(tensors: Mapping[str, Mapping[str, Tensor]], config: RunConfig, shape: DataShape, folder: str | Path) -> None:
    """CheckpointError unless weights and carry have the configuration's sizes, before anything of these sizes is made.

    DivergedError when a weight is no finite number.
    """
    saved = tensors.get(STATE_FILE, {})
    weights = {**tensors.get(MODEL_FILE, {}), **{name: value for name, value in saved.items() if name == TABLE_KEY}}
    sizes = {name: tuple(value.shape) for name, value in weights.items()}
    require_fit(sizes, network_sizes(config.model, shape), config.model, shape, source=str(folder))
    slots, carried = config.training.global_batch_size, saved.get(f"{CARRY}steps")
    if carried is None or len(carried) != slots:
        raise CheckpointError(
            f"a checkpoint must hold the carry of its {slots} slots: {folder} has {0 if carried is None else len(carried)}",
            remedy="read it with the release that wrote it",
        )
    if (name := first_not_finite(weights)) is not None:
        raise DivergedError(f"the weights {name} of {folder} are no finite numbers any more: the run diverged before it was saved")


def compile_in_place(model: nn.Module, device: torch.device) -> None:
    """Has `model` compiled at its next call; ResourceError where there is nothing to compile with.

    In a process that trained another network before, the compiler's memory of it is dropped first: it gives up, silently,
    after a few shapes.
    """
    if device.type == "cpu" and not any(shutil.which(name) for name in COMPILERS):
        raise ResourceError(
            f"training.compile on a CPU needs a C++ compiler, and none of {', '.join(COMPILERS)} is there",
            remedy="install one or set training.compile: false",
        )
    # Torch's own choice has a name that anybody can take in /tmp, and needs a user with a name.
    if COMPILED_VARIABLE not in os.environ:
        os.environ[COMPILED_VARIABLE] = str(kept_folder(COMPILED_FOLDER) or tempfile.mkdtemp(prefix="trm-inductor-"))
    torch.compiler.reset()
    model.compile(dynamic=False)
