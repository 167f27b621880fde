"""What every puzzle keeps: `CHECKS`, each a function of a task and a small recipe of it."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from trm.console.long_work import silent
from trm.contracts.metrics import require_right_is_best, require_values
from trm.contracts.rules import require
from trm.data.batches.augmenter import AugmenterFor, RowDraw
from trm.data.batches.plan import EvaluationPlan
from trm.data.batches.split import Split, load_split
from trm.data.format.built import BuiltDataset, BuiltSplit
from trm.data.format.manifest import Manifest, read_manifest
from trm.evaluation.metrics import Answered, named
from trm.tasks.making.chunks import NoStore
from trm.tasks.making.recipe import RecipeBase
from trm.tasks.making.writing import write_dataset
from trm.tasks.task import Task

MOST_ROWS = 50


@dataclass(frozen=True)
class Sample:
    """A task, and a data set of it that is built once."""

    task: Task[Any]
    recipe: RecipeBase
    """Of a few puzzles."""
    folder: Path
    """Empty; the data set is written there."""

    def build(self) -> BuiltDataset:
        """The data set, built anew."""
        return self.task.build(self.recipe, silent, NoStore())

    @cached_property
    def built(self) -> BuiltDataset:
        """The data set in memory."""
        return self.build()

    @cached_property
    def manifest(self) -> Manifest:
        """Of the data set on the disk."""
        return write_dataset(self.built, self.recipe, str(self.folder / "data"))

    def split(self, name: Any) -> Split:
        """A split of the data set on the disk."""
        return load_split(str(self.folder / "data"), self.manifest, name)

    @property
    def augmenter_for(self) -> AugmenterFor:
        """The task's own augmentation."""
        return lambda split, manifest: self.task.augmenter(manifest.augmentation, split, manifest)


def check_names(sample: Sample) -> None:
    """The recipe means the task, and what is built bears its name."""
    task, recipe = sample.task, sample.recipe
    require(isinstance(recipe, task.recipe), f"recipe must be a {task.recipe.__name__}", remedy="set recipe")
    found = (recipe.puzzle_task, sample.built.task)
    require(found == (task.name, task.name), f"recipe and data set must be of {task.name!r}, got {found}", remedy="name them alike")
    wanted = set(recipe.split_names)
    require(set(sample.built.splits) == wanted, f"splits must be {sorted(wanted)}", remedy="build what split_names says")


def check_rows(sample: Sample) -> None:
    """Rows fill the canvas with tokens of the vocabulary, and every answer has a cell to learn."""
    height, width = sample.built.grid
    for name, split in sample.built.splits.items():
        for cells in (split.inputs, split.labels):
            size = cells.shape[1]
            require(size == height * width, f"a row of {name} must have {height * width} cells, got {size}", remedy="fill the grid")
            most = int(np.max(cells, initial=0))
            require(most < len(sample.built.vocabulary), f"token {most} of {name} has no name", remedy="add it to the vocabulary")
        has_answer = bool((np.asarray(split.labels) > 0).any(axis=1).all())
        require(has_answer, f"every answer of {name} must have a cell that is no padding", remedy="leave such rows out")


def check_determinism(sample: Sample) -> None:
    """A recipe means one data set: building it again gives the same rows in the same order."""
    again = sample.build()
    for name, split in sample.built.splits.items():
        for column, values in split.columns().items():
            is_same = np.array_equal(values, again.splits[name].columns()[column])
            require(is_same, f"{column} of {name} must be the same when built again", remedy="draw from the recipe's seed alone")


def check_splits_are_apart(sample: Sample) -> None:
    """No puzzle is trained on that is scored, as the task itself tells one puzzle from another."""
    names = list(sample.built.splits)
    for index, first in enumerate(names):
        for second in names[index + 1 :]:
            mine, theirs = (_rows(sample.built.splits[name]) for name in (first, second))
            count = int(sample.task.is_scored(mine, theirs, sample.built.grid).sum())
            require(count == 0, f"{count} puzzles of {first} are in {second} too", remedy="deal different puzzles")
            everything = sample.task.is_scored(mine, mine, sample.built.grid)
            require(bool(everything.all()), f"a puzzle of {first} must be the same as itself", remedy="mend is_scored")


def check_augmentation(sample: Sample) -> None:
    """The bits of a slot decide its form; scored rows are as stored; a form of a symmetric puzzle is the same puzzle."""
    split, manifest = sample.split("train"), sample.manifest
    augmenter = sample.augmenter_for(split, manifest)
    rows = np.arange(min(len(split), MOST_ROWS))
    identifiers = np.zeros(len(rows), dtype=np.int32)
    draws = [RowDraw(rows, identifiers, np.full(len(rows), bits, dtype=np.uint64)) for bits in (7, 7, 8)]
    forms = [augmenter.train(draw) for draw in draws]
    for first, second in zip(forms[0], forms[1], strict=True):
        require(np.array_equal(first, second), "the same bits must mean the same form", remedy="draw from the keys alone")
    if sample.task.has_symmetries:
        stored = np.asarray(split.inputs[rows]), np.asarray(split.labels[rows])
        for questions, labels in forms:
            varied = questions.astype(np.uint8), np.maximum(labels, 0).astype(np.uint8)
            is_same = sample.task.is_scored(varied, stored, manifest.grid)
            require(bool(is_same.all()), "a form of a puzzle must be that puzzle", remedy="vary by symmetries alone")
    questions, _ = augmenter.evaluate(draws[0])
    is_plain = split.identifier_starts is not None or np.array_equal(questions, split.inputs[rows])
    require(is_plain, "rows must be scored as they are stored", remedy="vary rows in train alone")


