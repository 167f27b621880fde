"""ARC tasks in words: the question with its demonstrations, the answer as text, and the grid in a text. Imports no torch."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from trm.data.batches.split import Split
from trm.tasks.arc.augment import CANVAS, canvas
from trm.tasks.arc.ballot import grids_of

RULE = "Every output grid follows from its input grid by one rule. Write the last output grid."
LINE = re.compile(r"[0-9](?: ?[0-9])*")
GridLines = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Prompt:
    """A question in words."""

    row: int
    """Of the split, or of the training split."""
    puzzle: int
    text: str
    answer: str
    """The right one."""


def grid_text(grid: GridLines) -> str:
    """A line a row, its colours as digits with a blank between."""
    return "\n".join(" ".join(map(str, row)) for row in grid)


def parsed_grid(text: str) -> UInt8[np.ndarray, "height width"] | None:
    """The grid that a text begins with, blank lines before it passed over; None where there is none, or it is none of ARC's."""
    lines = [line.strip() for line in text.strip().split("\n")]
    kept: list[list[int]] = []
    for line in lines:
        if LINE.fullmatch(line) is None:
            break
        kept.append([int(letter) for letter in line if letter != " "])
    widths = {len(row) for row in kept}
    if len(widths) != 1 or max(len(kept), *widths) > CANVAS:
        return None
    return np.array(kept, dtype=np.uint8)


def as_canvas(grid: UInt8[np.ndarray, "height width"] | None) -> UInt8[np.ndarray, " 900"]:
    """The grid as the data set has it; all padding for none."""
    return np.zeros(CANVAS * CANVAS, dtype=np.uint8) if grid is None else np.asarray(canvas([grid])[0])


def asked_prompts(train: Split, split: Split, rows: Sequence[int]) -> list[Prompt]:
    """The questions of `rows` of a split, each with all demonstrations of its task."""
    shown = _demonstrations(train)
    questions, answers = _grids(split, rows)
    return [
        Prompt(row, int(split.groups[row]), _text(shown.get(int(split.groups[row]), []), question), grid_text(answer))
        for row, question, answer in zip(rows, questions, answers, strict=True)
    ]


def training_prompts(train: Split) -> list[Prompt]:
    """Every demonstration asked after the others of its task; none of a task with one alone."""
    prompts: list[Prompt] = []
    rows_of: dict[int, list[int]] = {}
    for row, group in enumerate(train.groups.tolist()):
        rows_of.setdefault(group, []).append(row)
    for group, pairs in _demonstrations(train).items():
        for number, (question, answer) in enumerate(pairs if len(pairs) > 1 else []):
            others = pairs[:number] + pairs[number + 1 :]
            prompts.append(Prompt(rows_of[group][number], group, _text(others, question), grid_text(answer)))
    return prompts


def _demonstrations(train: Split) -> dict[int, list[tuple[GridLines, GridLines]]]:
    """The pairs of each task."""
    found: dict[int, list[tuple[GridLines, GridLines]]] = {}
    for group, *pair in zip(train.groups.tolist(), *_grids(train, range(len(train))), strict=True):
        found.setdefault(group, []).append((pair[0], pair[1]))
    return found


def _grids(split: Split, rows: Sequence[int]) -> tuple[list[list[list[int]]], list[list[list[int]]]]:
    numbers = np.asarray(rows, dtype=np.int64)
    return grids_of(split.inputs[numbers]), grids_of(split.labels[numbers])


def _text(shown: Sequence[tuple[GridLines, GridLines]], question: GridLines) -> str:
    pairs = [f"Input:\n{grid_text(given)}\nOutput:\n{grid_text(answer)}\n" for given, answer in shown]
    return "\n".join([RULE, "", *pairs, f"Input:\n{grid_text(question)}\nOutput:\n"])
