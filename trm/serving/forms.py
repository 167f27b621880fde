"""In which forms a question is asked: symmetric ones of its puzzle, or an ARC task's augmentations, each with an identifier."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from trm.errors import QuestionError
from trm.serving.opening import OpenedModel
from trm.serving.questions import MEAN, Question
from trm.tasks.arc import augment as arc
from trm.tasks.choice import task_named
from trm.tasks.play import Cells


@dataclass(frozen=True, eq=False)
class Asked:
    """A question in one form."""

    cells: Cells
    identifier: int | Literal["mean"]
    code: int | None = None
    """ARC: the augmentation."""


def asked_in_forms(question: Question, opened: OpenedModel) -> list[Asked]:
    """The question in as many forms as it wants, the first as it is. QuestionError where there are fewer."""
    if question.forms == 1:
        return [Asked(question.posed.cells, question.identifier)]
    task, cells = task_named(opened.manifest.task), question.posed.cells
    if task.has_votes:
        return _augmented(question, opened)
    if (forms := task.forms(opened.manifest)) is None or question.forms > task.most_forms:
        raise QuestionError(
            f"{opened.manifest.task} puzzles have {task.most_forms} symmetric forms here, got {question.forms}", remedy="ask fewer"
        )
    numbers, count = np.arange(question.forms), question.forms
    made = forms.asked(np.tile(cells, (count, 1)), np.full(count, question.number), numbers)
    return [Asked(one, question.identifier) for one in made]


def undone(question: Question, opened: OpenedModel, asked: list[Asked], cells: np.ndarray) -> np.ndarray:
    """Answers (forms, cells) to a question's forms, as answers to the question itself."""
    if question.forms == 1:
        return cells
    if asked[0].code is not None:
        return arc.invert(arc.crop(cells), np.array([one.code for one in asked]))
    forms = task_named(opened.manifest.task).forms(opened.manifest)
    assert forms is not None, "it was asked in forms"
    return forms.undone(cells, np.full(len(asked), question.number), np.arange(len(asked)))


def _augmented(question: Question, opened: OpenedModel) -> list[Asked]:
    table = opened.identifiers
    if table is None or question.identifier == MEAN:
        raise QuestionError(
            f"forms of an ARC task are its augmentations, each with a row of its own, got {question.forms}",
            remedy="name a task of the data set, or leave forms out",
        )
    owner = int(np.searchsorted(table.starts, question.identifier, side="right")) - 1
    first, end = int(table.starts[owner]), int(table.starts[owner + 1])
    if question.identifier != first or question.forms > end - first:
        raise QuestionError(
            f"the task {table.names[owner]!r} has {end - first} forms from identifier {first} on, got {question.forms} "
            f"from {question.identifier}",
            remedy="ask fewer, and name the task",
        )
    codes = table.codes[first : first + question.forms]
    made = arc.apply(np.tile(question.posed.cells, (question.forms, 1)), codes)
    return [Asked(one, first + k, int(code)) for k, (one, code) in enumerate(zip(made, codes.tolist(), strict=True))]
