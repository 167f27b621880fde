"""A checkpoint is whole or refused: torn files, foreign configurations, a process killed while it saved."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import training_cases as cases

from trm.errors import CheckpointError
from trm.files.weight_files import META
from trm.training.checkpoint import read_meta
from trm.training.state import TrainingState

FILES = (META, "model.safetensors", "average.safetensors", "state.safetensors")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A checkpoint of three steps."""
    state = cases.begin(cases.config_of())
    cases.advance(state, 3)
    state.save(tmp_path / "run" / "step-3")
    return tmp_path / "run" / "step-3"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path) -> None:
    """Changes one bit in the middle, where a value is: no parser notices."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [cut, empty, flip, Path.unlink])
@pytest.mark.parametrize("name", FILES)
def test_every_damage_to_every_file_is_refused_by_name(saved: Path, name: str, damage: Callable[[Path], Any]) -> None:
    damage(saved / name)
    with pytest.raises(CheckpointError, match=name):
        cases.resume(saved, cases.config_of())


def test_nothing_but_the_checkpoint_is_left_behind(saved: Path) -> None:
    assert [path.name for path in saved.parent.iterdir()] == ["step-3"]
    assert sorted(path.name for path in saved.iterdir()) == sorted(FILES)
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in saved.iterdir())


def test_meta_tells_the_whole_run(saved: Path) -> None:
    meta = read_meta(saved)
    state = cases.resume(saved, cases.config_of())
    assert (meta.config, meta.shape, meta.data_hash) == (cases.config_of(), cases.manifest().shape, cases.manifest().content_hash)
    assert meta.step == state.step == 3
    assert meta.train_flops == state.train_flops == 3 * state.flops.last
    assert meta.position.step == 3
    assert meta.versions["torch"] == torch.__version__
    assert meta.files.keys() == set(FILES) - {META}


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"meta\.json does not exist; give the folder of a checkpoint"):
        cases.resume(tmp_path, cases.config_of())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"hidden_size": 32}}, "has model.hidden_size 16, this run 32; set model.hidden_size to 16"),
        ({"optim": {"lr": 1e-3, "beta1": 0.5}}, "has optim.lr 0.003, this run 0.001"),
        ({"seed": 8}, "has seed 7, this run 8"),
        ({"data": {"mode": "stream"}}, "has data.mode 'resident', this run 'stream'; set data.mode to 'resident'"),
        ({"training": {"global_batch_size": 4}}, "has training.global_batch_size 8, this run 4"),
    ],
)
def test_another_configuration_is_refused_by_its_first_key(saved: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        cases.resume(saved, cases.config_of(**change))


def test_other_data_are_refused(saved: Path) -> None:
    config, shape = cases.config_of(), cases.manifest().shape
    with pytest.raises(CheckpointError, match=r"data: content hash .* this run 'other'; give the data set it was trained on"):
        TrainingState.load(saved, config, shape, data_hash="other", max_steps=9)


@pytest.mark.parametrize(
    "change",
    [
        {"data": {"folder": "moved"}},
        {"training": {"steps": 100, "eval_every_steps": 5, "checkpoint_every_steps": 7}},
        {"evaluation": {"batch_size": 2, "max_examples": 3}},
    ],
)
def test_place_length_and_scoring_may_change(saved: Path, change: dict[str, Any]) -> None:
    assert cases.resume(saved, cases.config_of(**change)).step == 3


def test_a_newer_format_is_refused(saved: Path) -> None:
    body = json.loads((saved / META).read_text())
    (saved / META).write_text(json.dumps(body | {"format_version": 99}))
    with pytest.raises(CheckpointError, match="version 99; read it with the release that wrote it"):
        read_meta(saved)


def test_saving_where_a_checkpoint_stands_replaces_it(saved: Path) -> None:
    state = cases.resume(saved, cases.config_of())
    cases.advance(state, 5)
    state.save(saved)
    assert cases.resume(saved, cases.config_of()).step == 5
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_a_save_that_fails_leaves_the_old_checkpoint(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = cases.resume(saved, cases.config_of())
    cases.advance(state, 5)
    monkeypatch.setattr("trm.training.checkpoint._write_meta", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        state.save(saved)
    assert cases.resume(saved, cases.config_of()).step == 3
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_killed_at_any_moment_of_a_save_the_older_checkpoint_is_whole(tmp_path: Path) -> None:
    """kill -9 at each fsync in turn: before the rename nothing of the new checkpoint has its name, after it all of it has."""
    subprocess.run([sys.executable, cases.__file__, "die", str(tmp_path)], check=True, timeout=120)
    attempts = sorted(tmp_path.iterdir(), key=lambda path: int(path.name))
    assert len(attempts) > len(FILES) + 1
    is_new_there = []
    for attempt in attempts:
        for path in attempt.glob("step-*"):
            assert path.name == f"step-{cases.resume(path, cases.config_of()).step}"
        assert (attempt / "step-1").exists()
        is_new_there.append((attempt / "step-2").exists())
    assert is_new_there == sorted(is_new_there), "once it is there it stays"
    assert is_new_there.count(True) == 2, "the renaming and the end"
