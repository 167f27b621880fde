"""The data set on disk: whole or not there, read as it was written, and every damage found by name."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_cases import arc_dataset

from trm.config.data import DataConfig
from trm.data.batches.split import Split, load_split
from trm.data.format import shards, storage
from trm.data.format.built import BuiltDataset
from trm.data.format.manifest import MANIFEST, Manifest, read_manifest
from trm.data.format.verification import verify
from trm.errors import DatasetError
from trm.tasks.ensure import build_into, ensure_dataset
from trm.tasks.making.writing import write_dataset
from trm.tasks.recipes import dataset_folder, load_recipe
from trm.tasks.sudoku.recipe import SudokuRecipe

ROOT = Path(__file__).parents[2]
SMALL = SudokuRecipe(name="small", size=4, train=20, validation=5, test=5)


def silent(*_: object) -> None:
    """A report and a say that nobody hears."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An ARC data set on disk."""
    dataset, recipe = arc_dataset()
    write_dataset(dataset, recipe, str(tmp_path / "set"))
    return tmp_path / "set"


@pytest.fixture
def memory() -> Iterator[str]:
    """A URL whose files live in memory."""
    yield "memory://case/set"
    fsspec.filesystem("memory").rm("/case", recursive=True)


def columns_of(built: BuiltDataset, name: str) -> dict[str, np.ndarray]:
    split = built.splits[name]  # type: ignore[index]
    assert built.identifiers is not None
    table = {"identifier_starts": built.identifiers.starts, "identifier_codes": built.identifiers.codes}
    return {"inputs": split.inputs, "labels": split.labels, "groups": split.groups, **split.extras, **table}


def is_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    kinds = {name: (column.dtype, column.shape) for name, column in one.items()}
    return kinds == {name: (column.dtype, column.shape) for name, column in other.items()} and all(
        (one[name] == other[name]).all() for name in one
    )


@pytest.mark.parametrize("where", ["local", "memory"])
def test_a_split_is_read_as_it_was_written(where: str, tmp_path: Path, memory: str) -> None:
    folder = memory if where == "memory" else str(tmp_path / "set")
    dataset, recipe = arc_dataset()
    written = write_dataset(dataset, recipe, folder)
    write_dataset(dataset, recipe, memory)
    manifest = read_manifest(folder)
    assert manifest == written
    verify(folder, manifest)
    for name in dataset.splits:
        assert is_same(load_split(folder, manifest, name).columns(), columns_of(dataset, name))
    table = shards.read_identifiers(folder, manifest)
    assert table is not None
    assert dataset.identifiers is not None
    assert (table.names, table.subsets) == (dataset.identifiers.names, dataset.identifiers.subsets)
    assert manifest.shape.num_puzzle_identifiers == 1 + 6 * 4
    assert (manifest.shape.seq_len, manifest.shape.vocab_size) == (900, 12)


def test_several_shards_are_one_split_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD_ROWS", 4)
    dataset, recipe = arc_dataset()
    folder = str(tmp_path / "set")
    manifest = write_dataset(dataset, recipe, folder)
    assert len(manifest.splits["train"].shards) == -(-manifest.splits["train"].rows // 4) > 2
    verify(folder, manifest)
    tables = [pq.read_table(path) for path in shards.shard_paths(folder, manifest, "train")[::-1]]
    columns = shards.in_row_order(shards.decode_table(pa.concat_tables(tables)), shards.read_identifiers(folder, manifest))
    assert is_same(columns, columns_of(dataset, "train"))


def test_a_split_is_rebuilt_from_columns_without_copying() -> None:
    dataset, _ = arc_dataset()
    columns = columns_of(dataset, "train")
    for column in columns.values():
        column.setflags(write=False)
    split = Split.from_columns("train", columns)
    assert all(np.shares_memory(column, columns[name]) for name, column in split.columns().items())
    assert (split.offsets[1:] - split.offsets[:-1]).tolist() == np.bincount(split.groups).tolist()


def test_two_builds_are_byte_for_byte_one(tmp_path: Path) -> None:
    for name in ("one", "two"):
        build_into(SMALL, str(tmp_path / name), silent)
    files = {path.name for path in (tmp_path / "one").iterdir()}
    assert files == {MANIFEST, *(f"{name}-00000-of-00001.parquet" for name in ("train", "validation", "test"))}
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in files)


def test_the_same_recipe_is_the_same_data_set_everywhere(tmp_path: Path) -> None:
    manifest, _ = build_into(SMALL, str(tmp_path / "set"), silent)
    assert manifest.content_hash == "bd611e910ef334a05aedf5eb3c6411880cbc0a0b76b2cd2615f77f20fe27442e"


def edit(path: Path, change: Callable[[dict[str, object]], None]) -> None:
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def flip_byte(folder: Path) -> None:
    path = folder / "train-00000-of-00001.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(folder: Path) -> None:
    path = folder / "train-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes()[:-100])


