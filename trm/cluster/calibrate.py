"""How long steps take before the first trial: a few real ones in a worker with a trial's resources.

A sweep whose trials are so many seconds long needs to know (`fidelity: seconds`).
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError

from trm.atomic import write_text_atomic
from trm.cluster.connection import Demand
from trm.cluster.gang import run_gang
from trm.config import DataShape, RunConfig
from trm.errors import ResourceError

if TYPE_CHECKING:
    from trm.training.timing import Timed

SECONDS = 2.0
"""Timed for each configuration."""


def measure_speeds(configs: Sequence[RunConfig], shape: DataShape, demand: Demand, *, threads: int, scratch: Path) -> "list[Timed]":
    """The time that steps of each configuration take, in its order; for instance of the cheapest and the dearest.

    `scratch` is a folder that every node sees. ResourceError when no step could be made.
    """
    from trm.training.timing import Timed

    work = {"configs": [config.model_dump(mode="json") for config in configs], "shape": asdict(shape), "threads": threads}
    if demand.workers > 1:
        answer = scratch / "speeds.json"
        failure = run_gang(_time_in_gang, {**work, "answer": str(answer)}, demand, str(scratch / "speeds"))
        if failure is not None:
            raise _unmeasured(failure)
        rows = json.loads(answer.read_text())
    else:
        task = ray.remote(num_cpus=demand.cpus, num_gpus=demand.gpus, max_retries=1)(_time_alone)
        try:
            rows = ray.get(task.remote(work))
        except RayError as error:
            raise _unmeasured(str(error).strip().splitlines()[-1]) from error
    return [Timed(**row) for row in rows]


def _unmeasured(reason: str) -> ResourceError:
    return ResourceError(
        f"fidelity seconds needs a few steps of the cheapest and the dearest configuration timed, and none could be made: {reason}",
        remedy="make the dearest cheaper by a constraint, or count in train_flops",
    )


def _time_alone(work: dict[str, Any]) -> list[dict[str, float]]:
    from trm.training.gang import SOLO

    return _times(work, SOLO)


def _time_in_gang(work: dict[str, Any]) -> None:
    from trm.training.gang import TorchGang

    gang = TorchGang.current()
    rows = _times(work, gang)
    if gang.is_leader:
        write_text_atomic(Path(work["answer"]), json.dumps(rows))


def _times(work: dict[str, Any], gang: Any) -> list[dict[str, float]]:
    import torch

    from trm.models.devices import keep_freed_memory, training_device
    from trm.training.timing import time_steps

    torch.set_num_threads(work["threads"])
    keep_freed_memory()
    shape, configs = DataShape(**work["shape"]), [RunConfig.model_validate(config) for config in work["configs"]]
    return [asdict(time_steps(config, shape, seconds=SECONDS, device=training_device(), gang=gang)) for config in configs]
