"""`evaluate.py --identifiers`: what a network knows by the identifier alone, as a loss puzzle by puzzle against the row's own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from trm.data.batches.plan import EvaluationPlan
from trm.data.batches.split import Split
from trm.data.format.manifest import Manifest
from trm.distributed import Gang
from trm.evaluation.answers_file import AnsweredBatch
from trm.evaluation.evaluate import gathered
from trm.evaluation.identifiers import (
    OtherIdentifiers,
    Way,
    other_identifiers,
    puzzles_told_their_own,
    require_identifiers,
)
from trm.evaluation.scores import Columns, Evaluation
from trm.jobs.evaluation.one_pass import SplitPass
from trm.jobs.evaluation.table import finite
from trm.models.puzzle_embedding import PuzzleEmbedding
from trm.stats.paired import Paired, paired
from trm.tasks.choice import task_named
from trm.tasks.metrics import shown, weights_of
from trm.tasks.task import Task

SEED = 0
"""Chooses the identifiers that are told: the same for every network."""


@dataclass(frozen=True)
class Told:
    """What the network is told in place of identifiers."""

    manifest: Manifest
    by_way: Mapping[Way, np.ndarray | None]
    """Identifier in place of each; None: the mean of all."""


@dataclass(frozen=True)
class Ablated:
    """One way to be told other identifiers."""

    way: Way
    evaluation: Evaluation
    against_own: dict[str, Paired]
    """Metric -> what is lost or won a puzzle."""
    told_own: int
    """Puzzles with rows of which the network is told their own identifier, for want of another form: these lose nothing."""
    as_published: dict[str, Any] | None
    """What the published ablation prints, which scores by the identifiers that the network was told; None: it has none of this."""

    def report(self) -> dict[str, Any]:
        """JSON."""
        return {
            "identifiers": self.way,
            "metrics": finite(self.evaluation.metrics),
            "standard_errors": self.evaluation.standard_errors,
            "against_own": {name: one.figures() for name, one in self.against_own.items()},
            "puzzles_told_their_own": self.told_own,
            "as_published": self.as_published,
        }


@dataclass(eq=False)
class _Claims:
    """Sees the answers, and counts them as the published ablation does: for whom the told identifier names."""

    task: Task[Any]
    plan: EvaluationPlan
    told: np.ndarray
    gang: Gang
    device: torch.device
    """Where workers meet."""
    parts: list[Columns] = field(default_factory=list)

    def __call__(self, answered: AnsweredBatch) -> None:
        found = self.task.claimed_votes(self.plan.split, answered, self.told[answered.batch.batch.puzzle_identifiers])
        if found is not None:
            self.parts.append(found)

    def figures(self) -> dict[str, Any] | None:
        """What the claimed votes of all workers come to; every worker asks."""
        if not self.parts:
            return None
        rows = {name: np.concatenate([part[name] for part in self.parts]) for name in self.parts[0]}
        ballot = self.task.ballot(self.plan.split, gathered(rows, self.gang, self.device), self.plan.examples)
        return None if ballot is None else ballot.figures()


def told_identifiers(ways: Sequence[Way], table: PuzzleEmbedding | None, split: Split, manifest: Manifest) -> Told:
    """Which identifiers the network is told, by the way. ConfigError for what cannot be told."""
    if ways:
        require_identifiers(table, manifest)
    return Told(manifest, {way: other_identifiers(way, split, manifest, seed=SEED) for way in ways})


def ablations(told: Told, own: Evaluation, run: SplitPass) -> list[Ablated]:
    """Each way's evaluation against `own`, that by the rows' own identifiers."""
    found, table = [], run.trained.table
    for way, identifiers in told.by_way.items():
        claims = (
            None if identifiers is None else _Claims(task_named(told.manifest.task), run.plan, identifiers, run.gang, run.device)
        )
        assert table is not None, "identifiers are told of a puzzle embedding"
        evaluation = run(OtherIdentifiers(table, identifiers), claims, told=", other identifiers")
        published = None if claims is None else claims.figures()
        found.append(Ablated(way, evaluation, _against(evaluation, own), puzzles_told_their_own(identifiers, run.plan), published))
    return found


def _against(evaluation: Evaluation, own: Evaluation) -> dict[str, Paired]:
    """What every metric loses or wins, puzzles weighing as in the metric."""
    assert own.puzzle_rows is not None, "the evaluation is a whole one"
    found = {}
    for name in (name for name in own.puzzles if name != "puzzle"):
        weights = weights_of(name, own.puzzle_rows)
        scores = evaluation.puzzles[name].astype(np.float64), own.puzzles[name].astype(np.float64)
        found[name] = paired(*scores, (weights, weights))
    return found


def ablation_lines(arms: Sequence[dict[str, Any]]) -> list[str]:
    """A line a way and metric, as a person reads it."""
    lines: list[str] = []
    for arm in arms:
        lines += ["", f"  told {arm['identifiers']} identifiers, scored by their own; difference a puzzle, 95 % over puzzles"]
        for name, one in arm["against_own"].items():
            low, high = (shown(name, bound) for bound in one["interval_95"])
            told = f"{shown(name, one['difference'])} ({low} to {high})"
            value = shown(name, arm["metrics"][name])
            lines.append(f"  {name:<24}{value:>10}  {told:<38} higher {one['higher']}, lower {one['lower']}")
        if arm["puzzles_told_their_own"]:
            lines.append(f"  {arm['puzzles_told_their_own']} puzzles have one identifier, which was told: they lose nothing here")
        if arm["as_published"] is not None:
            first = arm["as_published"]["pass"]["1"]["by_task"]["share"]
            lost, pairs = arm["as_published"]["pairs_without_votes"], arm["as_published"]["pairs"]
            lines.append(
                f"  as published, scored by what it was told: pass@1 {100 * first:.2f} %, {lost} of {pairs} pairs lose all votes"
            )
    return lines
