"""Puzzles as a page's section: questions, right answers, what was answered after each step; `assets/puzzle_browser.js` draws it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trm.evaluation.kept_answers import cells_text
from trm.pages.page import Section
from trm.tasks.legend import Legend
from trm.tasks.voted import Votes

MOST_RULES, MOST_RULE = 4, 200
"""Broken rules that are told of an answer, and letters of each."""
MOST_NAME = 200
"""Letters of a name."""
Fact = str | int | float


@dataclass(frozen=True)
class Answered:
    """What one network answered to a puzzle."""

    steps: Sequence[np.ndarray]
    """Cells after every supervision step that is known; the last ones count."""
    halting: Sequence[float]
    """Probability to halt after each of them."""
    solved: bool
    after: int | None = None
    """Steps after which the answer is, where only that one is known."""
    breaks: Sequence[str] | None = None
    """The puzzle's own rules that the last answer breaks; None where no rule is known."""


@dataclass(frozen=True)
class Form:
    """A puzzle as an augmentation makes it."""

    label: str
    question: np.ndarray
    truth: np.ndarray | None


@dataclass(frozen=True)
class ShownPuzzle:
    """A puzzle on a page."""

    name: str
    question: np.ndarray
    truth: np.ndarray | None
    answers: Sequence[Answered | None] = ()
    """Of each side."""
    facts: Mapping[str, Fact] = field(default_factory=dict)
    scores: Sequence[float] | None = None
    """Of each side, where more than solved or not tells them apart."""
    demonstrations: Sequence[tuple[np.ndarray, np.ndarray]] = ()
    ballots: Sequence[Votes | None] = ()
    """Of each side, where answers vote."""
    forms: Sequence[Form] = ()


def puzzles_section(
    title: str,
    legend: Legend,
    grid: tuple[int, int],
    puzzles: Sequence[ShownPuzzle],
    *,
    chosen: str,
    sides: Sequence[str] = (),
    notes: Sequence[str] = (),
    key: str = "",
) -> Section:
    """The section that browses these puzzles; `chosen` says which they are, `sides` are whose answers; `key` tells links apart."""
    data: dict[str, Any] = {
        "legend": legend.values(),
        "height": grid[0],
        "width": grid[1],
        "chosen": chosen,
        "notes": list(notes),
        "sides": list(sides),
        "puzzles": [_puzzle(one) for one in puzzles],
    }
    return Section("puzzles", title, data | ({"key": key} if key else {}))


def _puzzle(one: ShownPuzzle) -> dict[str, Any]:
    values: dict[str, Any] = {"name": one.name[:MOST_NAME], "question": cells_text(one.question), "facts": dict(one.facts)}
    if one.truth is not None:
        values["truth"] = cells_text(one.truth)
    if one.answers:
        values["answers"] = [None if own is None else _answered(own, one.truth) for own in one.answers]
    if one.scores is not None:
        values["scores"] = [float(score) for score in one.scores]
    if one.demonstrations:
        values["demonstrations"] = [[cells_text(cells) for cells in pair] for pair in one.demonstrations]
    if any(ballot is not None for ballot in one.ballots):
        values["ballots"] = [None if ballot is None else _ballot(ballot) for ballot in one.ballots]
    if one.forms:
        values["forms"] = [
            {"label": form.label, "question": cells_text(form.question)}
            | ({} if form.truth is None else {"truth": cells_text(form.truth)})
            for form in one.forms
        ]
    return values


def _answered(own: Answered, truth: np.ndarray | None) -> dict[str, Any]:
    values: dict[str, Any] = {
        "steps": [cells_text(cells) for cells in own.steps],
        "halting": [round(float(share), 5) for share in own.halting],
        "solved": own.solved,
    }
    if truth is not None:
        is_asked = truth != 0  # padding is not scored
        values["wrong"] = [int(np.count_nonzero((cells != truth) & is_asked)) for cells in own.steps]
    values |= {} if own.breaks is None else {"breaks": [text[:MOST_RULE] for text in own.breaks[:MOST_RULES]]}
    return values | ({} if own.after is None else {"after": own.after})


def _ballot(ballot: Votes) -> dict[str, Any]:
    candidates = [
        {"cells": cells_text(one.cells), "votes": one.votes, "probability": round(one.probability, 5), "right": one.right}
        for one in ballot.candidates
    ]
    return {"votes": ballot.votes, "grids": ballot.grids, "rank": ballot.rank, "candidates": candidates}
