"""What somebody may ask: a posed puzzle, how deep and how broad it is to be answered; and the bounds of that."""

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from trm.config.figures import MOST_STEPS
from trm.config.run import RunConfig
from trm.data.format.manifest import Manifest
from trm.errors import QuestionError
from trm.tasks.arc.play import read_demonstrations
from trm.tasks.choice import task_named
from trm.tasks.play import Cells, Posed

MEAN: Literal["mean"] = "mean"
"""In place of an identifier: the mean of all rows of the table."""
FIELDS = ("grid", "row", "demonstrations", "identifier", "steps", "rollouts", "forms", "number", "stop_halted", "trace", "tokens")
MOST_NUMBER = 1 << 40


@dataclass(frozen=True)
class Limits:
    """How much one request may ask."""

    puzzles: int = 64
    steps: int = 64
    """Supervision steps of a puzzle."""
    breadth: int = 64
    """Rollouts times forms of a puzzle."""
    work: int = 1 << 13
    """Supervision steps of all rows of a request together."""

    def __post_init__(self) -> None:
        assert self.steps <= MOST_STEPS


@dataclass(frozen=True, eq=False)
class Question:
    """A puzzle, and how it is to be answered."""

    posed: Posed
    identifier: int | Literal["mean"] = 0
    """Row of the puzzle embedding."""
    steps: int | None = None
    """Supervision steps; None: as the network is evaluated."""
    rollouts: int = 1
    forms: int = 1
    number: int = 0
    """Which row of an evaluation it would be: what is drawn for it, and its symmetric forms, are functions of that."""
    stops_halted: bool = False
    has_trace: bool = False
    has_tokens: bool = False

    @property
    def breadth(self) -> int:
        """Rows that it takes of a batch."""
        return self.rollouts * self.forms


