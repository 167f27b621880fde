"""Who answers: a solver and its batch in this process. What is asked and said are plain values, whoever carries them here."""

import asyncio
import secrets
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np

from trm import __version__
from trm.errors import QuestionError
from trm.serving.batching import QUEUE_ROWS, Batcher
from trm.serving.examples import examples_of
from trm.serving.measures import Measures
from trm.serving.questions import FIELDS, Question
from trm.serving.solver import Solver
from trm.tasks.choice import task_named

MOST_SEED = 1 << 53
"""What JavaScript counts to."""


class NotHere(Exception):
    """Nobody here can do what is asked of this puzzle; the message says who can."""


@runtime_checkable
class Desk(Protocol):
    """Answers plain values. All raise QuestionError for what breaks a rule, NotHere, and Busy where too much is asked at once."""

    async def predict(self, values: dict[str, Any]) -> dict[str, Any]:
        """The network's answer to a puzzle, or `answers` to `puzzles`."""

    async def solve(self, values: dict[str, Any]) -> dict[str, Any]:
        """Our own solver's answer."""

    async def random(self, values: dict[str, Any]) -> dict[str, Any]:
        """A random puzzle of the data set's kind, a function of `seed`."""

    async def examples(self) -> dict[str, Any]:
        """Puzzles to try."""

    async def model(self) -> dict[str, Any]:
        """What the network answers, and what may be asked."""

    def gauges(self) -> dict[str, tuple[str, float]]:
        """Figures of this moment by name, with a line that tells what each is."""

    @property
    def is_alive(self) -> bool:
        """Whether anybody answers."""

    def close(self) -> None:
        """Nothing is answered any more."""


class SolverDesk:
    """A solver in this process."""

    def __init__(self, solver: Solver, measures: Measures, *, queue_rows: int = QUEUE_ROWS, batch_rows: int | None = None) -> None:
        self.solver, self._measures = solver, measures
        self.batcher = Batcher(solver, measures, queue_rows=queue_rows, batch_rows=batch_rows)
        self._one_at_a_time = asyncio.Semaphore(1)

    async def predict(self, values: dict[str, Any]) -> dict[str, Any]:
        """The network's answer to a puzzle, or `answers` to `puzzles`."""
        questions, is_many = self._questions(values)
        self.solver.reader.require_work(questions)
        answers = await self.batcher.ask(questions)
        made = []
        for question, answer in zip(questions, answers, strict=True):
            self._measures.answered(answer.verdict.is_valid)
            made.append(self.solver.values(question, answer))
        return {"answers": made} if is_many else made[0]

    async def solve(self, values: dict[str, Any]) -> dict[str, Any]:
        """Our own solver's answer."""
        posed, manifest = self.solver.reader.posed(values), self.solver.manifest
        solved = await self._aside(lambda: self.solver.play.solved(posed, manifest))
        if solved is None:
            raise NotHere(f"nobody here solves {manifest.task} puzzles but the network; ask POST /predict")
        return {"answer": self.solver.play.written(solved, manifest), "tokens": solved.tolist()}

    async def random(self, values: dict[str, Any]) -> dict[str, Any]:
        """A random puzzle of the data set's kind, a function of `seed`."""
        seed, manifest = values.get("seed", secrets.randbelow(MOST_SEED)), self.solver.manifest
        if type(seed) is not int or not 0 <= seed < MOST_SEED or set(values) - {"seed"}:
            raise QuestionError(
                "a random puzzle has a seed from 0 to 2^53 or nothing, got something else", remedy='post {"seed": 1}'
            )
        drawn = await self._aside(lambda: self.solver.play.drawn(seed, manifest))
        if drawn is None:
            raise NotHere(f"nobody here makes {manifest.task} puzzles; choose one of GET /examples")
        return {"grid": self.solver.play.written(drawn, manifest), "tokens": drawn.tolist(), "seed": seed}

    async def examples(self) -> dict[str, Any]:
        """Puzzles to try."""
        return {"examples": await self._aside(lambda: examples_of(self.solver))}

    async def model(self) -> dict[str, Any]:
        """What the network answers, and what may be asked."""
        return model_values(self.solver)

    def gauges(self) -> dict[str, tuple[str, float]]:
        """Rows that wait, and rows in the batch."""
        return {
            "trm_serve_waiting_rows": ("Rows that wait for a place in the batch.", float(self.batcher.waiting_rows)),
            "trm_serve_batched_rows": ("Rows in the batch.", float(self.batcher.batched_rows)),
        }

    @property
    def is_alive(self) -> bool:
        """Whether the batch is stepped."""
        return self.batcher.is_alive

    def close(self) -> None:
        """Nothing is answered any more."""
        self.batcher.close()

    async def _aside(self, work: Callable[[], Any]) -> Any:
        """What is not the network's work, in a thread: one at a time, for the rest of the machine is the network's."""
        async with self._one_at_a_time:
            return await asyncio.to_thread(work)

    def _questions(self, values: dict[str, Any]) -> tuple[list[Question], bool]:
        """The questions of a body, and whether it is a list of them. Raises QuestionError."""
        if "puzzles" not in values:
            return [self.solver.question(values)], False
        shared = {name: value for name, value in values.items() if name != "puzzles"}
        puzzles, most = values["puzzles"], self.solver.limits.puzzles
        if not isinstance(puzzles, list) or not 1 <= len(puzzles) <= most:
            found = f"{len(puzzles)}" if isinstance(puzzles, list) else "no list"
            raise QuestionError(f"puzzles must be a list of 1 to {most}, got {found}", remedy='post {"puzzles": [{"grid": [...]}]}')
        found_all = []
        for number, one in enumerate(puzzles):
            try:
                found_all.append(self.solver.question(one, shared))
            except QuestionError as error:
                raise QuestionError(f"puzzles[{number}]: {error.problem}", remedy=error.remedy) from None
        return found_all, True


def model_values(solver: Solver) -> dict[str, Any]:
    """JSON: what the network answers, and what may be asked."""
    manifest, config, limits = solver.manifest, solver.config, solver.limits
    task, weights = task_named(manifest.task), solver.opened.weights
    forms = task.most_forms if task.forms(manifest) is not None else 1
    if (table := solver.opened.identifiers) is not None and task.has_votes:
        forms = int(np.diff(table.starts).max())
    return {
        "version": __version__,
        "task": manifest.task,
        "data": manifest.name,
        "height": manifest.grid[0],
        "width": manifest.grid[1],
        "vocabulary": list(manifest.vocabulary),
        "legend": task.legend(manifest.grid, manifest.vocabulary).values(),
        "architecture": config.model.architecture,
        "data_hash": weights.data_hash,
        "trained_steps": weights.step,
        "parameters": sum(parameter.numel() for parameter in solver.trained.model.parameters()),
        "device": str(solver.device),
        "steps": config.answer_steps,
        "forms": config.evaluation.forms,
        "rollouts": config.evaluation.rollouts,
        "fields": list(FIELDS),
        "has_demonstrations": solver.play.has_demonstrations,
        "identifiers": manifest.num_puzzle_identifiers,
        "most": {
            "puzzles": limits.puzzles,
            "steps": limits.steps,
            "forms": min(limits.breadth, forms),
            "rollouts": limits.breadth if config.draws_in_evaluation else 1,
        },
    }
