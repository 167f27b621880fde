"""A name from a file, or a link in a given folder, never leads out of it: nothing outside is read for it, written or removed."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bad_input_cases import assert_refused, contents, prepared, run, scored_sweep

from trm.data.batches.split import load_split
from trm.data.format.manifest import read_manifest
from trm.errors import CheckpointError, DatasetError, FolderError
from trm.files.atomic import remove_folder, remove_hidden, write_text_atomic
from trm.files.contained import file_name, inside, misplaced, refuse_links, regular, relative_path, remove
from trm.files.weight_files import META
from trm.search.journal.lease import Lease
from trm.sweeps.trial_files import clear_unfinished, trial_folder
from trm.sweeps.winner import export_best
from trm.tasks.making.staging import staging_folder
from trm.training.checkpoint import _digest, read_meta
from trm.training.weights import export_weights

LEADING_OUT = ("", "/", "/etc/x", "..", "../x", "a/../../x", "a//b", "./a", "a/.", "a\0b", "..\\x", "C:\\x", "C:x", "\\\\host\\x")
NO_FILE_NAMES = (
    *LEADING_OUT,
    "a/b",
    ".hidden",
    "-a",
    "a b",
    "s3://bucket/x",
    "memory::x",
    "a?b",
    "a#b",
    "a*",
    "ä",
    "a\n",
    "x" * 256,
)


@pytest.mark.parametrize("name", LEADING_OUT)
def test_a_path_from_a_file_stays_below_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="must stay below its folder"):
        relative_path(name)
    with pytest.raises(FolderError, match="must stay below its folder"):
        inside(tmp_path, name)


@pytest.mark.parametrize("name", NO_FILE_NAMES)
def test_a_file_is_named_plainly(name: str) -> None:
    with pytest.raises(ValueError, match="must be named by letters"):
        file_name(name)


def test_what_stays_below_is_taken(tmp_path: Path) -> None:
    assert relative_path("trials/0001/step-00000010-attempt-0") == "trials/0001/step-00000010-attempt-0"
    assert file_name("train-00000-of-00001.parquet") == "train-00000-of-00001.parquet"
    (tmp_path / "real").mkdir()
    (tmp_path / "given").symlink_to(tmp_path / "real")
    assert inside(tmp_path / "given", "a/b", "c") == tmp_path / "given" / "a" / "b" / "c"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Somebody's home, that no sweep has any business in."""
    home = tmp_path / "home"
    (home / ".config").mkdir(parents=True)
    (home / ".config" / "key").write_text("secret")
    (home / "thesis.txt").write_text("years of work")
    return home


@pytest.fixture
def untouched(home: Path) -> Iterator[None]:
    before = contents(home)
    yield
    assert contents(home) == before


@pytest.mark.usefixtures("untouched")
def test_links_are_removed_and_not_what_they_point_to(tmp_path: Path, home: Path) -> None:
    folder = tmp_path / "trials"
    folder.mkdir()
    (folder / "0001").symlink_to(home)
    (folder / ".0002.7.gone").symlink_to(home)
    (folder / ".key").symlink_to(home / ".config" / "key")
    (folder / ".dangling").symlink_to(tmp_path / "nowhere")
    remove_folder(folder / "0001")
    remove_hidden(folder)
    assert list(folder.iterdir()) == []
    (tmp_path / "linked").symlink_to(home)
    remove_hidden(tmp_path / "linked")
    remove(tmp_path / "linked")
    assert not (tmp_path / "linked").is_symlink()


@pytest.mark.usefixtures("untouched")
def test_a_file_is_replaced_where_a_link_stood(tmp_path: Path, home: Path) -> None:
    (tmp_path / "leaderboard.json").symlink_to(home / "thesis.txt")
    write_text_atomic(tmp_path / "leaderboard.json", "{}")
    assert not (tmp_path / "leaderboard.json").is_symlink()
    assert (tmp_path / "leaderboard.json").read_text() == "{}"


def test_only_regular_files_are_opened(tmp_path: Path, home: Path) -> None:
    (tmp_path / "link").symlink_to(home / "thesis.txt")
    (tmp_path / "new").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "pipe")
    for name, mode in (("link", "a"), ("link", "r"), ("new", "w"), ("pipe", "a"), ("pipe", "r"), ("home", "r"), ("home", "a")):
        with pytest.raises(FolderError, match=f"{name} (is one|must be a file)"):
            open(tmp_path / name, mode, opener=regular)  # noqa: SIM115  # it does not come to a file
    assert not (tmp_path / "elsewhere").exists()


