"""The training curve: a point every so many steps, the same whatever interrupts a run, and at no cost to its result."""

import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
import training_cases as cases
from safetensors.torch import load_file

from trm.config.run import RunConfig
from trm.errors import DivergedError, InterruptedRun
from trm.optim.schedule import lr_factor
from trm.training.curve import COLUMNS, MEANS, OWN_MEANS, Curve, CurveFile, default_interval, read_curve
from trm.training.leg import Beginning, LegTask
from trm.training.loop import train
from trm.training.reporting import SILENT, Reporter
from trm.training.run import fit
from trm.training.run_folder import RunFolder
from trm.training.start import start_plan
from trm.training.trainer import run_leg

CLOCKS = ("at", "rows_per_second")


def points(path: Path) -> list[dict[str, Any]]:
    """The curve without its clocks."""
    table = read_curve(path)
    assert table is not None
    return table.drop_columns(list(CLOCKS)).to_pylist()


def run(folder: Path, config: RunConfig, *, is_resumed: bool = False, reporter: Reporter = SILENT) -> list[dict[str, Any]]:
    fit(config, cases.SPLITS, cases.manifest(), folder=folder, is_resumed=is_resumed, reporter=reporter)  # type: ignore[arg-type]
    return points(folder / "curves.parquet")


def every(steps: int, **training: Any) -> RunConfig:
    return cases.config_of(training={"log_every_steps": steps, "eval_every_steps": 4, **training})


def saved(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}-attempt-0"


def leg(until: int, source: Path | None, to: Path, curve: Path, reporter: Reporter = SILENT) -> None:
    begins = [] if source is None else [Beginning(str(source))]
    curves = CurveFile(curve, trial=7)
    task = LegTask(every(3), max_steps=cases.STEPS, until_steps=until, begins=begins, folder=str(to), curve=curves)
    run_leg(task, cases.SPLITS, cases.manifest(), reporter=reporter)  # type: ignore[arg-type]


def test_a_point_is_the_mean_over_the_steps_since_the_last_one(tmp_path: Path) -> None:
    """Against the loss of every single step; learning rate and FLOPs are those of the point's step."""
    losses = cases.losses_until(cases.begin(cases.config_of()), cases.STEPS)
    state = cases.begin(every(5))
    state.curve = Curve(tmp_path / "curves.parquet")
    cases.advance(state, cases.STEPS)
    state.curve.write()
    found = points(tmp_path / "curves.parquet")
    assert [point["step"] for point in found] == [5, 10, 15, 20]
    for point in found:
        step = point["step"]
        assert point["loss"] == pytest.approx(sum(losses[step - 5 : step]) / 5, rel=1e-6)
        assert point["lr"] == state.config.optim.lr * lr_factor(step, state.config.optim, cases.STEPS)
        assert point["train_flops"] == step * state.flops.last
        assert 0 < point["halted_share"] <= 1 <= point["mean_halting_step"] <= 4
    assert set(found[0]) == set(COLUMNS) - set(CLOCKS) - set(OWN_MEANS)
    assert found[0]["q_continue_loss"] is None, "it is not learned"


def test_a_run_has_a_curve_and_a_table_of_its_evaluations(tmp_path: Path) -> None:
    found = run(tmp_path / "run", every(3))
    assert [point["step"] for point in found] == [3, 6, 9, 12, 15, 18]
    rows = pq.read_table(tmp_path / "run" / "evaluations.parquet").to_pylist()
    reports = RunFolder(tmp_path / "run").rows()
    assert [(row["step"], row["split"], row["loss"]) for row in rows] == [
        (report["step"], "validation", report["validation"]["loss"]) for report in reports
    ]


@pytest.mark.parametrize("stop", [5, 6, 8, 11])
def test_an_interrupted_run_has_the_points_of_one_that_was_not(tmp_path: Path, stop: int) -> None:
    """Stopped between points, at one, at an evaluation, after one."""
    with pytest.raises(InterruptedRun):
        run(tmp_path / "stopped", every(3), reporter=cases.StopAt(stop))
    assert run(tmp_path / "stopped", every(3), is_resumed=True) == run(tmp_path / "whole", every(3))


