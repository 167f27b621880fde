"""How long is a training step, and which share of the machine's matrix products is it? Optionally against the reference.

Ours with the kernels of `trm.kernels` (fused) and with torch's operators (plain), eager or compiled. `--reference DIR`, a
checkout of SamsungSAILMontreal/TinyRecursiveModels, measures the published implementation in the same run, eager and
compiled: its model, losses, sign SGD and weight average as they are, AdamATan2 from here (theirs is a CUDA extension). All
take turns, a step each, on the same sizes and batches. Beside them stands what the matrix products of the step would take
alone: those that torch does by itself (`products`), and oneDNN's (`products_onednn`), which on some processors are twice as
fast. Processor time stands beside wall clock, for machines that others use too, and `times_plain` compares the least of it;
peak memory is that of a process of its own. `--model` measures other networks: `--model architecture=single_z ffn=normed_swiglu`.
"""

import argparse
import contextlib
import importlib
import importlib.util
import json
import subprocess
import sys
import time
import types
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch.profiler import ProfilerActivity, profile

from benchmarks.rows import emit, parser, spread
from benchmarks.step.memory import status
from trm.config.blocks import RecursiveConfig, swiglu_width
from trm.config.networks import DataShape
from trm.config.run import RunConfig
from trm.data.batches.plan import Batch
from trm.models.cost import run_cost
from trm.optim.adam_atan2 import AdamATan2
from trm.training.loop import take_step
from trm.training.state import TrainingState

CEILING_SIZE = 1024
BATCHES = 8
CPU = torch.device("cpu")
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
        values = {
            "data": {"folder": "unused"},
            "model": {**fields, **self.model},
            "optim": {"lr": 1e-4, "lr_warmup_steps": 0},
            "training": {"global_batch_size": self.batch, "steps": 1_000_000},
        }
        return RunConfig.model_validate(values)

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
    "d128_s900": Size(_attention(128, 4, L_cycles=4), 900, 6, 1),
    "d512_s900": Size(_attention(512, 8, L_cycles=4), 900, 6, 1),
    "demo_mlp_d32": Size({"hidden_size": 32, "mlp_t": True, "puzzle_emb_len": 1, "H_cycles": 2, "L_cycles": 2}, 16, 6, 64),
    "demo_mlp_d64": Size({"hidden_size": 64, "mlp_t": True, "puzzle_emb_len": 1, "H_cycles": 2, "L_cycles": 2}, 16, 6, 64),
    "demo_attention_d64": Size(_attention(64, 2, puzzle_emb_len=1, L_cycles=4), 16, 6, 64),
    "sudoku_mlp_d128": Size({"hidden_size": 128, "mlp_t": True}, 81, 11, 32),
}
"""The three of the published comparison, mazes and ARC (900 cells), then those of the demo sweep and a Sudoku MLP."""


def ours(size: Size, *, is_compiled: bool, kernels: str = "auto") -> Step:
    """A step of our training loop."""
    config = size.config()
    training = config.training.model_copy(update={"compile": is_compiled, "kernels": kernels})
    config = config.model_copy(update={"training": training})
    state = TrainingState(config, DataShape(size.seq_len, size.vocab_size, 1), max_steps=1_000_000)
    batches = size.batches()

    def step(i: int) -> None:
        take_step(state, batches[i % BATCHES])

    return step


def reference(folder: str, size: Size, device: torch.device = CPU, *, is_compiled: bool) -> Step:
    """A step as the published `train_batch` makes it, without its logging; on CUDA by its optimizer's package, if that is there."""
    _import_reference(folder)
    network, losses, sparse, ema = (
        importlib.import_module(f"models.{name}") for name in ("recursive_reasoning.trm", "losses", "sparse_embedding", "ema")
    )
    config = size.config()
    fields = config.model.model_dump(exclude={"architecture"}) | {
        "forward_dtype": "bfloat16" if device.type == "cuda" else "float32",
        "puzzle_emb_ndim": config.model.puzzle_ndim,
        "batch_size": size.batch,
        "seq_len": size.seq_len,
        "vocab_size": size.vocab_size,
        "num_puzzle_identifiers": 1,
        "H_layers": 0,
    }
    with device:
        model = losses.ACTLossHead(network.TinyRecursiveReasoningModel_ACTV1(fields), "stablemax_cross_entropy").train()
    average = ema.EMAHelper(mu=config.optim.ema_rate)
    average.register(model)
    backbone = AdamATan2
    if device.type == "cuda":
        with contextlib.suppress(ImportError):
            backbone = importlib.import_module("adam_atan2").AdamATan2
    optimizers = [
        sparse.CastedSparseEmbeddingSignSGD_Distributed(model.model.puzzle_emb.buffers(), world_size=1, lr=1e-4),
        backbone(model.parameters(), lr=config.optim.lr, betas=(0.9, 0.95), weight_decay=config.optim.weight_decay),
    ]
    called = torch.compile(model, dynamic=False) if is_compiled else model
    names = ("inputs", "labels", "puzzle_identifiers")
    batches = [{name: torch.from_numpy(getattr(batch, name)) for name in names} for batch in size.batches()]
    with device:
        carry = model.initial_carry({name: value.to(device) for name, value in batches[0].items()})

    def step(i: int) -> None:
        nonlocal carry
        batch = {name: value.to(device) for name, value in batches[i % BATCHES].items()}
        carry, loss, metrics, _, _ = called(carry=carry, batch=batch, return_keys=[])
        (loss / size.batch).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        torch.stack([metrics[name] for name in sorted(metrics)]).cpu()
        average.update(model)

    return step


