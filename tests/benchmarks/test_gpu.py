"""The script for GPU machines runs where there is none, and says so where it is not told to."""

import json
import sys
from pathlib import Path

import pytest
import torch


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    from benchmarks.gpu import __main__ as gpu

    return gpu


def test_every_check_holds_on_a_cpu_and_a_step_is_timed(
    gpu: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--device", "cpu", "--parts", "checks", "timing", "--seconds", "0.1", "--out", str(tmp_path / "rows.jsonl")]
    monkeypatch.setattr(sys, "argv", ["gpu.py", *given])
    threads = torch.get_num_threads()
    try:
        assert gpu.main() == 0, capsys.readouterr().out
    finally:
        torch.set_num_threads(threads)
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert len([row for row in rows if row.get("ok")]) == 8
    steps = {row["form"]: row for row in rows if row.get("figure") == "step"}
    assert steps.keys() == {"plain", "recorded"}
    assert all(row["ms"]["median"] > 0 for row in steps.values())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(gpu: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    assert gpu.main() == 2
    assert "--device cpu" in capsys.readouterr().err
