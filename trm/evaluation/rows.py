"""Batches become columns: what a network answers to each row, and what that is worth, a value a row."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from trm.config.run import RunConfig
from trm.data.batches.keyed_random import device_keys
from trm.data.batches.plan import EvaluationBatch
from trm.evaluation.answers import Answers, answers, halted_answers, steps_of
from trm.evaluation.answers_file import AnsweredBatch
from trm.evaluation.draws import try_keys
from trm.evaluation.forms import Forms, in_forms
from trm.evaluation.identifiers import IdentifierRows
from trm.evaluation.metrics import is_scored_early
from trm.evaluation.pooled import NUMBER, VOTE, pooled
from trm.evaluation.rollouts import (
    ANSWER,
    BREADTH,
    ORACLE,
    RESIDUAL,
    answer_numbers,
    breadth_columns,
    chosen,
    joined,
    residual_of,
    tiled,
)
from trm.evaluation.scores import Columns, TaskScorer
from trm.losses.answer import IGNORED
from trm.losses.choice import build_loss
from trm.models.network import Latents, Network, Output

DRAWS_STREAM = 0x6576616C
"""Keeps what a network draws in evaluation apart from every other use of the seed."""
EXACT_AT = "is_exact_at_"
HALTED = "halted."
"""Before the names of columns about the answer at a row's first halt."""
HAS_HALTED = "has_halted"


AT = "at."
"""Before the names of columns about the answer after a supervision step."""


def _at(step: int) -> str:
    return f"{AT}{step}."


def _step_of(name: str) -> int:
    """The step of a column whose name begins with `AT`."""
    return int(name.removeprefix(AT).partition(".")[0])


@dataclass(frozen=True, eq=False)
class _Judged:
    """A batch's answers, and what they are worth, a value a row."""

    columns: Columns
    cells: np.ndarray
    halting_logits: np.ndarray


@dataclass(frozen=True, eq=False)
class _Passed:
    """A batch that went through the network."""

    columns: Columns
    cells: np.ndarray
    halting_logits: np.ndarray
    steps: np.ndarray
    numbers: np.ndarray
    """Which of a row's several answers each is."""
    at: dict[int, Columns] = field(default_factory=dict)
    """Step -> cells, halting logit and number of the answers after it, where those of every step are recorded."""