def check_metrics(sample: Sample) -> None:
    """The scorer gives the metrics that the task declares, and right answers are the best that there can be."""
    split, task = sample.split("test"), sample.task
    plan = EvaluationPlan(split, sample.manifest, sample.augmenter_for, batch_size=16, max_examples=None, seed=0)
    scorer = task.scorer(sample.manifest, split)
    require(tuple(scorer.metrics) == tuple(task.metrics), "scorer and task must declare the same metrics", remedy="share them")
    parts = []
    for batch in plan:
        right = np.maximum(batch.batch.labels, 0).astype(np.uint8)
        own = {"row": batch.rows, "halting_probability": np.ones(len(right))}
        parts.append(own | scorer.columns(right, batch))
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    found = scorer.scores(columns, split.clusters[columns["row"]]).metrics
    shares = named(task.metrics, "share")
    wanted = {metric.name for metric in task.metrics} | {f"{name}{end}" for name in shares for end in ("_low", "_high")}
    require(
        set(found) == wanted, f"an evaluation must report {sorted(wanted)}, got {sorted(found)}", remedy="declare what is scored"
    )
    for metric in task.metrics:
        best = {"max": metric.most, "min": metric.least, None: found[metric.name]}[metric.direction]
        require(
            found[metric.name] == best, f"{metric.name} of right answers must be {best}, got {found[metric.name]}", remedy="mend it"
        )


def check_bounds(sample: Sample) -> None:
    """Whatever is answered, a metric lies within the bounds that it declares, and right answers are worth no less than others."""
    split, manifest, draws = sample.split("test"), sample.manifest, np.random.default_rng(0)
    for batch in EvaluationPlan(split, manifest, sample.augmenter_for, batch_size=16, max_examples=None, seed=0):
        right = np.maximum(batch.batch.labels, 0).astype(np.uint8)
        guess = draws.integers(0, len(manifest.vocabulary), right.shape, dtype=np.uint8)
        for metric in sample.task.metrics:
            if metric.column is not None:
                values = [np.asarray(metric.column(Answered(answers, batch, manifest.grid))) for answers in (right, guess)]
                for found in values:
                    require_values(metric, found, len(right))
                require_right_is_best(metric, values[0], values[1:])


def check_drawing(sample: Sample) -> None:
    """Question and answer are drawn in a terminal, and every token on a page."""
    split = sample.built.splits["test"]
    for cells in (split.inputs, split.labels):
        text = sample.task.text(np.asarray(cells[0]).reshape(sample.built.grid), sample.built.vocabulary)
        require(bool(text.plain.strip()), "a puzzle must be drawn as some text", remedy="give text()")
    legend, count = sample.task.legend(sample.built.grid, sample.built.vocabulary), len(sample.built.vocabulary)
    found = len(legend.tokens)
    require(found == count, f"a legend must have the {count} tokens of the vocabulary, got {found}", remedy="give one a token")


def check_written(sample: Sample) -> None:
    """Manifest and rows come back from the disk as they were built."""
    manifest = sample.manifest
    require(
        read_manifest(str(sample.folder / "data")) == manifest, "a manifest must come back as written", remedy="use plain values"
    )
    for name, built in sample.built.splits.items():
        split = sample.split(name)
        for found, wanted in ((split.inputs, built.inputs), (split.labels, built.labels), (split.groups, built.groups)):
            require(
                np.array_equal(found, wanted), f"rows of {name} must come back as built", remedy="give uint8 cells, int32 groups"
            )


def check_counted(sample: Sample) -> None:
    """What the recipe tells before anything is built is what is built."""
    known = sample.task.counted(sample.recipe)
    if known is not None:
        rows = {name: len(split.groups) for name, split in sample.built.splits.items()}
        found = (sample.manifest.shape, rows["train"], rows.get("validation", 0))
        told = (known.shape, known.train, known.validation)
        require(told == found, f"counted() must say {found}, got {told}", remedy="count what is built, or give None")


def check_arrays(sample: Sample) -> None:
    """What is built could stand in the published arrays: its canvas fits, its tokens have their names, it breaks no rule."""
    arrays, (height, width) = sample.task.arrays, sample.built.grid
    if not arrays.fits(height, width):
        return
    names = arrays.vocabulary(height, len(sample.built.vocabulary))
    require(len(names) == len(sample.built.vocabulary), f"arrays have {len(names)} tokens", remedy="give the same vocabulary")
    for name, split in sample.built.splits.items():
        inputs, labels = (np.asarray(cells) for cells in (split.inputs, split.labels))
        for rule, is_broken in arrays.broken(inputs, labels, height, is_test=name == "test"):
            require(not is_broken.any(), f"{name} breaks a rule of its own: {rule}", remedy="mend broken() or the builder")


def _rows(split: BuiltSplit) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(split.inputs), np.asarray(split.labels)


CHECKS: tuple[Callable[[Sample], None], ...] = (
    check_names,
    check_rows,
    check_determinism,
    check_splits_are_apart,
    check_augmentation,
    check_metrics,
    check_bounds,
    check_drawing,
    check_written,
    check_counted,
    check_arrays,
)


def check_task(task: Task[Any], recipe: RecipeBase) -> None:
    """ContractError for the first rule that the task breaks with a small recipe of it."""
    with tempfile.TemporaryDirectory() as folder:
        sample = Sample(task, recipe, Path(folder))
        for check in CHECKS:
            check(sample)
