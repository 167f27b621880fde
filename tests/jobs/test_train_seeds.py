"""Several seeds of one configuration: each a run as if it were alone, resumable, with their mean and its interval."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trm.errors import ConfigError, DivergedError, InterruptedRun
from trm.jobs import train_seeds
from trm.jobs.train import TrainOptions, run_training
from trm.jobs.train_seeds import SeedScore, means, run_seeds
from trm.training.reporting import RunReport

CONFIG = """
data: {recipe: datasets/sudoku4x4.yaml, overrides: {train: 24, validation: 8, test: 4}}
model: {mlp_t: true, pos_encodings: none, puzzle_emb_len: 1, H_cycles: 1, L_cycles: 1, hidden_size: 16, halt_max_steps: 2}
optim: {lr: 2e-3, lr_warmup_steps: 0, ema_warmup: true}
training: {global_batch_size: 8, steps: 6, eval_every_steps: 3}
seed: 3
tracking: {enabled: false}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeds")
    (folder / "tiny.yaml").write_text(CONFIG)
    return folder


def options(folder: Path, **changes: Any) -> TrainOptions:
    known = {"workers": 1, "out": None, "storage": str(folder / "runs"), "resume": None, "gpus": 0.0, "address": None}
    return TrainOptions(**{"config": str(folder / "tiny.yaml"), "overrides": (), **known, **changes})


def scores(run: Path) -> list[dict[str, float]]:
    return [json.loads(line)["validation"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def summary(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "summary.json").read_text())
    return found


def test_seeds_are_runs_of_their_own_and_go_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun: list[TrainOptions] = []

    def interrupted(given: TrainOptions) -> int:
        begun.append(given)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return run_training(given)

    monkeypatch.setattr(train_seeds, "run_training", interrupted)
    with pytest.raises(InterruptedRun, match=r"1 of 3 seeds are done; go on with .* --resume .*tiny-seeds-1`"):
        run_seeds(options(folder), 3)
    series = folder / "runs" / "tiny-seeds-1"
    assert [row["seed"] for row in summary(series)["seeds"]] == [3]
    (series / "seed-4").mkdir()
    (series / "seed-4" / "config.yaml").write_text("killed before its first checkpoint")
    assert run_seeds(options(folder, config=None, resume=str(series), storage=None), 4) == 0
    assert [path.name for path in sorted(series.glob("seed-*"))] == ["seed-3", "seed-4", "seed-5", "seed-6"]
    assert len(begun) == 5, "what is done is not trained again"
    alone = folder / "alone"
    run_training(options(folder, overrides=("seed=5",), out=str(alone)))
    assert scores(series / "seed-5") == scores(alone)
    rows = summary(series)["seeds"]
    assert [row["seed"] for row in rows] == [3, 4, 5, 6]
    assert rows[2]["scores"]["loss"] in [row["loss"] for row in scores(alone)]
    shown = capsys.readouterr().out
    assert "mean of 4 seeds" in shown
    mean = summary(series)["means"]["loss"]
    assert mean["mean"] == pytest.approx(sum(row["scores"]["loss"] for row in rows) / 4)
    assert mean["low"] < mean["mean"] < mean["high"]


def test_a_seed_that_diverges_is_a_row_and_the_others_go_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverging(given: TrainOptions) -> int:
        if given.overrides == ("seed=4",):
            raise DivergedError("loss is nan at step 2")
        return run_training(given)

    monkeypatch.setattr(train_seeds, "run_training", diverging)
    series = folder / "one diverges"
    assert run_seeds(options(folder, out=str(series)), 3) == 1
    assert [row["error"] for row in summary(series)["seeds"]] == [None, "loss is nan at step 2", None]


@pytest.mark.parametrize(
    ("changes", "count", "said"),
    [
        ({}, 0, "--seeds must be from 1 to 1000, got 0"),
        ({"config": None}, 2, "seeds are those of a configuration"),
        ({"resume": "nowhere", "config": None}, 2, "nowhere holds no seeds.json"),
    ],
)
def test_what_cannot_be_is_refused(folder: Path, changes: dict[str, Any], count: int, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        run_seeds(options(folder, **changes), count)


def test_a_series_keeps_its_configuration_and_its_seeds(folder: Path) -> None:
    series = folder / "kept"
    series.mkdir()
    (series / "seeds.json").write_text(json.dumps({"seeds": [1, 2]}))
    shutil.copy(folder / "tiny.yaml", series / "config.yaml")
    given = options(folder, config=None, resume=str(series))
    with pytest.raises(ConfigError, match="with the configuration that is there"):
        run_seeds(replace(given, overrides=("seed=3",)), None)
    with pytest.raises(ConfigError, match="has 2 seeds already, got --seeds 1"):
        run_seeds(given, 1)


def test_the_interval_is_students() -> None:
    def score(seed: int, **values: float) -> SeedScore:
        return SeedScore(seed, RunReport(1, 1, 1.0, values, {}, {}, 0.0, is_best=True))

    both = [score(0, loss=1.0, exact_accuracy=0.0, examples=8.0), score(1, loss=3.0, exact_accuracy=0.5, examples=8.0)]
    found = means([*both, SeedScore(2, None, "lost")])
    assert list(found) == ["loss", "exact_accuracy"]
    assert found["loss"].mean == 2.0
    assert found["loss"].high == pytest.approx(2 + 12.706 * math.sqrt(2) / math.sqrt(2), rel=1e-3), "t of one degree of freedom"
    assert (found["loss"].low, found["exact_accuracy"].low, found["exact_accuracy"].high) == (0, 0, 1), "never beyond what can be"
    assert means([score(0, loss=1.0)])["loss"].low is None
    assert means([]) == {}
