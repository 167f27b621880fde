"""A pass over a split: what `evaluate.py` does once, and once more for each way to be told other identifiers."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from trm.config.run import RunConfig
from trm.console.long_work import shown
from trm.console.streams import say
from trm.data.batches.plan import EvaluationPlan
from trm.data.format.manifest import Manifest
from trm.distributed import SOLO, Gang
from trm.errors import ConfigError
from trm.evaluation.answers_file import AnsweredBatch, AnswersWriter, part_of, put_together, writing_answers, writing_part
from trm.evaluation.evaluate import Evaluation, evaluate
from trm.evaluation.identifiers import IdentifierRows
from trm.tasks.choice import task_named
from trm.training.weights import TrainedModel

Record = Callable[[AnsweredBatch], None]


@dataclass(frozen=True, eq=False)
class SplitPass:
    """Trained weights and the batches that they are scored on."""

    trained: TrainedModel
    config: RunConfig
    manifest: Manifest
    plan: EvaluationPlan
    """All of them; each worker scores a part."""
    stops_halted: bool = False
    gang: Gang = SOLO
    say: Callable[[str], None] = say
    """Told how far it is, now and then."""

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.trained.model.parameters()).device

    @property
    def part(self) -> EvaluationPlan:
        """This worker's batches."""
        return self.plan.part(self.gang.rank, self.gang.world_size)

    def __call__(
        self,
        table: IdentifierRows | None,
        record: Record | None,
        *,
        has_curve: bool = False,
        has_breadth: bool = False,
        records_steps: bool = False,
        told: str = "",
    ) -> Evaluation:
        """The evaluation with these rows of the puzzle embedding; `told` says in what it differs, while it runs."""
        is_live = None if self.gang.is_leader else False
        with shown(f"scoring {self.plan.split.name}{told}", self.say, is_live=is_live) as report:
            return evaluate(
                self.trained.model,
                table,
                self.part,
                manifest=self.manifest,
                scorer=task_named(self.manifest.task).scorer(self.manifest, self.plan.split),
                forms=task_named(self.manifest.task).forms(self.manifest),
                config=self.config,
                device=self.device,
                gang=self.gang,
                progress=partial(report, "batches"),
                stops_halted=self.stops_halted,
                has_curve=has_curve,
                has_breadth=has_breadth,
                record=record,
                records_steps=records_steps,
            )


def with_evaluation(config: RunConfig, **changes: Any) -> RunConfig:
    """The configuration with other values of `evaluation`."""
    return config.model_copy(update={"evaluation": config.evaluation.model_copy(update=changes)})


def require_batches(plan: EvaluationPlan, name: str, workers: int) -> None:
    """ConfigError where not every worker has a batch of its own."""
    if len(plan) < workers:
        raise ConfigError(
            f"--workers {workers} needs as many batches, and the {plan.split.name} split of {name} has {len(plan)} of "
            f"{plan.batch_size} rows",
            remedy=f"use --workers {len(plan)}"
            + (f", or smaller batches: --set evaluation.batch_size={plan.num_rows // workers}" if plan.num_rows >= workers else ""),
        )


@contextmanager
def recording(path: Path | None, plan: EvaluationPlan, names: Sequence[str] | None, gang: Gang) -> Iterator[AnswersWriter | None]:
    """What is handed every batch's answers, where they are kept: each worker writes a part, the first puts them together."""
    if path is None:
        yield None
        return
    if gang.world_size == 1:
        with writing_answers(path, plan.split, names) as record:
            yield record
        return
    parts = [part_of(path, rank) for rank in range(gang.world_size)]
    with writing_part(parts[gang.rank], plan.split, names) as record:
        yield record
    gang.barrier()
    if gang.is_leader:
        put_together(path, parts, plan.split.inputs.shape[1])
