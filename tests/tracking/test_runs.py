"""Training curves, and runs of train.py, on their way to a tracking store: each point once, whatever fails and whoever dies."""

import json
import os
from itertools import pairwise
from pathlib import Path

import pytest
import training_cases as cases
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tracking.test_updates import MemoryStore, append, whole_sweep
from trm.config.run import RunConfig
from trm.config.tracking import Tracking
from trm.errors import DivergedError, InterruptedRun
from trm.jobs.train_tracking import Tracked, tracked_run
from trm.tracking import curve_updates, outbox
from trm.tracking.outbox import Outbox
from trm.tracking.outbox_state import OutboxState
from trm.tracking.run_outbox import RunOutbox, outbox_of
from trm.tracking.values import GFLOPS, SWEEP
from trm.training.curve import Curve
from trm.training.run import fit
from trm.training.run_record import RunRecord, new_record, read_record, write_record

QUIET = Tracking(enabled=False)
FAR = 1e12
"""A deadline that never comes."""


def make(folder: Path, store: MemoryStore, *, is_driven: bool = False) -> Outbox:
    state = OutboxState.load(folder, "sqlite:///x.db", "s")
    return outbox_of(folder)(folder, store, state, lambda kind, text: None, is_driven=is_driven)


def draw(folder: Path, trial: int | None, last: int) -> None:
    """A curve with a point at every step up to `last`."""
    path = folder / "curves.parquet" if trial is None else folder / "curves" / f"{trial:04d}.parquet"
    curve = Curve(path, until_step=last, trial=trial)
    for step in range(len(curve) + 1, last + 1):
        curve.add({"step": step, "at": 100.0 + step, "train_flops": step * 2e9, "loss": 1 / step, "lr": 1e-3})
    curve.write()


def steps_sent(store: MemoryStore, trial: int | None, name: str = "curve/loss") -> list[int]:
    return sorted(step for run, key, _, step, _ in store.points if (run, key) == (trial, name))


def test_the_curves_of_a_sweep_go_to_its_trials(tmp_path: Path) -> None:
    append(tmp_path / "journal.jsonl", whole_sweep())
    for trial in (0, 1):
        draw(tmp_path, trial, 100 * (trial + 1))
    store = MemoryStore()
    assert make(tmp_path, store).finish(FAR)
    assert steps_sent(store, 0) == list(range(1, 101))
    assert steps_sent(store, 1) == list(range(1, 201))
    assert (1, "curve/train_flops", 400e9, 200, 300.0) in store.points
    assert not any(key == "curve/q_continue_loss" for _, key, *_ in store.points), "no value is no point"


def test_a_curve_is_sent_while_it_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "CURVES_SECONDS", 0.0)
    append(tmp_path / "journal.jsonl", whole_sweep())
    store = MemoryStore()
    writer = make(tmp_path, store)
    assert writer.forward()
    for last in (5, 6, 170):
        draw(tmp_path, 0, last)
        while not writer.forward_curves(0.0):
            pass
        assert steps_sent(store, 0) == list(range(1, last + 1))


def test_a_curve_of_a_trial_that_the_store_has_not_yet_waits_for_it(tmp_path: Path) -> None:
    append(tmp_path / "journal.jsonl", whole_sweep()[:3])
    draw(tmp_path, 1, 10)
    store = MemoryStore()
    writer = make(tmp_path, store)
    writer.forward()
    writer.forward_curves(FAR, is_due=True)
    assert steps_sent(store, 1) == []
    append(tmp_path / "journal.jsonl", whole_sweep()[3:])
    writer.forward()
    writer.forward_curves(FAR, is_due=True)
    assert steps_sent(store, 1) == list(range(1, 11))


