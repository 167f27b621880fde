"""What the GPU benchmark checks: each a function of the device that gives figures, and raises where something does not hold."""

import contextlib
import gc
import importlib.util
import platform
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.gpu.packing import mps_pipe
from trm.config.networks import DataShape
from trm.config.run import RunConfig
from trm.data.batches.plan import Batch
from trm.models.precision import set_products
from trm.optim.adam_atan2 import AdamATan2, Factors, factors_at
from trm.training.cuda_graph import WARM_UP_STEPS, RecordedStep
from trm.training.loop import take_step
from trm.training.state import TrainingState
from trm.training.step import plain_step

SHAPE = DataShape(seq_len=25, vocab_size=7, num_puzzle_identifiers=5)
ROWS, STEPS = 16, 10
MODEL: dict[str, Any] = {"hidden_size": 64, "num_heads": 2, "H_cycles": 2, "L_cycles": 1, "puzzle_emb_len": 1, "halt_max_steps": 4}
MLP: dict[str, Any] = {"mlp_t": True, "pos_encodings": "none"}
VARIANTS: dict[str, dict[str, Any]] = {
    "attention": {"model": {"halt_exploration_prob": 0.5}},
    "mlp_t, clip, ema warm-up": {"model": MLP, "optim": {"grad_clip": 0.05, "ema_warmup": True}},
    "softmax, q_continue, no puzzle embedding": {
        "model": {**MLP, "no_ACT_continue": False, "puzzle_emb_ndim": 0, "puzzle_emb_len": 0},
        "training": {"loss": "softmax"},
        "optim": {"ema": False, "lr_min_ratio": 0.1},
    },
}


def config_of(variant: str, **training: Any) -> RunConfig:
    """A small run."""
    values = VARIANTS[variant]
    return RunConfig.model_validate(
        {
            "data": {"folder": "unused"},
            "model": {**MODEL, **values.get("model", {})},
            "optim": {"lr": 3e-3, "lr_warmup_steps": 4, **values.get("optim", {})},
            "training": {"global_batch_size": ROWS, "steps": STEPS, "kernels": "plain", **values.get("training", {}), **training},
        }
    )


def batches() -> list[Batch]:
    """A batch a step."""
    draws = np.random.default_rng(0)
    cells = draws.integers(1, SHAPE.vocab_size, size=(STEPS, 2, ROWS, SHAPE.seq_len), dtype=np.int32)
    identifiers = draws.integers(0, SHAPE.num_puzzle_identifiers, size=(STEPS, ROWS), dtype=np.int32)
    return [Batch(pair[0], pair[1], names) for pair, names in zip(cells, identifiers, strict=True)]


def state_of(config: RunConfig, device: torch.device) -> TrainingState:
    """A run before its first step that already halts some rows."""
    state = TrainingState(config, SHAPE, max_steps=STEPS, device=device)
    with torch.no_grad():
        state.model.halting_bias.fill_(0.0)
        state.model.halting_head.copy_(torch.randn(2, MODEL["hidden_size"], generator=torch.Generator().manual_seed(3)))
    return state


def everything(state: TrainingState) -> dict[str, Tensor]:
    """All tensors of a run, on the CPU, and its sums."""
    state.metrics.flush(state.gang)
    found = {
        f"{file}/{name}": value.detach().cpu() for file, group in state.files_to_save().items() for name, value in group.items()
    }
    return found | {"totals": torch.tensor(list(state.metrics.totals.values()), dtype=torch.float64)}


def largest_difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Over all values, relative to the tensor's largest; 0 for equal bits."""
    found = [0.0]
    for name, value in one.items():
        if not torch.equal(value, other[name]):
            a, b = value.double(), other[name].double()
            found.append(((a - b).abs().max() / a.abs().max().clamp(min=1e-12)).item())
    return max(found)