def test_unused_places_are_left_alone(tmp_path: Path, home: Path) -> None:
    (tmp_path / "mine").symlink_to(home)
    refuse_links(tmp_path, lambda parts: parts != ("mine",))
    with pytest.raises(FolderError, match=f"mine is one, to {home}"):
        refuse_links(tmp_path, lambda parts: True)


# A sweep's and a run's folder -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = prepared(tmp_path_factory.mktemp("folders"))
    scored_sweep(place, "scored")
    (place / "home" / ".ssh").mkdir(parents=True)
    (place / "home" / ".ssh" / "id").write_text("private")
    (place / "home" / "thesis.txt").write_text("years of work")
    return place


LINKS: dict[str, str] = {
    ".driver.json.lock": "home/thesis.txt",
    "driver.json": "home/thesis.txt",
    "journal.jsonl": "runs/mine/journal.jsonl",
    "sweep.yaml": "runs/mine/sweep.yaml",
    "tracking.json": "home/thesis.txt",
    ".tracking.lock": "home/thesis.txt",
    "trials": "home",
    "trials/0000": "home",
    "trials/0001/step-00000100-attempt-0": "home",
    "trials/.0000.gone": "home",
    "best": "home",
    ".best-new": "home",
    "confirmation": "home",
    "tune": "home",
    "tune/driver-2": "home",
}


@pytest.mark.parametrize("name", LINKS)
def test_a_sweep_folder_with_a_link_is_refused(place: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    folder = place / "runs" / "linked"
    shutil.copytree(place / "runs" / "scored", folder)
    try:
        link = folder / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(place / LINKS[name])
        resume = ("{place}/space.yaml", "--storage", "{place}/runs", "--name", "linked", "--resume")
        for arguments in (resume, ("--status", str(folder)), ("--replay", str(folder))):
            assert_refused(place, capsys, f"links below a folder are not followed: {link} is one", "sweep", *arguments)
    finally:
        shutil.rmtree(folder)


def test_a_pipe_for_a_journal_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = place / "runs" / "linked"
    shutil.copytree(place / "runs" / "scored", folder)
    (folder / "journal.jsonl").unlink()
    os.mkfifo(folder / "journal.jsonl")
    assert run("sweep", "--status", folder) == 2
    assert "journal.jsonl must be a file, and is none" in capsys.readouterr().err
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    "name", ["checkpoints", "checkpoints/step-00000009", "best", "metrics.jsonl", ".driver.json.lock", "config.yaml"]
)
def test_a_run_folder_with_a_link_is_refused(place: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    folder = place / "linked-run"
    shutil.copytree(place / "run", folder)
    link = folder / name
    if link.is_dir():
        link.rename(place / "real")
    link.unlink(missing_ok=True)
    link.symlink_to(place / "home")
    try:
        assert_refused(place, capsys, f"{link} is one", "train", "--resume", folder, "--storage", "{place}/new/runs")
    finally:
        shutil.rmtree(folder)
        shutil.rmtree(place / "real", ignore_errors=True)


@pytest.mark.parametrize("name", ["metrics.jsonl", ".driver.json.lock"])
def test_a_folder_where_a_file_belongs_is_one_message(place: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    folder = place / "odd-run"
    shutil.copytree(place / "run", folder)
    (folder / name).unlink(missing_ok=True)
    (folder / name).mkdir()
    try:
        assert_refused(
            place, capsys, f"{folder / name} must be a file", "train", "--resume", folder, "--storage", "{place}/new/runs"
        )
    finally:
        shutil.rmtree(folder)


def test_what_stands_in_the_way_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    tries: dict[str, Callable[[], object]] = {
        "must be a file, and is a folder": tmp_path.read_bytes,
        "must be a folder, and is none": (tmp_path / "file" / "best").mkdir,
        "is in the way of a folder": (tmp_path / "file").mkdir,
        "is too long a name": (tmp_path / ("x" * 300)).touch,
    }
    for words, try_it in tries.items():
        with pytest.raises(OSError, match="Errno") as error:
            try_it()
        assert words in str(misplaced(error.value))
    assert misplaced(FileNotFoundError(2, "No such file", "x")) is None


@pytest.mark.usefixtures("untouched")
def test_the_parts_do_not_follow_links_either(tmp_path: Path, home: Path) -> None:
    """A link that somebody lays after the start."""
    sweep = tmp_path / "sweep"
    (sweep / "trials").mkdir(parents=True)
    (sweep / "trials" / "zz").symlink_to(home)
    (sweep / "trials" / "0000").symlink_to(home)
    clear_unfinished(sweep)
    with pytest.raises(FolderError, match="0000 is one"):
        trial_folder(sweep, 0)
    shutil.rmtree(sweep / "trials")
    (sweep / "trials").symlink_to(home)
    with pytest.raises(FolderError, match="trials is one"):
        clear_unfinished(sweep)
    (sweep / ".driver.json.lock").symlink_to(home / "thesis.txt")
    with pytest.raises(FolderError, match="lock is one"):
        Lease(sweep)


@pytest.mark.usefixtures("untouched")
def test_best_takes_the_place_of_a_link(tmp_path: Path, home: Path, place: Path) -> None:
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    (sweep / "best").symlink_to(home)
    export_best(sweep, next((place / "run" / "checkpoints").iterdir()), {"trial": 0}, export_weights)
    assert sorted(path.name for path in sweep.iterdir()) == ["best"]
    assert not (sweep / "best").is_symlink()
    assert json.loads((sweep / "best" / "report.json").read_text()) == {"trial": 0}


# A data set's folder --------------------------------------------------------------------------------------------------


def renamed(folder: Path, change: Callable[[dict], None]) -> None:
    values = json.loads((folder / "manifest.json").read_text())
    change(values)
    (folder / "manifest.json").write_text(json.dumps(values))


def first_shard(name: str) -> Callable[[dict], None]:
    def change(values: dict) -> None:
        values["splits"]["train"]["shards"][0]["file"] = name

    return change


def attached(name: str) -> Callable[[dict], None]:
    def change(values: dict) -> None:
        values["attachments"] = [{"file": name, "bytes": 3, "sha256": ""}]

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (first_shard("../thesis.txt"), "splits.train.shards.0.file: Value error, a file must be named by letters"),
        (first_shard("/etc/passwd"), "splits.train.shards.0.file: Value error, a file must be named by letters"),
        (attached("../thesis.txt"), "attachments.0.file: Value error, a file must be named by letters"),
        (attached("manifest.json"), "every file must have a name of its own: {folder}/manifest.json has manifest.json twice"),
        (first_shard("test-00000-of-00001.parquet"), "has test-00000-of-00001.parquet twice"),
    ],
)
def test_names_that_leave_a_data_set_are_refused(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[dict], None], words: str
) -> None:
    folder = tmp_path / "data"
    shutil.copytree(place / "data", folder)
    (tmp_path / "thesis.txt").write_text("years of work")
    renamed(folder, change)
    before = contents(tmp_path)
    for arguments in ((place / "recipe.yaml", "--out", folder), ("--show", folder)):
        assert run("build_dataset", *arguments) == 2
        assert words.replace("{folder}", str(folder)) in capsys.readouterr().err
    assert contents(tmp_path) == before


