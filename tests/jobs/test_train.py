"""`ray_jobs/train.py` as a person uses it: a whole run, one that is stopped and resumed, one without validation."""

import json
import os
import signal
from pathlib import Path

import pytest
from bad_input_cases import said_by
from cluster_cases import started, wait_until

CONFIG = """
data: {recipe: datasets/sudoku4x4.yaml, overrides: {validation: 50, test: 50}}
model: {mlp_t: true, pos_encodings: none, puzzle_emb_len: 1, H_cycles: 1, L_cycles: 1, hidden_size: 16, halt_max_steps: 2}
optim: {lr: 2e-3, lr_warmup_steps: 0, ema_warmup: true, puzzle_emb_lr: 1e-3}
training: {global_batch_size: 16, steps: 40, eval_every_steps: 20}
evaluation: {max_examples: 32}
tracking: {enabled: false}
"""


def train(folder: Path, *arguments: str) -> str:
    code, output = said_by("train", *arguments, "--storage", folder / "runs")
    assert code == 0, output
    return output


def rows(run: Path) -> list[dict[str, object]]:
    """Evaluations of a run without its clocks."""
    whole = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{"step": row["step"], "validation": row["validation"]} for row in whole]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train")
    (folder / "tiny.yaml").write_text(CONFIG)
    return folder


@pytest.fixture(scope="module")
def whole(folder: Path) -> Path:
    output = train(folder, str(folder / "tiny.yaml"), "--out", str(folder / "whole"))
    assert "evaluate.py" in output
    assert "curves.png, examples.png\n" in output
    assert "mlflow ui" not in output, "it is not tracked"
    return folder / "whole"


def test_a_run_ends_with_weights_and_a_line_an_evaluation(whole: Path) -> None:
    assert [row["step"] for row in rows(whole)] == [20, 40]
    assert (whole / "best" / "model.safetensors").is_file()


def test_a_run_that_was_stopped_goes_on_to_the_same_end(folder: Path, whole: Path) -> None:
    stopped = folder / "stopped"
    options = (str(folder / "tiny.yaml"), "--out", str(stopped), "--storage", str(folder / "runs"))
    with started("train", *options, "--set", "training.steps=100000") as process:
        wait_until(lambda: any((stopped / "checkpoints").glob("step-*")), process)
        os.kill(process.pid, signal.SIGTERM)
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 130, output
    step = max(int(path.name.removeprefix("step-")) for path in (stopped / "checkpoints").glob("step-*"))
    end = max(40, -(-step // 20) * 20 + 20)
    train(folder, "--resume", str(stopped), "--set", f"training.steps={end}")
    assert rows(stopped)[:2] == rows(whole)
    assert rows(stopped)[-1]["step"] == end


def test_a_set_without_validation_is_trained_on_whole(folder: Path) -> None:
    run = folder / "unvalidated"
    output = train(folder, str(folder / "tiny.yaml"), "--out", str(run), "--set", "data.overrides.validation=0")
    assert "nothing is scored on the way; after the last step its weights are exported and scored on test, once" in output
    report = json.loads((run / "best" / "report.json").read_text())
    assert (report["step"], report["validation"], report["label"]) == (40, {}, "test, once, after the last step")
    code, output = said_by("evaluate", run, "--storage", folder / "runs")
    assert code == 0, output
    assert f"exact_accuracy {100 * report['test']['exact_accuracy']:.2f} %" in " ".join(output.split())