@contextlib.contextmanager
def repeatable() -> Iterator[None]:
    """Within it every sum has one order, attention's included."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.use_deterministic_algorithms(False)


def facts(device: torch.device) -> dict[str, Any]:
    """What there is."""
    found: dict[str, Any] = {"torch": str(torch.__version__), "python": platform.python_version(), "mps": str(mps_pipe() or "")}
    for package in ("triton", "adam_atan2"):
        found[package] = importlib.util.find_spec(package) is not None
    if device.type == "cuda":
        about = torch.cuda.get_device_properties(device)
        found |= {"capability": f"{about.major}.{about.minor}", "memory_gib": round(about.total_memory / 2**30, 1)}
        found["cuda"] = torch.version.cuda
    return found


def float32_products_are_not_rounded_to_tf32(device: torch.device) -> dict[str, Any]:
    """Only `forward_dtype: tf32` rounds."""
    a, b = torch.randn(2, 512, 512, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).to(device)
    exact, errors = a @ b, {}
    for name in ("tf32", "float32"):
        set_products(config_of("attention").model.model_copy(update={"forward_dtype": name}), device)
        product = (a.float() @ b.float()).double()
        errors[name] = ((product - exact).norm() / exact.norm()).item()
    assert errors["float32"] < 1e-6, f"float32 products are off by {errors['float32']:.1e}"
    return {"relative_error": {name: float(f"{error:.2g}") for name, error in errors.items()}}


def a_recorded_step_is_the_plain_one(device: torch.device) -> dict[str, Any]:
    """Bit for bit, with scoring in between and a learning rate that moves."""
    found = {}
    with repeatable():
        for variant in VARIANTS:
            ends = []
            for stepper in (plain_step, RecordedStep(device)):
                state = state_of(config_of(variant), device)
                state.stepper = stepper
                for step, batch in enumerate(batches()):
                    take_step(state, batch)
                    if step == STEPS // 2:
                        with state.averaged(), torch.no_grad():
                            rows = None if state.table is None else state.table.rows(state.carry.puzzle_identifiers)
                            state.model(state.carry.latents, state.carry.inputs, rows)
                        state.max_steps = 3 * STEPS
                if isinstance(stepper, RecordedStep) and device.type == "cuda":
                    assert stepper.is_replaying, f"{variant}: the step was not recorded"
                ends.append(everything(state))
            found[variant] = largest_difference(*ends)
    assert max(found.values()) == 0, f"recorded and plain steps differ: {found}"
    return {"largest_difference": found}


def a_resumed_run_is_the_whole_one(device: torch.device) -> dict[str, Any]:
    """Bit for bit, recorded, from a checkpoint in the middle."""
    half, found = STEPS // 2, {}
    with repeatable(), tempfile.TemporaryDirectory() as folder:
        for number, variant in enumerate(VARIANTS):
            config, path = config_of(variant), f"{folder}/{number}"
            state = state_of(config, device)
            state.stepper = RecordedStep(device)
            for step, batch in enumerate(batches()):
                if step == half:
                    state.metrics.flush(state.gang)
                    state.save(path)
                take_step(state, batch)
            resumed = TrainingState.load(path, config, SHAPE, max_steps=STEPS, device=device)
            resumed.stepper = RecordedStep(device)
            for batch in batches()[half:]:
                take_step(resumed, batch)
            found[variant] = largest_difference(everything(state), everything(resumed))
    assert max(found.values()) == 0, f"resumed and whole runs differ: {found}"
    return {"largest_difference": found}


def the_host_waits_for_nothing(device: torch.device) -> dict[str, Any]:
    """No call of a plain step, nor of a replayed one, synchronises."""
    if device.type != "cuda":
        return {"skipped": "only CUDA can tell"}
    for stepper in (plain_step, RecordedStep(device)):
        state = state_of(config_of("attention"), device)
        state.stepper = stepper
        given = batches()
        for batch in given[: WARM_UP_STEPS + 2]:
            take_step(state, batch)
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            for batch in given[WARM_UP_STEPS + 2 :]:
                take_step(state, batch)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return {}


def a_recording_gives_its_memory_back(device: torch.device) -> dict[str, Any]:
    """Once the state is gone and the cache emptied, as the next leg does."""
    if device.type != "cuda":
        return {"skipped": "only CUDA has recordings"}

    def reserved() -> int:
        gc.collect()
        torch.cuda.empty_cache()
        return int(torch.cuda.memory_reserved(device))

    def work() -> int:
        state = state_of(config_of("attention"), device)
        state.stepper = RecordedStep(device)
        for batch in batches():
            take_step(state, batch)
        return reserved()

    work()  # the libraries' workspaces stay
    before, during = reserved(), work()
    after = reserved()
    assert after <= before + 2**21, f"{after - before} bytes stay reserved"
    return {"bytes": {"before": before, "during": during, "after": after}}


def attention_may_take_the_flash_kernel(device: torch.device) -> dict[str, Any]:
    """In bfloat16, laid out as the network does, heads of 32 and 64; the step as it runs uses no plain attention."""
    from torch.backends.cuda import SDPAParams, can_use_flash_attention

    found = {}
    for heads, width in ((4, 128), (8, 512)):
        fused = torch.randn(4, 97, 3 * width, device=device, dtype=torch.bfloat16)
        pair, value = torch.split(fused, [2 * width, width], dim=-1)
        query, key = pair.view(4, 97, 2, heads, -1).transpose(1, 3).unbind(2)
        value = value.view(4, 97, heads, -1).transpose(1, 2)
        found[str(width)] = bool(can_use_flash_attention(SDPAParams(query, key, value, None, 0.0, False, False), debug=True))
        if device.type == "cuda":
            with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
                torch.nn.functional.scaled_dot_product_attention(query, key, value)
    assert device.type != "cuda" or all(found.values()), f"flash attention refuses: {found}"
    return {"flash": found}


def every_form_of_the_update_agrees(device: torch.device) -> dict[str, Any]:
    """With the one in float64 on the CPU, within float32's rounding; the package `adam-atan2` too where it is installed."""
    generator = torch.Generator().manual_seed(1)
    starts = [torch.randn(size, generator=generator) for size in ((64, 128), (1024, 64), (2,))]
    gradients = [[torch.randn(start.shape, generator=generator) for start in starts] for _ in range(5)]

    def end(kind: str, dtype: torch.dtype, place: torch.device) -> list[Tensor]:
        params = [start.to(place, dtype, copy=True).requires_grad_() for start in starts]
        ours = optimizer = AdamATan2(params, lr=0.01, weight_decay=0.1)
        if kind == "compiled":
            ours.compile()
        if kind == "package":
            from adam_atan2 import AdamATan2 as Package

            optimizer = Package(params, lr=0.01, betas=(0.9, 0.95), weight_decay=0.1)
        for t, given in enumerate(gradients, start=1):
            for p, gradient in zip(params, given, strict=True):
                p.grad = gradient.to(place, dtype)
            if kind in ("numbers", "package"):
                optimizer.step()
                continue
            factors = factors_at(t, lr=0.01, betas=(0.9, 0.95), weight_decay=0.1)
            ours.apply([Factors(*(torch.tensor(factor, device=place, dtype=dtype) for factor in factors))])
            ours.count()
        return [p.detach().double().cpu() for p in params]

    exact, found = end("numbers", torch.float64, torch.device("cpu")), {}
    kinds = ["numbers", "tensors", *(["compiled"] if device.type == "cuda" else [])]
    if device.type == "cuda" and importlib.util.find_spec("adam_atan2_backend"):
        kinds.append("package")
    for kind in kinds:
        ends = end(kind, torch.float32, device)
        found[kind] = max((a - b).abs().max().item() for a, b in zip(exact, ends, strict=True))
    assert max(found.values()) < 1e-5, f"forms of the update differ: {found}"
    return {"largest_difference": {kind: float(f"{value:.2g}") for kind, value in found.items()}}


