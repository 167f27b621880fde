"""What can go wrong in a trial ends it with a status of its own, and leaves the process able to go on."""

import gc
import math
import weakref
from pathlib import Path

import pytest
import torch
import training_cases as cases
from torch._dynamo.exc import BackendCompilerFailed

from trm.data.batches.plan import Batch
from trm.errors import DivergedError, OutOfMemoryError, ResourceError, TrialError
from trm.files import own_cache
from trm.files.own_cache import kept_folder
from trm.optim.averaging import WeightAverage
from trm.training import loop
from trm.training.failures import compiler_failures, memory_failures
from trm.training.leg import LegTask
from trm.training.run import fit
from trm.training.state import TrainingState
from trm.training.trainer import run_leg


def test_a_loss_that_is_not_finite_ends_the_trial_as_diverged() -> None:
    state = cases.begin(cases.config_of())
    cases.advance(state, 2)
    with torch.no_grad():
        state.model.answer_head[0, 0] = math.nan
    with pytest.raises(DivergedError, match="the training loss is nan at step 3") as caught:
        cases.advance(state, 10)
    assert caught.value.status == "diverged"


def test_weights_that_broke_in_the_last_step_are_found_by_the_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The training loss is that of the weights before the step, so only the score can tell."""
    move = WeightAverage.move

    def broken(average: WeightAverage, share: float) -> None:
        move(average, share)
        average.average["answer_head"][0, 0] = math.nan

    monkeypatch.setattr(WeightAverage, "move", broken)
    with pytest.raises(DivergedError, match="the validation loss is nan at step 2"):
        run_leg(LegTask(cases.config_of(), max_steps=20, until_steps=2), cases.SPLITS, cases.manifest())


def test_a_diverged_run_keeps_the_checkpoints_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take_step = loop.take_step

    def explode(state: TrainingState, batch: Batch) -> None:
        take_step(state, batch)
        if state.step == 7:
            state.model.answer_head.data.fill_(math.inf)

    monkeypatch.setattr(loop, "take_step", explode)
    with pytest.raises(DivergedError):
        fit(cases.config_of(training={"eval_every_steps": 5}), cases.SPLITS, cases.manifest(), folder=tmp_path / "run")
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000005"]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        MemoryError(),
    ],
)
def test_every_lack_of_memory_is_one_status(error: Exception) -> None:
    with pytest.raises(OutOfMemoryError, match="the device refused memory") as caught, memory_failures():
        raise error
    assert caught.value.status == "out_of_memory"


def test_other_runtime_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="shape mismatch"), memory_failures():
        raise RuntimeError("shape mismatch")


def test_a_real_refusal_of_the_allocator_ends_a_leg_and_gives_its_memory_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that asks for four petabytes; afterwards nothing of the leg is alive."""
    seen: list[weakref.ref[torch.nn.Module]] = []

    def greedy(state: TrainingState, batch: Batch) -> None:
        seen.append(weakref.ref(state.model))
        torch.empty(1 << 50)

    monkeypatch.setattr(loop, "take_step", greedy)
    with pytest.raises(OutOfMemoryError, match="allocate"):
        run_leg(LegTask(cases.config_of(), max_steps=1, until_steps=1), cases.SPLITS, cases.manifest())
    gc.collect()
    assert seen[0]() is None


def test_compiling_without_a_compiler_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ResourceError, match=r"needs a C\+\+ compiler.*set training.compile: false"):
        cases.begin(cases.config_of(training={"compile": True}))


def test_what_the_compiler_raises_names_its_cause_and_its_own_cache_is_emptied(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(own_cache, "_places", lambda: iter([tmp_path / "cache"]))
    folder = kept_folder("inductor")
    assert folder is not None
    for theirs, is_kept in ((tmp_path, True), (folder, False)):
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(theirs))
        (folder / "cut.so").touch()
        message = r"load what it had compiled: .*file too short.*; its cache was emptied"
        with pytest.raises(TrialError, match=message), compiler_failures():
            raise BackendCompilerFailed(compiler_failures, OSError("cut.so: file too short"), None)
        assert (folder / "cut.so").exists() == is_kept
