"""Legs and whole runs: what they leave on disk, how they stop and go on, what they cost besides training."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import training_cases as cases
from safetensors.torch import load_file

from trm.errors import CheckpointError, InterruptedRun
from trm.evaluation.puzzle_scores import read_puzzles
from trm.training.leg import Beginning, LegResult, LegTask
from trm.training.reporting import SILENT, Progress, Reporter, RunReport
from trm.training.run import fit, run_steps
from trm.training.run_folder import RunFolder
from trm.training.trainer import run_leg

CONFIG = cases.config_of(training={"eval_every_steps": 4})


class StopAt(Reporter):
    """Asks to stop at a step, or in the n-th evaluation; remembers what it was told."""

    def __init__(self, step: int = 0, evaluation: int = 0) -> None:
        self.step, self.evaluation = step, evaluation
        self.steps: list[int] = []
        self.reports: list[RunReport] = []

    def on_step(self, progress: Progress) -> bool:
        self.steps.append(progress.step)
        return progress.step == self.step

    def on_evaluation(self, done: int, total: int) -> bool:
        return len(self.reports) + 1 == self.evaluation

    def on_report(self, report: RunReport) -> None:
        self.reports.append(report)


def leg(until_steps: int, source: Path | None = None, to: Path | None = None, reporter: Reporter = SILENT) -> LegResult:
    task = LegTask(
        CONFIG,
        max_steps=cases.STEPS,
        until_steps=until_steps,
        begins=[Beginning(str(source))] if source else [],
        folder=str(to) if to else None,
        interim_seconds=None,
    )
    return run_leg(task, cases.SPLITS, cases.manifest(), reporter=reporter)


def saved(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}-attempt-0"


def scores(result: LegResult) -> dict[str, float]:
    """What the evaluation gives, without what was measured of time and of the leg's own steps."""
    return {name: value for name, value in result.metrics.items() if not name.startswith("train/") and name != "latency_seconds"}


def run(folder: Path, *, is_resumed: bool = False, reporter: Reporter = SILENT, **training: int | str) -> None:
    config = cases.config_of(training={"eval_every_steps": 4} | training)
    fit(config, cases.SPLITS, cases.manifest(), folder=folder, is_resumed=is_resumed, reporter=reporter)


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    newest = RunFolder(folder).newest()
    return {f"{file.name}/{name}": value for file in newest.glob("*.safetensors") for name, value in load_file(file).items()}


def assert_same_run(one: Path, other: Path) -> None:
    """Equal weights, state and evaluations; only clocks and the intended length may differ."""
    left, right = weights_of(one), weights_of(other)
    assert [name for name in left if not torch.equal(left[name], right[name])] == []
    rows = [[_without_clocks(row) for row in RunFolder(folder).rows()] for folder in (one, other)]
    assert rows[0] == rows[1]
    assert RunFolder(one).examples.read_bytes() == RunFolder(other).examples.read_bytes()


def _without_clocks(row: dict[str, Any]) -> dict[str, Any]:
    training = {name: value for name, value in row["training"].items() if not name.endswith("_per_second")}
    return row | {"training": training, "total_steps": 0, "at": 0, "seconds": 0, "seconds_left": 0}


def test_legs_one_after_another_are_one_run(tmp_path: Path) -> None:
    first = leg(7, to=tmp_path / "a")
    second = leg(20, saved(tmp_path / "a", 7), tmp_path / "b")
    whole = leg(20, to=tmp_path / "c")
    assert (first.steps, second.steps) == (7, 20)
    assert second.train_flops == whole.train_flops == 20 / 7 * first.train_flops
    assert scores(second) == scores(whole)
    assert second.standard_errors == whole.standard_errors
    left, right = (load_file(saved(tmp_path / name, 20) / "model.safetensors") for name in ("b", "c"))
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_a_leg_tells_what_an_event_needs() -> None:
    outcome = leg(3)
    assert json.loads(json.dumps(asdict(outcome))) == asdict(outcome)
    assert 0 <= outcome.metrics["exact_accuracy"] <= 1
    assert outcome.metrics["loss"] > 0
    assert outcome.standard_errors["exact_accuracy"] >= 0
    means = {"loss", "lm_loss", "q_halt_loss", "grad_norm", "rows_per_second", "flops_per_second"}
    assert {f"train/{name}" for name in means} <= outcome.metrics.keys()
    assert outcome.train_seconds > 0
    assert outcome.eval_seconds > 0
    assert outcome.overhead_seconds > 0


