"""A network that answers posed puzzles: opened from wherever its weights lie, asked one puzzle or many."""

import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trm.data.batches.keyed_random import device_keys
from trm.errors import QuestionError
from trm.evaluation.draws import try_keys
from trm.evaluation.identifiers import OtherIdentifiers
from trm.evaluation.rows import DRAWS_STREAM
from trm.files.fetched_weights import fetched_weights, is_url
from trm.serving.answers import Answer
from trm.serving.choosing import answer_of
from trm.serving.forms import Asked, asked_in_forms
from trm.serving.opening import OpenedModel, opened_model
from trm.serving.questions import MEAN, Limits, Question, Reader
from trm.serving.slots import Attempt, Slots
from trm.tasks.choice import task_named
from trm.tasks.play import Posed
from trm.training.process import training_device
from trm.training.weights import trained_model

BATCH_ROWS = 64
BATCH_PLACES = 1 << 25
"""Rows of a batch times their cells and channels, at most."""


class Solver:
    """Weights in memory, and all that asking them takes."""

    def __init__(self, opened: OpenedModel, *, limits: Limits | None = None, device: str | None = None) -> None:
        self.opened, self.config, self.manifest = opened, opened.config, opened.manifest
        own = Limits()
        breadth = max(own.breadth, self.config.evaluation.breadth)
        deepest = max(own.steps, self.config.answer_steps)
        self.limits = limits or Limits(steps=deepest, breadth=breadth, work=max(own.work, breadth * deepest))
        self.device = torch.device(device or training_device())
        self.trained = trained_model(opened.weights, self.device)
        self.play = task_named(self.manifest.task).play
        self._names = _names(opened)
        has_table = self.trained.table is not None
        self.reader = Reader(self.manifest, self._names, self.limits, has_table=has_table, config=self.config)
        self._mean: Tensor | None = None
        self.known_examples: list[dict[str, Any]] | None = None
        """Puzzles to try, once somebody asked for them."""

    @staticmethod
    def open(
        path: str | Path,
        *,
        overrides: Sequence[str] = (),
        data: str | None = None,
        limits: Limits | None = None,
        device: str | None = None,
    ) -> "Solver":
        """The solver of a run, a sweep's winner, a checkpoint, an export or a release folder, or the URL of one.

        A release folder has `config.yaml`, `model.safetensors` and the data set's manifest as `dataset.json`; nothing else is
        needed. `overrides` replace values of `evaluation`. Raises InputError for what a person can mend.
        """
        if is_url(str(path)):
            with fetched_weights(str(path), Path(gettempdir())) as fetched:
                return Solver(opened_model(fetched.path, tuple(overrides), data), limits=limits, device=device)
        return Solver(opened_model(path, tuple(overrides), data), limits=limits, device=device)

    @property
    def batch_rows(self) -> int:
        """Rows that a batch should have at most."""
        places = (self.config.model.puzzle_len + self.manifest.seq_len) * self.config.model.hidden_size
        return max(1, min(BATCH_ROWS, BATCH_PLACES // places))

    def slots(self) -> Slots:
        """A batch that rows may join."""
        return Slots(self.trained.model, self.config, self.device)

    def solve(self, puzzles: Sequence[Any], *, steps: int | None = None, trace: bool = False, **asked: Any) -> list[Answer]:
        """The answers to puzzles, each a `Question`, or an object or a grid as `POST /predict` takes them.

        `steps`, `trace` and what else is asked (rollouts, forms, identifier ...) count for those that do not say it themselves.
        Raises QuestionError for what breaks a rule.
        """
        shared = {"trace": trace, **asked} | ({} if steps is None else {"steps": steps})
        questions = [one if isinstance(one, Question) else self.question(one, shared) for one in puzzles]
        started, slots = time.monotonic(), self.slots()
        attempts = [self.attempts(question) for question in questions]
        waiting = [one for some in attempts for one in some][::-1]
        while waiting or slots.rows:
            free = self.batch_rows - len(slots.rows)
            slots.admit([waiting.pop() for _ in range(min(free, len(waiting)))])
            slots.step()
        seconds = time.monotonic() - started
        return [self.answer(question, some, seconds) for question, some in zip(questions, attempts, strict=True)]

    def warm(self) -> None:
        """Compiles and loads what the first answers would wait for. QuestionError where none can be asked as it is evaluated."""
        cells, own = self.play.drawn(0, self.manifest), self.config.evaluation
        posed = Posed(np.ones(self.manifest.seq_len, dtype=np.uint8) if cells is None else cells)
        self.attempts(Question(posed, identifier=self._any_identifier, rollouts=own.rollouts, forms=own.forms))
        for rows in {1, self.batch_rows}:
            self.solve([Question(posed, identifier=self._any_identifier, steps=1)] * rows)

    @property
    def _any_identifier(self) -> int:
        return min(1, self.manifest.num_puzzle_identifiers - 1)

    def question(self, values: Any, shared: dict[str, Any] | None = None) -> Question:
        """The question of an object, or of a grid alone, with what all of a request share. Raises QuestionError."""
        own = dict(values) if isinstance(values, dict) else {"grid": values}
        return self.reader.question({**(shared or {}), **own})

    def attempts(self, question: Question) -> list[Attempt]:
        """The rows that a question takes of a batch, a form's rollouts together. QuestionError for rollouts that do not differ."""
        if question.rollouts > 1 and not self.config.draws_in_evaluation:
            raise QuestionError(
                f"rollouts differ by what is drawn, and this network draws nothing, got {question.rollouts}",
                remedy="ask symmetric forms (forms), or serve it with --set evaluation.noise=0.1",
            )
        found = []
        for form, asked in enumerate(asked_in_forms(question, self.opened)):
            for rollout in range(question.rollouts):
                found.append(self._attempt(question, asked, rollout, form))
        return found

    def _attempt(self, question: Question, asked: Asked, rollout: int, form: int) -> Attempt:
        key = None
        if self.config.draws_in_evaluation:
            identifier = 0 if asked.identifier == MEAN else asked.identifier
            own = device_keys(self.config.seed, DRAWS_STREAM, 0, np.array([question.number]), np.array([identifier]))
            drawn_form = form if asked.code is None else 0  # an identifier has draws of its own
            key = try_keys(torch.from_numpy(own).to(self.device), rollout, drawn_form)
        steps = question.steps or self.config.answer_steps
        return Attempt(
            asked.cells, self._puzzle_row(asked.identifier), key, steps, question.stops_halted, keeps_all=question.has_trace
        )

    def answer(self, question: Question, attempts: Sequence[Attempt], seconds: float) -> Answer:
        """What the rows of a question come to, when all of them are done."""
        return answer_of(question, attempts, self.opened, seconds)

    def values(self, question: Question, answer: Answer) -> dict[str, Any]:
        """An answer as JSON."""
        return answer.values(self.play, self.manifest, has_tokens=question.has_tokens)

    def _puzzle_row(self, identifier: int | str) -> Tensor | None:
        table = self.trained.table
        if table is None:
            return None
        if identifier == MEAN:
            if self._mean is None:
                blank = torch.zeros(1, dtype=torch.int64, device=self.device)
                self._mean = OtherIdentifiers(table, None).rows(blank).detach()
            return self._mean
        return table.rows(torch.tensor([int(identifier)], device=self.device)).detach()


def _names(opened: OpenedModel) -> dict[str, int]:
    """Names of tasks, and the identifier of each as it is."""
    table = opened.identifiers
    return {} if table is None else dict(zip(table.names, table.starts[:-1].tolist(), strict=True))