@settings(max_examples=30)
@given(
    st.lists(st.sampled_from(["none", "before", "after", "vanished"]), max_size=12),
    st.lists(st.integers(1, 60), max_size=4),
    st.integers(1, 7),
)
def test_whatever_fails_every_point_is_there_once(
    tmp_path_factory: pytest.TempPathFactory, failures: list[str], lengths: list[int], at_a_time: int
) -> None:
    """A new writer at each length of the curve, as after a kill."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        patch.setattr(outbox, "RETRY_SECONDS", (0.0,))
        patch.setattr(curve_updates, "POINTS_AT_A_TIME", at_a_time)
        folder, store = tmp_path_factory.mktemp("sweep"), MemoryStore(failures)
        append(folder / "journal.jsonl", whole_sweep())
        for _, length in pairwise([0, *sorted(lengths), 60]):
            draw(folder, 0, length)
            writer = make(folder, store)
            writer.forward()
            writer.forward_curves(0.0, is_due=True)
        for _ in range(200):
            if make(folder, store).finish(FAR):
                break
        assert steps_sent(store, 0) == list(range(1, 61))


def test_a_curve_that_is_no_curve_keeps_nothing_back(tmp_path: Path) -> None:
    append(tmp_path / "journal.jsonl", whole_sweep())
    (tmp_path / "curves").mkdir()
    (tmp_path / "curves" / "0000.parquet").write_bytes(b"PAR1 no more")
    (tmp_path / "curves" / "0001.parquet").symlink_to("/etc/passwd")
    store = MemoryStore()
    assert make(tmp_path, store).finish(FAR)
    assert store.values[SWEEP, "status"] == "FINISHED"


# Runs of train.py --------------------------------------------------------------------------------------------------


def config_of() -> RunConfig:
    return cases.config_of(training={"eval_every_steps": 4, "log_every_steps": 2})


def tracked(
    folder: Path,
    *,
    is_resumed: bool = False,
    tracking: Tracking = QUIET,
    costs: dict[str, float] | None = None,
    **options: object,
) -> None:
    folder.mkdir(exist_ok=True)
    with tracked_run(folder, Tracked(tracking, folder.parent, "tiny", costs or {}), is_resumed=is_resumed):
        fit(config_of(), cases.SPLITS, cases.manifest(), folder=folder, is_resumed=is_resumed, **options)  # type: ignore[arg-type]


def record_of(folder: Path) -> RunRecord:
    record = read_record(folder)
    assert record is not None
    return record


def test_a_run_is_one_run_with_its_configuration_evaluations_curve_and_files(tmp_path: Path) -> None:
    tracked(tmp_path / "run")
    store = MemoryStore()
    assert isinstance(writer := make(tmp_path / "run", store), RunOutbox)
    assert writer.finish(FAR)
    assert {run for run, *_ in store.points} == {SWEEP}
    assert steps_sent(store, SWEEP) == list(range(2, 21, 2))
    assert steps_sent(store, SWEEP, "validation/exact_accuracy") == [4, 8, 12, 16, 20]
    assert store.values[SWEEP, "model.hidden_size"] == "16"
    assert store.values[SWEEP, "optim.lr"] == "0.003"
    assert (store.values[SWEEP, "status"], store.values[SWEEP, "trm.status"]) == ("FINISHED", "finished")
    assert {"config.yaml", "curves.parquet", "curves.png", "evaluations.parquet", "best/model.safetensors"} <= set(store.uploads)
    assert {"examples.json", "examples.txt", "examples.png"} <= set(store.uploads)


def test_a_run_is_told_by_the_names_that_trials_have(tmp_path: Path) -> None:
    folder, store = tmp_path / "run", MemoryStore()
    costs = {"max_steps": 20.0, "step_flops": 3e6, "inference_flops": 1e5, "params_count": 9e3}
    tracked(folder, costs=costs)
    other = Tracked(QUIET, tmp_path, "tiny", {"max_steps": 90.0})
    with pytest.raises(InterruptedRun), tracked_run(folder, other, is_resumed=True):  # what it took as it began stays
        raise InterruptedRun("at once")
    assert make(folder, store).finish(FAR)
    assert store.values[SWEEP, "max_steps"] == "20"
    assert {(key, step, value) for _, key, value, step, _ in store.points if step == 0 and not key.startswith(GFLOPS)} == {
        ("step_flops", 0, 3e6),
        ("inference_flops", 0, 1e5),
        ("params_count", 0, 9e3),
    }
    for name in ("exact_accuracy", "loss", "train_flops", "train_seconds", "eval_seconds", "overhead_seconds"):
        assert steps_sent(store, SWEEP, name) == [4, 8, 12, 16, 20]


def test_a_run_that_diverged_has_its_pictures_one_that_goes_on_has_not(tmp_path: Path) -> None:
    folder, drawn = tmp_path / "run", []
    fit(config_of(), cases.SPLITS, cases.manifest(), folder=folder)
    for error in (InterruptedRun("stopped"), DivergedError("the loss is nan")):
        with pytest.raises(type(error)), tracked_run(folder, Tracked(QUIET, tmp_path, "tiny"), is_resumed=False):
            raise error
        drawn.append(sorted(path.name for path in folder.glob("*.png")))
    assert drawn == [[], ["curves.png", "examples.png"]]


def test_a_run_goes_out_while_it_runs_and_after_a_resume_no_point_is_doubled(tmp_path: Path) -> None:
    folder, store = tmp_path / "run", MemoryStore()
    with pytest.raises(InterruptedRun):
        tracked(folder, reporter=cases.StopAt(11))
    make(folder, store, is_driven=True).finish(FAR)
    assert (store.values[SWEEP, "status"], store.values[SWEEP, "trm.status"]) == ("KILLED", "interrupted")
    before = record_of(folder)
    tracked(folder, is_resumed=True)
    writer = make(folder, store, is_driven=True)
    writer.forward()
    assert store.values[SWEEP, "status"] == "RUNNING"
    writer.finish(FAR)
    assert record_of(folder).id == before.id
    assert steps_sent(store, SWEEP) == list(range(2, 21, 2))
    assert steps_sent(store, SWEEP, "validation/loss") == [4, 8, 12, 16, 20]
    assert store.values[SWEEP, "status"] == "FINISHED"


def test_a_killed_run_is_said_to_be_interrupted(tmp_path: Path) -> None:
    tracked(tmp_path / "run")
    write_record(tmp_path / "run", record_of(tmp_path / "run").now("running"))  # as kill -9 leaves it
    store = MemoryStore()
    make(tmp_path / "run", store).finish(FAR)
    assert (store.values[SWEEP, "status"], store.values[SWEEP, "trm.status"]) == ("KILLED", "interrupted")


@pytest.mark.parametrize(
    ("error", "status", "word"),
    [
        (DivergedError("no number"), "FAILED", "diverged"),
        (ValueError("odd"), "FAILED", "failed"),
        (KeyboardInterrupt(), "KILLED", "interrupted"),
    ],
)
def test_how_a_run_ended_stands_in_its_record(tmp_path: Path, error: BaseException, status: str, word: str) -> None:
    folder = tmp_path / "run"
    with pytest.raises(type(error)), tracked_run(_begun(folder), Tracked(QUIET, tmp_path, "tiny"), is_resumed=False):
        raise error
    assert record_of(folder).status == word
    store = MemoryStore()
    make(folder, store).finish(FAR)
    assert store.values[SWEEP, "status"] == status


def _begun(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.yaml").write_text("seed: 0\n")
    return folder


def test_a_run_that_never_began_leaves_no_record(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="odd"), tracked_run(tmp_path, Tracked(QUIET, tmp_path, "tiny"), is_resumed=False):
        raise ValueError("odd")
    assert not (tmp_path / "run.json").exists()


def test_what_a_resume_does_not_say_of_tracking_stays(tmp_path: Path) -> None:
    record = new_record("a", "tiny", {}).as_told(Tracking(enabled=False, experiment="mine"))
    assert (record.is_tracked, record.experiment) == (False, "mine")
    assert record.as_told(Tracking()) == record
    assert record.as_told(Tracking(enabled=True)).is_tracked


def test_tracking_stands_in_no_file_of_a_run(tmp_path: Path) -> None:
    values = cases.config_of().model_dump(mode="json")
    config = type(cases.config_of()).model_validate({**values, "tracking": {"uri": "postgresql://me:word@db/x"}})
    assert "tracking" not in config.model_dump(mode="json")
    assert config.network_digest() == cases.config_of().network_digest()
    fit(config, cases.SPLITS, cases.manifest(), folder=tmp_path / "run")  # type: ignore[arg-type]
    texts = [path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert not any(b"word@db" in text for text in texts)


def test_a_line_that_is_cut_is_no_evaluation(tmp_path: Path) -> None:
    tracked(tmp_path / "run")
    with (tmp_path / "run" / "metrics.jsonl").open("ab") as lines:
        lines.write(json.dumps({"step": 24}).encode()[:5])
    store = MemoryStore()
    assert make(tmp_path / "run", store).finish(FAR)
    assert steps_sent(store, SWEEP, "validation/loss") == [4, 8, 12, 16, 20]
