"""What a dry run says, and that it starts and writes nothing."""

import re
import socket
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import ray
from cluster_cases import ROOT, SPACE
from search_simulator import FakeCost, Simulator
from space_cases import DEMO

from trm.config.data import DataConfig
from trm.config.files import dump_yaml, merged, parse_yaml
from trm.config.step_costs import StepCosts
from trm.data.format.manifest import read_manifest
from trm.errors import CheckpointError, ConfigError, DatasetError, ResourceError, SweepError
from trm.jobs import dry_run as job
from trm.models.cost import run_cost
from trm.search.journal.lease import Lease
from trm.search.planning.forecast import NO_LIMIT, forecast
from trm.search.planning.rung_choice import with_rungs
from trm.search.planning.survey import Survey
from trm.search.space.candidates import Facts
from trm.search.space.loading import load_space
from trm.search.space.space import SearchSpace
from trm.sweeps.data_sets import DataSets
from trm.sweeps.folder import write_sweep_file
from trm.tasks.counts import data_counts
from trm.tasks.ensure import ensure_dataset
from trm.tasks.sudoku.build import build_sudoku
from trm.tasks.sudoku.recipe import SudokuRecipe
from trm.tasks.sudoku.task import Sudoku
from trm.terminal.forecast import Circumstances, print_forecast
from trm.training.state import TrainingState
from trm.training.weights import export_weights


def cost_of(config: Any) -> FakeCost:
    return FakeCost(1e9 * config.model.H_cycles, 1000, 2 * 10**9 * config.model.H_cycles, 10**8)


def space(**changes: Any) -> SearchSpace:
    return SearchSpace.model_validate(merged(DEMO, {"budget": {"per_trial": 9e11}, **changes}))


def facts() -> Facts:
    known = Facts(epoch_rows=1000.0, disk_bytes=10**9)
    for flops in (1e9, 3e9):
        known.speeds.observe_leg(
            StepCosts.constant(flops), 0, 100, train_seconds=flops / 1e8, eval_seconds=0.0, overhead_seconds=2.0
        )
    return known


def test_compute_time_and_disk_add_up_over_the_legs() -> None:
    seen = forecast(Survey(space(), cost_of, facts()), slots=2)
    spent = seen.expected
    assert (spent.trials, seen.ends_by, spent.scored[0]) == (16, "budget.trials", 16)
    assert 5 < spent.scored[1] < 9, "more than the quota, which is 5"
    assert spent.train_flops == pytest.approx(16 * 3e11 + spent.scored[1] * 6e11, rel=1e-3)
    assert spent.leg_seconds == pytest.approx(spent.train_flops / 1e10 + sum(spent.scored) * 2.0, rel=1e-3)
    assert 0 <= (spent.wall_seconds or 0) - (spent.leg_seconds or 0) / 2 < 62, "one slot may wait for the last leg"
    assert spent.disk_bytes == 16e8
    assert len(seen.samples) == 20
    assert seen.preflight.spread == 3


def test_confirmations_and_controls_are_part_of_what_a_sweep_takes() -> None:
    plain = forecast(Survey(space(), cost_of, facts()), slots=2).expected
    confirmed = forecast(Survey(space(confirm={"top": 2, "seeds": 3}), cost_of, facts()), slots=2).expected
    assert confirmed.train_flops - plain.train_flops == pytest.approx(6 * 9e11, rel=1e-2)
    assert confirmed.disk_bytes == plain.disk_bytes + 6e8
    audited = forecast(Survey(space(audit={"share": 0.5}), cost_of, facts()), slots=2).expected
    assert audited.train_flops - plain.train_flops == pytest.approx(0.5 * (16 - plain.scored[1]) * 6e11, rel=1e-2)
    one = space(budget={"per_trial": 9e11, "trials": 1}, confirm={"top": 2, "seeds": 3})
    few = forecast(Survey(one, cost_of, facts()), slots=2)
    assert few.expected.train_flops == pytest.approx(4 * 9e11, rel=1e-2), "no more candidates than trials"