def test_a_leg_leaves_the_scores_of_every_puzzle_where_it_is_told_to(tmp_path: Path) -> None:
    task = LegTask(CONFIG, max_steps=cases.STEPS, until_steps=3, puzzles_to=str(tmp_path / "new" / "puzzles.parquet"))
    outcome = run_leg(task, cases.SPLITS, cases.manifest())
    scores = read_puzzles([tmp_path / "new" / "puzzles.parquet"], "cell_accuracy")
    assert scores is not None
    assert scores.shape == (1, len(np.unique(cases.SPLITS["validation"].groups)))
    assert scores.mean() == pytest.approx(outcome.metrics["cell_accuracy"])


def test_every_evaluations_checkpoint_stays_on_demand(tmp_path: Path) -> None:
    for kept, steps in (("last", [16, 20]), ("all", [4, 8, 12, 16, 20])):
        run(tmp_path / kept, keep_checkpoints=kept)
        best = [row["step"] for row in RunFolder(tmp_path / kept).rows() if row["is_best"]][-1]
        found = [int(path.name.removeprefix("step-")) for path in RunFolder(tmp_path / kept).checkpoints()]
        assert found == sorted({*steps, best})
    run(tmp_path / "all", is_resumed=True, keep_checkpoints="last")  # at its end: nothing is saved anew, and nothing goes


def test_the_score_does_not_depend_on_the_trials_seed() -> None:
    """Every trial is scored on the same subset of validation."""
    from trm.training.scoring import evaluation_plan

    other = cases.config_of(evaluation={"max_examples": 5})
    for seed in (1, 2):
        config = cases.config_of(seed=seed, evaluation={"max_examples": 5})
        plan = evaluation_plan(config, cases.SPLITS["validation"], cases.manifest(), is_whole=False)
        assert plan.examples.tolist() == evaluation_plan(other, plan.split, cases.manifest(), is_whole=False).examples.tolist()
        assert len(plan.examples) == 5


def test_a_leg_that_is_stopped_raises_and_leaves_no_checkpoint(tmp_path: Path) -> None:
    reporter = StopAt(step=5)
    with pytest.raises(InterruptedRun, match="stopped at step 5 of 20"):
        leg(20, to=tmp_path / "a", reporter=reporter)
    assert reporter.steps == [1, 2, 3, 4, 5]
    with pytest.raises(InterruptedRun, match="stopped in the evaluation at step 6"):
        leg(6, to=tmp_path / "a", reporter=StopAt(evaluation=1))
    assert not (tmp_path / "a").exists()


def test_a_leg_does_not_go_backwards(tmp_path: Path) -> None:
    leg(5, to=tmp_path / "a")
    with pytest.raises(CheckpointError, match="at step 5, the leg ends at 4"):
        leg(4, saved(tmp_path / "a", 5))


