"""A pass over a split: what `evaluate.py` does once, and once more for each way to be told other identifiers."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from trm.config.run import RunConfig
from trm.console.long_work import shown
from trm.console.streams import say
from trm.data.batches.plan import EvaluationPlan
from trm.data.batches.split import load_split
from trm.data.format.manifest import Manifest, SplitName
from trm.evaluation.answers_file import AnsweredBatch, AnswersWriter, writing_answers
from trm.evaluation.evaluate import Evaluation, evaluate
from trm.evaluation.identifiers import IdentifierRows
from trm.tasks.augment import augmenter_for
from trm.tasks.choice import task_named
from trm.training.scoring import SUBSET_SEED
from trm.training.weights import TrainedModel

Record = Callable[[AnsweredBatch], None]


@dataclass(frozen=True, eq=False)
class SplitPass:
    """Trained weights and the batches that they are scored on."""

    trained: TrainedModel
    config: RunConfig
    manifest: Manifest
    plan: EvaluationPlan
    stops_halted: bool = False

    def __call__(
        self,
        table: IdentifierRows | None,
        record: Record | None,
        *,
        has_curve: bool = False,
        has_breadth: bool = False,
        told: str = "",
    ) -> Evaluation:
        """The evaluation with these rows of the puzzle embedding; `told` says in what it differs, while it runs."""
        with shown(f"scoring {self.plan.split.name}{told}", say) as report:
            return evaluate(
                self.trained.model,
                table,
                self.plan,
                manifest=self.manifest,
                scorer=task_named(self.manifest.task).scorer(self.manifest, self.plan.split),
                config=self.config,
                device=next(self.trained.model.parameters()).device,
                progress=partial(report, "batches"),
                stops_halted=self.stops_halted,
                has_curve=has_curve,
                has_breadth=has_breadth,
                record=record,
            )


def with_evaluation(config: RunConfig, **changes: Any) -> RunConfig:
    """The configuration with other values of `evaluation`."""
    return config.model_copy(update={"evaluation": config.evaluation.model_copy(update=changes)})


def plan_of(
    folder: str, manifest: Manifest, split: SplitName, config: RunConfig, overrides: Sequence[str], votes: int | None
) -> EvaluationPlan:
    """The batches of a whole split; a subset of examples or votes only where `overrides` or `votes` ask for it."""
    asked = {override.partition("=")[0].strip() for override in overrides}
    return EvaluationPlan(
        load_split(folder, manifest, split),
        manifest,
        augmenter_for,
        batch_size=config.evaluation.batch_size or config.training.global_batch_size,
        max_examples=config.evaluation.max_examples if "evaluation.max_examples" in asked else None,
        seed=SUBSET_SEED,
        max_augmentations=votes or (config.evaluation.most_votes if "evaluation.votes" in asked else None),
    )


def recording(path: Path | None, plan: EvaluationPlan, names: Sequence[str] | None) -> AbstractContextManager[AnswersWriter | None]:
    """What is handed every batch's answers, where they are kept."""
    return nullcontext() if path is None else writing_answers(path, plan.split, names)
