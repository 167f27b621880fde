"""Builds that are stopped, damaged or asked only what they would do; the real job, killed for real."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from bad_input_cases import run, said_by

from trm.data.format import shards
from trm.data.format.built import BuiltDataset
from trm.data.format.manifest import MANIFEST, read_manifest
from trm.data.format.verification import damaged, files_of, verify
from trm.errors import DatasetError
from trm.tasks import ensure
from trm.tasks.arc.recipe import ArcRecipe
from trm.tasks.ensure import build_into
from trm.tasks.making import writing
from trm.tasks.making.chunks import PIECE_DRAWS, Columns, generate, remade
from trm.tasks.making.staging import ChunkFolder, staging_folder
from trm.tasks.maze.recipe import MazeRecipe
from trm.tasks.sudoku.build import build_sudoku
from trm.tasks.sudoku.recipe import SudokuRecipe

ROOT = Path(__file__).parents[2]
SMALL = SudokuRecipe(name="small", size=4, train=40, validation=5, test=5)
GENERATED = SudokuRecipe(name="generated", size=6, minimal=True, train=90, validation=10, test=20)


def silent(*_: object) -> None:
    """A report and a say that nobody hears."""


def interrupted(*_: object) -> None:
    """What Ctrl-C does."""
    raise KeyboardInterrupt


class Numbers:
    """A maker whose puzzles are numbers: piece n holds n, n + 1, n + 2, so two of three come up again in the next piece."""

    def __init__(self) -> None:
        self.made: list[int] = []
        self._seen: set[int] = set()
        self._lock = threading.Lock()

    def piece(self, number: int) -> Columns:
        with self._lock:
            self.made.append(number)
        grids = np.arange(number, number + 3, dtype=np.uint8)[:, None]
        return {"inputs": grids, "labels": grids, "rating": np.arange(3, dtype=np.int32)}

    def is_new(self, columns: Columns) -> np.ndarray:
        values = [int(value) for value in columns["inputs"][:, 0]]
        fresh = np.array([value not in self._seen for value in values])
        self._seen |= set(values)
        return fresh

    def exhausted(self, found: int, wanted: int, pieces: int) -> DatasetError | None:
        return DatasetError(f"{found} of {wanted}", remedy="ask for fewer") if pieces == 20 else None


def test_pieces_become_different_puzzles_in_order_and_any_stretch_can_be_made_again() -> None:
    made = generate(Numbers(), 10, silent)
    assert made.columns["inputs"][:, 0].tolist() == list(range(10))
    assert made.draws.tolist() == [0, 1, 2, *(n * PIECE_DRAWS + 2 for n in range(1, 8))]
    assert made.duplicates == tuple(n * PIECE_DRAWS + k for n in range(1, 8) for k in range(2))
    part = remade(Numbers(), int(made.draws[4]), int(made.draws[7]), made.duplicates)
    assert part["inputs"][:, 0].tolist() == [4, 5, 6, 7]
    with pytest.raises(DatasetError, match="22 of 50"):
        generate(Numbers(), 50, silent)


def test_kept_pieces_are_not_made_again(tmp_path: Path) -> None:
    store = ChunkFolder(tmp_path)
    for number in (0, 1, 3):
        store.save(number, Numbers().piece(number))
    maker = Numbers()
    made = generate(maker, 8, silent, store)
    assert made.columns["inputs"][:, 0].tolist() == list(range(8))
    assert not {0, 1, 3} & set(maker.made)
    assert {2, 4, 5} <= set(maker.made)


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("recipe", [SMALL, GENERATED, ArcRecipe(name="arc", num_aug=2, subsets=("training",), test_set="training")])
def test_only_what_is_damaged_is_made_again(
    recipe: SudokuRecipe | ArcRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD_ROWS", 600 if isinstance(recipe, ArcRecipe) else 16)
    folder = tmp_path / "set"
    build_into(recipe, str(folder), silent)
    before, times = files_in(folder), {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    victims = sorted(name for name in before if name.startswith("train"))[1:3]
    (folder / victims[0]).unlink()
    (folder / victims[1]).write_bytes(before[victims[1]][:-50])
    if isinstance(recipe, ArcRecipe):
        victims.append("identifiers.parquet")
        (folder / victims[-1]).write_bytes(b"torn")
    assert sorted(damaged(str(folder), read_manifest(str(folder)))) == sorted(victims)
    with pytest.raises(DatasetError, match=r"run ray_jobs/build_dataset.py"):
        build_into(recipe, str(folder), silent)
    manifest, outcome = build_into(recipe, str(folder), silent, repairs=True)
    assert outcome == "repaired"
    assert files_in(folder) == before
    verify(str(folder), manifest)
    assert {path.name for path in folder.iterdir() if path.stat().st_mtime_ns != times[path.name]} == set(victims)
    assert build_into(recipe, str(folder), silent, repairs=True)[1] == "verified"


def test_a_generated_shard_is_made_from_its_own_pieces_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trm.tasks.sudoku import build as sudoku

    monkeypatch.setattr(shards, "SHARD_ROWS", 16)
    folder = tmp_path / "set"
    build_into(GENERATED, str(folder), silent)
    before = files_in(folder)
    (folder / "train-00002-of-00006.parquet").unlink()

    def refuse(*_: object) -> None:
        raise AssertionError("the whole data set was built")

    monkeypatch.setattr(sudoku, "build_sudoku", refuse)
    build_into(GENERATED, str(folder), silent, repairs=True)
    assert files_in(folder) == before


def test_a_large_data_set_is_checked_by_presence_and_size_before_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_into(SMALL, str(tmp_path / "set"), silent)
    monkeypatch.setattr(ensure, "READ_BYTES", 100)
    path = tmp_path / "set" / "train-00000-of-00001.parquet"
    content = path.read_bytes()
    path.write_bytes(content[:8] + b"____" + content[12:])
    assert build_into(SMALL, str(tmp_path / "set"), silent)[1] == "verified"
    assert build_into(SMALL, str(tmp_path / "set"), silent, repairs=True)[1] == "repaired"
    assert path.read_bytes() == content
    damages = (
        (lambda: path.write_bytes(content[:-4] + b"____"), "must be readable Parquet"),
        (lambda: path.write_bytes(content[:-1]), "must have the size"),
        (path.unlink, "the shard must exist"),
    )
    for damage, message in damages:
        damage()
        with pytest.raises(DatasetError, match=f"{message}.*train-00000-of-00001.parquet"):
            build_into(SMALL, str(tmp_path / "set"), silent)


def test_a_shard_of_another_build_is_named(tmp_path: Path) -> None:
    build_into(SMALL, str(tmp_path / "set"), silent)
    shutil.copy(tmp_path / "set" / "train-00000-of-00001.parquet", tmp_path / "set" / "train-00000-of-00002.parquet")
    with pytest.raises(
        DatasetError, match=r"the shards of one build: .*train-00000-of-00002.parquet is not in its manifest; remove"
    ):
        build_into(SMALL, str(tmp_path / "set"), silent)
    assert (tmp_path / "set" / "train-00000-of-00002.parquet").exists()


def staged(target: Path, digest: str, end: BaseException | None = None) -> bool:
    """Whether a build that ends so found a piece of an earlier one; it leaves one."""
    with staging_folder(target, digest, silent) as staging:
        has_piece = ChunkFolder(staging).load(0) is not None
        ChunkFolder(staging).save(0, Numbers().piece(0))
        if end is not None:
            end.args = (has_piece,)
            raise end
    return has_piece


def test_an_interrupted_build_keeps_its_pieces_and_a_failed_one_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="False"):
        staged(tmp_path / "new" / "data" / "set", "one", OSError())
    assert list(tmp_path.iterdir()) == []
    target = tmp_path / "set"
    with pytest.raises(KeyboardInterrupt, match="False"):
        staged(target, "one", KeyboardInterrupt())
    with pytest.raises(OSError, match="True"):
        staged(target, "one", OSError())
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyboardInterrupt, match="False"):
        staged(target, "one", KeyboardInterrupt())
    assert not staged(target, "two")
    assert list(tmp_path.iterdir()) == []


def test_files_of_an_interrupted_build_are_gone_when_its_source_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD_ROWS", 10)
    larger, smaller = (build_sudoku(SMALL.model_copy(update={"train": train})) for train in (40, 20))
    folder = str(tmp_path / "set")
    with monkeypatch.context() as patch:
        patch.setattr(writing, "write_manifest", interrupted)
        with pytest.raises(KeyboardInterrupt):
            writing.write_dataset(larger, SMALL, folder)
    assert not Path(folder).exists()
    manifest = writing.write_dataset(smaller, SMALL, folder)
    verify(folder, manifest)
    assert set(files_in(tmp_path / "set")) == {MANIFEST, *(info.file for info in files_of(manifest))}


def test_two_builds_of_one_set_at_once_make_it_once(tmp_path: Path) -> None:
    target, said, built = tmp_path / "set", list[str](), list[str]()
    with staging_folder(target, "mine", silent):
        other = threading.Thread(target=lambda: built.append(build_into(SMALL, str(target), silent, said.append)[1]))
        other.start()
        deadline = time.monotonic() + 20
        while not said and time.monotonic() < deadline:
            time.sleep(0.01)
        assert said == [f"another process is building {target}: waiting for it"]
        assert not target.exists()
    other.join(20)
    assert built == ["built"]
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_killed_job_goes_on_and_comes_to_the_same_bytes(tmp_path: Path) -> None:
    """SIGKILL while pieces are made; the second run keeps them and ends as an undisturbed build does."""
    options = ["datasets/sudoku9x9.yaml", *(f"--set={value}" for value in ("train=5000", "validation=50", "test=50"))]
    command = [sys.executable, str(ROOT / "ray_jobs/build_dataset.py"), *options, "--out", str(tmp_path / "killed")]
    victim = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 120
    while len(kept := list(tmp_path.glob(".killed.building-*/pieces/*.parquet"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    assert len(kept) >= 2
    assert not (tmp_path / "killed").exists()
    times = {path: path.stat().st_mtime_ns for path in kept}
    resumed = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    with contextlib.suppress(FileNotFoundError):  # pieces are removed once the set is there
        while resumed.poll() is None:
            assert {path: path.stat().st_mtime_ns for path in kept} == times
            time.sleep(0.02)
    assert resumed.wait() == 0
    assert run("build_dataset", *options, "--out", tmp_path / "undisturbed") == 0
    assert files_in(tmp_path / "killed") == files_in(tmp_path / "undisturbed")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "undisturbed"]


def test_a_dry_run_says_counts_and_writes_nothing(tmp_path: Path) -> None:
    code, said = said_by("build_dataset", "datasets/sudoku4x4.yaml", "--dry-run", "--set", "train=30", "--out", tmp_path / "set")
    assert code == 0, said
    assert ["train", "30", "examples"] in [line.split()[:3] for line in said.splitlines()]
    code, said = said_by(
        "build_dataset", "datasets/sudoku6x6.yaml", "--dry-run", "--set", "train=123456", "--out", tmp_path / "set"
    )
    assert code == 0, said
    assert ["train", "123,456", "examples"] in [line.split()[:3] for line in said.splitlines()]
    assert "sizes are estimates; nothing was written" in said
    assert list(tmp_path.iterdir()) == []


def test_show_draws_examples_of_every_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sudoku, maze, arc = (str(tmp_path / name) for name in ("sudoku", "maze", "arc"))
    monkeypatch.setattr(shards, "SHARD_ROWS", 10)
    build_into(SMALL, sudoku, silent)
    build_into(MazeRecipe(name="maze", size=10, min_path=14, train=5, validation=0, test=5), maze, silent)
    build_into(ArcRecipe(name="arc", num_aug=0), arc, silent)
    shown = {folder: said_by("build_dataset", "--show", folder) for folder in (sudoku, maze, arc)}
    assert {code for code, _ in shown.values()} == {0}
    assert shown[sudoku][1].count("----+----") == 6
    assert [line.split(",")[:2] for line in shown[sudoku][1].splitlines() if line.startswith("row ")] == [
        [f"row {row}", f" group {row}"] for row in (0, 19, 39)
    ]
    board = next(line for line in shown[sudoku][1].splitlines() if "|" in line)
    assert sorted(board.split("->")[-1].replace("|", " ").split()[-4:]) == ["1", "2", "3", "4"]
    assert shown[maze][1].split("identifiers")[1].count("G") == 6
    assert shown[maze][1].count("##") > 100
    assert shown[arc][1].count("->") == 3
    code, said = said_by("build_dataset", "--show", tmp_path / "nothing")
    assert code == 2
    assert f"{tmp_path}/nothing/{MANIFEST} does not" in said
    for refused in ((), ("datasets/arc1.yaml", "--show", arc), ("--show", arc, "--dry-run")):
        assert run("build_dataset", *refused) == 2


def test_a_fault_of_ours_is_not_taken_for_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    def build(_: object) -> BuiltDataset:
        raise ValueError("ours")

    for folder in (str(tmp_path / "set"), f"memory://{tmp_path}"):
        with pytest.raises(ValueError, match=r"^ours$"):
            writing.create(build, SMALL, folder)
    assert list(tmp_path.iterdir()) == []
