"""How long is a training step, and which share of the machine's matrix products is it? Optionally against the reference.

`--reference DIR`, a checkout of SamsungSAILMontreal/TinyRecursiveModels, measures the published implementation in the same run,
a step of ours and a step of theirs in turn, on the same sizes and batches: its model, losses, sign SGD and weight average as
they are, AdamATan2 from here (theirs is a CUDA extension). Processor time stands beside wall clock, for machines that
others use too.
"""

import importlib
import sys
import time
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from rows import emit, parser, spread

from trm.config import DataConfig, DataShape, ModelConfig, OptimConfig, RunConfig, TrainingConfig
from trm.data.plan import Batch
from trm.optim.adam_atan2 import AdamATan2
from trm.training.cost import run_cost
from trm.training.loop import take_step
from trm.training.state import TrainingState

CEILING_SIZE = 1024
BATCHES = 8
WARM_UP = 3
Step = Callable[[int], None]


@dataclass(frozen=True)
class Size:
    """A network and a batch to be measured."""

    model: dict[str, Any]
    seq_len: int
    vocab_size: int
    batch: int

    def config(self) -> RunConfig:
        """The run that is measured."""
        fields = {"pos_encodings": "none"} if self.model.get("mlp_t") else {}
        return RunConfig(
            data=DataConfig(folder="unused"),
            model=ModelConfig(**fields, **self.model),
            optim=OptimConfig(lr=1e-4, lr_warmup_steps=0),
            training=TrainingConfig(global_batch_size=self.batch, steps=1_000_000),
        )

    def batches(self) -> list[Batch]:
        """Random puzzles."""
        generator = np.random.default_rng(0)
        shape = (BATCHES, 2, self.batch, self.seq_len)
        cells = generator.integers(1, self.vocab_size, size=shape, dtype=np.int32)
        return [Batch(inputs, labels, np.zeros(self.batch, np.int32)) for inputs, labels in cells]


def _attention(width: int, heads: int, **fields: int) -> dict[str, Any]:
    return {"hidden_size": width, "num_heads": heads, **fields}


SIZES = {
    "d64_s16": Size(_attention(64, 2), 16, 6, 64),
    "d128_s81": Size(_attention(128, 4), 81, 11, 32),
    "d512_s81": Size(_attention(512, 8), 81, 11, 8),
    "demo_mlp_d32": Size({"hidden_size": 32, "mlp_t": True, "puzzle_emb_len": 1, "H_cycles": 2, "L_cycles": 2}, 16, 6, 64),
    "demo_mlp_d64": Size({"hidden_size": 64, "mlp_t": True, "puzzle_emb_len": 1, "H_cycles": 2, "L_cycles": 2}, 16, 6, 64),
    "demo_attention_d64": Size(_attention(64, 2, puzzle_emb_len=1, L_cycles=4), 16, 6, 64),
    "sudoku_mlp_d128": Size({"hidden_size": 128, "mlp_t": True}, 81, 11, 32),
}
"""The three of the published comparison, then those of the demo sweep and a Sudoku MLP."""


def ours(size: Size, *, is_compiled: bool) -> Step:
    """A step of our training loop."""
    config = size.config()
    if is_compiled:
        config = config.model_copy(update={"training": config.training.model_copy(update={"compile": True})})
    state = TrainingState(config, DataShape(size.seq_len, size.vocab_size, 1), max_steps=1_000_000)
    batches = size.batches()

    def step(i: int) -> None:
        take_step(state, batches[i % BATCHES])

    return step