def test_confirmations_must_leave_compute_for_the_search() -> None:
    little = space(budget={"per_trial": 9e11, "train_flops": 6e12}, confirm={"top": 2, "seeds": 3})
    with pytest.raises(ConfigError, match=r"confirm.top 2 times confirm.seeds 3 trials .* leaves no trial for the search"):
        forecast(Survey(little, cost_of, facts()), slots=2)


@pytest.mark.parametrize(
    ("limit", "ends_by", "trials"),
    [
        ({"train_flops": 2e12}, "budget.train_flops", 3),
        ({"wall_clock_seconds": 110.0}, "budget.wall_clock_seconds", 2),
        ({"gpu_hours": 220 / 3600}, "budget.gpu_hours", 4),
        ({"trials": 10**6}, "budget.trials", 10**6),
    ],
)
def test_the_smallest_limit_ends_the_sweep(limit: dict[str, float], ends_by: str, trials: int) -> None:
    made = space(budget={"trials": None, "per_trial": 9e11, **limit}, resources={"gpus": 1.0})
    seen = forecast(Survey(made, cost_of, facts()), slots=2)
    assert (seen.ends_by, seen.expected.trials) == (ends_by, trials)


def test_a_small_space_ends_by_itself_and_a_clock_without_speed_ends_nothing() -> None:
    few = space(start_points=[])
    few = few.model_copy(update={"search": {"model.H_cycles": few.search["model.H_cycles"]}})
    seen = forecast(Survey(few, cost_of, facts()), slots=1)
    assert (seen.ends_by, seen.expected.trials) == ("the size of the space", 3)
    endless = space(budget={"trials": None, "per_trial": 9e11, "wall_clock_seconds": 9.0})
    assert forecast(Survey(endless, cost_of, Facts()), slots=1).ends_by == NO_LIMIT


def test_what_is_turned_down_is_counted_by_rule() -> None:
    known = facts()
    known.memory.device(5 * 10**9)
    seen = forecast(Survey(space(constraints=["not mlp_t or hidden_size == 64"]), cost_of, known), slots=1)
    assert set(seen.rejected) == {"not mlp_t or hidden_size == 64", "predicted memory <= 5 GB, what a worker may use"}
    assert seen.accepted + sum(seen.rejected.values()) == seen.drawn
    assert seen.accepted / seen.drawn == pytest.approx(0.75 * 2 / 3, abs=0.08)


def test_a_wide_spread_brings_advice(capsys: pytest.CaptureFixture[str]) -> None:
    made = space(search={"model.H_cycles": {"type": "int", "low": 1, "high": 40}}, budget={"per_trial": 2e13})
    known = facts()
    circumstances = Circumstances(["somewhere"], 1, 10**10, "a guess", "all")
    print_forecast(made, forecast(Survey(made, cost_of, known), slots=1), known, circumstances)
    text = capsys.readouterr().out
    assert "40 times as much" in text
    assert "`step_gflops >= 2.5`" in text
    assert "set keep.best or keep.bytes" in text
    assert "\x1b" not in text