class Reader:
    """Questions from plain values, as JSON has them. Every method raises QuestionError for what breaks a rule."""

    def __init__(self, manifest: Manifest, names: Mapping[str, int], limits: Limits, *, has_table: bool, config: RunConfig) -> None:
        """`names` are those of identifiers that are known here; `has_table`: whether the network is told identifiers at all.

        What a question leaves open is answered as an evaluation of `config` answers.
        """
        self._manifest, self._names, self._limits, self._config = manifest, names, limits, config
        self._has_table = has_table and manifest.num_puzzle_identifiers > 1
        self._play = task_named(manifest.task).play

    def question(self, values: Any) -> Question:
        """The question of one object."""
        if not isinstance(values, dict):
            raise QuestionError(f"a puzzle must be an object, got {reprlib.repr(values)}", remedy='post {"grid": [...]}')
        for name in values:
            if name not in FIELDS:
                raise QuestionError(f"a puzzle has no field {name[:60]!r}", remedy=f"choose of {', '.join(FIELDS)}")
        limits, own = self._limits, self._config.evaluation
        question = Question(
            self._posed(values),
            self._identifier(values),
            self._whole(values, "steps", limits.steps) if values.get("steps") is not None else None,
            self._whole(values, "rollouts", limits.breadth, default=own.rollouts),
            self._whole(values, "forms", limits.breadth, default=own.forms),
            self._whole(values, "number", MOST_NUMBER, least=0, default=0),
            *(self._flag(values, name) for name in ("stop_halted", "trace", "tokens")),
        )
        if question.breadth > limits.breadth:
            raise QuestionError(
                f"rollouts times forms must be at most {limits.breadth}, got {question.rollouts} times {question.forms}",
                remedy="ask fewer",
            )
        if question.stops_halted and question.breadth > 1:
            raise QuestionError(f"stop_halted is of one answer, got {question.breadth}", remedy="ask 1 form and 1 rollout")
        return question

    def require_work(self, questions: list[Question]) -> None:
        """QuestionError for more puzzles, or more steps of all together, than a request may ask."""
        if len(questions) > self._limits.puzzles:
            raise QuestionError(
                f"a request may have {self._limits.puzzles} puzzles, got {len(questions)}", remedy="post several requests"
            )
        work = sum(one.breadth * (one.steps or self._config.answer_steps) for one in questions)
        if work > self._limits.work:
            raise QuestionError(
                f"a request may take {self._limits.work} supervision steps of all its rows together, this one takes {work}",
                remedy="ask fewer steps, rollouts, forms or puzzles",
            )

    def posed(self, values: Any) -> Posed:
        """The puzzle alone of an object that has grid or row, and perhaps demonstrations."""
        if not isinstance(values, dict):
            raise QuestionError(f"a puzzle must be an object, got {reprlib.repr(values)}", remedy='post {"grid": [...]}')
        return self._posed(values)

    def _posed(self, values: dict[str, Any]) -> Posed:
        if ("grid" in values) == ("row" in values):
            both = "both" if "grid" in values else "neither"
            raise QuestionError(f"a puzzle must have a grid or a row, got {both}", remedy='post {"grid": [...]}')
        given = values.get("demonstrations")
        if given is not None and not self._play.has_demonstrations:
            raise QuestionError(
                f"demonstrations are of ARC tasks, this network answers {self._manifest.task}", remedy="leave them out"
            )
        cells = self._play.read(values["grid"], self._manifest) if "grid" in values else self._row(values["row"])
        posed = Posed(cells, () if given is None else read_demonstrations(given))
        self._play.require(posed, self._manifest)
        return posed

    def _row(self, row: Any) -> Cells:
        """Cells as the data set's tokens, or a text of their names."""
        manifest = self._manifest
        if isinstance(row, str):
            row = self._letters(row)
        if not isinstance(row, list) or len(row) != manifest.seq_len:
            found = f"{len(row)} cells" if isinstance(row, list) else reprlib.repr(row)
            raise QuestionError(
                f"a row must have {manifest.seq_len} cells, got {found}", remedy="post tokens, or a text of letters"
            )
        for place, token in enumerate(row):
            if type(token) is not int or not 0 <= token < len(manifest.vocabulary):
                raise QuestionError(
                    f"a token must be a number from 0 to {len(manifest.vocabulary) - 1}, cell {place} is {reprlib.repr(token)}",
                    remedy="see GET /model for the vocabulary",
                )
        return np.array(row, dtype=np.uint8)

    def _letters(self, row: str) -> Any:
        """A text of a letter a cell as tokens, by way of the grid."""
        height, width = self._manifest.grid
        if len(row) != height * width or self._play.has_demonstrations:
            return row if len(row) > height * width else list(row)
        return self._play.read([row[y * width : (y + 1) * width] for y in range(height)], self._manifest).tolist()

    def _identifier(self, values: dict[str, Any]) -> int | Literal["mean"]:
        given, count = values.get("identifier"), self._manifest.num_puzzle_identifiers
        if not self._has_table:
            if given not in (None, 0, MEAN) or isinstance(given, bool):
                raise QuestionError(f"this network knows one identifier, got {reprlib.repr(given)}", remedy="leave it out")
            return 0
        if given == MEAN:
            return MEAN
        if isinstance(given, str):
            if given not in self._names:
                known = "the data set that names them is not here" if not self._names else f"{len(self._names)} names are known"
                raise QuestionError(f"the network has no row of a task {given[:80]!r}: {known}", remedy=_MEAN_REMEDY)
            return self._names[given]
        if type(given) is int and 0 < given < count:
            return given
        if given is None:
            raise QuestionError(
                "a network that learns a row for every task cannot be asked another: the task has no identifier here",
                remedy=_MEAN_REMEDY,
            )
        raise QuestionError(
            f"an identifier must be a name, or a number from 1 to {count - 1}, got {reprlib.repr(given)}", remedy=_MEAN_REMEDY
        )

    @staticmethod
    def _whole(values: dict[str, Any], name: str, most: int, *, least: int = 1, default: int = 1) -> int:
        given = values.get(name)
        if given is None:
            return default
        if type(given) is not int or not least <= given <= most:
            raise QuestionError(
                f"{name} must be a whole number from {least} to {most}, got {reprlib.repr(given)}", remedy="change it"
            )
        return given

    @staticmethod
    def _flag(values: dict[str, Any], name: str) -> bool:
        given = values.get(name, False)
        if not isinstance(given, bool):
            raise QuestionError(f"{name} must be true or false, got {reprlib.repr(given)}", remedy="change it")
        return given


_MEAN_REMEDY = (
    "name one of its own tasks, or ask with identifier 'mean': the answer of the mean of all rows, which the network never learned"
)
