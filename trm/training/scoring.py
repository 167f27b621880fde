"""Scoring a state on a split: with the weights that will be exported, on the same puzzles for every trial."""

import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from trm.config.run import RunConfig
from trm.data.batches.plan import EvaluationPlan
from trm.data.batches.split import Split
from trm.data.format.manifest import Manifest
from trm.distributed import SOLO, Gang
from trm.errors import DivergedError, InterruptedRun
from trm.evaluation.answers_file import AnsweredBatch
from trm.evaluation.evaluate import Evaluation, evaluate
from trm.tasks.augment import augmenter_for
from trm.tasks.choice import task_named
from trm.training.failures import compiler_failures, memory_failures
from trm.training.reporting import SILENT, Reporter
from trm.training.state import TrainingState

SUBSET_SEED = 0
"""Chooses the validation subset: the same for all trials, whatever their own seeds."""


@dataclass(frozen=True)
class Scored:
    """An evaluation and what it took."""

    evaluation: Evaluation
    seconds: float
    latency_seconds: float
    """Of one puzzle in a batch, from its cells to its grade: the median over full batches, of this worker where there are more."""


def evaluation_plan(config: RunConfig, split: Split, manifest: Manifest, *, is_whole: bool, gang: Gang = SOLO) -> EvaluationPlan:
    """The batches of `split` to score: a fixed subset of its examples and votes, as `config.evaluation` says, or all of both."""
    return EvaluationPlan(
        split,
        manifest,
        augmenter_for,
        batch_size=config.evaluation.batch_size or config.training.global_batch_size,
        max_examples=None if is_whole else config.evaluation.max_examples,
        seed=SUBSET_SEED,
        rank=gang.rank,
        world_size=gang.world_size,
        max_augmentations=None if is_whole else config.evaluation.most_votes,
    )


def score(
    state: TrainingState,
    split: Split,
    manifest: Manifest,
    reporter: Reporter = SILENT,
    *,
    is_whole: bool = False,
    record: Callable[[AnsweredBatch], None] | None = None,
) -> Scored:
    """The evaluation of `state` on its subset of `split`, or the whole, with the average swapped in; every worker calls it.

    `record` is handed the answers of this worker's batches.
    Raises DivergedError when the loss is not finite, OutOfMemoryError, and InterruptedRun when the reporter stops it.
    """
    start, config = time.perf_counter(), state.config
    plan = evaluation_plan(config, split, manifest, is_whole=is_whole, gang=state.gang)

    ends = [start]

    def on_batch(done: int, total: int) -> None:
        ends.append(time.perf_counter())
        if reporter.on_evaluation(done, total) and state.gang.world_size == 1:
            raise InterruptedRun(f"stopped in the evaluation at step {state.step}")

    with compiler_failures(), memory_failures(), state.averaged():
        ends[0] = time.perf_counter()
        evaluation = evaluate(
            state.model,
            state.table,
            plan,
            manifest=manifest,
            scorer=task_named(manifest.task).scorer(manifest, plan.split),
            forms=task_named(manifest.task).forms(manifest),
            config=config,
            device=state.device,
            gang=state.gang,
            progress=on_batch,
            record=record,
        )
    loss = evaluation.metrics["loss"]
    if not abs(loss) < float("inf"):
        raise DivergedError(f"the {split.name} loss is {loss} at step {state.step}, no finite number any more")
    rows = min(plan.num_rows, config.evaluation.batch_size or config.training.global_batch_size)
    batches = [after - before for before, after in itertools.pairwise(ends)]
    latency = statistics.median(batches[: plan.num_rows // rows]) / rows
    return Scored(evaluation, time.perf_counter() - start, latency)
