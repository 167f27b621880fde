"""The speed of a training step on a GPU: our forms and the published implementation in turn; where the time goes."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from benchmarks.rows import spread
from benchmarks.step.train_step import BATCHES, Size, _attention, reference
from trm.config.networks import DataShape
from trm.models.cost import run_cost
from trm.training.cuda_graph import RECORDED_FLOPS, WARM_UP_STEPS, RecordedStep
from trm.training.loop import FLUSH_STEPS
from trm.training.state import TrainingState
from trm.training.step import plain_step

BLOCK_SECONDS = 0.3
WARM_UP = WARM_UP_STEPS + 3
LIMIT_SECONDS = 420.0
"""No further compilation is begun so long after the timing's start."""
CEILING_SIZE = 8192
Step = Callable[[int], None]
Say = Callable[[dict[str, Any]], None]

SIZES = {
    "d32_s16_b64_mlp": Size({"hidden_size": 32, "mlp_t": True, "puzzle_emb_len": 1, "H_cycles": 2, "L_cycles": 2}, 16, 6, 64),
    "d64_s16_b64": Size(_attention(64, 2), 16, 6, 64),
    "d128_s81_b128": Size(_attention(128, 4), 81, 11, 128),
    "d512_s81_b768": Size(_attention(512, 8), 81, 11, 768),
}
COMPILED = ("d128_s81_b128", "d512_s81_b768")
TINY = {"tiny": Size(_attention(16, 2, H_cycles=1, L_cycles=1, puzzle_emb_len=1), 16, 6, 8)}


@dataclass
class Form:
    """A way to make a step, ready to be timed."""

    step: Step
    first_seconds: float = 0.0
    """Of the warm-up, compiling and recording included."""
    peak_bytes: int = 0


