"""Recorded learning curves: what is trained next, what a run is scored at, and what the committed tables promise."""

import json
import math
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import training_cases
from training_cases import SPLITS, config_of

from benchmarks.search.assembling import best_configs, clock_seconds, noise, table_of, within_noise, write_table
from benchmarks.search.record import TABLES, Job, Plan, next_round
from benchmarks.search.recording import EPOCHS, FRACTIONS, Grid, Run, finished, points, record, runs_digest, save
from trm.config.run import RunConfig
from trm.models.cost import RunCost, run_cost
from trm.search.planning.preflight import preflight
from trm.search.planning.survey import Survey
from trm.search.schedulers.asha import Asha
from trm.search.space.loading import load_space
from trm.search.space.space import SearchSpace
from trm.tasks.counts import data_counts
from trm.training.leg import LegTask
from trm.training.start import RunData
from trm.training.trainer import run_leg

NAMES = sorted(path.stem for path in TABLES.glob("*.yaml"))
SPACE: dict[str, Any] = {
    "name": "tiny",
    "data": {"folder": "somewhere"},
    "base": config_of().model_dump(mode="json", include={"model", "optim", "evaluation"}) | {"training": {"global_batch_size": 8}},
    "search": {
        "model.H_cycles": {"type": "choice", "values": [1, 2]},
        "optim.lr": {"type": "choice", "values": [1e-3, 3e-3]},
    },
    "budget": {"trials": 4, "per_trial": 5e7},
}


@pytest.fixture(scope="module")
def grid() -> Grid:
    splits = RunData(train=SPLITS["train"], validation=SPLITS["validation"])
    return Grid(SearchSpace.model_validate(SPACE), "somewhere", training_cases.manifest(), splits)


def run(config: int, seed: int, final: float) -> Run:
    row = {"step": 3.0, "train_flops": 3e9, "exact_accuracy": final, "loss": 0.5, "cell_accuracy": 0.5, "seconds": 0.25}
    return Run(config, seed, {"optim.lr": 1e-3 * config}, [row], False, "abc", 10.0 * seed, 10.0 * seed + 5, 0.25, 0.1)


def test_a_recorded_run_is_what_a_trial_of_a_sweep_is_at_every_rung(grid: Grid) -> None:
    candidate = grid.candidates[1]
    recorded = {row["step"]: row for row in record(grid, 1, 7, "abc").rows}
    config = grid.space.run_config(candidate.params, seed=7, folder="somewhere", max_steps=candidate.max_steps)
    assert candidate.rung_steps == Asha(rungs=3).rungs_up_to(5e7).steps(candidate.amounts)
    for steps in candidate.rung_steps:
        outcome = run_leg(LegTask(config, candidate.max_steps, steps), grid.splits, grid.manifest)
        row = recorded[steps]
        assert (row["exact_accuracy"], row["loss"]) == (outcome.metrics["exact_accuracy"], outcome.metrics["loss"])
        assert row["train_flops"] == outcome.train_flops


@pytest.mark.parametrize(("eta", "rungs"), [(2, 5), (3, 4), (4, 3)])
def test_the_points_are_the_rungs_of_halving_by_two_three_and_four(grid: Grid, eta: int, rungs: int) -> None:
    for candidate in grid.candidates:
        assert set(Asha(eta=eta, rungs=rungs).rungs_up_to(5e7).steps(candidate.amounts)) <= set(points(candidate, 5e7, 5))