@dataclass(frozen=True, eq=False)
class RowJudge:
    """What makes columns of batches: a network, and by what its answers are judged."""

    model: Network
    table: IdentifierRows | None
    config: RunConfig
    device: torch.device
    scorers: Sequence[TaskScorer]
    stops_halted: bool = False
    """Whether rows leave at their first halt."""
    draw: int = 0
    """Which draw of every row, of a network that draws."""
    has_curve: bool = False
    """Whether the answer after each supervision step is judged."""
    has_breadth: bool = False
    """Whether every depth, breadth and selector is judged; the curve is, then."""
    measured: frozenset[str] = frozenset()
    """Columns besides exactness that are kept of every depth, breadth and selector."""
    after: frozenset[int] = frozenset()
    """Steps after which answers are judged, besides the last."""
    answer_steps: int | None = None
    """Steps that the answers are of which are recorded, one of `after`; None: the last."""
    record: Callable[[AnsweredBatch], None] | None = None
    """What is handed the answers themselves, a batch at a time."""
    forms: Forms | None = None
    """The symmetric forms of the puzzles, where they are asked in several."""
    records_steps: bool = False
    """Whether it is handed those after every supervision step, the first ones first."""

    def columns(self, batch: EvaluationBatch) -> Columns:
        """What is known of each row of a batch; of its answer at its halt under `HALTED` names."""
        if self.config.evaluation.breadth > 1:
            passed, is_recorded = self._tried(batch)
        else:
            passed, is_recorded = self._pass(batch, self._keys(batch)), False
        if not is_recorded:
            self._record(batch, passed)
        columns = passed.columns
        if self.records_steps and not self.has_curve:
            columns = {name: column for name, column in columns.items() if not name.startswith(AT) or _step_of(name) in self.after}
        return columns | {"row": batch.rows, "identifier": batch.batch.puzzle_identifiers}

    def _record(self, batch: EvaluationBatch, passed: _Passed) -> None:
        if self.record is not None:
            for answered in self._answered(batch, passed):
                self.record(answered)

    def _answered(self, batch: EvaluationBatch, passed: _Passed) -> Iterator[AnsweredBatch]:
        """What is recorded of a batch."""
        if not self.records_steps:
            worth = _at_halt(passed.columns) if self.stops_halted else self._of_answers(passed.columns)
            yield AnsweredBatch(batch, passed.cells, passed.halting_logits, passed.steps, worth, passed.numbers)
            return
        worths = _by_step(passed.columns)
        for step, own in sorted(passed.at.items()):
            worth = worths.get(step, {})
            yield AnsweredBatch(
                batch, own["cells"], own["logits"], np.minimum(passed.steps, step), worth, own.get("numbers", passed.numbers)
            )

    def _pass(self, batch: EvaluationBatch, keys: Tensor | None, forms: np.ndarray | None = None) -> _Passed:
        """The batch through the network, once; its rows in `forms`, where there are several."""
        asked = batch.batch if forms is None or self.forms is None else in_forms(batch, self.forms, forms)
        inputs, labels, identifiers = (
            torch.from_numpy(array).to(self.device) for array in (asked.inputs, asked.labels, asked.puzzle_identifiers)
        )
        judged_at: dict[int, _Judged] = {}

        def look(step: int, output: Output, given: Latents, made: Latents) -> None:
            if self._is_looked_at(step):
                judged_at[step] = self._judged(output, labels, batch, forms)
                if self.has_breadth or self.config.evaluation.select == "residual":
                    judged_at[step].columns[RESIDUAL] = residual_of(given, made).cpu().numpy()

        rows = None if self.table is None else self.table.rows(identifiers)
        if self.stops_halted:
            found = halted_answers(self.model, inputs, rows, self.config, keys)
        else:
            found = answers(self.model, inputs, rows, self.config, keys, look)
        columns = {"mean_halting_step": found.halting_step.cpu().numpy()}
        columns |= {f"{EXACT_AT}{step}": is_exact(cells, labels).cpu().numpy() for step, cells in found.early.items()}
        columns |= self._curve_columns(judged_at, found)
        judged: dict[str, _Judged] = {}
        for prefix, output in (("", found.final), (HALTED, found.halted)):
            if output is not None:
                is_known = not prefix and judged_at
                judged[prefix] = judged_at[max(judged_at)] if is_known else self._judged(output, labels, batch, forms)
                columns |= {f"{prefix}{name}": column for name, column in judged[prefix].columns.items()}
        last = judged[HALTED if self.stops_halted else ""] if self.answer_steps is None else judged_at[self.answer_steps]
        numbers = np.zeros(len(batch.rows), dtype=np.int64)
        at = {step: {"cells": one.cells, "logits": one.halting_logits} for step, one in judged_at.items()}
        return _Passed(columns, last.cells, last.halting_logits, self._steps(found), numbers, self._recorded(at))

    def _recorded(self, at: dict[int, Columns]) -> dict[int, Columns]:
        """The answers that are recorded of those after steps."""
        last = self.answer_steps or steps_of(self.config)
        return {step: own for step, own in at.items() if step <= last} if self.records_steps else {}

    def _is_looked_at(self, step: int) -> bool:
        """Whether the answer after a step is judged: of a curve each, of rollouts where one is chosen to be scored."""
        steps = steps_of(self.config)
        is_chosen = self.config.evaluation.breadth > 1 and (step == steps or is_scored_early(step, steps))
        return self.has_curve or self.records_steps or step in self.after or is_chosen

    def _tried(self, batch: EvaluationBatch) -> tuple[_Passed, bool]:
        """The batch through the network once a rollout and form, several together where there is room; of each row one answer.

        And whether all of them were recorded: where rows vote for their question, every answer is a vote.
        """
        own, rows = self.config.evaluation, len(batch.rows)
        together = max(1, (own.batch_size or self.config.training.global_batch_size) // rows)
        keys, passes, votes = self._keys(batch), [], False
        for start in range(0, own.breadth, together):
            numbers = np.arange(start, min(start + together, own.breadth))
            forms, rollouts = numbers // own.rollouts, numbers % own.rollouts
            tries = zip(rollouts.tolist(), forms.tolist(), strict=True)
            drawn = None if keys is None else torch.cat([try_keys(keys, *one) for one in tries])
            tiles = tiled(batch, len(numbers))
            passed = self._pass(tiles, drawn, np.repeat(forms, rows) if own.forms > 1 else None)
            passes.append(replace(passed, numbers=np.repeat(numbers, rows)))
            if votes := VOTE in passed.columns and own.select == "vote":
                self._record(tiles, passes[-1])
        whole = joined([one.columns for one in passes], rows)
        answered = joined([{"cells": one.cells, "logits": one.halting_logits, "steps": one.steps} for one in passes], rows)
        columns, indices = self._selected(whole)
        index, places = indices[self.answer_steps or steps_of(self.config)], np.arange(rows)
        cells, logits, steps = (answered[name][index, places] for name in ("cells", "logits", "steps"))
        at = {}
        for step in passes[0].at:
            tried = joined([one.at[step] for one in passes], rows)
            at[step] = {name: column[indices[step], places] for name, column in tried.items()} | {"numbers": indices[step]}
        return _Passed(columns, cells, logits, steps, index, at), votes

    def _selected(self, whole: Columns) -> tuple[Columns, dict[int, np.ndarray]]:
        """Columns of the answer that counts, after every step that was looked at, and which it is, by step."""
        asked, steps = self.config.evaluation, steps_of(self.config)
        halting_step, last = whole["mean_halting_step"], self.answer_steps or steps
        columns: Columns = {}
        places, indices, at = np.arange(halting_step.shape[1]), dict[int, np.ndarray](), _by_step(whole)
        for step in filter(self._is_looked_at, range(1, steps + 1)):
            prefix = _at(step)
            own = dict(at.get(step, {}))
            own["mean_halting_step"] = np.minimum(halting_step, step)
            own[HAS_HALTED] = whole[HAS_HALTED] if step == steps else halting_step <= step
            indices[step] = index = chosen(asked.select, own, own["mean_halting_step"], own[HAS_HALTED])
            kept = {name: column[index, places] for name, column in own.items() if name not in (ANSWER, RESIDUAL)}
            kept |= {ORACLE: np.asarray(own["is_exact"].any(0)), NUMBER: index}
            kept |= pooled(own) if VOTE in own and asked.select == "vote" else {}
            is_kept = self.has_curve or self.records_steps or step in self.after
            columns |= {f"{prefix}{name}": column for name, column in kept.items()} if is_kept else {}
            columns |= {f"{EXACT_AT}{step}": kept["is_exact"]} if is_scored_early(step, steps) else {}
            columns |= kept if step == steps else {}
            if self.has_breadth or (asked.forms > 1 and step == last):
                select = None if self.has_breadth else asked.select
                columns |= breadth_columns(step, own, asked.forms, select, self.measured)
        return columns, indices

    def _of_answers(self, columns: Columns) -> Columns:
        """What the recorded answers are worth."""
        return columns if self.answer_steps is None else _by_step(columns).get(self.answer_steps, {})

    def _steps(self, found: Answers) -> np.ndarray:
        """After how many supervision steps each row's answer is."""
        halting_step, steps = found.halting_step.cpu().numpy(), self.answer_steps or steps_of(self.config)
        is_at_halt = self.stops_halted or self.config.model.halting.stops_evaluation
        return np.minimum(halting_step, steps) if is_at_halt else np.full_like(halting_step, steps)

    def _curve_columns(self, judged_at: dict[int, _Judged], found: Answers) -> Columns:
        if found.has_halted is None or not judged_at:
            return {}
        named = {f"{_at(step)}{name}": column for step, judged in judged_at.items() for name, column in judged.columns.items()}
        return {**named, HAS_HALTED: found.has_halted.cpu().numpy()}

    def _keys(self, batch: EvaluationBatch) -> Tensor | None:
        """Keys of a batch's rows, whatever batch they are in; None where nothing is drawn."""
        if not self.config.draws_in_evaluation:
            return None
        keys = device_keys(self.config.seed, DRAWS_STREAM, self.draw, batch.rows, batch.batch.puzzle_identifiers)
        return torch.from_numpy(keys).to(self.device)

    def _judged(self, output: Output, labels: Tensor, batch: EvaluationBatch, forms: np.ndarray | None) -> _Judged:
        """An answer, and what it is worth; of rows in forms the answer is undone."""
        predictions = output.logits.argmax(-1)
        is_labelled = labels != IGNORED
        correct = (is_labelled & (predictions == labels)).sum(-1)
        is_right = is_exact(predictions, labels)
        found = {
            "is_exact": is_right,
            "cell_accuracy": correct.double() / is_labelled.sum(-1).clamp(min=1),
            "loss": build_loss(self.config, labels.device).of_answers(output.logits, labels),
            "q_halt_accuracy": (output.q_halt >= 0) == is_right,
            "halting_probability": torch.sigmoid(output.q_halt.double()),
        }
        columns = {name: column.cpu().numpy() for name, column in found.items()}
        cells = predictions.to(torch.uint8).cpu().numpy()
        if forms is not None and self.forms is not None:
            cells = self.forms.undone(cells, batch.rows, forms)
        for scorer in self.scorers:
            columns |= scorer.columns(cells, batch)
        if self.config.evaluation.breadth > 1:
            columns[ANSWER] = answer_numbers(cells)
        return _Judged(columns, cells, output.q_halt.double().cpu().numpy())


def _at_halt(columns: Columns) -> Columns:
    """What the answers at rows' halts are worth."""
    return {name.removeprefix(HALTED): column for name, column in columns.items() if name.startswith(HALTED)}


def is_exact(predictions: Tensor, labels: Tensor) -> Tensor:
    """Which rows are right in every labelled cell."""
    return ((predictions == labels) | (labels == IGNORED)).all(-1)


def columns_by_step(columns: Columns, steps: Sequence[int], *, has_halted: bool = True) -> Iterator[tuple[int, Columns]]:
    """For each of `steps`, in order, the columns of an evaluation of so many steps.

    They are made of those of one pass that judged answers after these steps: what a row answers after a step does not hang on how
    many follow. `has_halted`: as one that reports halted answers too, which needs every step from the first.
    """
    halting_step, halted = columns["mean_halting_step"], Columns()
    at, early = _by_step(columns), _early(columns)
    for step in steps:
        own, is_open = at.get(step, {}), halting_step >= step
        before = {f"{EXACT_AT}{earlier}": column for earlier, column in early.items() if earlier < step}
        if "mean_halting_step" in own:  # a rollout was chosen after every step
            yield step, {**own, **before, "row": columns["row"], "identifier": columns["identifier"]}
            continue
        shared = {"row": columns["row"], "identifier": columns["identifier"], "mean_halting_step": np.minimum(halting_step, step)}
        if has_halted:
            halted = {name: np.where(is_open, column, halted.get(name, column)) for name, column in own.items()}
        yield step, {**own, **before, **shared, **{f"{HALTED}{name}": column for name, column in halted.items()}}


def _by_step(columns: Columns) -> dict[int, Columns]:
    """What the answers after each step are worth, found in one look at the names, of which there are several a step."""
    found: dict[int, Columns] = {}
    for name, column in columns.items():
        if name.startswith(AT):
            step, _, own = name.removeprefix(AT).partition(".")
            found.setdefault(int(step), {})[own] = column
    return found


def _early(columns: Columns) -> dict[int, np.ndarray]:
    """Exactness after early steps."""
    return {int(name.removeprefix(EXACT_AT)): column for name, column in columns.items() if name.startswith(EXACT_AT)}


def without_curve(columns: Columns) -> Columns:
    """The columns of the same pass without a curve."""
    return {name: column for name, column in columns.items() if not name.startswith((AT, BREADTH))}


def halted_by(columns: Columns, step: int, steps: int) -> np.ndarray:
    """Which rows have wanted to halt by a step of the `steps` that were made."""
    if (name := f"{_at(step)}{HAS_HALTED}") in columns:
        return columns[name]
    known: np.ndarray = columns[HAS_HALTED] if step == steps else columns["mean_halting_step"] <= step
    return known
