"""Which of a question's several answers counts, after every supervision step: the choice that an evaluation makes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, UInt8

from trm.evaluation.rollouts import ANSWER, RESIDUAL, answer_numbers, chosen
from trm.serving.answers import Answer, Candidate, TracedStep, probability_of
from trm.serving.forms import asked_in_forms, undone
from trm.serving.opening import OpenedModel
from trm.serving.questions import MEAN, Question
from trm.serving.slots import Attempt
from trm.serving.validity import verdict_of
from trm.tasks.arc.votes import tally
from trm.tasks.play import Cells

MOST_CANDIDATES = 8


def answer_of(question: Question, attempts: Sequence[Attempt], opened: OpenedModel, seconds: float) -> Answer:
    """What the rows of a question come to."""
    steps = range(1, attempts[0].made + 1) if question.has_trace else range(attempts[0].made, attempts[0].made + 1)
    ballots = [_ballot(question, attempts, opened, step) for step in steps]
    last, (index, cells) = ballots[-1], ballots[-1].chosen
    trace = tuple(TracedStep(one.chosen[1], float(one.probabilities[one.chosen[0]])) for one in ballots)
    mean = "told the mean of all identifiers' rows: the network never learned this task"
    return Answer(
        cells,
        attempts[index].made,
        float(last.probabilities[index]),
        attempts[index].halted_at,
        verdict_of(question.posed, cells, opened.manifest),
        seconds,
        trace if question.has_trace else (),
        last.candidates if len(attempts) > 1 else (),
        (mean,) if question.identifier == MEAN else (),
    )


@dataclass(frozen=True, eq=False)
class _Ballot:
    """The answers of all rows of a question after a step, undone to those of the question itself."""

    cells: UInt8[np.ndarray, "rows cells"]
    probabilities: Float64[np.ndarray, " rows"]
    index: int
    """Which of them counts."""

    @property
    def chosen(self) -> tuple[int, Cells]:
        return self.index, self.cells[self.index]

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The different answers, most votes first."""
        found = tally(np.zeros(len(self.cells), dtype=np.int64), answer_numbers(self.cells), self.probabilities)
        best = zip(found.firsts[:MOST_CANDIDATES].tolist(), found.votes.tolist(), found.probabilities.tolist(), strict=False)
        return tuple(Candidate(self.cells[first], count, mean) for first, count, mean in best)


def _ballot(question: Question, attempts: Sequence[Attempt], opened: OpenedModel, step: int) -> _Ballot:
    """The ballot after a step, of which a row that stopped before has its last answer."""
    said = [one.said[min(step, one.made) - 1] if question.has_trace else one.said[-1] for one in attempts]
    cells, probabilities = np.stack([one.cells for one in said]), np.array([probability_of(one.halting_logit) for one in said])
    if question.forms > 1:
        asked = asked_in_forms(question, opened)
        by_form = cells.reshape(question.forms, question.rollouts, -1)
        rolled = [undone(question, opened, asked, by_form[:, rollout]) for rollout in range(question.rollouts)]
        cells = np.stack(rolled, 1).reshape(len(attempts), -1)
    if len(attempts) == 1:
        return _Ballot(cells, probabilities, 0)
    halted_at = np.array([min(one.halted_at or step, step) for one in attempts])
    has_halted = np.array([one.halted_at is not None and one.halted_at <= step for one in attempts])
    columns = {ANSWER: answer_numbers(cells), "halting_probability": probabilities}
    if said[0].residual is not None:
        columns[RESIDUAL] = np.array([one.residual for one in said], dtype=np.float64)
    columns = {name: column[:, None] for name, column in columns.items()}
    index = chosen(opened.config.evaluation.select, columns, halted_at[:, None], has_halted[:, None])
    return _Ballot(cells, probabilities, int(index[0]))
