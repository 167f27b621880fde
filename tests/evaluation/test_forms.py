"""Puzzles asked in symmetric forms: answers are undone, one is chosen, and nothing hangs on how rows and forms lie in batches."""

from typing import Any

import numpy as np
import pytest
import torch
from evaluation_cases import PreparedAnswers, config_of, manifest_of, score
from hypothesis import given
from hypothesis import strategies as st

from trm.config.files import validated
from trm.config.run import RunConfig
from trm.data.batches.split import Split
from trm.errors import ConfigError
from trm.evaluation.forms import Forms
from trm.models.cost import run_cost
from trm.models.recursive.network import TinyRecursiveModel
from trm.tasks.choice import TASKS, task_named
from trm.tasks.forms import require_forms
from trm.tasks.maze.augment import MazeForms
from trm.tasks.sudoku.augment import SudokuEvaluationForms


def boards(rows: int, size: int, seed: int = 0) -> Split:
    rng = np.random.default_rng(seed)
    inputs, labels = rng.integers(1, size + 2, (2, rows, size * size)).astype(np.uint8)
    return Split("test", inputs, labels, np.arange(rows, dtype=np.int32))


def with_evaluation(config: RunConfig, **values: Any) -> RunConfig:
    return RunConfig.model_validate(config.model_dump() | {"evaluation": config.evaluation.model_dump() | values})


FORMS: dict[str, tuple[Forms, int, int]] = {
    "4x4": (SudokuEvaluationForms(4), 4, 6),
    "6x6": (SudokuEvaluationForms(6), 6, 8),
    "9x9": (SudokuEvaluationForms(9), 9, 11),
    "maze": (MazeForms(), 5, 6),
}


@pytest.mark.parametrize("kind", FORMS)
@given(st.integers(0, 1 << 20), st.integers(0, 1 << 30))
def test_a_form_is_undone(kind: str, row: int, seed: int) -> None:
    forms, size, tokens = FORMS[kind]
    cells = np.random.default_rng(seed).integers(0, tokens, (8, size * size)).astype(np.uint8)
    rows, numbers = np.full(8, row), np.arange(8)
    asked = forms.asked(cells, rows, numbers)
    assert (forms.undone(asked, rows, numbers) == cells).all()
    assert (asked[0] == cells[0]).all()  # the first form is the puzzle itself
    alone = forms.asked(cells[3:4], rows[3:4], numbers[3:4])
    assert (alone == asked[3:4]).all()  # of row and form alone
    again = forms.asked(np.tile(cells[:1], (8, 1)), rows, numbers)
    assert len(np.unique(again, axis=0)) > 1


SPLIT = boards(7, 4)
MANIFEST = manifest_of("sudoku", (4, 4), 6, SPLIT)
CONFIG = config_of(2)
NETWORK = TinyRecursiveModel(CONFIG.model, MANIFEST.shape, dtype=torch.float64)
with torch.no_grad():
    NETWORK.halting_head.normal_(generator=torch.Generator().manual_seed(1))


def scores(config: RunConfig, **how: Any) -> Any:
    return score(NETWORK, SPLIT, MANIFEST, config, **how)[0]


def test_answers_of_forms_are_undone_and_vote() -> None:
    """A network that answers two forms of three rightly, and each puzzle as it is wrongly."""
    forms, rows = SudokuEvaluationForms(4), np.arange(len(SPLIT))
    prepared = {}
    for number in range(3):
        numbers = np.full(len(SPLIT), number)
        answers = forms.asked(SPLIT.labels, rows, numbers)
        answers[:, 0] = answers[:, 0] if number else answers[:, 0] % 5 + 1
        questions = forms.asked(SPLIT.inputs, rows, numbers)
        prepared |= {question.tobytes(): [answer] for question, answer in zip(questions, answers, strict=True)}
    model = PreparedAnswers(MANIFEST.shape, prepared, {key: [0.5] for key in prepared})
    found = score(model, SPLIT, MANIFEST, with_evaluation(config_of(1), forms=3), batch_size=3)[0]
    assert found.metrics["exact_accuracy"] == found.metrics["oracle_accuracy"] == found.metrics["cell_accuracy"] == 1
    assert [(one.forms, one.select, one.puzzles.mean()) for one in found.breadth] == [(1, "", 0), (2, "vote", 0), (3, "vote", 1)]


@pytest.mark.parametrize("values", [{"select": "vote"}, {"rollouts": 2, "noise": 0.5, "select": "q"}])
def test_nothing_hangs_on_how_rows_and_forms_lie_in_batches(values: dict[str, Any]) -> None:
    config = with_evaluation(CONFIG, forms=5, **values)
    known = scores(config, batch_size=64)
    for batch_size, slots, workers in ((4, 16, 1), (3, 3, 2)):
        other = scores(with_evaluation(config, batch_size=slots), batch_size=batch_size, workers=workers)
        assert other.metrics == pytest.approx(known.metrics, rel=1e-9)
        assert [one.puzzles.tolist() for one in other.breadth] == [one.puzzles.tolist() for one in known.breadth]
    assert [one.forms for one in known.breadth] == [1, 2, 4, 5]


def test_fewer_forms_are_a_separate_evaluation() -> None:
    config = with_evaluation(CONFIG, forms=4, rollouts=3, noise=0.5, starts="random", select="q")
    for point in scores(config).breadth:
        alone = scores(with_evaluation(config, forms=point.forms))
        assert point.puzzles.tolist() == alone.puzzles["exact_accuracy"].tolist()
    for point in scores(config, has_breadth=True).breadth[1::11]:
        own = {"select": point.select} if point.select else {}
        alone = scores(with_evaluation(config, steps=point.steps, rollouts=point.rollouts, forms=point.forms, **own))
        assert point.puzzles.tolist() == alone.puzzles["exact_accuracy"].tolist()


def test_forms_cost_as_many_times_the_flops() -> None:
    one, four = (run_cost(with_evaluation(CONFIG, forms=forms), MANIFEST.shape).inference_flops for forms in (1, 4))
    assert four == 4 * one


@pytest.mark.parametrize(
    ("task", "count", "message"),
    [
        ("maze", 9, "at most 8 for maze puzzles, got 9; set evaluation.forms: 8 or fewer"),
        ("arc", 2, "at most 1 for arc puzzles, got 2; leave it out: here augmentations vote"),
        ("other", 2, "at most 1 for other puzzles, got 2; set evaluation.forms: 1"),
    ],
)
def test_puzzles_have_only_so_many_forms(task: str, count: int, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        require_forms(count, task)
    assert message in str(caught.value)


def test_a_puzzle_says_how_many_forms_it_has_where_it_has_any() -> None:
    has_forms = {name for name, task in TASKS.items() if task.forms(MANIFEST) is not None}
    assert has_forms == {name for name, task in TASKS.items() if task.most_forms > 1} == {"sudoku", "maze"}
    require_forms(4096, "sudoku")
    assert task_named("maze").most_forms == 8


def test_answers_of_forms_do_not_stop_at_their_halts() -> None:
    with pytest.raises(ConfigError, match="is of one answer a puzzle, got forms 2; set"):
        validated(RunConfig, CONFIG.model_dump() | {"evaluation": {"forms": 2, "reports_halted": True}}, "the run")
