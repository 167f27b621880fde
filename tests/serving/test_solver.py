"""A solver's answers are those of an evaluation, bit for bit, whatever else is in the batch; and what may not be asked is told."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving_cases import arc_export, sudoku_export

from trm.data.batches.plan import EvaluationPlan
from trm.data.batches.split import Split, load_split
from trm.errors import DatasetError, InputError, QuestionError
from trm.evaluation.answers_file import AnsweredBatch
from trm.evaluation.evaluate import Evaluation, evaluate
from trm.serving.answers import probability_of
from trm.serving.solver import Solver
from trm.tasks.augment import augmenter_for
from trm.tasks.choice import task_named


@pytest.fixture(scope="module")
def sudoku(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sudoku_export(tmp_path_factory.mktemp("sudoku"))


@pytest.fixture(scope="module")
def arc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return arc_export(tmp_path_factory.mktemp("arc"))


def split_of(solver: Solver) -> Split:
    assert solver.opened.data is not None
    return load_split(solver.opened.data, solver.manifest, "test")


def evaluated(solver: Solver, batch_size: int = 7, **asked: Any) -> tuple[dict[tuple[int, int], AnsweredBatch], Evaluation]:
    """What an evaluation of the test split records, by row and identifier, and the evaluation."""
    split, found = split_of(solver), {}
    plan = EvaluationPlan(split, solver.manifest, augmenter_for, batch_size=batch_size, max_examples=None, seed=0)
    task = task_named(solver.manifest.task)

    def record(answered: AnsweredBatch) -> None:
        for place, key in enumerate(zip(answered.batch.rows, answered.batch.batch.puzzle_identifiers, strict=True)):
            found[int(key[0]), int(key[1])] = answered, place

    evaluation = evaluate(
        solver.trained.model,
        solver.trained.table,
        plan,
        manifest=solver.manifest,
        scorer=task.scorer(solver.manifest, split),
        config=solver.config,
        device="cpu",
        record=record,
        forms=task.forms(solver.manifest),
        **asked,
    )
    return {key: (one.cells[place], one.halting_logits[place], one.steps[place]) for key, (one, place) in found.items()}, evaluation


SETTINGS: list[tuple[str, ...]] = [
    (),
    ("evaluation.steps=9",),
    ("evaluation.forms=5",),
    ("evaluation.noise=0.5", "evaluation.rollouts=3", "evaluation.forms=2"),
    ("evaluation.noise=0.5", "evaluation.starts=random", "evaluation.rollouts=4", "evaluation.select=residual"),
]


@pytest.mark.parametrize("overrides", SETTINGS)
def test_what_is_left_open_is_answered_as_an_evaluation_answers(sudoku: Path, overrides: tuple[str, ...]) -> None:
    solver = Solver.open(sudoku, overrides=overrides)
    known, _ = evaluated(solver)
    rows = split_of(solver).inputs
    answers = solver.solve([{"row": row.tolist(), "number": number} for number, row in enumerate(rows)])
    for number, answer in enumerate(answers):
        cells, logit, steps = known[number, 0]
        assert np.array_equal(answer.cells, cells)
        assert answer.halting_probability == pytest.approx(probability_of(logit), abs=1e-6)
        assert answer.steps == steps


def test_rows_that_join_and_leave_in_between_change_nobodys_answer(sudoku: Path) -> None:
    solver = Solver.open(sudoku, overrides=("evaluation.noise=0.2",))
    rows = split_of(solver).inputs
    alone = [solver.solve([{"row": row.tolist(), "number": k}], steps=3 + k % 4, trace=True)[0] for k, row in enumerate(rows)]
    questions = [
        solver.question({"row": row.tolist(), "number": k, "steps": 3 + k % 4, "trace": True}) for k, row in enumerate(rows)
    ]
    attempts, slots = [solver.attempts(one)[0] for one in questions], solver.slots()
    waiting, draw, sizes = list(attempts), np.random.default_rng(0), set()
    while waiting or slots.rows:
        count = int(draw.integers(0, 4))
        slots.admit(waiting[:count])
        waiting = waiting[count:]
        sizes.add(len(slots.rows))
        if slots.rows and draw.random() < 0.1:
            slots.rows[0].is_cancelled = True
        slots.step()
    assert len(sizes) > 4
    kept = [k for k, one in enumerate(attempts) if not one.is_cancelled]
    assert len(kept) < len(attempts)
    for k in kept:
        answer = solver.answer(questions[k], [attempts[k]], 0.0)
        there = [step.halting_probability for step in alone[k].trace]
        assert [step.halting_probability for step in answer.trace] == pytest.approx(there, abs=1e-6)
        assert all(np.array_equal(a.cells, b.cells) for a, b in zip(answer.trace, alone[k].trace, strict=True))
        assert answer.halted_at == alone[k].halted_at


def test_a_row_that_stops_at_its_halt_has_the_answer_of_that_step(sudoku: Path) -> None:
    solver = Solver.open(sudoku)
    rows = [row.tolist() for row in split_of(solver).inputs]
    whole, stopped = (
        solver.solve([{"row": row} for row in rows], trace=True),
        solver.solve([{"row": row, "stop_halted": True} for row in rows]),
    )
    assert len({answer.halted_at for answer in whole}) > 1
    for one, other in zip(whole, stopped, strict=True):
        assert other.steps == (one.halted_at or solver.config.answer_steps)
        assert np.array_equal(other.cells, one.trace[other.steps - 1].cells)


def test_arc_votes_are_an_evaluations_and_a_task_without_a_row_is_refused(arc: Path) -> None:
    solver = Solver.open(arc)
    known, evaluation = evaluated(solver, batch_size=16)
    split, table = split_of(solver), solver.opened.identifiers
    assert table is not None
    task = task_named("arc")
    ballot = task.ballot(split, evaluation.rows or {}, np.arange(len(split)))
    assert ballot is not None
    submitted = ballot.submission(table.names, lambda keys: {key: known[key[0], key[1]][0] for key in keys})
    tests: dict[str, int] = {}
    for row, group in enumerate(split.groups.tolist()):
        name, grid = table.names[group], solver.play.written(split.inputs[row], solver.manifest)
        forms = int(table.starts[group + 1] - table.starts[group])
        answer = solver.solve([{"grid": grid, "identifier": name, "forms": forms}])[0]
        attempts = [solver.play.written(one.cells, solver.manifest) or [[0]] for one in answer.candidates[:2]]
        pair = submitted[name][tests.setdefault(name, 0)]
        tests[name] += 1
        assert attempts == [pair["attempt_1"], pair["attempt_2"]][: len(attempts)]
        alone = solver.solve([{"grid": grid, "identifier": name}])[0]
        assert np.array_equal(alone.cells, known[row, int(table.starts[group])][0])
    with pytest.raises(QuestionError, match="no row of a task 'unheard'"):
        solver.solve([{"grid": grid, "identifier": "unheard"}])
    with pytest.raises(QuestionError, match="cannot be asked another"):
        solver.solve([{"grid": grid, "demonstrations": [{"input": [[1]], "output": [[2]]}]}])
    told = solver.solve([{"grid": [[1, 2]], "identifier": "mean", "demonstrations": [{"input": [[1]], "output": [[2]]}]}])[0]
    assert told.notes == ("told the mean of all identifiers' rows: the network never learned this task",)
    assert told.verdict.is_valid is False


def test_a_release_folder_is_enough(sudoku: Path, tmp_path: Path) -> None:
    release = tmp_path / "release"
    release.mkdir()
    for name in ("config.yaml", "model.safetensors"):
        shutil.copy(sudoku / name, release / name)
    here = Solver.open(sudoku)
    assert here.opened.data is not None
    shutil.copy(Path(here.opened.data) / "manifest.json", release / "dataset.json")
    moved = sudoku.parent / "elsewhere"
    (sudoku.parent / "data").rename(moved)
    try:
        there = Solver.open(release)
        (release / "dataset.json").unlink()
        with pytest.raises(
            DatasetError, match=r"give --data FOLDER of the data set, or put its manifest\.json there as dataset\.json"
        ):
            Solver.open(release)
    finally:
        moved.rename(sudoku.parent / "data")
    assert there.opened.data is None
    row = {"row": "..1...4..12.4..1"}
    assert np.array_equal(there.solve([row])[0].cells, here.solve([row])[0].cells)


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "must have a grid or a row, got neither"),
    ({"grid": [[0] * 4] * 4, "row": [1] * 16}, "got both"),
    ({"grid": [[0] * 4] * 3}, "have 4 rows, got 3 rows"),
    ({"grid": [[0] * 4] * 3 + [[0, 0, 0]]}, "a row must have 4 cells, row 4 has 3 cells"),
    ({"grid": [[0] * 4] * 3 + [[0, 0, 0, 5]]}, "digit from 1 to 4, or 0 or '.' for a blank, row 4, column 4 is 5"),
    ({"grid": [[0] * 4] * 3 + [[0, 0, 0, True]]}, "row 4, column 4 is True"),
    ({"grid": [[0] * 4] * 3 + [[0, 0, 0, [1]]]}, r"row 4, column 4 is \[1\]"),
    ({"grid": [[0] * 4] * 3 + [[0, 0, 0, 10**400]]}, "row 4, column 4 is"),
    ({"grid": [[1, 0, 0, 1]] + [[0] * 4] * 3}, "clues must not clash: row 1 has 1 twice"),
    ({"row": [1] * 15}, "must have 16 cells, got 15"),
    ({"row": [6] * 16}, "a number from 0 to 5, cell 0 is 6"),
    ({"row": "...."}, "must have 16 cells, got 4"),
    ({"row": "." * 16, "steps": 0}, "steps must be a whole number from 1 to 64, got 0"),
    ({"row": "." * 16, "steps": 10**30}, "steps must be a whole number"),
    ({"row": "." * 16, "steps": 1.0}, "steps must be a whole number"),
    ({"row": "." * 16, "forms": 65}, "forms must be a whole number from 1 to 64"),
    ({"row": "." * 16, "forms": 33, "rollouts": 2}, "rollouts times forms must be at most 64"),
    ({"row": "." * 16, "rollouts": 2}, "rollouts differ by what is drawn, and this network draws nothing"),
    ({"row": "." * 16, "stop_halted": True, "forms": 2}, "stop_halted is of one answer"),
    ({"row": "." * 16, "trace": 1}, "trace must be true or false"),
    ({"row": "." * 16, "identifier": 3}, "this network knows one identifier"),
    ({"row": "." * 16, "demonstrations": []}, "demonstrations are of ARC tasks"),
    ({"row": "." * 16, "temperature": 1}, "a puzzle has no field 'temperature'"),
]


def test_what_breaks_a_rule_is_told(sudoku: Path) -> None:
    solver = Solver.open(sudoku)
    for values, told in BAD:
        with pytest.raises(QuestionError, match=told):
            solver.solve([values])
    with pytest.raises(InputError, match=r"only evaluation\.\* may be set"):
        Solver.open(sudoku, overrides=("model.halt_max_steps=3",))
