"""One worker and several follow the same loss curve, from the start and from each other's checkpoints (float64)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import training_cases as cases
from safetensors.torch import load_file

from trm.distributed import SOLO, Gang
from trm.errors import ConfigError
from trm.training import loop
from trm.training.run_folder import RunFolder
from trm.training.state import TrainingState

WORKERS = 2
HALF = cases.STEPS // 2
CONTINUED, ADOPTED = "attention-continued", "attention-adopted"
Curve = list[float]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Curve], dict[str, dict[str, torch.Tensor]]]:
    """Every variant alone here and by two workers there; `CONTINUED` is half one and half the other, `ADOPTED` with other knobs."""
    folder = tmp_path_factory.mktemp("gang")
    curves, ends = {}, {}
    for variant in cases.VARIANTS:
        state = cases.begin(cases.config_of(variant, model={"forward_dtype": "float64"}))
        curves[variant] = cases.losses_until(state, HALF)
        (folder / variant).mkdir()
        if variant == "attention":
            for name in (CONTINUED, ADOPTED):
                state.save(folder / name / "half")
        curves[variant] += cases.losses_until(state, cases.STEPS)
        ends[variant] = cases.everything(state)
    # Gloo asks for this machine's address by name, which need not resolve; the loop-back interface always does.
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "lo"}
    workers = [
        subprocess.Popen([sys.executable, cases.__file__, "gang", str(folder), str(rank), str(WORKERS)], env=environment)
        for rank in range(WORKERS)
    ]
    try:
        assert [worker.wait(timeout=250) for worker in workers] == [0] * WORKERS
    finally:
        for worker in workers:
            worker.kill()
    return folder, curves, ends


Runs = tuple[Path, dict[str, Curve], dict[str, dict[str, torch.Tensor]]]


@pytest.mark.parametrize("variant", cases.VARIANTS)
def test_two_workers_follow_the_curve_of_one(runs: Runs, variant: str) -> None:
    folder, curves, ends = runs
    together = load_file(folder / variant / "losses.safetensors")["losses"]
    torch.testing.assert_close(together, torch.tensor(curves[variant], dtype=torch.float64), rtol=1e-6, atol=0)
    _assert_same_end(folder / variant / "end", ends[variant])


def test_two_workers_continue_the_checkpoint_of_one(runs: Runs) -> None:
    folder, curves, ends = runs
    together = load_file(folder / CONTINUED / "losses.safetensors")["losses"]
    alone = torch.tensor(curves["attention"][HALF:], dtype=torch.float64)
    torch.testing.assert_close(together, alone, rtol=1e-6, atol=0)
    _assert_same_end(folder / CONTINUED / "end", ends["attention"])


def test_two_workers_adopt_as_one_does(runs: Runs) -> None:
    folder, curves, _ = runs
    adopting = cases.adopting(model={"forward_dtype": "float64"})
    alone = cases.losses_until(cases.resume(folder / ADOPTED / "half", adopting, is_adopted=True), cases.STEPS)
    together = load_file(folder / ADOPTED / "losses.safetensors")["losses"]
    torch.testing.assert_close(together, torch.tensor(alone, dtype=torch.float64), rtol=1e-6, atol=0)
    assert alone != pytest.approx(curves["attention"][HALF:], rel=1e-3)


def test_one_worker_continues_the_checkpoint_of_two(runs: Runs) -> None:
    """Its slots are whole and in global order: the next steps are those of the run that was alone all along."""
    folder, _, _ = runs
    config = cases.config_of("attention", model={"forward_dtype": "float64"})
    alone = cases.begin(config)
    cases.losses_until(alone, cases.STEPS)
    continued = cases.resume(folder / "attention" / "end", config)
    expected = cases.losses_until(alone, cases.STEPS + 5)
    assert cases.losses_until(continued, cases.STEPS + 5) == pytest.approx(expected, rel=1e-6)


def test_a_whole_run_of_two_workers_reports_what_one_does(runs: Runs, tmp_path: Path) -> None:
    """Evaluations in step, one writer, the same scores and means."""
    folder, _, _ = runs
    cases.fit_whole(tmp_path / "run")
    together, alone = (RunFolder(path).rows() for path in (folder / "run", tmp_path / "run"))
    assert [row["step"] for row in together] == [8, 16, 20]
    for ours, theirs in zip(together, alone, strict=True):
        assert ours["validation"] == pytest.approx(theirs["validation"], rel=1e-6)
        for name in ("loss", "cell_accuracy", "grad_norm", "mean_halting_step"):
            assert ours["training"][name] == pytest.approx(theirs["training"][name], rel=1e-6)
        assert ours["is_best"] == theirs["is_best"]
    assert RunFolder(folder / "run").examples.read_bytes() == RunFolder(tmp_path / "run").examples.read_bytes()


def test_two_workers_score_a_run_without_validation_once_at_its_end(runs: Runs, tmp_path: Path) -> None:
    folder, _, _ = runs
    cases.fit_whole(tmp_path / "run", splits=("train", "test"))
    (together,), (alone,) = (RunFolder(path).rows() for path in (folder / "unvalidated", tmp_path / "run"))
    assert (together["step"], together["validation"], together["label"]) == (20, {}, "test, once, after the last step")
    assert together["test"] == pytest.approx(alone["test"], rel=1e-6)


def test_equal_identifiers_meet_across_workers() -> None:
    """What the curves prove about the puzzle embedding: in many steps slots of both workers hold the same identifier."""
    state = cases.begin(cases.config_of("attention", model={"forward_dtype": "float64"}))
    meetings = 0
    for step in range(1, cases.STEPS + 1):
        cases.advance(state, step)
        first, second = state.carry.puzzle_identifiers.view(WORKERS, -1).tolist()
        meetings += bool(set(first) & set(second))
    assert meetings >= 5


def test_a_batch_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ConfigError, match="global batch 8 must divide by 3 workers; try 6 or 9"):
        TrainingState(cases.config_of(), cases.manifest().shape, max_steps=1, gang=Gang(rank=0, world_size=3))


def test_shares_are_disjoint_and_cover_the_batch() -> None:
    rows = [row for rank in range(4) for row in range(24)[Gang(rank, 4).share(24)]]
    assert rows == list(range(24))
    assert range(24)[SOLO.share(24)] == range(24)


def test_a_gang_exchanges_its_sums_rarely_where_steps_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The metrics lose nothing by it (the curves above); a wish to stop is heard within a moment's work."""
    alone, together = (
        TrainingState(cases.config_of(), cases.manifest().shape, max_steps=1, gang=gang) for gang in (SOLO, Gang(0, 2))
    )
    assert loop._flush_every(alone) == 1
    assert loop._flush_every(together) == loop.FLUSH_STEPS
    monkeypatch.setattr(loop, "FLUSH_FLOPS", 3.5 * together.flops.last)
    assert loop._flush_every(together) == 3
    monkeypatch.setattr(loop, "FLUSH_FLOPS", 0.1 * together.flops.last)
    assert loop._flush_every(together) == 1


def _assert_same_end(checkpoint: Path, expected: dict[str, torch.Tensor]) -> None:
    for file in checkpoint.glob("*.safetensors"):
        for name, value in load_file(file).items():
            torch.testing.assert_close(value, expected[f"{file.name}/{name}"], rtol=1e-6, atol=1e-9)