def test_points_beyond_the_checkpoint_of_a_killed_run_are_made_once_more(tmp_path: Path) -> None:
    """Killed with SIGKILL after its curve was written with points that no checkpoint has."""
    paths = os.pathsep.join([str(Path(cases.__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths}
    child = subprocess.run([sys.executable, __file__, str(tmp_path / "killed")], env=environment, check=False)
    assert child.returncode == -signal.SIGKILL
    assert [point["step"] for point in points(tmp_path / "killed" / "curves.parquet")] == [3, 6, 9]
    assert RunFolder(tmp_path / "killed").newest().name == "step-00000008"
    assert run(tmp_path / "killed", every(3), is_resumed=True) == run(tmp_path / "whole", every(3))


def test_how_often_points_are_made_changes_no_weight(tmp_path: Path) -> None:
    run(tmp_path / "often", every(1))
    run(tmp_path / "seldom", every(20))
    one, other = (load_file(RunFolder(tmp_path / name).newest() / "model.safetensors") for name in ("often", "seldom"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert len({every(steps).network_digest() for steps in (1, 7, 1000)}) == 1


def test_the_legs_of_a_trial_make_one_curve(tmp_path: Path) -> None:
    """As does a leg that was stopped on its way, once it goes on from what it saved there."""
    curve, whole = tmp_path / "curves" / "0007.parquet", tmp_path / "whole.parquet"
    leg(7, None, tmp_path / "a", curve)
    assert [point["step"] for point in points(curve)] == [3, 6]
    with pytest.raises(InterruptedRun):
        leg(20, saved(tmp_path / "a", 7), tmp_path / "b", curve, cases.StopAt(11))
    leg(20, saved(tmp_path / "b", 11), tmp_path / "b", curve)
    leg(20, None, tmp_path / "c", whole)
    assert points(curve) == points(whole)
    assert {point["trial"] for point in points(curve)} == {7}


def test_a_leg_that_runs_again_from_its_start_doubles_nothing(tmp_path: Path) -> None:
    curve = tmp_path / "0007.parquet"
    leg(10, None, tmp_path / "a", curve)
    before = points(curve)
    leg(10, None, tmp_path / "b", curve)
    assert points(curve) == before


def test_a_run_that_diverges_shows_how_it_came_to_that(tmp_path: Path) -> None:
    config = every(4)
    state = cases.begin(config)
    state.curve = Curve(tmp_path / "curves.parquet")
    cases.advance(state, 6)
    with torch.no_grad():
        state.parameters[0].fill_(math.nan)
    with pytest.raises(DivergedError):
        train(state, start_plan(state, cases.SPLITS["train"], cases.manifest()), until_steps=20)
    state.curve.write()
    found = points(tmp_path / "curves.parquet")
    assert [point["step"] for point in found] == [4, 7]
    assert all(math.isfinite(point["loss"]) for point in found)


def test_who_adopts_anothers_weights_keeps_the_curve_that_is_its_own(tmp_path: Path) -> None:
    leg(6, None, tmp_path / "a", tmp_path / "one.parquet")
    leg(6, None, tmp_path / "b", tmp_path / "other.parquet")
    task = LegTask(
        cases.adopting(training={"log_every_steps": 3}),
        max_steps=cases.STEPS,
        until_steps=12,
        begins=[Beginning(str(saved(tmp_path / "a", 6)), is_adopted=True)],
        curve=CurveFile(tmp_path / "other.parquet", trial=7),
    )
    own = points(tmp_path / "other.parquet")
    run_leg(task, cases.SPLITS, cases.manifest())  # type: ignore[arg-type]
    found = points(tmp_path / "other.parquet")
    assert [point["step"] for point in found] == [3, 6, 9, 12]
    assert found[:2] == own


@pytest.mark.parametrize("content", [None, b"", b"no Parquet", b"PAR1" * 100])
def test_a_file_that_cannot_be_read_is_begun_anew(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "curves.parquet"
    if content is not None:
        path.write_bytes(content)
    curve = Curve(path, until_step=100)
    assert len(curve) == 0
    curve.add({"step": 1, "at": 1e9, "loss": 0.123456789})
    curve.write()
    assert [(point["step"], point["loss"]) for point in points(path)] == [(1, 0.1234568)]


def test_a_full_disk_costs_the_run_no_more_than_its_curve() -> None:
    curve = Curve("/proc/nothing/curves.parquet")
    curve.add({"step": 1})
    curve.write()
    assert len(curve) == 1


@pytest.mark.parametrize("steps", [1, 60, 199, 200, 201, 65_104, 518_000])
def test_a_run_has_a_hundred_to_two_hundred_points_or_one_a_step(steps: int) -> None:
    assert min(steps, 100) <= steps // default_interval(steps) <= 200


def test_the_interval_of_a_run_that_becomes_longer_stays(tmp_path: Path) -> None:
    run(tmp_path / "run", cases.config_of(training={"steps": 10}))
    found = run(tmp_path / "run", cases.config_of(training={"steps": 400}), is_resumed=True)
    assert [point["step"] for point in found] == list(range(1, 401))


def test_every_mean_of_the_curve_is_one_that_the_loop_makes() -> None:
    state = cases.begin(cases.config_of("continue", training={"log_every_steps": 100}))
    cases.advance(state, 4)
    assert set(state.metrics.take_point()) == set(MEANS)


class KillAt(Reporter):
    """Writes the curve, then dies by SIGKILL at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, progress: Any) -> bool:
        if progress.step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)
        return False


if __name__ == "__main__":
    torch.set_num_threads(1)
    from trm.training import curve

    curve.WRITE_SECONDS = 0.0
    curve.WRITE_SHARE = 1e9
    run(Path(sys.argv[1]), every(3), reporter=KillAt(11))
