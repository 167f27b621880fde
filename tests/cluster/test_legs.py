"""A leg in this process: what it returns, and that nothing of it is left for the next one."""

import contextlib
import json
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from ray.actor import ActorHandle
from training_cases import STEPS, config_of, manifest, split_of

import trm.training.step as training_step
import trm.training.trainer as trainer
from trm.cluster import tune_legs
from trm.cluster.leg_in_place import do_leg, forget
from trm.cluster.progress_board import BoardReporter
from trm.cluster.shared_data import DataFeed
from trm.search.journal.events import LegStarted
from trm.search.settings import Objective
from trm.sweeps.legs import beginnings, leg_ended
from trm.sweeps.legs_done import saved_outcome
from trm.training.leg import Beginning, LegResult, LegTask, step_of
from trm.training.state import TrainingState


def task_in(folder: Path) -> LegTask:
    return LegTask(config=config_of(), max_steps=STEPS, until_steps=STEPS, folder=str(folder / "trials" / "0000"))


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> list["weakref.ref[TrainingState]"]:
    """What the legs of a test train."""
    monkeypatch.setattr(BoardReporter, "interval_seconds", 1e12)
    start, made = trainer.start_state, []

    def started(*arguments: Any, **options: Any) -> TrainingState:
        state = start(*arguments, **options)
        made.append(weakref.ref(state))
        return state

    monkeypatch.setattr(trainer, "start_state", started)
    return made


def done(task: LegTask) -> LegResult:
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
    found = saved_outcome(task)
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
    assert saved_outcome(task_in(tmp_path)) is None
    forget()
    error.__traceback__ = None  # this test still holds the error
    assert [state() for state in states] == [None]


@pytest.mark.parametrize(
    ("against", "problem"),
    [
        ([], None),
        (["params", "train_flops", "inference_flops"], None),
        (["latency_seconds"], "the objective's 'latency_seconds' is not reported; the evaluation reports exact_accuracy"),
    ],
)
def test_a_leg_that_does_not_report_what_is_weighed_has_failed(tmp_path: Path, against: list[str], problem: str | None) -> None:
    returned = LegResult("completed", metrics={"exact_accuracy": 0.5, "train/loss": 1.0})
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


def emptied(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").write_bytes(b"")


def cut(checkpoint: Path) -> None:
    with (checkpoint / "state.safetensors").open("r+b") as file:
        file.truncate(100)


def flipped(checkpoint: Path) -> None:
    content = bytearray((checkpoint / "average.safetensors").read_bytes())
    content[-1] ^= 1
    (checkpoint / "average.safetensors").write_bytes(content)


def without_meta(checkpoint: Path) -> None:
    (checkpoint / "meta.json").write_text("{}")


def weights_of(returned: LegResult, folder: Path) -> bytes:
    return (folder / str(returned.checkpoint) / "model.safetensors").read_bytes()


@pytest.mark.usefixtures("states")
@pytest.mark.parametrize("damage", [emptied, cut, flipped, without_meta])
def test_a_leg_whose_checkpoint_is_damaged_goes_on_from_an_older_one_or_the_start_and_says_so(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    own, half = tmp_path / "trials" / "0000", STEPS // 2
    places = {}
    for steps in (2, half):
        first = replace(task_in(tmp_path), until_steps=steps)
        assert done(first).status == "completed"
        places[steps] = first.checkpoint_at(steps)
    leg = LegStarted(trial=0, rung=1, attempt=0, until_steps=STEPS, from_checkpoint=f"trials/0000/{places[half].name}", at=0)
    found = beginnings(tmp_path, leg)
    assert found == [Beginning(str(places[half])), Beginning(str(places[2]))]
    wholly = done(replace(task_in(tmp_path / "whole")))
    task = replace(task_in(tmp_path), rung=1, begins=found)
    damage(places[half])
    returned = done(task)
    assert (returned.status, returned.steps, len(returned.torn)) == ("completed", STEPS, 1), returned.error
    assert str(places[half]) in returned.torn[0]
    assert weights_of(returned, tmp_path) == weights_of(wholly, tmp_path / "whole")
    assert leg_ended(task, returned, Objective()).torn == returned.torn
    damage(places[2])
    again = done(replace(task, attempt=1))
    assert (again.status, len(again.torn)) == ("completed", 2)
    assert weights_of(again, tmp_path) == weights_of(wholly, tmp_path / "whole")
    assert sorted(path.name for path in own.glob("step-*") if path.is_dir() and step_of(path) == STEPS) == [
        f"step-{STEPS:08d}-attempt-{attempt}" for attempt in (0, 1)
    ]


@pytest.mark.usefixtures("states")
def test_a_checkpoint_of_another_configuration_is_no_damage(tmp_path: Path) -> None:
    first = replace(task_in(tmp_path), until_steps=2)
    assert done(first).status == "completed"
    other = config_of(optim={"lr": 0.5})
    returned = done(replace(task_in(tmp_path), config=other, begins=[Beginning(str(first.checkpoint_at(2)))]))
    assert (returned.status, returned.torn) == ("lost", [])
    assert "continues only a checkpoint of its own configuration" in str(returned.error)


@pytest.mark.parametrize(("is_stopping", "is_over"), [(True, False), (False, True), (False, False)])
def test_what_tune_cannot_read_of_itself_at_its_end_ends_no_sweep_that_stops_or_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_stopping: bool, is_over: bool
) -> None:
    class Torn:
        def __init__(self, *_: object, **__: object) -> None: ...

        def fit(self) -> None:
            raise json.JSONDecodeError("Unterminated string", "", 0)  # of a full disk

    monkeypatch.setattr(tune_legs.tune, "Tuner", Torn)
    monkeypatch.setattr(tune_legs, "hooked", lambda _: contextlib.nullcontext())
    runner, source = MagicMock(spec=tune_legs.LegRunner), MagicMock(is_stopping=is_stopping, is_over=is_over)
    runner.places, runner.slots, runner.function = MagicMock(), 1, lambda _: None
    runner.places.groups.bundles = [{"CPU": 1}]
    with contextlib.nullcontext() if is_stopping or is_over else pytest.raises(json.JSONDecodeError):
        tune_legs.run_legs(source, runner, tmp_path)