def checkout(folder: str) -> str:
    """The value of `--reference`, refused where no checkout lies."""
    if not (Path(folder) / "models" / "recursive_reasoning" / "trm.py").is_file():
        raise argparse.ArgumentTypeError(f"a checkout of the reference has models/recursive_reasoning/trm.py, {folder} has not")
    return folder


def _import_reference(folder: str) -> None:
    """Makes the checkout importable; of einops it needs two transpositions."""
    if folder not in sys.path:
        sys.path.insert(0, folder)
    if "einops" not in sys.modules and importlib.util.find_spec("einops") is None:
        einops = types.ModuleType("einops")
        einops.rearrange = lambda x, pattern: x.transpose(1, 2)  # type: ignore[attr-defined]
        sys.modules["einops"] = einops


WAYS: dict[str, Callable[[Size, str], Step]] = {
    "ours compiled": lambda size, _: ours(size, is_compiled=True, kernels="plain"),
    "ours fused": lambda size, _: ours(size, is_compiled=False, kernels="fused"),
    "ours plain": lambda size, _: ours(size, is_compiled=False, kernels="plain"),
    "reference": lambda size, folder: reference(folder, size, is_compiled=False),
    "reference compiled": lambda size, folder: reference(folder, size, is_compiled=True),
}
"""Compiled first: it makes the compiler forget what it compiled before."""


Multiply = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], object]


def products(size: Size, multiply: Multiply) -> Step:
    """Every matrix product of a step, each by itself on whole batches.

    `multiply` gets (m, k), (n, k) and room for (m, n), or batches of them.
    """
    model, rows = size.config().model, size.batch
    assert isinstance(model, RecursiveConfig), "other networks have other products"
    length, width = model.puzzle_len + size.seq_len, model.hidden_size
    inner, heads = swiglu_width(model.expansion, width), model.num_heads
    tokens, forward = rows * length, model.effective_depth
    trained = sum(model.layers_of(call.network) for call in model.recursion.calls[model.recursion.plain_calls :])
    shapes: list[tuple[int, ...]] = [(tokens, width, 2 * inner), (tokens, inner, width)]  # (m, k, n): a weight has n rows
    if model.mlp_t:
        across = swiglu_width(model.expansion, length)
        shapes += [(rows * width, length, 2 * across), (rows * width, across, length)]
    else:
        shapes += [(tokens, width, 3 * width), (tokens, width, width)]
    work: list[tuple[int, torch.Tensor, torch.Tensor]] = []
    for m, k, n in shapes:
        work.append((forward, torch.randn(m, k), torch.randn(n, k)))
        work.append((trained, torch.randn(m, n), torch.randn(k, n)))  # gradient of the input
        work.append((trained, torch.randn(n, m), torch.randn(k, m)))  # gradient of the weight
    if not model.mlp_t:
        batch, of = rows * heads, width // heads
        scores, values = torch.randn(batch, length, length), torch.randn(batch, length, of)
        work.append((forward + 2 * trained, values, values))  # queries by keys, and such by the gradients
        work.append((forward + 2 * trained, scores, values.transpose(1, 2).contiguous()))

    room = [left.new_empty(*left.shape[:-1], right.shape[-2]) for _, left, right in work]

    def step(_: int) -> None:
        for (count, left, right), out in zip(work, room, strict=True):
            for _ in range(count):
                multiply(left, right, out)

    return step


def by_torch(left: torch.Tensor, right: torch.Tensor, out: torch.Tensor) -> None:
    """left (m, k) times right (n, k) transposed, by whatever torch takes."""
    torch.matmul(left, right.transpose(-1, -2), out=out)


def by_onednn(left: torch.Tensor, right: torch.Tensor, out: torch.Tensor) -> None:
    """The same by oneDNN, which torch asks only for compiled linear layers; batches as torch does them."""
    if left.dim() == 3:
        by_torch(left, right, out)
    else:
        torch.ops.mkldnn._linear_pointwise(left, right, None, "none", [], "")