def reference(folder: str, size: Size, *, is_compiled: bool) -> Step:
    """A step as the reference's `train_batch` does it, without its logging."""
    _import_reference(folder)
    network, losses, sparse, ema = (
        importlib.import_module(f"models.{name}") for name in ("recursive_reasoning.trm", "losses", "sparse_embedding", "ema")
    )
    config = size.config()
    fields = config.model.model_dump(exclude={"architecture"}) | {
        "forward_dtype": "float32",
        "puzzle_emb_ndim": config.model.puzzle_ndim,
        "batch_size": size.batch,
        "seq_len": size.seq_len,
        "vocab_size": size.vocab_size,
        "num_puzzle_identifiers": 1,
        "H_layers": 0,
    }
    model = losses.ACTLossHead(network.TinyRecursiveReasoningModel_ACTV1(fields), "stablemax_cross_entropy").train()
    average = ema.EMAHelper(mu=config.optim.ema_rate)
    average.register(model)
    optimizers = [
        sparse.CastedSparseEmbeddingSignSGD_Distributed(model.model.puzzle_emb.buffers(), world_size=1, lr=1e-4),
        AdamATan2(model.parameters(), lr=config.optim.lr, weight_decay=config.optim.weight_decay),
    ]
    called = torch.compile(model) if is_compiled else model
    names = ("inputs", "labels", "puzzle_identifiers")
    batches = [{name: torch.from_numpy(getattr(batch, name)) for name in names} for batch in size.batches()]
    carry = model.initial_carry(batches[0])

    def step(i: int) -> None:
        nonlocal carry
        carry, loss, metrics, _, _ = called(carry=carry, batch=batches[i % BATCHES], return_keys=[])
        (loss / size.batch).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        torch.stack([metrics[name] for name in sorted(metrics)]).numpy()
        average.update(model)

    return step


def _import_reference(folder: str) -> None:
    """Makes the checkout importable; of einops it needs two transpositions."""
    if folder not in sys.path:
        sys.path.insert(0, folder)
    if "einops" not in sys.modules and importlib.util.find_spec("einops") is None:
        einops = types.ModuleType("einops")
        einops.rearrange = lambda x, pattern: x.transpose(1, 2)  # type: ignore[attr-defined]
        sys.modules["einops"] = einops


def ceiling_gflops() -> float:
    """GFLOP/s of one large matrix product, best of several."""
    a, b = torch.randn(2, CEILING_SIZE, CEILING_SIZE)
    best = min(_timed(lambda _: torch.mm(a, b), 0)[0] for _ in range(8))
    return 2 * CEILING_SIZE**3 / best / 1e9


def _timed(step: Callable[[int], object], i: int) -> tuple[float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    step(i)
    return time.perf_counter() - wall, time.process_time() - processor


def measure(steps: dict[str, Step], seconds: float) -> dict[str, list[tuple[float, float]]]:
    """Wall and processor seconds of every step, the implementations taking turns."""
    for step in steps.values():
        for i in range(WARM_UP):
            step(i)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    start, i = time.perf_counter(), 0
    while i < WARM_UP or time.perf_counter() - start < seconds:
        for name, step in steps.items():
            times[name].append(_timed(step, i))
        i += 1
    return times


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--reference", metavar="DIR", help="checkout of the reference, measured in turn with ours")
    arguments.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES), help="default: all")
    arguments.add_argument("--threads", type=int, default=1, help="default: 1")
    arguments.add_argument("--seconds", type=float, default=10.0, help="of measurement a size (default: 10)")
    arguments.add_argument("--compile", action="store_true", help="compile both")
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    for name in options.sizes:
        size = SIZES[name]
        steps = {"ours": ours(size, is_compiled=options.compile)}
        if options.reference:
            steps["reference"] = reference(options.reference, size, is_compiled=options.compile)
        flops = run_cost(size.config(), DataShape(size.seq_len, size.vocab_size, 1)).step_flops
        before = ceiling_gflops()
        times = measure(steps, options.seconds)
        ceiling = max(before, ceiling_gflops())
        for implementation, pairs in times.items():
            wall, processor = ([seconds * 1e3 for seconds in column] for column in zip(*pairs, strict=True))
            milliseconds, processor_ms = spread(wall, 4), spread(processor, 4)
            gflops = flops / milliseconds["median"] / 1e6
            row = {"size": name, "implementation": implementation, "threads": options.threads, "compiled": options.compile}
            row |= {"ms": milliseconds, "processor_ms": processor_ms}
            row |= {"rows_per_second": round(size.batch / milliseconds["median"] * 1e3, 1), "gflop": round(flops / 1e9, 2)}
            row |= {"gflops": round(gflops, 1), "ceiling_gflops": round(ceiling, 1), "share": round(gflops / ceiling, 3)}
            emit(row, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
