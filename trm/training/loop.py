"""The training loop. It knows neither Tune nor Train: it steps a state, and tells a reporter."""

import math
import time
from dataclasses import dataclass

from trm.errors import DivergedError
from trm.training.compiling import CompilingStep, is_compiling
from trm.training.cuda_graph import RecordedStep, is_recorded
from trm.training.failures import compiler_failures, memory_failures
from trm.training.feed import Feed, Item
from trm.training.reporting import SILENT, Progress, Reporter
from trm.training.state import TrainingState
from trm.training.step import plain_step

FLUSH_STEPS = 16
"""An accelerator is asked for its sums every so many steps: in between the host runs ahead. A CPU alone is asked at each."""
FLUSH_FLOPS = 2.5e10
"""A gang on CPUs exchanges its sums once in so many FLOPs: rarely where steps are short, soon enough to stop where not."""


@dataclass(frozen=True)
class Trained:
    """What a call of `train` did."""

    seconds: float
    """Wall clock, the device's work included."""
    is_interrupted: bool
    """Whether a reporter asked to stop; it may have been at `until_steps`."""


def train(state: TrainingState, feed: Feed, *, until_steps: int, reporter: Reporter = SILENT) -> Trained:
    """Steps `state` to `until_steps` (counted from the run's start), or to where a reporter of any worker stops it.

    Raises DivergedError when the loss is no finite number (seen at most `FLUSH_STEPS` later) and OutOfMemoryError.
    """
    flush_every = _flush_every(state)
    start, first, state.until_steps = time.perf_counter(), state.step, max(state.until_steps, until_steps)
    marked = start, first
    loss, wants_stop, stops = math.nan, False, False
    with compiler_failures(), memory_failures():
        while state.step < until_steps and not stops:
            take_step(state, feed.batch(state.step))
            wants_stop |= reporter.on_step(_progress(state, until_steps, loss, time.perf_counter() - start, first))
            is_alone_and_stops = wants_stop and state.gang.world_size == 1
            is_point = state.step % state.log_every == 0
            if state.step % flush_every == 0 or is_point or state.step == until_steps or is_alone_and_stops:
                loss, stops = state.metrics.flush(state.gang, wants_stop)
                if not math.isfinite(loss):
                    if state.metrics.window["rows"]:
                        _add_point(state, *marked)  # how it came to that
                    raise DivergedError(f"the training loss is {loss} at step {state.step}, no finite number any more")
            if is_point:
                _add_point(state, *marked)
                marked = time.perf_counter(), state.step
    state.position = feed.position()
    return Trained(seconds=time.perf_counter() - start, is_interrupted=stops)


def _flush_every(state: TrainingState) -> int:
    """Steps from one exchange of the sums to the next, the same in all workers."""
    if state.device.type != "cpu":
        return FLUSH_STEPS
    return 1 if state.gang.world_size == 1 else min(FLUSH_STEPS, max(1, int(FLUSH_FLOPS / state.flops.most)))


def take_step(state: TrainingState, item: Item) -> None:
    """One optimizer step on this worker's share of what the feed gives: the passes of the loss, one update."""
    if state.stepper is None:
        state.stepper = RecordedStep(state.device) if is_recorded(state) else plain_step
        if is_compiling(state):
            state.stepper = CompilingStep(onward=state.stepper)
    if state.tally is not None:
        state.tally.turn(state.step)
    state.stepper(state, item)


def _add_point(state: TrainingState, since: float, first: int) -> None:
    """A point of the curve: means since the last one, and the speed since this call of the loop made `first` steps."""
    rows = (state.step - first) * state.config.training.global_batch_size
    state.curve.add(
        {
            **state.metrics.take_point(),
            "step": state.step,
            "train_flops": state.train_flops,
            "at": time.time(),
            "rows_per_second": rows / (time.perf_counter() - since),
            "lr": state.lr,
        }
    )


def _progress(state: TrainingState, until_steps: int, loss: float, seconds: float, first: int) -> Progress:
    return Progress(
        step=state.step,
        until_steps=until_steps,
        train_flops=state.train_flops,
        seconds=seconds,
        steps_per_second=(state.step - first) / seconds,
        loss=loss,
        lr=state.lr,
    )