def tree(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*"))


def seen_in(folder: Path) -> list[str]:
    """Without hidden names: other tests' tools keep caches there."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(job, "TIMED_SECONDS", 0.02)
    (tmp_path / "tiny.yaml").write_text(SPACE)
    return tmp_path / "runs"


def test_a_dry_run_says_everything_and_leaves_nothing(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = tree(storage.parent), seen_in(ROOT)
    assert job.dry_run(str(storage.parent / "tiny.yaml"), ["budget.trials=9"], str(storage)) == 0
    assert (tree(storage.parent), seen_in(ROOT)) == before
    assert not ray.is_initialized()
    text = capsys.readouterr().out
    samples = text.split("20 configurations")[1].split("\n\n")[0].splitlines()[2:]
    assert len(samples) == 20
    assert all(re.search(r"[GM]FLOP .* MB .*hidden_size (8|16), L_cycles [123], lr 0.0", line) for line in samples)
    assert "a guess from a few training steps here and now" in text
    assert re.search(r"\n +0 +20 GFLOP +9 +\d+ +\d:\d\d ", text)
    assert re.search(r"\n +1 +40 GFLOP +[4-6](\.\d)? +\d+ +\d:\d\d ", text), "at least the quota"
    assert "9, ended by budget.trials" in text
    assert "None of 500 random draws is turned down." in text


def test_legs_of_earlier_sweeps_tell_the_speed(
    storage: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = SearchSpace.model_validate({"name": "tiny", **parse_yaml(SPACE, "tiny")})
    folder = storage / "tiny-1"
    folder.mkdir(parents=True)
    dump_yaml(folder / "sweep.yaml", {"space": made.model_dump(mode="json")})

    def timed(order: Any) -> dict[str, Any]:
        return {"status": "completed", "objective": 0.5, "loss": 1.0, "train_seconds": 7200.0, "eval_seconds": 0.0}

    Simulator(made, folder, outcome=timed).run()
    monkeypatch.setattr(socket, "gethostname", lambda: "here")
    job.dry_run(str(storage.parent / "tiny.yaml"), [], str(storage))
    text = capsys.readouterr().out
    assert "from the legs of tiny-1" in text
    assert re.search(r"\n +0 +20 GFLOP +4 +\d+ +(1:\d\d|2):\d\d:\d\d ", text), text
    job.dry_run(str(storage.parent / "tiny.yaml"), ["resources.cpus=2"], str(storage))
    assert "a guess from a few training steps" in capsys.readouterr().out


def test_what_a_sweep_would_refuse_is_refused(storage: Path) -> None:
    path = str(storage.parent / "tiny.yaml")
    with pytest.raises(ConfigError, match="first rung"):
        job.dry_run(path, ["budget.per_trial=1e8"], str(storage))
    with pytest.raises(ConfigError, match=r"objective\.metric"):
        job.dry_run(path, ["objective.metric=accuracie"], str(storage))
    with pytest.raises(ResourceError, match="none"):
        job.dry_run(path, ["fidelity=seconds", "budget.per_trial=600", "resources.gpus=1"], str(storage))


def test_weights_to_start_from_must_fit_every_network_as_for_the_sweep(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, weights = str(storage.parent / "tiny.yaml"), storage.parent / "weights"
    made = load_space(path, [])
    config = made.run_config({"model.hidden_size": 16, "model.L_cycles": 1, "optim.lr": 1e-3}, seed=0, folder="x")
    export_weights(TrainingState(config, data_counts(made.data, str(storage), print).shape, max_steps=1), weights)
    start = f"base.start.from={weights}"
    with pytest.raises(
        CheckpointError, match=r"must fit its network: of .* is \(.*they tell of search.model.hidden_size.values: \[16\]: give that"
    ):
        job.dry_run(path, [start], str(storage))
    fitting = ["search.model.hidden_size.values=[16]", "search.model.L_cycles.high=2"]
    for table, said in (("keep", "tensors are taken\n"), ("by_name", "rows get their names when the data set is built")):
        capsys.readouterr()
        assert job.dry_run(path, [start, f"base.start.puzzle_embedding={table}", *fitting], str(storage)) == 0
        told = capsys.readouterr().err
        assert f"starts from {weights}: " in told
        assert said in told
        assert "trained in another network than here: model.L_cycles 1 there, 2 here" in told
    assert not storage.exists()


def begun(storage: Path, name: str, trials: int = 2) -> Path:
    """A sweep of the tiny space, driven by nobody now."""
    path = storage.parent / "tiny.yaml"
    made = load_space(path, [f"budget.trials={trials}"])
    counts = data_counts(made.data, str(storage / "data"), print)
    manifest = read_manifest(ensure_dataset(made.data, str(storage / "data"), print))
    made = with_rungs(Survey(made, partial(run_cost, shape=counts.shape), Facts(epoch_rows=counts.epoch_rows))).space
    folder = storage / name
    folder.mkdir()
    Simulator(made, folder).run()
    write_sweep_file(folder, made, DataSets.one(manifest, made.data.built(str(storage / "data"))), {})
    return folder


def test_any_command_may_be_tried_first(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(storage.parent / "tiny.yaml")
    with socket.create_server(("127.0.0.1", 0)) as cluster:
        address = f"127.0.0.1:{cluster.getsockname()[1]}"
        assert job.dry_run(path, [], str(storage), place=job.Place("new", address=address)) == 0
    said = capsys.readouterr().err
    assert f"it would be the sweep {storage}/new" in said
    assert f"what the cluster ({address}) has is not asked" in said
    assert not storage.exists()
    folder = begun(storage, "old")
    before = {name: (folder / name).read_bytes() for name in ("journal.jsonl", "sweep.yaml")}
    with pytest.raises(SweepError, match="exists; go on with it by --resume, or give another --name"):
        job.dry_run(path, [], str(storage), place=job.Place("old"))
    with pytest.raises(SweepError, match=r"there is no sweep to resume in .*none; the sweeps there are old"):
        job.dry_run(path, [], str(storage), place=job.Place("none", is_resume=True))
    with pytest.raises(SweepError, match="started with another search space: seed: 0 -> 1"):
        job.dry_run(path, ["seed=1"], str(storage), place=job.Place("old", is_resume=True))
    capsys.readouterr()
    assert job.dry_run(path, ["budget.trials=9", "confirm.top=2"], str(storage), place=job.Place("old", is_resume=True)) == 0
    shown = capsys.readouterr()
    assert f"it would go on with the sweep {folder}" in shown.err
    assert "2 of 2" in shown.err
    assert "Nothing is started" in shown.out
    with Lease(folder), pytest.raises(SweepError, match="a living driver holds"):
        job.dry_run(path, [], str(storage), place=job.Place("old", is_resume=True))
    assert {name: (folder / name).read_bytes() for name in before} == before
    with pytest.raises(ResourceError, match="HOST:PORT"):
        job.dry_run(path, [], str(storage), place=job.Place(address="nowhere"))


@pytest.mark.parametrize("mode", ["resident", "stream"])
def test_a_recipe_is_counted_as_its_data_set_is(storage: Path, mode: str) -> None:
    data = DataConfig.model_validate({"recipe": "datasets/sudoku4x4.yaml", "mode": mode})
    said: list[str] = []
    before = data_counts(data, str(storage), said.append)
    assert not storage.exists()
    assert bool(said) == (mode == "stream")
    manifest = read_manifest(ensure_dataset(data, str(storage), said.append))
    after = data_counts(data, str(storage), said.append)
    assert (before.shape, before.epoch_rows, before.validation_rows) == (after.shape, after.epoch_rows, after.validation_rows)
    assert after.shape == manifest.shape


def test_more_4x4_puzzles_than_there_are_are_refused_before_they_are_built(storage: Path) -> None:
    path = str(storage.parent / "tiny.yaml")
    with pytest.raises(DatasetError, match=r"there are only 4710 essentially different 4x4 .*: 100000 train \+ .* were asked for"):
        job.dry_run(path, ["search.data.train={type: choice, values: [250, 100000]}"], str(storage))
    for limits, existing in (({"train": 4711}, 4710), ({"minimal": True, "train": 4000}, r"\d+"), ({"min_difficulty": 1}, 0)):
        recipe = SudokuRecipe.model_validate({"name": "case", "size": 4, "validation": 0, "test": 1} | limits)
        with pytest.raises(DatasetError, match=f"there are only {existing} essentially") as foretold:
            Sudoku().counted(recipe)
        with pytest.raises(DatasetError) as built:
            build_sudoku(recipe)
        assert str(foretold.value) == str(built.value)
    assert not storage.exists()


def test_arc_is_built_in_memory_and_dropped(storage: Path) -> None:
    data = DataConfig(recipe="datasets/arc1.yaml", overrides={"num_aug": 1})
    said: list[str] = []
    counts = data_counts(data, str(storage), said.append)
    assert said == ["counting the data set of datasets/arc1.yaml, which is not built yet; nothing is stored"]
    assert counts.shape.num_puzzle_identifiers > 800
    assert counts.forms == 2
    assert not storage.exists()
