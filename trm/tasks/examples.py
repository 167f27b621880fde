"""A few solved and failed puzzles of a run, as its folder keeps them: their cells as JSON, and as people write them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from rich.text import Text

from trm.data.format.manifest import Manifest
from trm.errors import DatasetError
from trm.evaluation.examples import Example
from trm.files.atomic import write_text_atomic
from trm.files.json_files import read_json
from trm.tasks.choice import task_named
from trm.tasks.grid_text import Grid, tokens_text
from trm.tasks.task import Task

EXAMPLES_FILE = "examples.json"
EXAMPLES_TEXT = "examples.txt"
EXAMPLES_PICTURE = "examples.png"
ARROW = "->"


@dataclass(frozen=True)
class DrawnExample:
    """A puzzle as its people write it."""

    title: str
    is_solved: bool
    question: Text
    answered: Text
    right: Text

    @property
    def differs(self) -> tuple[tuple[int, int], ...]:
        """Lines and columns at which the answer is written otherwise than the right one; none where their outlines differ."""
        lines = self.answered.plain.split("\n"), self.right.plain.split("\n")
        if [len(line) for line in lines[0]] != [len(line) for line in lines[1]]:
            return ()
        pairs = enumerate(zip(*lines, strict=True))
        return tuple((y, x) for y, (one, other) in pairs for x, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)


@dataclass(frozen=True)
class DrawnExamples:
    """The examples of one evaluation."""

    heading: str
    examples: tuple[DrawnExample, ...]
    """The solved ones first."""


def write_examples(path: Path, examples: tuple[list[Example], list[Example]], manifest: Manifest, *, split: str, step: int) -> None:
    """Replaces `path`: cells as rows of tokens, with what reading them takes."""
    solved, failed = ([_values(one, manifest.grid) for one in some] for some in examples)
    values = {
        "task": manifest.task,
        "data": manifest.name,
        "split": split,
        "step": step,
        "vocabulary": list(manifest.vocabulary),
        "solved": solved,
        "failed": failed,
    }
    write_text_atomic(path, json.dumps(values) + "\n")


def _values(example: Example, grid: tuple[int, int]) -> dict[str, Any]:
    cells = {name: getattr(example, name).reshape(grid).tolist() for name in ("question", "answered", "right")}
    return {"row": example.row, "puzzle": example.puzzle, "wrong_cells": example.wrong, **cells}


def read_examples(path: Path) -> DrawnExamples | None:
    """What `write_examples` wrote, as the puzzle's people write it; None where there is none. DatasetError for another file."""
    try:
        values: dict[str, Any] = read_json(path, dict, error=DatasetError, remedy="remove it")
    except FileNotFoundError:
        return None
    try:
        task, vocabulary = task_named(values["task"]), tuple(values["vocabulary"])
        drawn = [_drawn(one, task, vocabulary) for kind in ("solved", "failed") for one in values[kind]]
        heading = f"{values['split']} split of {values['data']}, step {values['step']}"
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DatasetError(f"{path} must hold examples of an evaluation, got {error!r}", remedy="remove it") from error
    return DrawnExamples(heading, tuple(drawn))


def _drawn(values: dict[str, Any], task: Task[Any], vocabulary: tuple[str, ...]) -> DrawnExample:
    grids: list[Grid] = [np.array(values[name], dtype=np.uint8) for name in ("question", "answered", "right")]
    question, answered, right = (_text(task, grid, vocabulary) for grid in grids)
    wrong = values["wrong_cells"]
    told = "solved" if not wrong else f"failed, {wrong} cell{'s' if wrong > 1 else ''} wrong"
    return DrawnExample(f"row {values['row']} {told}", not wrong, question, answered, right)


def _text(task: Task[Any], grid: Grid, vocabulary: tuple[str, ...]) -> Text:
    """The grid as the puzzle's people write it; where their writing fails at what only a network answers, its tokens."""
    try:
        return task.text(grid, vocabulary)
    except Exception:  # whatever somebody's own puzzle raises
        return tokens_text(grid, vocabulary)


def examples_text(drawn: DrawnExamples) -> str:
    """For a person: a question beside its answer, and of a failed one the right answer, with an x where the two differ."""
    lines = [f"{drawn.heading}: question {ARROW} answer; of what failed also the right answer, and an x where the two differ", ""]
    for one in drawn.examples:
        blocks = [one.question.plain.split("\n"), [ARROW], one.answered.plain.split("\n")]
        if not one.is_solved:
            blocks += [["right:"], one.right.plain.split("\n"), *_marks(one)]
        lines += [one.title, *_beside(blocks), ""]
    return "\n".join(lines)


def _marks(one: DrawnExample) -> list[list[str]]:
    """A block with an x where an answer is wrong, and points elsewhere; none where it cannot be told place by place."""
    wrong = set(one.differs)
    if not wrong:
        return []
    lines = enumerate(one.right.plain.split("\n"))
    marks = [[_mark(letter, is_wrong=(y, x) in wrong) for x, letter in enumerate(line)] for y, line in lines]
    return [["wrong:"], ["".join(line) for line in marks]]


def _mark(letter: str, *, is_wrong: bool) -> str:
    return "x" if is_wrong else "." if letter.isalnum() else letter


def _beside(blocks: Sequence[Sequence[str]]) -> list[str]:
    """Blocks of lines side by side."""
    widths = [max(map(len, block)) for block in blocks]
    return [
        "   ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in zip_longest(*blocks, fillvalue="")
    ]