def test_a_run_keeps_the_last_two_checkpoints_and_the_best(tmp_path: Path) -> None:
    run(tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    rows = folder.rows()
    best = [row for row in rows if row["is_best"]][-1]
    assert [row["step"] for row in rows] == [4, 8, 12, 16, 20]
    assert {path.name for path in folder.checkpoints()} == {f"step-{step:08d}" for step in {best["step"], 16, 20}}
    assert max((row["validation"]["exact_accuracy"], -row["validation"]["loss"]) for row in rows) == (
        best["validation"]["exact_accuracy"],
        -best["validation"]["loss"],
    )
    assert json.loads((folder.best / "report.json").read_text()) == best
    assert rows[-1]["seconds_left"] == 0 < rows[0]["seconds_left"]
    assert sum(rows[-1]["seconds"].values()) > sum(rows[0]["seconds"].values()) > 0


@pytest.mark.parametrize("stop", [StopAt(step=6), StopAt(step=8), StopAt(evaluation=3)])
def test_a_stopped_run_goes_on_as_if_nothing_had_happened(tmp_path: Path, stop: StopAt) -> None:
    with pytest.raises(InterruptedRun, match="can be resumed"):
        run(tmp_path / "stopped", reporter=stop)
    run(tmp_path / "stopped", is_resumed=True)
    run(tmp_path / "whole")
    assert_same_run(tmp_path / "stopped", tmp_path / "whole")


def test_a_killed_run_goes_on_from_its_newest_checkpoint(tmp_path: Path) -> None:
    """Killed after an evaluation was written and before its checkpoint was: the line is cut, and half a save is swept up."""
    run(tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    folder = RunFolder(tmp_path / "killed")
    with (tmp_path / "killed" / "metrics.jsonl").open("ab") as metrics:
        metrics.write(b'{"step": 21, "torn')
    folder.checkpoint(20).rename(folder.path / "checkpoints" / ".step-00000020.77.tmp")
    run(tmp_path / "killed", is_resumed=True)
    assert_same_run(tmp_path / "killed", tmp_path / "whole")
    assert not list((folder.path / "checkpoints").glob(".*"))


def test_a_finished_run_that_is_resumed_is_done_at_once(tmp_path: Path) -> None:
    run(tmp_path / "run")
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    stop = StopAt()
    run(tmp_path / "run", is_resumed=True, reporter=stop)
    assert stop.steps == []
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


def test_a_run_can_be_made_longer(tmp_path: Path) -> None:
    run(tmp_path / "run", steps=12)
    run(tmp_path / "run", is_resumed=True)
    run(tmp_path / "whole")
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_a_folder_holds_one_run(tmp_path: Path) -> None:
    run(tmp_path / "run", steps=4)
    with pytest.raises(CheckpointError, match="a run needs a folder of its own"):
        run(tmp_path / "run")
    with pytest.raises(CheckpointError, match="has none; start it anew"):
        run(tmp_path / "empty", is_resumed=True)


def test_every_length_becomes_steps() -> None:
    """20 epochs of 4 groups of 3 examples fill 30 batches of 8."""
    manifest = cases.manifest()
    base = {"global_batch_size": 8}
    values = cases.config_of().model_dump()
    step_flops = cases.begin(cases.config_of()).flops.last
    for length, steps in (({"epochs": 20}, 30), ({"steps": 3}, 3), ({"train_flops": 2.5 * step_flops}, 3)):
        config = type(CONFIG).model_validate(values | {"training": base | length})
        assert run_steps(config, manifest) == steps


def test_overhead_of_a_leg_of_one_step_is_small() -> None:
    """Building the state, the plans and the reports; the checkpoint's fsyncs are the disk's business."""
    leg(1)
    assert min(leg(1).overhead_seconds for _ in range(5)) < 0.05


@pytest.mark.parametrize("whole", [1, 0])
def test_a_run_whose_newest_checkpoints_are_damaged_goes_on_from_an_older_one_or_the_start(tmp_path: Path, whole: int) -> None:
    run(tmp_path / "undisturbed")
    with pytest.raises(InterruptedRun):
        run(tmp_path / "stopped", reporter=StopAt(step=14))
    folder = RunFolder(tmp_path / "stopped")
    found = folder.checkpoints()
    for checkpoint in found[whole:]:
        (checkpoint / "model.safetensors").write_bytes(b"")
    newest, torn = folder.newest_whole()
    assert newest == (found[0] if whole else None)
    assert [str(path) in problem for path, problem in zip(reversed(found[whole:]), torn, strict=True)] == [True] * (
        len(found) - whole
    )
    run(tmp_path / "stopped", is_resumed=True)
    assert_same_run(tmp_path / "stopped", tmp_path / "undisturbed")


@pytest.mark.parametrize("left", ["", "\0" * 50, "cut"])
def test_a_best_evaluation_that_lost_its_line_is_still_the_best(tmp_path: Path, left: str) -> None:
    run(tmp_path / "undisturbed")
    with pytest.raises(InterruptedRun):
        run(tmp_path / "stopped", reporter=StopAt(step=14))
    folder, metrics = RunFolder(tmp_path / "stopped"), tmp_path / "stopped" / "metrics.jsonl"
    assert folder.losses() == []
    before = folder.rows()
    best = [row["step"] for row in before if row["is_best"]][-1]
    metrics.write_bytes(metrics.read_bytes()[:-5] if left == "cut" and best == before[-1]["step"] else left.encode())
    assert best in [row["step"] for row in folder.rows()]
    assert f"has lost the evaluation at step {best}" in folder.losses()[-1]
    assert len(folder.losses()) == 1 + bool(left)
    run(tmp_path / "stopped", is_resumed=True)
    one, other = (
        [row["step"] for row in RunFolder(tmp_path / name).rows() if row["is_best"]] for name in ("undisturbed", "stopped")
    )
    assert other[-1] == one[-1]
    assert folder.losses() == []


def test_a_line_that_is_no_evaluation_is_one_message(tmp_path: Path) -> None:
    run(tmp_path / "run")
    metrics = tmp_path / "run" / "metrics.jsonl"
    whole = metrics.read_text()
    for wrong in (
        whole.replace('"step"', '"sxtep"', 1),
        whole.replace('"step": ', '"step": "x', 1),
        "[]\n",
        "{}\n",
        "[" * 5000 + "\n",
    ):
        metrics.write_text(wrong)
        with pytest.raises(CheckpointError, match=r"must hold a line an evaluation: [^\n]*$"):
            RunFolder(tmp_path / "run").rows()
