"""Where a run starts: at nothing or at a checkpoint, on this worker's share of a data set."""

import torch

from trm.config import RunConfig
from trm.data.manifest import Manifest
from trm.data.plan import TrainPlan
from trm.data.split import Split
from trm.training.gang import Gang
from trm.training.state import TrainingState


def start_state(
    config: RunConfig,
    manifest: Manifest,
    from_checkpoint: str | None,
    *,
    max_steps: int,
    device: torch.device | str,
    gang: Gang,
) -> TrainingState:
    """A run on the data set of `manifest`: before its first step, or as the checkpoint has it."""
    shape, data_hash = manifest.shape, manifest.content_hash
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    if from_checkpoint is None:
        return TrainingState(config, shape, data_hash=data_hash, max_steps=max_steps, device=device, gang=gang)
    return TrainingState.load(from_checkpoint, config, shape, data_hash=data_hash, max_steps=max_steps, device=device, gang=gang)


def start_plan(state: TrainingState, split: Split, manifest: Manifest) -> TrainPlan:
    """This worker's batches, at the state's place in the data."""
    plan = TrainPlan(
        split,
        manifest,
        global_batch_size=state.config.training.global_batch_size,
        seed=state.config.seed,
        rank=state.gang.rank,
        world_size=state.gang.world_size,
    )
    plan.restore(state.position)
    return plan