def synchronize(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def state_of(size: Size, device: torch.device, *, is_compiled: bool = False) -> TrainingState:
    """A run of that size; with bfloat16 activations on CUDA."""
    config = size.config()
    config = config.model_copy(update={"training": config.training.model_copy(update={"compile": is_compiled})})
    return TrainingState(config, DataShape(size.seq_len, size.vocab_size, 1), max_steps=1_000_000, device=device)


def ours(size: Size, state: TrainingState, *, is_recorded: bool) -> Step:
    """A step of our loop, its sums fetched as often as the loop does."""
    batches, stepper = size.batches(), RecordedStep(state.device) if is_recorded else plain_step

    def step(i: int) -> None:
        stepper(state, batches[i % BATCHES])
        if i % FLUSH_STEPS == 0:
            state.metrics.flush(state.gang)

    return step


def warmed(step: Step, device: torch.device) -> Form:
    """The form after its first steps, which compile and record."""
    base = 0
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        base = torch.cuda.memory_allocated(device)
    start = time.perf_counter()
    for i in range(WARM_UP):
        step(i)
    synchronize(device)
    peak = torch.cuda.max_memory_allocated(device) - base if device.type == "cuda" else 0
    return Form(step, time.perf_counter() - start, peak)


def ceiling_tflops(device: torch.device) -> float:
    """TFLOP/s of one large matrix product in the type of activations, best of several."""
    n, dtype = (CEILING_SIZE, torch.bfloat16) if device.type == "cuda" else (512, torch.float32)
    a, b = torch.randn(2, n, n, device=device, dtype=dtype)
    torch.mm(a, b)
    best = float("inf")
    for _ in range(8):
        synchronize(device)
        start = time.perf_counter()
        torch.mm(a, b)
        synchronize(device)
        best = min(best, time.perf_counter() - start)
    return 2 * n**3 / best / 1e12


def timed(forms: dict[str, Form], device: torch.device, seconds: float) -> dict[str, list[float]]:
    """Seconds a step of every form, a block of steps of each in turn."""
    if not forms:
        return {}
    counts, times, i = {}, {name: [] for name in forms}, WARM_UP
    for name, form in forms.items():
        once = _block(form.step, i, 2, device)
        counts[name] = max(1, int(BLOCK_SECONDS / once))
    start = time.perf_counter()
    while not times[next(iter(forms))] or time.perf_counter() - start < seconds:
        for name, form in forms.items():
            times[name].append(_block(form.step, i, counts[name], device))
        i += 1
    return times


def _block(step: Step, first: int, steps: int, device: torch.device) -> float:
    synchronize(device)
    start = time.perf_counter()
    for i in range(first, first + steps):
        step(i)
    synchronize(device)
    return (time.perf_counter() - start) / steps


def forms_of(
    name: str, size: Size, device: torch.device, folder: str | None, may_compile: Callable[[], bool], say: Say
) -> dict[str, Form]:
    """Every form that works here; one that does not becomes a row."""
    plain = state_of(size, device)
    small = plain.flops.most <= RECORDED_FLOPS
    makers: dict[str, Callable[[], Step]] = {"plain": lambda: ours(size, plain, is_recorded=False)}
    if small:
        makers["recorded"] = lambda: ours(size, plain, is_recorded=True)
    if folder:
        makers["reference"] = lambda: reference(folder, size, device, is_compiled=False)
    if name in COMPILED and device.type == "cuda":
        held: list[TrainingState] = []

        def compiled(is_recorded: bool) -> Step:
            if not held:
                held.append(state_of(size, device, is_compiled=True))
            return ours(size, held[0], is_recorded=is_recorded)

        if folder:
            makers["reference compiled"] = lambda: reference(folder, size, device, is_compiled=True)
        makers["compiled"] = lambda: compiled(False)
        if small:
            makers["compiled and recorded"] = lambda: compiled(True)
    forms = {}
    for form, make in makers.items():
        if "compiled" in form and not may_compile():
            say({"figure": "step", "size": name, "form": form, "skipped": "no time left"})
            continue
        try:
            forms[form] = warmed(make(), device)
        except torch.OutOfMemoryError:
            say({"figure": "step", "size": name, "form": form, "skipped": "it does not fit the GPU's memory"})
        except Exception as error:  # the other forms are still worth their time
            say({"figure": "step", "size": name, "form": form, "ok": False, "error": f"{type(error).__name__}: {error}"[:600]})
    return forms


def timing_rows(device: torch.device, folder: str | None, seconds: float, say: Say) -> None:
    """A row a size and form."""
    began = time.perf_counter()
    ceiling = ceiling_tflops(device)
    sizes = SIZES if device.type == "cuda" else TINY
    for name, size in sizes.items():
        forms = forms_of(name, size, device, folder, lambda: time.perf_counter() - began < LIMIT_SECONDS, say)
        flops = run_cost(size.config(), DataShape(size.seq_len, size.vocab_size, 1)).step_flops
        for form, values in timed(forms, device, seconds).items():
            milliseconds = spread([value * 1e3 for value in values], 4)
            tflops = flops / milliseconds["median"] / 1e9
            row: dict[str, Any] = {"figure": "step", "size": name, "form": form, "ms": milliseconds}
            row |= {"rows_per_second": round(size.batch / milliseconds["median"] * 1e3), "gflop": round(flops / 1e9, 2)}
            row |= {"tflops": round(tflops, 3), "ceiling_tflops": round(ceiling, 3), "share": round(tflops / ceiling, 4)}
            row |= {"first_steps_seconds": round(forms[form].first_seconds, 1)}
            say(row | {"peak_gib": round(forms[form].peak_bytes / 2**30, 2)})
        del forms
        torch._dynamo.reset()


def profile_row(device: torch.device) -> dict[str, Any]:
    """The kernels that take the most of a plain step."""
    name, size = next(iter(TINY.items())) if device.type == "cpu" else ("d128_s81_b128", SIZES["d128_s81_b128"])
    step = ours(size, state_of(replace(size), device), is_recorded=False)
    warmed(step, device)
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profile:
        step(1)
        synchronize(device)
    key = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    events = sorted(profile.key_averages(), key=lambda event: -getattr(event, key))
    total = sum(getattr(event, key) for event in events) or 1
    top = {event.key[:60]: round(getattr(event, key) / total, 3) for event in events[:12]}
    return {"figure": "profile", "size": name, "microseconds": round(total), "launches": sum(e.count for e in events), "share": top}