def test_a_diverged_run_scores_nothing_from_there_on(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.search import recording
    from trm.errors import DivergedError

    real, calls = recording.score, iter(range(100))

    def score(*given: Any) -> Any:
        if next(calls) >= 3:
            raise DivergedError("the validation loss is nan")
        return real(*given)

    monkeypatch.setattr(recording, "score", score)
    found = record(grid, 0, 0, "abc")
    assert found.is_diverged
    assert [row["step"] for row in found.rows] == points(grid.candidates[0], 5e7, grid.epoch_steps)
    assert [math.isinf(row["loss"]) for row in found.rows] == [index >= 3 for index in range(len(found.rows))]
    assert found.final == 0.0


def test_every_seed_of_every_task_comes_in_turn_then_more_of_the_best() -> None:
    plan, sizes = Plan(seeds=2, best=1, best_seeds=4), {"a": 3, "b": 2}
    done: dict[str, set[tuple[int, int]]] = {"a": set(), "b": set()}
    rounds = []
    while jobs := next_round(plan, done, sizes, {"a": [2], "b": [0]}):
        rounds.append([(job.task, job.seed) for job in jobs])
        for job in jobs:
            assert (job.config, job.seed) not in done[job.task]
            done[job.task].add((job.config, job.seed))
    first = [[("a", 0)] * 3, [("b", 0)] * 2, [("a", 1)] * 3, [("b", 1)] * 2]
    assert rounds == [*first, [("a", 2), ("a", 3), ("b", 2), ("b", 3)]]


def test_a_recorder_that_was_stopped_goes_on_with_what_is_missing() -> None:
    done = {"a": {(config, 0) for config in range(3) if config != 1}, "b": set[tuple[int, int]]()}
    assert next_round(Plan(1, 0, 0), done, {"a": 3, "b": 1}, {"a": [], "b": []}) == [Job("a", 1, 0)]


def test_finished_runs_come_back_and_a_torn_one_does_not_count(tmp_path: Path) -> None:
    runs = [run(0, 0, 0.5), run(0, 1, 0.25), run(11, 0, 1.0)]
    for one in reversed(runs):
        save(one, tmp_path)
    (tmp_path / ".003-00.json.torn").write_text("{")
    assert finished(tmp_path) == runs


def test_another_length_is_another_recording_but_another_scheduler_is_not() -> None:
    space = SearchSpace.model_validate(SPACE)
    assert runs_digest(SearchSpace.model_validate(SPACE | {"scheduler": "none", "seed": 5})) == runs_digest(space)
    assert runs_digest(SearchSpace.model_validate(SPACE | {"budget": {"trials": 4, "per_trial": 6e7}})) != runs_digest(space)


def test_noise_is_what_a_seed_moves_the_best_by() -> None:
    """Configuration k scores 0.1 k, its seeds scatter by 0.02: only the best is within that of itself."""
    draw = random.Random(0)
    runs = [run(config, seed, 0.1 * config + draw.gauss(0, 0.02)) for config in range(10) for seed in range(8)]
    assert best_configs(runs, 3) == [9, 8, 7]
    assert noise(runs, 10) == pytest.approx(0.02, rel=0.2)
    assert within_noise(runs, 10) == [9]
    assert within_noise([*runs, *(run(10, seed, 0.89) for seed in range(3))], 10) == [9, 10]
    assert noise([run(0, 0, 0.5)], 10) == 0.0


def test_seconds_by_the_clock_count_what_ran_side_by_side_once() -> None:
    assert clock_seconds([(0, 10), (5, 12), (20, 21), (6, 7)]) == 13
    assert clock_seconds([]) == 0


def test_a_partial_table_says_what_it_has(grid: Grid, tmp_path: Path) -> None:
    runs = [record(grid, config, 0, "abc") for config in range(2)]
    made = write_table(grid, runs, tmp_path / "tiny", best=10)
    assert (made["runs"], made["seeds"], made["commits"]) == (2, {"least": 0, "of_the_best": 1}, ["abc"])
    table = pq.read_table(tmp_path / "tiny.parquet")
    assert table == table_of(runs)
    assert made["examples"] == len(SPLITS["validation"])
    assert table.column_names[:4] == ["config", "model.H_cycles", "optim.lr", "seed"]
    assert table["step"].to_pylist() == [row["step"] for one in runs for row in one.rows]
    assert json.loads((tmp_path / "tiny.json").read_text())["noise"] == 0.0


# The committed tables ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=NAMES)
def committed(request: pytest.FixtureRequest) -> tuple[SearchSpace, dict[str, Any], list[dict[str, Any]]]:
    path = TABLES / request.param
    space, notes = load_space(path.with_suffix(".yaml")), json.loads(path.with_suffix(".json").read_text())
    return space, notes, pq.read_table(path.with_suffix(".parquet")).to_pylist()


Committed = tuple[SearchSpace, dict[str, Any], list[dict[str, Any]]]


def cost_of(space: SearchSpace) -> Any:
    shape = data_counts(space.data, "nowhere", lambda line: None).shape

    def cost(config: RunConfig) -> RunCost:
        return run_cost(config, shape)

    return cost


def test_every_configuration_of_the_grid_is_there_with_its_seeds(committed: Committed) -> None:
    space, notes, rows = committed
    combinations = {tuple(row[path] for path in space.search) for row in rows}
    assert len(combinations) == len({row["config"] for row in rows}) == math.prod(knob.count for knob in space.search.values())
    seeds = Counter(config for config, _ in {(row["config"], row["seed"]) for row in rows})
    assert len(seeds) == notes["configurations"] == 60
    assert min(seeds.values()) >= 3
    assert len(notes["best_configs"]) == 10
    assert min(seeds[config] for config in notes["best_configs"]) >= 6
    assert sum(seeds.values()) == notes["runs"]


def test_every_point_of_every_run_is_there_and_costs_what_the_code_says(committed: Committed) -> None:
    space, notes, rows = committed
    steps: dict[tuple[int, int], list[int]] = {}
    for row in rows:
        steps.setdefault((row["config"], row["seed"]), []).append(row["step"])
        assert row["train_flops"] == row["step"] * notes["step_flops"][row["config"]]
    assert (tuple(notes["fractions"]), tuple(notes["epochs"])) == (FRACTIONS, EPOCHS)
    for (config, _), found in steps.items():
        whole = math.ceil(space.budget.per_trial / notes["step_flops"][config] * (1 - 1e-12))
        shares = {math.ceil(share * space.budget.per_trial / notes["step_flops"][config] * (1 - 1e-12)) for share in FRACTIONS}
        assert sorted(found) == sorted(shares | {n * notes["epoch_steps"] for n in EPOCHS if n * notes["epoch_steps"] <= whole})
    params = {row["config"]: {path: row[path] for path in space.search} for row in rows}
    cost = cost_of(space)
    assert [cost(space.run_config(params[config], seed=0)).step_flops for config in sorted(params)] == notes["step_flops"]


def test_few_configurations_are_within_the_noise_of_the_best(committed: Committed) -> None:
    _, notes, rows = committed
    ends = {(row["config"], row["seed"]): row for row in sorted(rows, key=lambda row: row["step"])}
    runs = [run(config, seed, row["exact_accuracy"]) for (config, seed), row in ends.items()]
    assert within_noise(runs, 10) == notes["within_noise"]
    assert noise(runs, 10) == pytest.approx(notes["noise"])
    assert len(notes["within_noise"]) <= 0.05 * notes["configurations"]


def test_the_space_of_a_table_is_one_that_a_sweep_takes(committed: Committed) -> None:
    space, *_ = committed
    found = preflight(Survey(space, cost_of(space)))
    assert found.spread < 8
    assert len(found.rung_amounts) == 3
