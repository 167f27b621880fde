"""What a storage holds in lines, and what a removal takes away and refuses."""

import os
import re
from pathlib import Path

import pytest
from bad_input_cases import said_by
from journal_cases import RECORDED, expected, recorded_folder

from trm.search.journal.lease import Lease


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """The sweeps of earlier versions, and beside them what is no sweep, one that is damaged, and one that is driven."""
    for name in RECORDED:
        recorded_folder(name, tmp_path)
    (tmp_path / "data" / "set").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "journal.jsonl").write_text("what is this\n")
    return tmp_path


def test_a_storage_is_told_sweep_by_sweep(storage: Path) -> None:
    code, said = said_by("sweep", "--list", storage)
    assert code == 0
    head, *lines = said.splitlines()
    assert re.split(r"  +", head) == ["name", "status", "best", "size", "last event"]
    assert {line.split()[0] for line in lines} == {*RECORDED, "damaged"}
    assert lines[-1].startswith("damaged ")
    assert "cannot be read" in lines[-1]
    told = dict(zip((line.split()[0] for line in lines), lines, strict=True))
    for name in RECORDED:
        size = sum(path.stat().st_size for path in (storage / name).iterdir())
        assert f"{size / 1000:.3g} kB" in told[name]
    for name in RECORDED:
        winner = expected(name)["winner"]
        assert "no result yet" in told[name] if winner is None else f", trial {winner[0]} " in told[name]


def test_a_storage_without_sweeps_says_so_and_none_is_refused(tmp_path: Path) -> None:
    assert said_by("sweep", "--list", tmp_path) == (0, f"no sweep lies in {tmp_path}\n")
    code, said = said_by("sweep", "--list", tmp_path / "nowhere")
    assert code == 2
    assert "is no folder" in said


def test_a_removal_takes_one_sweep_and_nothing_else(storage: Path) -> None:
    before = {path.name for path in storage.iterdir()}
    (storage / f"{RECORDED[0]}.exit.json").write_text("{}")
    code, said = said_by("sweep", "--remove", RECORDED[0], "--storage", storage)
    assert (code, f"{storage / RECORDED[0]} is removed" in said) == (0, True)
    assert {path.name for path in storage.iterdir()} == before - {RECORDED[0]}


def test_what_is_no_sweep_or_is_driven_is_not_removed(storage: Path) -> None:
    for name in ("data", "empty", "nothing", "../" + storage.name, ""):
        code, said = said_by("sweep", "--remove", name, "--storage", storage)
        assert (code, "there is no sweep" in said) == (2, True), name
    with Lease(storage / RECORDED[0]):
        code, said = said_by("sweep", "--remove", RECORDED[0], "--storage", storage)
    assert (code, f"process {os.getpid()}" in said) == (2, True)
    assert (storage / RECORDED[0] / "journal.jsonl").is_file()
    code, said = said_by("sweep", "--list", storage, "--with-runs")
    assert (code, "--with-runs stands beside --remove" in said) == (2, True)
