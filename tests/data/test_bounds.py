"""Sizes that files claim: refused from header or footer, against the manifest, before memory is spent on them."""

import hashlib
import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from arrays_cases import write_arc_set, write_folder

from trm.data.batches.split import load_split
from trm.data.batches.stream import RowGroup
from trm.data.batches.stream_files import RowGroupFiles
from trm.data.format.manifest import MANIFEST, Manifest, read_manifest
from trm.data.format.shards import read_identifiers, read_table
from trm.data.format.verification import verify_sizes
from trm.errors import DatasetError
from trm.tasks.ensure import build_into
from trm.tasks.maze.build import build_maze
from trm.tasks.maze.recipe import MazeRecipe
from trm.tasks.published.arrays import build_arrays
from trm.tasks.published.recipe import ArraysRecipe
from trm.tasks.sudoku.recipe import SudokuRecipe

SHARD = "train-00000-of-00001.parquet"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    build_into(SudokuRecipe(name="s", size=4, train=20, validation=0, test=5), str(tmp_path / "set"), lambda *_: None)
    return tmp_path / "set"


def forged(folder: Path, file: str, table: pa.Table, rows: int, **options: Any) -> Manifest:
    """The manifest after a file was replaced, with size and hash put right and `rows` claimed."""
    path = folder / file
    pq.write_table(table, path, compression="zstd", **options)
    values = json.loads((folder / MANIFEST).read_text())
    claim = {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "rows": rows}
    if file == SHARD:
        values["splits"]["train"] |= {"rows": rows, "shards": [values["splits"]["train"]["shards"][0] | claim]}
    else:
        values["identifiers"] |= claim
    manifest = Manifest.model_validate(values).sealed()
    (folder / MANIFEST).write_text(manifest.model_dump_json())
    return manifest


def grids(rows: int, cells: int = 16) -> pa.Table:
    kind = pa.binary(cells)
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, dtype=np.int32)), pa.array([b"\1" * cells], kind)).cast(kind)
    numbers = pa.array(np.zeros(rows, dtype=np.int32))
    return pa.table({"row": pa.array(np.arange(rows)), "inputs": column, "labels": column, "groups": numbers})


FORGERIES: dict[str, tuple[Callable[[], pa.Table], int, str]] = {
    "more rows than said": (lambda: grids(60_000), 20, "has 60,000 rows, not 20"),
    "wider grids": (lambda: grids(20, 1 << 20), 20, "has a column 'inputs' of 1,048,576 bytes a row, not 16"),
    "texts": (lambda: grids(20).append_column("x", pa.array(["y" * 1000] * 20)), 20, "has a column 'x' of byte_array, where grids"),
    "lists": (
        lambda: grids(20).append_column("x", pa.array([[1] * 1000] * 20)),
        20,
        "has a column 'element' of int64, where grid",
    ),
    "one row group": (lambda: grids(60_000), 60_000, "has a row group of 60,000 rows, more than 4,096"),
    "many columns": (
        lambda: pa.table({f"c{number}": np.zeros(20, dtype=np.int32) for number in range(70)}),
        20,
        "has 70 columns, more than 64",
    ),
}


@pytest.mark.parametrize("case", FORGERIES)
def test_a_shard_that_claims_more_than_the_manifest_is_refused_by_its_footer(folder: Path, case: str) -> None:
    table, rows, message = FORGERIES[case]
    manifest = forged(folder, SHARD, table(), rows)
    shard = manifest.splits["train"].shards[0]
    rule = f"a shard must be what the manifest says: .*{SHARD} {message}"
    tracemalloc.start()
    pool = pa.total_allocated_bytes()
    with pytest.raises(DatasetError, match=rule):
        read_table(str(folder), shard, manifest)
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()
    assert pa.total_allocated_bytes() - pool < 1 << 20
    with pytest.raises(DatasetError, match=rule):
        load_split(str(folder), manifest, "train")
    with pytest.raises(DatasetError, match=rule):
        verify_sizes(str(folder), manifest)
    with pytest.raises(DatasetError, match=rule):
        RowGroupFiles(str(folder), manifest).table(RowGroup(shard=0, index=0, first_row=0, rows=20))


def test_a_pipe_in_place_of_a_file_is_refused_and_not_waited_for(folder: Path) -> None:
    for name in (MANIFEST, SHARD):
        manifest = read_manifest(str(folder)) if name == SHARD else None
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        os.mkfifo(folder / name)
        with pytest.raises(DatasetError, match=rf"{name} \(it is no regular file\)"):
            read_manifest(str(folder)) if manifest is None else load_split(str(folder), manifest, "train")
        (folder / name).unlink()
        (folder / name).write_bytes(content)


def test_a_manifest_that_claims_a_shard_of_millions_of_rows_is_refused(folder: Path) -> None:
    values = json.loads((folder / MANIFEST).read_text())
    values["splits"]["train"]["rows"] = values["splits"]["train"]["shards"][0]["rows"] = 40_000_000
    (folder / MANIFEST).write_text(json.dumps(values))
    with pytest.raises(DatasetError, match="a shard holds at most 65536 rows, one of train is to hold 40000000"):
        read_manifest(str(folder))


def test_an_identifier_table_that_unfolds_is_refused(tmp_path: Path) -> None:
    write_arc_set(folder := tmp_path / "own")
    manifest = read_manifest(str(folder))
    assert manifest.identifiers is not None
    rows = manifest.identifiers.rows
    codes = pa.array([[0] * 100_000] * rows, pa.list_(pa.int32()))
    names = [f"n{number}" for number in range(rows)]
    long = ["x" * 5000] * rows
    for table, message in (
        (pa.table({"name": names, "subset": names, "codes": codes}), "has 600,000 identifiers, more than"),
        (
            pa.table({"name": long, "subset": names, "codes": pa.array([[0]] * rows, pa.list_(pa.int32()))}),
            "has a name of 5,000",
        ),
    ):
        changed = forged(folder, "identifiers.parquet", table, rows)
        with pytest.raises(DatasetError, match=message):
            read_identifiers(str(folder), changed)


def test_arrays_that_claim_more_than_their_files_hold_are_refused(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "source", {"train": [[(0, [1])], [(0, [2])]], "test": [[(0, [3])]]}, 1)
    header = {"descr": "|u1", "fortran_order": False, "shape": (1 << 40, 6)}
    for path in (root / "train" / "all__inputs.npy", tmp_path / "mazes" / "train" / "all__inputs.npy"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(DatasetError, match=r"train/all__inputs.npy must be a whole NumPy array"):
        build_arrays(ArraysRecipe(name="x", path=str(root), puzzle="other", grid=(2, 3), validation=0))
    with pytest.raises(DatasetError, match=r"train/all__inputs.npy must be a whole NumPy array"):
        build_maze(MazeRecipe(name="m", size=5, path=str(tmp_path / "mazes")))
