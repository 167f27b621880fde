"""How long steps take before the first trial: a few real ones in a worker with a trial's resources.

A sweep whose trials are so many seconds long needs to know (`fidelity: seconds`).
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError

from trm.cluster.connection import Demand
from trm.cluster.worker_group import worker_group
from trm.config.architectures import DataShape
from trm.config.run import RunConfig
from trm.console.redaction import reason_of
from trm.errors import ResourceError

if TYPE_CHECKING:
    from trm.training.timing import Timed

SECONDS = 2.0
"""Timed for each configuration."""


def measure_speeds(configs: Sequence[RunConfig], shape: DataShape, demand: Demand, *, threads: int) -> "list[Timed]":
    """The time that steps of each configuration take, in its order; for instance of the cheapest and the dearest.

    ResourceError when no step could be made.
    """
    from trm.training.timing import Timed

    work = {"configs": [config.model_dump(mode="json") for config in configs], "shape": asdict(shape), "threads": threads}
    if demand.workers > 1:
        rows = _times_of_gang(work, demand)
    else:
        task = ray.remote(num_cpus=demand.cpus, num_gpus=demand.gpus, max_retries=1)(_time_alone)
        try:
            rows = ray.get(task.remote(work))
        except RayError as error:
            raise _unmeasured(reason_of(error)) from error
    return [Timed(**row) for row in rows]


def _unmeasured(reason: str) -> ResourceError:
    return ResourceError(
        f"fidelity seconds needs a few steps of the cheapest and the dearest configuration timed, and none could be made: {reason}",
        remedy="make the dearest cheaper by a constraint, or count in train_flops",
    )


def _time_alone(work: dict[str, Any]) -> list[dict[str, float]]:
    from trm.distributed import SOLO

    return _times(work, SOLO)


def _times_of_gang(work: dict[str, Any], demand: Demand) -> list[dict[str, Any]]:
    with worker_group(demand) as group:
        told = group.do(_time_in_gang, work)
    if told.failure is not None:
        raise _unmeasured(reason_of(told.failure))
    rows: list[dict[str, Any]] = told.answers[0]
    return rows


def _time_in_gang(work: dict[str, Any]) -> list[dict[str, float]]:
    from trm.distributed import TorchGang

    return _times(work, TorchGang.current())


def _times(work: dict[str, Any], gang: Any) -> list[dict[str, float]]:
    import torch

    from trm.training.process import keep_freed_memory, training_device
    from trm.training.timing import time_steps

    torch.set_num_threads(work["threads"])
    keep_freed_memory()
    shape, configs = DataShape(**work["shape"]), [RunConfig.model_validate(config) for config in work["configs"]]
    return [asdict(time_steps(config, shape, seconds=SECONDS, device=training_device(), gang=gang)) for config in configs]
