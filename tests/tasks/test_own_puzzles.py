"""Puzzles and metrics of one's own: a module's, known by a person's word to every command, worker and objective."""

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from own_members import forgotten

from trm import contract
from trm.cluster.node_facts import own_facts
from trm.config.data import DataConfig
from trm.config.files import dump_yaml
from trm.config.imports import VARIABLE, asked_for, honour, source_digest
from trm.data.format.manifest import read_manifest
from trm.errors import EXIT_DONE, EXIT_INPUT, ConfigError, DatasetError
from trm.evaluation.metrics import RESERVED
from trm.jobs.build_dataset import BuildOptions, run_build
from trm.jobs.evaluate import run_evaluation
from trm.jobs.evaluation.options import EvaluateOptions
from trm.jobs.train import TrainOptions, run_training
from trm.search.settings import COSTS, Objective
from trm.tasks.choice import task_named
from trm.tasks.ensure import summary_of
from trm.tasks.metrics import bounds, direction, metric_names
from trm.tasks.recipes import load_recipe, recipe_of

MODULE = Path(__file__).parents[1] / "fixtures" / "own_puzzles.py"
RECIPE = {"task": "parity", "name": "parity", "imports": ["my_puzzles"], "train": 12, "validation": 4, "test": 4}
RUN = {
    "imports": ["my_puzzles"],
    "data": {"folder": "built"},
    "model": {"H_cycles": 1, "L_cycles": 1, "L_layers": 1, "hidden_size": 8, "num_heads": 1, "puzzle_emb_len": 1},
    "training": {"steps": 2, "global_batch_size": 4},
    "tracking": {"enabled": False},
}
BUILD = BuildOptions("parity.yaml", "built", dry_run=False, skip_bad=False, show=None, overrides=())
TRAIN = TrainOptions("run.yaml", (), workers=1, out="run", storage=None, resume=None, gpus=0, address=None)
SHARES = {"parity_accuracy", "parity_accuracy_low", "parity_accuracy_high"}


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with a module, a recipe and a run in it."""
    shutil.copy(MODULE, tmp_path / "my_puzzles.py")
    dump_yaml(tmp_path / "parity.yaml", RECIPE)
    dump_yaml(tmp_path / "run.yaml", RUN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv(VARIABLE, "")
    with forgotten():
        yield tmp_path
    gone()


def gone() -> None:
    """As in another process: nothing was imported."""
    for name in [name for name in sys.modules if name.startswith("my_")]:
        del sys.modules[name]


def test_it_is_built_trained_scored_and_guarded(
    lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands on the way of a puzzle, and what each knows from the one before."""
    with forgotten():
        assert run_build(BUILD) == 0
        assert run_training(TRAIN) == 0
        scores = json.loads((lab / "run" / "metrics.jsonl").read_text().splitlines()[-1])["validation"]
        assert {*SHARES, "wrong_cells", "exact_accuracy"} <= scores.keys()
        assert scores["wrong_cells"] == pytest.approx(1 - scores["parity_accuracy"]), "one cell is asked for"
        digest = source_digest("my_puzzles")
        assert own_facts(sees_gpus=False, imports=asked_for()).imports == {"my_puzzles": digest}
    manifest = read_manifest("built")
    assert (manifest.task, manifest.recipe["imports"]) == ("parity", ["my_puzzles"])
    capsys.readouterr()

    # Whoever has only the folders: nothing in them is a reason to import.
    gone()
    monkeypatch.setenv(VARIABLE, "")
    score = EvaluateOptions("run", "test", (), None, None, None, "runs")
    with forgotten(), pytest.raises(ConfigError, match=f"on your word alone, .* names my_puzzles; .*{VARIABLE}=my_puzzles"):
        run_evaluation(score)
    with forgotten(), pytest.raises(DatasetError, match=f"'parity', which is none of .*imports: .my_puzzles.* {VARIABLE}=my_puzz"):
        run_build(replace(BUILD, recipe=None, out=None, show="built"))
    assert "my_puzzles" not in sys.modules

    # By the person's word in the environment, as on a worker.
    monkeypatch.setenv(VARIABLE, "my_puzzles")
    with forgotten():
        assert run_evaluation(score) == 0
        lines = {words[0]: words[1:] for line in capsys.readouterr().out.splitlines() if (words := line.split())}
        assert "%" not in lines["wrong_cells"]
        assert lines["parity_accuracy"][1] == "%"
        assert lines["parity_accuracy"][2:4] == ["95", "%"]
    with forgotten():
        assert run_build(replace(BUILD, recipe=None, out=None, show="built")) == 0

    # Other sources: a run does not go on with them.
    gone()
    (lab / "my_puzzles.py").write_text(MODULE.read_text() + "\n# changed\n")
    with forgotten(), pytest.raises(ConfigError, match=f"began with my_puzzles of digest {digest}"):
        run_training(replace(TRAIN, config=None, out=None, resume="run"))


