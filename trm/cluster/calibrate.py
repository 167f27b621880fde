"""How long steps take before the first trial: a few real ones in a worker with a trial's resources.

A sweep whose trials are so many seconds long needs to know (`fidelity: seconds`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ray
from ray.exceptions import RayError

from trm.cluster.connection import Demand
from trm.cluster.worker_group import worker_group
from trm.config.networks import DataShape
from trm.config.run import RunConfig
from trm.console.redaction import reason_of
from trm.errors import ResourceError

if TYPE_CHECKING:
    from trm.distributed import Gang
    from trm.training.timing import Timed

SECONDS = 2.0
"""Timed for each configuration."""


@dataclass(frozen=True)
class _Work:
    """What a worker is to time."""

    configs: Sequence[RunConfig]
    shape: DataShape
    threads: int


def measure_speeds(configs: Sequence[RunConfig], shape: DataShape, demand: Demand, *, threads: int) -> "list[Timed]":
    """The time that steps of each configuration take, in its order; for instance of the cheapest and the dearest.

    ResourceError when no step could be made.
    """
    work = _Work(configs, shape, threads)
    if demand.workers > 1:
        return _times_of_gang(work, demand)
    task = ray.remote(num_cpus=demand.cpus, num_gpus=demand.gpus, max_retries=1)(_time_alone)
    try:
        timed: list[Timed] = ray.get(task.remote(work))
    except RayError as error:
        raise _unmeasured(reason_of(error)) from error
    return timed


def _unmeasured(reason: str) -> ResourceError:
    return ResourceError(
        f"fidelity seconds needs a few steps of the cheapest and the dearest configuration timed, and none could be made: {reason}",
        remedy="make the dearest cheaper by a constraint, or count in train_flops",
    )


def _time_alone(work: _Work) -> "list[Timed]":
    from trm.distributed import SOLO

    return _times(work, SOLO)


def _times_of_gang(work: _Work, demand: Demand) -> "list[Timed]":
    with worker_group(demand) as group:
        told = group.do(_time_in_gang, work)
    if told.failure is not None:
        raise _unmeasured(reason_of(told.failure))
    timed: list[Timed] = told.answers[0]
    return timed


def _time_in_gang(work: _Work) -> "list[Timed]":
    from trm.distributed import TorchGang

    return _times(work, TorchGang.current())


def _times(work: _Work, gang: "Gang") -> "list[Timed]":
    import torch

    from trm.training.process import keep_freed_memory, training_device
    from trm.training.timing import time_steps

    torch.set_num_threads(work.threads)
    keep_freed_memory()
    device = training_device()
    return [time_steps(config, work.shape, seconds=SECONDS, device=device, gang=gang) for config in work.configs]