def ceiling_gflops() -> float:
    """GFLOP/s of one large matrix product, best of several."""
    a, b = torch.randn(2, CEILING_SIZE, CEILING_SIZE)
    best = min(_timed(lambda _: torch.mm(a, b), 0)[0] for _ in range(8))
    return 2 * CEILING_SIZE**3 / best / 1e9


def peak_bytes(name: str, way: str, options: list[str]) -> int:
    """Most resident memory of a fresh process that takes steps, above what it had before the first."""
    command = [sys.executable, "-m", "benchmarks.step.train_step", "--sizes", name, "--ways", way, *options, "--peak"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(json.loads(run.stdout.splitlines()[-1]))


def print_peak(size: Size, way: str, folder: str) -> None:
    """The child of `peak_bytes`."""
    before = status("VmRSS")
    step = WAYS[way](size, folder)
    for i in range(WARM_UP):
        step(i)
    print(status("VmHWM") - before)


def print_profile(step: Step) -> None:
    """Where the time of a step goes, by torch's own operators."""
    step(0)
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for i in range(WARM_UP):
            step(i)
    print(profiled.key_averages().table(sort_by="self_cpu_time_total", row_limit=15, max_name_column_width=40))


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
    arguments.add_argument("--reference", metavar="DIR", type=checkout, help="checkout of the reference, timed in turn with ours")
    arguments.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES), help="default: all")
    arguments.add_argument(
        "--model", nargs="+", metavar="FIELD=VALUE", default=[], help="other networks of these sizes: ffn=normed_swiglu"
    )
    arguments.add_argument("--ways", nargs="+", choices=WAYS, help="default: all but compiled ones; with --reference all")
    arguments.add_argument("--threads", type=int, default=torch.get_num_threads(), help="default: the machine's")
    arguments.add_argument("--seconds", type=float, default=10.0, help="of measurement a size (default: 10)")
    arguments.add_argument("--profile", action="store_true", help="print where the time of a step goes, and no rows")
    arguments.add_argument("--peak", action="store_true", help="print the peak memory of the one size and way, and no rows")
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    ways = options.ways or (list(WAYS) if options.reference else ["ours fused", "ours plain"])
    fields = {name: yaml.safe_load(value) for name, _, value in (field.partition("=") for field in options.model)}
    for name in options.sizes:
        size = replace(SIZES[name], model={**SIZES[name].model, **fields})
        if options.peak:
            print_peak(size, ways[0], options.reference)
        elif options.profile:
            for way in ways:
                print(name, way)
                print_profile(WAYS[way](size, options.reference))
        else:
            measure_size(name, size, ways, options)
    return 0


def measure_size(name: str, size: Size, ways: list[str], options: argparse.Namespace) -> None:
    """Rows of one size."""
    steps = {way: WAYS[way](size, options.reference) for way in ways}
    has_products = isinstance(size.config().model, RecursiveConfig)
    if has_products:
        steps |= {"products": products(size, by_torch), "products_onednn": products(size, by_onednn)}
    flops = run_cost(size.config(), DataShape(size.seq_len, size.vocab_size, 1)).step_flops
    before = ceiling_gflops()
    times = measure(steps, options.seconds)
    ceiling = max(before, ceiling_gflops())
    child = ["--threads", str(options.threads), *(["--model", *options.model] if options.model else [])]
    child += ["--reference", options.reference] if options.reference else []
    medians = {way: spread([wall for wall, _ in pairs], 6)["median"] for way, pairs in times.items()}
    for way, pairs in times.items():
        wall, processor = ([seconds * 1e3 for seconds in column] for column in zip(*pairs, strict=True))
        milliseconds, processor_ms = spread(wall, 4), spread(processor, 4)
        gflops = flops / milliseconds["median"] / 1e6
        row: dict[str, object] = {"size": name, "model": options.model, "implementation": way, "threads": options.threads}
        row |= {"ms": milliseconds, "processor_ms": processor_ms}
        row |= {"rows_per_second": round(size.batch / milliseconds["median"] * 1e3, 1), "gflop": round(flops / 1e9, 2)}
        row |= {"gflops": round(gflops, 1), "ceiling_gflops": round(ceiling, 1), "share": round(gflops / ceiling, 3)}
        if has_products:
            row |= {f"of_{other}": round(medians[other] / medians[way], 3) for other in ("products", "products_onednn")}
        if way != "ours plain" and "ours plain" in times:
            plain = min(seconds for _, seconds in times["ours plain"])
            row["times_plain"] = round(plain / min(seconds for _, seconds in pairs), 3)
        if "reference compiled" in medians:
            row["times_reference_compiled"] = round(medians["reference compiled"] / medians[way], 3)
        if way in WAYS:
            row["peak_mib"] = round(peak_bytes(name, way, child) / 2**20)
        emit(row, options.out)


if __name__ == "__main__":
    sys.exit(main())