def the_losses_are_those_of_the_cpu(device: torch.device) -> dict[str, Any]:
    """Float32 on both: sums over the run within 1e-4."""
    ends = []
    for place in (torch.device("cpu"), device):
        config = config_of("attention", loss_dtype="float32")
        config = config.model_copy(update={"model": config.model.model_copy(update={"forward_dtype": "float32"})})
        state = state_of(config, place)
        for batch in batches():
            take_step(state, batch)
        state.metrics.flush(state.gang)
        ends.append(state.metrics.totals["lm_loss"] / state.metrics.totals["rows"])
    assert abs(ends[1] / ends[0] - 1) < 1e-4, f"mean loss {ends[1]} on {device}, {ends[0]} on the CPU"
    return {"loss": ends[0], "relative_difference": float(f"{ends[1] / ends[0] - 1:.2g}")}


FACTS = facts
CHECKS: list[Callable[[torch.device], dict[str, Any]]] = [
    float32_products_are_not_rounded_to_tf32,
    a_recorded_step_is_the_plain_one,
    a_resumed_run_is_the_whole_one,
    the_host_waits_for_nothing,
    a_recording_gives_its_memory_back,
    attention_may_take_the_flash_kernel,
    every_form_of_the_update_agrees,
    the_losses_are_those_of_the_cpu,
]
