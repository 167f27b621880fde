"""What is kept of answers until their row group is full: rows in arrays of the writer's own, nothing of the batches."""

import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from trm.data.batches.plan import Batch, EvaluationBatch
from trm.data.batches.split import Split
from trm.evaluation.answers_file import AnsweredBatch, writing_answers

ROWS, CELLS = 23, 4
RNG = np.random.default_rng(0)
SPLIT = Split(
    "test",
    RNG.integers(1, 4, (ROWS, CELLS)).astype(np.uint8),
    RNG.integers(1, 4, (ROWS, CELLS)).astype(np.uint8),
    np.arange(ROWS, dtype=np.int32) // 2,
)


def answered(start: int, stop: int) -> AnsweredBatch:
    rows = np.arange(start, min(stop, ROWS))
    grids = SPLIT.inputs[rows].astype(np.int32)
    batch = EvaluationBatch(Batch(grids, grids, rows.astype(np.int32)), rows, np.zeros(len(rows), dtype=np.int32))
    worth = {"is_exact": rows % 3 == 0, "loss": rows / 7}
    numbers = np.zeros(len(rows), dtype=np.int64)
    return AnsweredBatch(batch, SPLIT.labels[rows], rows / 3, np.full(len(rows), 2), worth, numbers)


@pytest.mark.parametrize("names", [None, [f"puzzle {number}" for number in range(ROWS)]])
def test_a_file_hangs_on_no_batches_and_nothing_of_a_batch_is_kept(
    names: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trm.evaluation.answers_file.GROUP_CELLS", 5 * CELLS)
    files = []
    for size in (1, 3, 5, 12, ROWS):
        path, kept = tmp_path / f"{size}.parquet", []
        with writing_answers(path, SPLIT, names) as record:
            for start in range(0, ROWS, size):
                one = answered(start, start + size)
                kept += [weakref.ref(array) for array in (one.cells, one.halting_logits, one.steps, one.columns["loss"])]
                record(one)
                del one
                assert not any(array() is not None for array in kept), "a batch's arrays would hold up the heap"
        files.append(path.read_bytes())
    assert len(set(files)) == 1
    table = pq.read_table(path)
    assert table["row"].to_pylist() == list(range(ROWS))
    assert b"".join(table["cells"].to_pylist()) == SPLIT.labels.tobytes()
    assert table["name"].to_pylist() == [None if names is None else names[row // 2] for row in range(ROWS)]
    assert [pq.ParquetFile(path).metadata.row_group(number).num_rows for number in range(5)] == [5, 5, 5, 5, 3]