def test_a_shard_that_is_a_link_out_of_its_folder_is_refused_and_mended(place: Path, tmp_path: Path) -> None:
    folder, outside = tmp_path / "data", tmp_path / "outside.parquet"
    shutil.copytree(place / "data", folder)
    shard = folder / read_manifest(str(folder)).splits["train"].shards[0].file
    shard.rename(outside)
    shard.symlink_to(outside)
    content = outside.read_bytes()
    manifest = read_manifest(str(folder))
    with pytest.raises(DatasetError, match=f"must lie in its folder: {shard} is a link to {outside}"):
        load_split(str(folder), manifest, "train")
    assert run("build_dataset", place / "recipe.yaml", "--out", folder) == 0
    assert not shard.is_symlink()
    assert shard.read_bytes() == content == outside.read_bytes()


def test_a_data_set_folder_may_be_a_link(place: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(place / "data")
    assert run("build_dataset", place / "recipe.yaml", "--out", tmp_path / "link") == 0


@pytest.mark.usefixtures("untouched")
def test_staging_is_no_link(tmp_path: Path, home: Path) -> None:
    target = tmp_path / "set"
    with staging_folder(target, "digest", print) as staging:
        pass
    staging.symlink_to(home)
    (home / "recipe-digest").write_text("digest")
    try:
        with staging_folder(target, "digest", print) as again:
            assert not again.is_symlink()
            (again / "piece").write_text("made")
    finally:
        (home / "recipe-digest").unlink()
    lock = staging.with_name(f"{staging.name}.lock")
    lock.symlink_to(home / "thesis.txt")
    with pytest.raises(FolderError, match="lock is one"), staging_folder(target, "digest", print):
        pass


def test_a_checkpoint_names_files_of_its_own(place: Path, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(next((place / "run" / "checkpoints").iterdir()), folder)
    body = json.loads((folder / META).read_text())
    body["files"]["../../thesis.txt"] = {"bytes": 3, "sha256": ""}
    body.pop("digest")
    (folder / META).write_text(json.dumps({"digest": _digest(body), **body}))
    with pytest.raises(CheckpointError, match="a file must be named by letters"):
        read_meta(folder)
