"""A gang for one whole run: one function in several Ray Train workers that share a torch process group."""

from collections.abc import Callable
from typing import Any

from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.torch.config import _TorchBackend

from trm.cluster.connection import Demand
from trm.cluster.interfaces import meet_at_node
from trm.cluster.worker_group import COLLECTIVE_SECONDS
from trm.console.redaction import reason_of


class _MeetsAtNode(_TorchBackend):  # type: ignore[misc]  # ray has no types
    def on_start(self, worker_group: Any, backend_config: TorchConfig) -> None:
        worker_group.execute(meet_at_node)
        super().on_start(worker_group, backend_config)


class MeetingConfig(TorchConfig):  # type: ignore[misc]
    """Torch's process group, whose workers meet on the network that Ray knows their nodes by."""

    @property
    def backend_cls(self) -> type[_TorchBackend]:
        """What sets the workers up."""
        return _MeetsAtNode


def run_gang(
    worker: Callable[[dict[str, Any]], None],
    config: dict[str, Any],
    demand: Demand,
    scratch: str,
    *,
    silent_seconds: float = COLLECTIVE_SECONDS,
) -> str | None:
    """Run `worker(config)` in every worker and wait; None, or one line that says why a worker failed.

    The caller's process must not hold the CPUs or GPUs that the workers need. `scratch` is Train's folder.
    A worker may wait `silent_seconds` for what another one sends.
    """
    trainer = TorchTrainer(
        worker,
        train_loop_config=config,
        torch_config=MeetingConfig(backend="nccl" if demand.gpus else "gloo", timeout_s=silent_seconds),
        scaling_config=ScalingConfig(
            num_workers=demand.workers,
            use_gpu=demand.gpus > 0,
            resources_per_worker=demand.bundle,
        ),
        run_config=RunConfig(storage_path=scratch, name="gang", failure_config=FailureConfig(max_failures=0)),
    )
    try:
        trainer.fit()
    except Exception as error:  # Train wraps a worker's failure in classes of its own; the line is what a person needs
        return reason_of(error)
    return None
