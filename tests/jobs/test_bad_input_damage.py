"""Data sets and sweeps that are damaged, held or gone: refused, and left as they are."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bad_input_cases import AGAIN, MINE, NEW, RUN, assert_refused, contents, prepared, run, scored_sweep

from trm.config.data import DataConfig
from trm.data.format.manifest import Manifest, read_manifest
from trm.search.journal.events import DriverStarted
from trm.search.journal.journal import Journal
from trm.search.journal.lease import Lease
from trm.search.space.loading import load_space
from trm.sweeps.data_sets import DataSets
from trm.sweeps.folder import recorded_digests
from trm.tracking import writer as tracking

SHARD = "train-00000-of-00001.parquet"


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], object], *, is_sealed: bool = False) -> None:
    values = json.loads((folder / "manifest.json").read_text())
    change(values)
    text = Manifest.model_validate(values).sealed().model_dump_json() if is_sealed else json.dumps(values)
    (folder / "manifest.json").write_text(text)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no manifest": (lambda data: (data / "manifest.json").unlink(), "manifest must exist"),
    "torn manifest": (lambda data: (data / "manifest.json").write_text('{"format_version": 1'), "must be JSON"),
    "list as manifest": (lambda data: (data / "manifest.json").write_text("[]"), "must hold an object, and holds a list"),
    "newer manifest": (lambda data: change_manifest(data, lambda m: m.update(format_version=9)), "has the later format 9; update"),
    "changed manifest": (lambda data: change_manifest(data, lambda m: m.update(name="other")), "match its content hash"),
    "rows": (lambda data: change_manifest(data, lambda m: m["splits"]["train"].update(rows=41)), "counts 41 rows, its shards 40"),
    "shard's rows": (
        lambda data: change_manifest(
            data,
            lambda m: (m["splits"]["train"].update(rows=41), m["splits"]["train"]["shards"][0].update(rows=41)),
            is_sealed=True,
        ),
        f"{SHARD} has 40 rows, not 41",
    ),
    "groups": (
        lambda data: change_manifest(data, lambda m: m["splits"]["train"].update(groups=39), is_sealed=True),
        "must match the manifest's content hash",
    ),
    "shard's hash": (
        lambda data: change_manifest(data, lambda m: m["splits"]["train"]["shards"][0].update(sha256="0" * 64)),
        "must have the hash in the manifest",
    ),
    "no shards": (
        lambda data: change_manifest(data, lambda m: m["splits"]["test"].update(rows=0, shards=[]), is_sealed=True),
        "test",
    ),
    "vocabulary": (lambda data: change_manifest(data, lambda m: m.update(vocabulary=["."] * 3), is_sealed=True), "tokens below 3"),
    "shard missing": (lambda data: (data / SHARD).unlink(), f"shard must exist: {{place}}/damaged/{SHARD}"),
    "shard torn": (lambda data: (data / SHARD).write_bytes((data / SHARD).read_bytes()[:-5]), "size in the manifest"),
    "shard corrupt": (lambda data: flip(data / SHARD), "must have the hash in the manifest"),
    "shard foreign": (lambda data: (data / SHARD).write_bytes(b"x" * (data / SHARD).stat().st_size), f"{SHARD} has"),
    "folder as shard": (lambda data: ((data / SHARD).unlink(), (data / SHARD).mkdir()), "shard must be readable"),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory.mktemp("bad input, ümlaut"))


DAMAGED = ("--set", "data.folder={place}/damaged")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_data_set_that_is_not_what_its_manifest_says_is_refused(
    place: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    do, words = DAMAGES[damage]
    shutil.rmtree(place / "damaged", ignore_errors=True)
    shutil.copytree(place / "data", place / "damaged")
    do(place / "damaged")
    for name, arguments in (("sweep", NEW), ("train", RUN)):
        assert_refused(place, capsys, words if name == "sweep" or damage != "no shards" else "", name, *arguments, *DAMAGED)
    shutil.rmtree(place / "damaged")


JOURNALS: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda folder: (folder / "journal.jsonl").write_bytes(b""), "there is no sweep to resume in {place}/runs/torn"),
    "garbage": (
        lambda folder: (folder / "journal.jsonl").write_bytes(b"garbage\n"),
        "journal.jsonl is corrupt at byte 0",
    ),
    "zeros": (
        lambda folder: (folder / "journal.jsonl").write_bytes(b"\0" * 900),
        "holds no whole event; restore it from a copy",
    ),
    "CRLF": (
        lambda folder: (folder / "journal.jsonl").write_bytes((folder / "journal.jsonl").read_bytes().replace(b"\n", b"\r\n")),
        "journal.jsonl is corrupt at byte 0",
    ),
    "flipped": (
        lambda folder: (folder / "journal.jsonl").write_bytes(
            (folder / "journal.jsonl").read_bytes().replace(b'"seed":0', b'"seed":1')
        ),
        "journal.jsonl is corrupt at byte 0",
    ),
    "no sweep.yaml": (lambda folder: (folder / "sweep.yaml").unlink(), "sweep.yaml does not exist; restore it from a copy"),
    "other sweep.yaml": (lambda folder: (folder / "sweep.yaml").write_text("a: 1"), "must say what the sweep is"),
    "torn lease": (lambda folder: (folder / "driver.json").write_text("{"), "driver.json must be JSON"),
}


@pytest.mark.parametrize("damage", JOURNALS)
def test_a_damaged_sweep_is_not_resumed(place: Path, capsys: pytest.CaptureFixture[str], damage: str) -> None:
    do, words = JOURNALS[damage]
    shutil.copytree(place / "runs" / "mine", place / "runs" / "torn")
    (place / "runs" / "torn" / ".driver.json.lock").touch()
    try:
        do(place / "runs" / "torn")
        assert_refused(place, capsys, words, "sweep", *MINE[:-1], "torn", "--resume")
    finally:
        shutil.rmtree(place / "runs" / "torn")


def test_every_reader_refuses_a_damaged_journal(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = scored_sweep(place, "spaced")
    journal = folder / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b'"n":3', b'"n": 3'))
    place_of = journal.read_bytes().index(b'{"n": 3')
    words = f"journal.jsonl is corrupt at byte {place_of}"
    assert_refused(place, capsys, words, "sweep", "--status", folder)
    assert_refused(place, capsys, words, "sweep", "--replay", folder)
    before = contents(place)
    assert tracking.main([str(folder), "--uri", f"sqlite:///{place}/none.db"]) == 2
    assert words in capsys.readouterr().err
    assert contents(place) == before
    shutil.rmtree(folder)


def test_a_replay_says_what_it_did_not_read(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = scored_sweep(place, "zeroed")
    journal = folder / "journal.jsonl"
    whole = journal.read_bytes()
    end = whole.rindex(b"\n") + 1
    assert run("sweep", "--replay", folder) == 0
    assert f"not read   {len(whole) - end} bytes from byte {end} on: a line that was not finished" in capsys.readouterr().out
    journal.write_bytes(whole[: end - 100] + b"\0" * 100)
    begin = whole.rindex(b"\n", 0, end - 1) + 1
    for option, code in (("--replay", 1), ("--status", 0)):
        assert run("sweep", option, folder) == code
        assert f"not read   {end - begin} bytes from byte {begin} on: a piece with zeros in it" in capsys.readouterr().out
    Journal(journal).close()
    assert run("sweep", "--replay", folder) == 0
    assert f"set aside  journal.jsonl.torn-1: {end - begin} bytes" in capsys.readouterr().out
    shutil.rmtree(folder)


def test_what_a_living_driver_holds_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(place / "runs" / "mine", place / "runs" / "held")
    shutil.copytree(place / "run", place / "held")
    with Lease(place / "runs" / "held"), Lease(place / "held"):
        assert_refused(place, capsys, "held is held by a living driver", "sweep", *MINE[:-1], "held", "--resume")
        assert_refused(place, capsys, "held is held by a living driver", "train", "--resume", "{place}/held")
    shutil.rmtree(place / "runs" / "held")
    shutil.rmtree(place / "held")


def test_a_resume_without_its_data_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "data").rename(place / "elsewhere")
    try:
        assert_refused(place, capsys, "the manifest must exist: {place}/data/manifest.json", "sweep", *MINE, "--resume")
        assert_refused(place, capsys, "the manifest must exist: {place}/data/manifest.json", "train", *AGAIN)
    finally:
        (place / "elsewhere").rename(place / "data")


def test_a_damaged_earlier_journal_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = scored_sweep(place, "damaged")
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "journal.jsonl").write_bytes(b"".join([lines[0], lines[1][:-9] + b"\n", *lines[2:]]))
    words = "runs/damaged cannot be read: {place}/runs/damaged/journal.jsonl is corrupt at byte"
    assert_refused(place, capsys, words, "sweep", "{place}/space.yaml", "--storage", "{place}/runs", "--warm-start", folder)
    shutil.rmtree(folder)


def edited(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("is_old", [False, True])
def test_a_space_that_was_edited_like_its_sweep_file_is_refused_by_the_journal(
    place: Path, capsys: pytest.CaptureFixture[str], *, is_old: bool
) -> None:
    folder = place / "runs" / "edited"
    shutil.copytree(place / "runs" / "mine", folder)
    (folder / ".driver.json.lock").touch()
    shutil.copy(place / "space.yaml", place / "like.yaml")
    edited(folder / "sweep.yaml", "high: 3", "high: 2")
    edited(place / "like.yaml", "high: 3", "high: 2")
    if not is_old:
        journal = Journal(folder / "journal.jsonl")
        digests = recorded_digests(
            load_space(place / "space.yaml"), DataSets.one(read_manifest(str(place / "data")), DataConfig(folder="x")), "auto"
        )
        journal.append(DriverStarted(driver="here:1", fence=2, slots=1, space=digests, at=1.0))
        journal.close()
    words = "sweep.yaml does not say what the sweep began with: it was changed since " + ("(its digest" if is_old else "(")
    words += "" if is_old else "search.model.L_cycles"
    assert_refused(place, capsys, words, "sweep", "{place}/like.yaml", *MINE[1:-1], "edited", "--resume")
    edited(folder / "sweep.yaml", "high: 2", "high: 3")
    edited(place / "like.yaml", "high: 2", "high: 3")
    edited(folder / "dataset.json", '"name": "tiny"', '"name": "other"')
    assert_refused(place, capsys, "dataset.json is not of the data set", "sweep", "--status", folder)
    (folder / "dataset.json").write_text("{}")
    assert_refused(place, capsys, "cannot be read: it is no manifest (Field required); remove it", "sweep", "--status", folder)
    shutil.rmtree(folder)
    (place / "like.yaml").unlink()