def swap(folder: Path) -> None:
    shutil.copy(folder / "identifiers.parquet", folder / "train-00000-of-00001.parquet")


def forge(folder: Path) -> None:
    """Another shard with the manifest's hash and size put right: only the hash of the contents tells."""
    path = folder / "train-00000-of-00001.parquet"
    table = pq.read_table(path)
    labels = table.column("labels").combine_chunks()
    pq.write_table(table.set_column(table.column_names.index("inputs"), "inputs", labels), path)
    info = shards.hashlib.sha256(path.read_bytes()).hexdigest()

    def change(values: dict[str, object]) -> None:
        values["splits"]["train"]["shards"][0] |= {"sha256": info, "bytes": path.stat().st_size}  # type: ignore[index]

    edit(folder / MANIFEST, change)


def fewer_rows(folder: Path) -> None:
    def change(values: dict[str, object]) -> None:
        train = values["splits"]["train"]  # type: ignore[index]
        train["rows"] -= 1
        train["shards"][0]["rows"] -= 1

    edit(folder / MANIFEST, change)
    manifest = Manifest.model_validate_json((folder / MANIFEST).read_text()).sealed()
    (folder / MANIFEST).write_text(manifest.model_dump_json())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            flip_byte,
            "a shard must have the hash in the manifest: .*train-00000-of-00001.parquet has .*; run ray_jobs/build_dataset.py",
        ),
        (truncate, "a shard must have the size in the manifest: .*train-00000-of-00001.parquet has"),
        (swap, "a shard must have the size in the manifest: .*train-00000-of-00001.parquet has"),
        (forge, "split train must match the manifest's content hash: .*train-00000-of-00001.parquet"),
        (fewer_rows, r"must be what the manifest says: .*train-00000-of-00001.parquet has \d+ rows, not \d+"),
        (
            lambda folder: (folder / "test-00000-of-00001.parquet").unlink(),
            "the shard must exist: .*test-00000-of-00001.parquet does not",
        ),
        (
            lambda folder: (folder / "identifiers.parquet").write_bytes(b""),
            "the size in the manifest: .*identifiers.parquet has 0 bytes",
        ),
        (lambda folder: (folder / MANIFEST).unlink(), "the manifest must exist: .*manifest.json does not; build it with"),
        (lambda folder: (folder / MANIFEST).write_text("[" * 200_000), "manifest.json must be JSON at most 64 deep, and is deeper"),
        (lambda folder: (folder / MANIFEST).write_text("[]"), "manifest.json must hold an object, and holds a list"),
        (lambda folder: (folder / MANIFEST).write_text("{}"), "a manifest must have format 2: .* has no format_version"),
        (lambda folder: (folder / MANIFEST).write_text("{"), "the manifest .*manifest.json must be JSON: Expecting property name"),
        (
            lambda folder: edit(folder / MANIFEST, lambda values: values.update(format_version=99)),
            "manifest.json has the later format 99; update",
        ),
        (lambda folder: edit(folder / MANIFEST, lambda values: values.update(seed=5)), "a manifest must match its content hash"),
        (
            lambda folder: edit(folder / MANIFEST, lambda values: values.update(seq_len=5)),
            "a manifest must be valid: .*has 900 cells",
        ),
        (
            lambda folder: edit(folder / MANIFEST, lambda values: values.pop("splits")),
            "a manifest must be valid: .*splits: Field required",
        ),
    ],
)
def test_damage_is_found_and_named(folder: Path, damage: Callable[[Path], None], message: str) -> None:
    verify(str(folder), read_manifest(str(folder)))
    damage(folder)
    with pytest.raises(DatasetError, match=message):
        verify(str(folder), read_manifest(str(folder)))


def test_a_corrupt_shard_of_the_right_size_is_no_crash(folder: Path) -> None:
    path = folder / "train-00000-of-00001.parquet"
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(DatasetError, match=r"a shard must have the hash in the manifest: .*train-00000-of-00001.parquet has"):
        load_split(str(folder), read_manifest(str(folder)), "train")


def test_a_split_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(DatasetError, match=r"a split must be one of train, test: .* has no split 'validation'"):
        load_split(str(folder), read_manifest(str(folder)), "validation")


def test_what_is_there_is_verified_and_another_set_refused(tmp_path: Path) -> None:
    folder = str(tmp_path / "set")
    assert build_into(SMALL, folder, silent)[1] == "built"
    before = {path: path.stat().st_mtime_ns for path in Path(folder).iterdir()}
    assert build_into(SMALL, folder, silent)[1] == "verified"
    assert {path: path.stat().st_mtime_ns for path in Path(folder).iterdir()} == before
    other = SMALL.model_copy(update={"seed": 1})
    with pytest.raises(DatasetError, match=r"hold this recipe's data set .*: .*set holds small"):
        build_into(other, folder, silent)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    with pytest.raises(DatasetError, match="notes exists and holds something else; name another folder"):
        build_into(SMALL, str(tmp_path / "notes"), silent)
    with pytest.raises(DatasetError, match=r"mine.txt exists and holds something else"):
        build_into(SMALL, str(tmp_path / "notes" / "mine.txt"), silent)
    truncate(Path(folder))
    with pytest.raises(DatasetError, match="a shard must have the size in the manifest"):
        build_into(SMALL, folder, silent)


