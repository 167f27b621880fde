"""Where a run starts: at nothing or at a checkpoint, on this worker's share of a data set."""

from typing import NotRequired, TypedDict

import torch

from trm.config.run import RunConfig
from trm.data.batches.plan import TrainPlan
from trm.data.batches.row_storage import check_order
from trm.data.batches.split import Split
from trm.data.batches.stream import StreamPlan, TrainStream
from trm.data.format.manifest import Manifest
from trm.distributed import Gang
from trm.errors import DatasetError
from trm.tasks.augment import augmenter_for
from trm.tasks.choice import task_named
from trm.tasks.task import FeedRequest
from trm.training.curve import Curve, CurveFile
from trm.training.feed import Feed
from trm.training.starting import start_of
from trm.training.state import TrainingState


class RunData(TypedDict):
    """What a run works on."""

    train: Split | TrainStream
    validation: NotRequired[Split]
    """Where it is scored."""
    test: NotRequired[Split]
    """Where it is scored."""


def start_state(
    config: RunConfig,
    manifest: Manifest,
    from_checkpoint: str | None,
    *,
    max_steps: int,
    device: torch.device | str,
    gang: Gang,
    is_adopted: bool = False,
    curve: CurveFile | None = None,
) -> TrainingState:
    """A run on the data set of `manifest`: before its first step, or as the checkpoint has it, which may be another run's.

    Of a gang only the leader's points go to `curve`.
    """
    shape, data_hash, names, train = manifest.shape, manifest.content_hash, manifest.names, manifest.splits["train"]
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()  # the last leg's recording: other processes on this GPU may need its memory
        torch.cuda.reset_peak_memory_stats(device)
    if from_checkpoint is None:
        begun = None if config.start.path is None else start_of(config, manifest)  # refused before anything is made
        state = TrainingState(
            config, shape, data_hash=data_hash, names=names, train=train, max_steps=max_steps, device=device, gang=gang
        )
        if begun is not None:
            state.begin_with(begun.tensors)
            state.start_lines = begun.lines
    else:
        state = TrainingState.load(
            from_checkpoint,
            config,
            shape,
            data_hash=data_hash,
            names=names,
            train=train,
            max_steps=max_steps,
            device=device,
            gang=gang,
            is_adopted=is_adopted,
        )
    if curve is not None and gang.is_leader:
        state.curve = Curve(curve.path, until_step=state.step, trial=curve.trial)
    return state


def start_plan(state: TrainingState, rows: Split | TrainStream, manifest: Manifest) -> Feed:
    """This worker's batches, or episodes where the task is a world, at the state's place in the data."""
    size, seed, gang = state.config.training.global_batch_size, state.config.seed, state.gang
    check_order(state.config.data, manifest)
    episodes = None
    if not isinstance(rows, TrainStream):
        episodes = task_named(manifest.task).episodes(FeedRequest(manifest, rows, size, seed, gang.rank, gang.world_size))
    if episodes is not None and state.tally is not None:
        raise DatasetError(
            f"data.difficulty weighs puzzles, and {manifest.task} is a world, which feeds episodes",
            remedy="set data.difficulty.strength: 0",
        )
    plan: Feed
    if isinstance(rows, TrainStream):
        plan = StreamPlan(
            rows, manifest, augmenter_for, global_batch_size=size, seed=seed, rank=gang.rank, world_size=gang.world_size
        )
    elif episodes is not None:
        plan = episodes
    else:
        plan = TrainPlan(
            rows,
            manifest,
            augmenter_for,
            global_batch_size=size,
            seed=seed,
            rank=gang.rank,
            world_size=gang.world_size,
            answers=state.tally,
        )
    plan.restore(state.position)
    return plan
