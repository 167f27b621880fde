"""A step recorded once and replayed: a CUDA graph, for networks whose kernels run for less time than it takes to launch them.

The whole step is recorded, from the refill to the running metrics, as plain kernels of eager or compiled code. That costs a
second; `torch.compile(mode="reduce-overhead")`, which would record graphs of its own, first compiles for a minute, once a
configuration, and leaves out the optimizers. Every replay reads the batch and the step's numbers from one buffer, so the learning
rate changes as it likes; weights, moments, average, table, metrics and carry keep their places in memory, so that a checkpoint
reads and an evaluation swaps what the recording works on.
"""

import functools
import logging

import torch
from torch import Tensor

from trm.models.halting import Carry
from trm.training.feed import Item
from trm.training.state import TrainingState
from trm.training.step import device_step
from trm.training.step_inputs import Layout, packed, views

WARM_UP_STEPS = 3
"""Real steps before the recording: they make the optimizer's state and the libraries' workspaces."""
RECORDED_FLOPS = 4e12
"""A step of more work keeps a GPU busy for longer than its launches take, and a recording would hold its memory twice."""

log = logging.getLogger(__name__)


def is_recorded(state: TrainingState) -> bool:
    """Whether the state's steps are to be recorded: on CUDA, alone, with an optimizer that can be, when asked for or small enough.

    A gang's are not: its gradients travel while the backward pass runs, which only some versions of NCCL can be recorded with.
    """
    asked = state.config.training.cuda_graph
    if state.device.type != "cuda" or state.gang.world_size > 1 or not state.optimizer.is_recordable:
        return False
    return state.flops.most <= RECORDED_FLOPS if asked == "auto" else asked


class RecordedStep:
    """The steps of one state: the first few eager, on the same buffers, then replayed. On a CPU all are eager.

    Holds no reference to the state, so that both go, and the recording's memory with them, when the state does.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = _stream(device) if device.type == "cuda" else None
        self._graph: torch.cuda.CUDAGraph | None = None
        self._calls, self._is_refused = 0, False
        self._stage = 0
        """Of the depth schedule: that which is recorded, or will be."""
        self._buffer: Tensor | None = None
        self._layout: Layout | None = None
        self._carry: Carry | None = None

    @property
    def is_replaying(self) -> bool:
        """Whether the step is recorded by now."""
        return self._graph is not None

    def __call__(self, state: TrainingState, item: Item) -> None:
        """One step of `state`, the host's counters included."""
        self._place(state, item)
        if (stage := state.depths.stage(state.step)) != self._stage:
            self._graph, self._calls, self._stage = None, 0, stage  # steps of another depth are another recording
        if self._graph is None and self._stream is not None and self._calls >= WARM_UP_STEPS and not self._is_refused:
            self._record(state)
        if self._graph is not None:
            self._graph.replay()
        else:
            self._run_beside(state)
        self._calls += 1
        state.optimizer.count()
        state.step += 1

    def _place(self, state: TrainingState, item: Item) -> None:
        """Puts what the step takes where the recording reads it."""
        handed, layout = packed(state, item)
        if self._buffer is None:
            self._buffer, self._layout = torch.empty_like(handed, device=state.device, pin_memory=False), layout
        assert layout == self._layout, "what a step takes has the same names and shapes at every step"
        self._buffer.copy_(handed, non_blocking=True)
        if self._carry is None:
            self._carry = state.carry.mapped(lambda _, tensor: tensor.clone(memory_format=torch.contiguous_format))
        elif state.carry is not self._carry:
            _copy(state.carry, self._carry)
        state.carry = self._carry

    def _run(self, state: TrainingState) -> None:
        assert self._buffer is not None, "the step's buffer is filled first"
        assert self._layout is not None, "and what stands where in it is known"
        assert self._carry is not None, "the step's carry has its place first"
        _copy(device_step(state, views(state, self._buffer, self._layout)), self._carry)

    def _run_beside(self, state: TrainingState) -> None:
        """Runs the step, on CUDA on the stream that it will be recorded on: autograd remembers where it saw a weight first."""
        if self._stream is None:
            self._run(state)
            return
        current = torch.cuda.current_stream(state.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            self._run(state)
        current.wait_stream(self._stream)

    def _record(self, state: TrainingState) -> None:
        """Records the step without making it; where that cannot be, says so and lets the steps run on as they did."""
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=self._stream):
                self._run(state)
        except RuntimeError as error:
            if state.config.training.cuda_graph is True:
                raise
            self._is_refused = True
            for parameter in state.parameters:
                parameter.grad = None
            torch.cuda.empty_cache()
            log.warning("steps are launched kernel by kernel, their recording failed: %s", str(error).splitlines()[0])
            return
        self._graph = graph


@functools.cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """The one that all recordings of this process are made on: the libraries keep a workspace for each that they meet."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _copy(source: Carry, target: Carry) -> None:
    values = source.tensors()
    for name, own in target.tensors().items():
        own.copy_(values[name])