def test_nothing_is_left_of_a_build_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(path: str, content: bytes) -> None:
        if path.endswith(MANIFEST):
            raise OSError("No space left on device")
        Path(path).write_bytes(content)

    monkeypatch.setattr(storage, "write_bytes", full_disk)
    with pytest.raises(DatasetError, match=r"a data set's folder must be writable: .*No space left on device"):
        build_into(SMALL, str(tmp_path / "data" / "set"), silent)
    assert list(tmp_path.iterdir()) == []


def test_a_set_built_by_another_in_the_meantime_is_kept(tmp_path: Path) -> None:
    dataset, recipe = arc_dataset()
    folder = tmp_path / "set"
    write_dataset(dataset, recipe, str(folder))
    first = (folder / MANIFEST).stat().st_ino
    write_dataset(dataset, recipe, str(folder))
    assert (folder / MANIFEST).stat().st_ino == first
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_ensure_builds_once_below_the_root_and_says_so(tmp_path: Path) -> None:
    data = DataConfig(recipe=str(ROOT / "datasets/sudoku4x4.yaml"), overrides={"train": 30, "validation": 5, "test": 5})
    lines: list[str] = []
    folder = ensure_dataset(data, str(tmp_path), lines.append)
    recipe = load_recipe(ROOT / "datasets/sudoku4x4.yaml", ["train=30", "validation=5", "test=5"])
    assert folder == dataset_folder(recipe, str(tmp_path)) == f"{tmp_path}/sudoku4x4-{recipe.digest()[:8]}"
    assert ensure_dataset(data, str(tmp_path), lines.append) == folder
    assert lines == [
        f"data set sudoku4x4 {word}: 30 train, 5 validation, 5 test examples in {folder}" for word in ("built", "verified")
    ]
    assert ensure_dataset(DataConfig(folder=folder), str(tmp_path), lines.append) == folder
    truncate(Path(folder))
    with pytest.raises(DatasetError, match=r"train-00000-of-00001.parquet"):
        ensure_dataset(DataConfig(folder=folder), str(tmp_path), lines.append)


@pytest.mark.parametrize("path", sorted((ROOT / "datasets").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_is_valid_and_has_a_card(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    card = path.with_suffix(".md").read_text()
    assert all(f"**{word}**" in card for word in ("Source", "Licence", "Counts", "How to get it", "How to cite"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"trian": 5}, "datasets/sudoku9x9.yaml: trian is not a key; did you mean train?"),
        ({"size": 5}, "size must be one of 4, 6, 9, got 5"),
        ({"train": 0}, "train must be >= 1, got 0"),
        ({"task": "sudokku"}, "task must be one of sudoku, maze, arc, table, arrays, mixture, got 'sudokku'; did you mean sudoku"),
        ({"minimal": False}, "size 9 needs minimal: true or max_clues, it has neither; set minimal: true"),
        ({"test": None}, "train and test must be numbers when puzzles are generated"),
        ({"columns": {"answer": "a"}}, "columns are those of files, and path is null; give path, or leave out columns"),
    ],
)
def test_a_wrong_recipe_is_refused_by_rule_value_and_remedy(overrides: dict[str, object], message: str) -> None:
    with pytest.raises(DatasetError) as error:
        load_recipe(ROOT / "datasets/sudoku9x9.yaml", overrides)
    assert message in str(error.value)


def run_job(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "ray_jobs/build_dataset.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def test_the_job_builds_and_says_where(tmp_path: Path) -> None:
    out = str(tmp_path / "set")
    done = run_job("datasets/sudoku4x4.yaml", "--out", out, "--set", "train=30")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == out
    assert "30 examples" in done.stdout
    refused = run_job("datasets/sudoku4x4.yaml", "--out", out, "--set", "train=31")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: the folder must be empty or hold this recipe's data set")
    assert "Traceback" not in refused.stderr


def test_help_of_the_job_imports_neither_torch_nor_ray_nor_numpy() -> None:
    script = "import runpy, sys; sys.argv = ['build_dataset.py', '--help']\n"
    script += "try: runpy.run_path('ray_jobs/build_dataset.py', run_name='__main__')\n"
    script += "except SystemExit: print(sorted({'torch', 'ray', 'numpy', 'pyarrow'} & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert "--out" in done.stdout
    assert done.stderr.strip() == "[]"
