"""`--resume URL` as it is typed on a fresh head, with the space file and an empty storage: what is refused leaves nothing there."""

import json
from pathlib import Path
from typing import Any

import pytest
from bad_input_cases import RECIPE, SPACE, contents, run, said_by, scored_sweep

from trm.errors import InterruptedRun
from trm.files.objects import Objects
from trm.search.journal.lease import Holder
from trm.search.settings import Storage
from trm.sweeps.mirror import Mirror

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # of the server and its client


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A space file that says nothing of a storage, and its data."""
    place = tmp_path_factory.mktemp("place")
    for name, text in (("recipe.yaml", RECIPE), ("space.yaml", SPACE)):
        (place / name).write_text(text.replace("PLACE", str(place)))
    assert run("build_dataset", place / "recipe.yaml", "--out", place / "data") == 0
    return place


def begun_at(url: str, place: Path, storage: Path) -> str:
    """The URL of a sweep that began with storage.checkpoints `url` and lies in `storage`."""
    storage.mkdir()
    folder = storage / "tiny"
    scored_sweep(place, "tiny", storage=Storage(checkpoints=url)).rename(folder)
    journal = folder / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().rpartition(b"\n")[0] + b"\n")
    objects = Objects(f"{url.rstrip('/')}/{folder.name}")
    objects.put("sweep.yaml", folder / "sweep.yaml")
    mirror = Mirror(objects, folder, Holder.this_process(1))
    mirror.go_on()
    mirror._push()
    return objects.url


@pytest.fixture(autouse=True)
def _as_far_as_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    def connected(**options: Any) -> None:
        raise InterruptedRun("as far as Ray")

    monkeypatch.setattr("trm.jobs.sweep.connected", connected)


@pytest.mark.parametrize("kind", ["s3", "folder", "slash"])
def test_the_url_alone_says_what_goes_on(kind: str, server: str, place: Path, tmp_path: Path) -> None:
    given = {"s3": f"{server}/{tmp_path.name}", "folder": f"file://{tmp_path}/objects", "slash": f"file://{tmp_path}/objects/"}[
        kind
    ]
    more = {"s3": (), "folder": ("--set", f"storage.checkpoints={given}"), "slash": ("--name", "tiny")}[kind]
    url = begun_at(given, place, tmp_path / "lost")
    there = Objects(url).sizes("")
    words = (place / "space.yaml", "--storage", tmp_path / "new" / "runs", "--trials", "2", "--resume", url)
    code, said = said_by("sweep", *words, *more)
    assert (code, "as far as Ray" in said) == (130, True), said
    assert (tmp_path / "new" / "runs" / "tiny" / "journal.jsonl").is_file()  # interrupted is not refused
    assert Objects(url).sizes("") == there


def test_what_is_refused_leaves_nothing(place: Path, tmp_path: Path) -> None:
    url, storage = begun_at(f"file://{tmp_path}/o", place, tmp_path / "lost"), tmp_path / "runs"
    (storage / "other").mkdir(parents=True)
    (storage / "other" / "mine.txt").touch()
    before = contents(storage)
    refused = [
        ((url, "--set", "seed=5"), "another search space: seed: 0 -> 5"),
        ((url, "--set", "storage.mirror=false"), "another search space: storage"),
        ((url, "--set", f"data.folder={tmp_path}/none"), f"{tmp_path}/none"),
        ((url, "--address", "127.0.0.1:1"), "a Ray cluster must answer at"),
        ((url, "--set", "storage.checkpoints=file:///elsewhere"), "got storage.checkpoints=file:///elsewhere; leave that out"),
        ((url, "--name", "mine"), "is of the sweep tiny, got --name mine"),
        ((url, "--dry-run"), "--dry-run looks at sweeps of a --storage"),
        ((f"{url}-none",), "there is no sweep at"),
        ((url.replace("/tiny", "/other"),), f"{storage}/other exists and is no sweep"),
        (("s3://key:hunter2secret@b/x",), "must hold no secret"),
        (("s3://key:hunter2secret@b/x", "--dry-run"), "must hold no secret"),
    ]
    for (where, *more), words in refused:
        code, said = said_by("sweep", place / "space.yaml", "--storage", storage, "--resume", where, *more)
        assert (code, words in said, "hunter2secret" in said) == (2, True, False), said
        assert contents(storage) == before
    go_on = ("--name", "tiny", "--go-on", "--set", f"storage.checkpoints=file://{tmp_path}/o")
    assert said_by("sweep", place / "space.yaml", "--storage", storage, *go_on, "--set", "seed=5")[0] == 2
    assert json.loads((storage / "tiny.exit.json").read_text())["code"] == 2
    assert contents(storage).keys() - before.keys() == {"tiny.exit.json"}


def test_a_folder_that_is_there_goes_on_with_what_is_newer(place: Path, tmp_path: Path) -> None:
    storage = tmp_path / "runs"
    url = begun_at(f"file://{tmp_path}/oo", place, storage)
    journal = storage / "tiny" / "journal.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole[: whole.rstrip().rindex(b"\n") + 1])
    code, said = said_by("sweep", place / "space.yaml", "--storage", storage, "--resume", url)
    assert (code, "as far as Ray" in said, journal.read_bytes()) == (130, True, whole), said
    code, said = said_by("sweep", place / "space.yaml", "--storage", storage, "--resume", url.replace("/oo/", "/ooo/"))
    assert (code, f"is at {url}, not at" in said, journal.read_bytes()) == (2, True, whole), said
