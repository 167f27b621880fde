"""`training.compile: auto`: the network is compiled where that pays within the steps that are left, by what was measured here.

What compiling took, and both speeds, is kept for each network, as the compiler's own cache is, by all processes of a user on a node
together: the second trial of the same shapes knows what the first found out, and compiles from that cache in seconds.
"""

import hashlib
import json
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from trm.files.own_cache import keep, kept
from trm.training.feed import Item
from trm.training.state import TrainingState, compile_in_place
from trm.training.step import plain_step

RECORDS = "compile-times.json"
WARM_UP_STEPS = 2
TIMED_STEPS = 5
FIRST_SECONDS, FIRST_RATIO = 100.0, 0.9
"""What compiling takes and a compiled step's time against an eager one, where nothing was measured yet."""
CACHED_SHARE = 0.1
"""Of that time, where the cache has the network (`benchmarks/results/compile.jsonl`: 0.04 and 0.09)."""


class Measured(NamedTuple):
    """What is known of compiling a network."""

    seconds: float
    """What compiling took when the compiler's cache knew nothing of the network."""
    ratio: float
    """Time of a compiled step against an eager one."""


def is_compiling(state: TrainingState) -> bool:
    """Whether the state's first steps find out what compiling is worth.

    Not in a gang, whose workers could decide differently; nor where the CPU's fused kernels do the work, which compiled code
    does not reach.
    """
    return state.config.training.compile == "auto" and state.gang.world_size == 1 and not state.model.is_fused


def expected(records: dict[str, dict[str, Measured]], device: str, network: str) -> Measured:
    """What compiling `network` will come to: from the cache as last time; else as the dearest of the others here; else a guess."""
    here = records.get(device, {})
    if network in here:
        return Measured(CACHED_SHARE * here[network].seconds, here[network].ratio)
    if not here:
        return Measured(FIRST_SECONDS, FIRST_RATIO)
    return Measured(max(one.seconds for one in here.values()), statistics.median(one.ratio for one in here.values()))


def pays(known: Measured, *, step_seconds: float, steps_left: int) -> bool:
    """Whether what the steps left would save is more than what compiling takes."""
    return steps_left * step_seconds * (1 - known.ratio) > known.seconds


class CompilingStep:
    """The first steps of a state, timed; then compiled ones, if they pay; then `onward` takes over, with the faster of the two.

    The host waits for the device in all of them.
    """

    def __init__(self, onward: Callable[[TrainingState, Item], None]) -> None:
        self._onward = onward
        self._times: list[float] = []
        self._eager_seconds: float | None = None

    def __call__(self, state: TrainingState, item: Item) -> None:
        """One step."""
        start = _now(state)
        plain_step(state, item)
        self._times.append(_now(state) - start)
        if len(self._times) < WARM_UP_STEPS + TIMED_STEPS:
            return
        seconds, first = statistics.median(self._times[WARM_UP_STEPS:]), sum(self._times[:WARM_UP_STEPS])
        self._times = []
        if self._eager_seconds is None:
            self._eager_seconds = seconds
            left = round(state.flops.between(state.step, state.until_steps) / state.flops.at(state.step - 1))
            if pays(expected(_read(), *_key(state)), step_seconds=seconds, steps_left=left):
                compile_in_place(state.model, state.device)
                return
        else:
            measured = Measured(first - WARM_UP_STEPS * seconds, seconds / self._eager_seconds)
            _write(*_key(state), measured)
            if measured.ratio >= 1:
                state.model._compiled_call_impl = None
        state.stepper = self._onward


def _now(state: TrainingState) -> float:
    if state.device.type == "cuda":
        torch.cuda.synchronize(state.device)
    return time.perf_counter()


def _key(state: TrainingState) -> tuple[str, str]:
    """The machine's part and torch's version; and what of the run decides the compiled code."""
    name = torch.cuda.get_device_name(state.device) if state.device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    config = state.config
    told: list[Any] = [config.model.model_dump(mode="json"), config.training.global_batch_size, list(vars(state.shape).values())]
    if config.training.depth_schedule is not None:  # what was timed is as deep as its stage
        told.append([config.depth_parts[state.depths.stage(state.step - 1)].model.cycles])
    return f"{name}, torch {torch.__version__}", hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def _read() -> dict[str, dict[str, Measured]]:
    try:
        found = json.loads(kept(RECORDS) or b"{}")
        return {device: {name: Measured(*map(float, one)) for name, one in here.items()} for device, here in found.items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def _write(device: str, network: str, measured: Measured) -> None:
    """What two processes write at once, one of them loses: it will be measured again."""
    records = _read()
    here = records.setdefault(device, {})
    seconds = max(measured.seconds, here[network].seconds if network in here else 0.0)
    here[network] = Measured(seconds, measured.ratio)
    keep(RECORDS, json.dumps(records).encode())
