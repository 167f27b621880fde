"""A leg in this process: what it returns, and that nothing of it is left for the next one."""

import weakref
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from ray.actor import ActorHandle
from training_cases import STEPS, config_of, manifest, split_of

import trm.training.leg as training_leg
import trm.training.step as training_step
from trm.cluster.board import BoardReporter
from trm.cluster.feed import DataFeed
from trm.cluster.legs import LegReturn, LegTask, do_leg, forget, recorded
from trm.cluster.outcomes import leg_ended
from trm.search.settings import Objective
from trm.training.state import TrainingState


def task_in(folder: Path) -> LegTask:
    return LegTask(
        trial=0,
        rung=0,
        attempt=0,
        config=config_of().model_dump(mode="json"),
        max_steps=STEPS,
        until_steps=STEPS,
        from_checkpoint=None,
        trial_folder=str(folder / "trials" / "0000"),
        workers=1,
        cpus=1.0,
        gpus=0.0,
        threads=1,
    )


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> list["weakref.ref[TrainingState]"]:
    """What the legs of a test train."""
    monkeypatch.setattr(BoardReporter, "interval_seconds", 1e12)
    start, made = training_leg.start_state, []

    def started(*arguments: Any, **options: Any) -> TrainingState:
        state = start(*arguments, **options)
        made.append(weakref.ref(state))
        return state

    monkeypatch.setattr(training_leg, "start_state", started)
    return made


def done(task: LegTask) -> LegReturn:
    splits = {"train": split_of("train", 0), "validation": split_of("validation", 1)}
    feed = MagicMock(spec=DataFeed, manifest=manifest(), folder="x")
    feed.split.side_effect = lambda name: splits[name]
    feed.training_rows.side_effect = lambda *given: splits["train"]
    return do_leg(task, feed, MagicMock(spec=ActorHandle))


def test_a_leg_leaves_its_checkpoint_and_its_outcome_and_nothing_in_memory(
    tmp_path: Path, states: list["weakref.ref[TrainingState]"]
) -> None:
    task = task_in(tmp_path)
    returned = done(task)
    assert (returned.status, returned.steps) == ("completed", STEPS)
    found = recorded(task)
    assert found is not None
    assert (found.metrics, found.checkpoint) == (returned.metrics, returned.checkpoint)
    rows = returned.metrics["predictions"]
    assert 0 < returned.metrics["latency_seconds"] * rows < 2 * returned.eval_seconds, "a puzzle takes its share of a batch"
    forget()
    assert [state() for state in states] == [None]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory"),
        (RuntimeError("a shape is wrong"), "failed"),
        (OSError(28, "No space left on device"), "disk_full"),
    ],
)
def test_a_leg_that_ends_badly_leaves_nothing_in_memory_either(
    tmp_path: Path, states: list["weakref.ref[TrainingState]"], monkeypatch: pytest.MonkeyPatch, error: Exception, status: str
) -> None:
    def refuse(self: TrainingState, folder: str) -> None:
        raise error

    if status == "disk_full":
        monkeypatch.setattr(TrainingState, "save", refuse)
    else:
        monkeypatch.setattr("trm.training.step._update", lambda state, *others: refuse(state, ""))
    returned = done(task_in(tmp_path))
    assert returned.status == status, returned.error
    assert recorded(task_in(tmp_path)) is None
    forget()
    error.__traceback__ = None  # this test still holds the error
    assert [state() for state in states] == [None]


@pytest.mark.parametrize(
    ("against", "problem"),
    [
        ([], None),
        (["params", "train_flops", "inference_flops"], None),
        (["latency_seconds"], "objective.against 'latency_seconds' is not reported; the evaluation reports exact_accuracy"),
    ],
)
def test_a_leg_that_does_not_report_what_is_weighed_has_failed(tmp_path: Path, against: list[str], problem: str | None) -> None:
    returned = LegReturn("completed", metrics={"exact_accuracy": 0.5, "train/loss": 1.0})
    event = leg_ended(task_in(tmp_path), returned, Objective.model_validate({"against": against}))
    assert (event.status, event.error) == (("completed", None) if problem is None else ("failed", problem))


@pytest.mark.usefixtures("states")
def test_a_leg_that_diverges_tells_what_it_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    update, whole = training_step._update, done(task_in(tmp_path / "whole"))

    def poisoned(state: TrainingState, *others: Any) -> None:
        update(state, *others)
        if state.step == 2:  # two were completed before
            torch.nn.init.constant_(next(state.model.parameters()), torch.nan)

    monkeypatch.setattr(training_step, "_update", poisoned)
    returned = done(task_in(tmp_path))
    assert (returned.status, returned.steps) == ("diverged", 4), returned.error
    assert returned.train_flops == pytest.approx(whole.train_flops * 4 / STEPS)