def test_a_recipe_imports_where_a_person_names_it(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the recipe of a run or of a mixture it says what it needs, and `imports` of the run or the space say the word."""
    with pytest.raises(DatasetError, match=r"names my_puzzles; .* then name it in imports of the run or the space, or set"):
        summary_of(DataConfig(recipe="parity.yaml"))
    with pytest.raises(ConfigError, match=r"task must be one of .*, got 'parity'; .*or name the module that adds it in imports"):
        recipe_of({"task": "parity", "name": "parity"}, "recipe")
    with pytest.raises(ConfigError, match=r"imports must be a list of modules, got 'my_puzzles'; write imports: \["):
        recipe_of({**RECIPE, "imports": "my_puzzles"}, "recipe")
    assert "my_puzzles" not in sys.modules
    with pytest.raises(DatasetError, match="train must be <= 200, got 900"):
        load_recipe("parity.yaml", ["train=900"], is_own=True)
    assert summary_of(DataConfig(recipe="parity.yaml")).task == "parity"
    plain = recipe_of({key: value for key, value in RECIPE.items() if key != "imports"}, "recipe")
    assert load_recipe("parity.yaml").digest() == plain.digest(), "where a puzzle comes from is no part of the recipe"


def test_a_metric_is_known_by_name_wherever_names_are(lab: Path) -> None:
    assert direction("parity_accuracy") is direction("wrong_cells") is None
    honour(["my_puzzles"])
    assert (direction("parity_accuracy"), bounds("parity_accuracy")) == ("max", (0, 1))
    assert (direction("wrong_cells"), bounds("wrong_cells")) == ("min", (0, float("inf")))
    assert {*SHARES, "wrong_cells", "wrong_cells_halted"} <= set(metric_names("parity", 2, has_halted=True))
    assert "wrong_cells" in metric_names("sudoku", 2)
    assert "parity_accuracy" not in metric_names("sudoku", 2)
    objective = Objective.model_validate({"metric": "parity_accuracy", "against": ["wrong_cells", "params"]})
    assert [one.mode for one in (objective, *objective.against)] == ["max", "min", "min"]
    with pytest.raises(ValueError, match="mode max looks for the worst: of wrong_cells less is better"):
        Objective(metric="wrong_cells", mode="max")


TAIL = "\nfrom dataclasses import replace\n"
OTHER = "class Other(Parity):\n    "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class A(Task[ParityRecipe]):\n    name = 'a'\n", "my_bad.A must have a method build; write it as Task says"),
        (f"{OTHER}name = 'A b'\n", "my_bad.Other must have a name of a-z, 0-9 and _, at most 64, got 'A b'"),
        (f"{OTHER}name = 'sudoku'\n", "my_bad.Other has the name sudoku, which another puzzle has too; choose another"),
        (f"{OTHER}name = 'b'\n", "my_bad.Other has recipes of task parity, which others have too"),
        (f"{OTHER}name = 'b'\n    recipe = dict\n", "my_bad.Other must have a recipe derived from RecipeBase, got <class 'dict'>"),
        ("Parity.__init__ = lambda self, size: None\n", "my_bad.Parity must be made without arguments, got .*missing 1 required"),
        ("Parity.metrics = (Metric('p'),)\n", "my_bad.Parity.metrics: p must be a mean or a share with a column"),
        (
            "Parity.metrics = (replace(METRICS[0], most=9.0),)\n",
            "a metric of a puzzle must not be one of all puzzles, wrong_cells is both; leave in METRICS",
        ),
        ("Parity.metrics = (Metric('path_f1', direction='min'),)\n", "metrics: path_f1 is another thing in another puzzle"),
        ("METRICS = METRICS[0]\n", r"my_bad.METRICS must be a tuple of metrics, got Metric\(name='wrong_cells'"),
        ("METRICS = (replace(METRICS[0], name='loss'),)\n", "METRICS: loss must have a name of its own, loss is taken"),
        ("METRICS = (replace(METRICS[0], name='params'),)\n", "METRICS: params must have a name of its own"),
        (
            "METRICS = (replace(METRICS[0], name='wrong_low'),)\n",
            "at most 64, without _low, _high or _halted at its end, got 'wrong_",
        ),
        ("METRICS = (replace(METRICS[0], column=None),)\n", "METRICS: wrong_cells must be a mean or a share with a column"),
        ("METRICS = (replace(METRICS[0], kind='share'),)\n", "wrong_cells must lie between bounds, a share between 0 and 1"),
        ("object.__setattr__(METRICS[0], 'direction', 'up')\n", "good when max, min or None, got 'mean', 'up'"),
    ],
)
def test_what_a_door_cannot_take_is_refused_by_rule(lab: Path, text: str, message: str) -> None:
    (lab / "my_bad.py").write_text(MODULE.read_text() + TAIL + text)
    with pytest.raises(ConfigError, match=message):
        _imported_and_looked_at()


def _imported_and_looked_at() -> None:
    honour(["my_bad"])
    summary_of(DataConfig(recipe="parity.yaml", overrides={"imports": []}))


def test_no_metric_can_be_called_as_a_cost() -> None:
    assert set(COSTS) <= RESERVED


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("", []),
        (
            "METRICS = (replace(METRICS[0], most=2.0),)\n",
            ["metric wrong_cells values: wrong_cells must be from 0 to 2, got "],
        ),
        (
            "METRICS = (replace(METRICS[0], direction='max'),)\n",
            ["metric wrong_cells direction: wrong_cells must hold right answers no worse than others, got 0 and"],
        ),
        (
            "METRICS = (replace(METRICS[0], direction=None, column=lambda answered: answered.predictions),)\n",
            [
                "metric wrong_cells direction: wrong_cells must say whether more is better",
                "metric wrong_cells values: wrong_cells must be a value a row, (8,), got (8, 12)",
            ],
        ),
        (
            "Parity.example = lambda self: None\n",
            ["my_checked.Parity names: a puzzle of one's own must name a small recipe; give one in exam"],
        ),
        (
            "Parity.metrics = (replace(Parity.metrics[0], column=lambda answered: answered.predictions[:, 0] / 2),)\n",
            ["my_checked.Parity bounds: parity_accuracy is a share of puzzles, so a row is 0 or 1"],
        ),
    ],
)
def test_the_contract_runs_on_puzzles_and_metrics(
    lab: Path, text: str, broken: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (lab / "my_checked.py").write_text(MODULE.read_text() + TAIL + text)
    monkeypatch.setattr(sys, "argv", ["contract", "my_checked"])
    assert contract.main() == (EXIT_INPUT if broken else EXIT_DONE)
    told = capsys.readouterr().out.splitlines()
    assert len(told) == len(contract.tasks.CHECKS) + len(contract.metrics.CHECKS)
    found = [line for line in told if line.startswith("broken")]
    assert bool(found) == bool(broken)
    for line in broken:
        assert any(f"broken {line}" in one for one in found), found


def test_a_task_of_the_environment_is_known_to_a_process_that_reads_no_run(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the processes that make batches for a sweep."""
    with pytest.raises(DatasetError, match=r"'parity' is none of sudoku, maze, arc, other; .*name the module that adds it"):
        task_named("parity")
    monkeypatch.setenv(VARIABLE, "my_puzzles")
    assert task_named("parity").name == "parity"
