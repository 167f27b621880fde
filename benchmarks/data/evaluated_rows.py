"""Is an evaluation of 100,000 rows as flat in memory as one of 10,000, and streamed as fast as held? 9x9 Sudoku.

A small network is scored on a test split by `evaluate.py` as a user calls it, in turn streamed and held in memory. The boards are
forms of one solved grid, made here; what they score is not the question. Rows a second are those of the rows between the two
sizes, so that what every evaluation takes to start does not count, and seconds are the processor's, which other work on the
machine does not stretch.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rows import emit, parser, spread

CLUES = 50
CONFIG: dict[str, Any] = {
    "model": {
        "mlp_t": True,
        "pos_encodings": "none",
        "puzzle_emb_len": 1,
        "hidden_size": 16,
        "L_layers": 1,
        "halt_max_steps": 2,
        "H_cycles": 1,
        "L_cycles": 1,
    },
    "optim": {"lr": 1e-3, "lr_warmup_steps": 0},
    "training": {"global_batch_size": 64, "steps": 20},
    "evaluation": {"batch_size": 256},
    "tracking": {"enabled": False},
}
MODES = ("stream", "resident")


def boards(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Questions and answers (rows, 9, 9): random symmetric forms of one grid, of which `CLUES` cells are given."""
    rng = np.random.default_rng(seed)

    def lines() -> np.ndarray:
        """The order of rows or columns of each board, bands whole."""
        bands = rng.random((rows, 3)).argsort(1)
        within = rng.random((rows, 3, 3)).argsort(2)
        return (bands[:, :, None] * 3 + within).reshape(rows, 9)

    cells = (3 * np.arange(9)[:, None] + np.arange(9)[:, None] // 3 + np.arange(9)) % 9
    digits = rng.random((rows, 9)).argsort(1) + 1
    answers = np.take_along_axis(digits, cells[lines()[:, :, None], lines()[:, None, :]].reshape(rows, 81), 1).astype(np.uint8)
    is_given = rng.random((rows, 81)).argsort(1) < CLUES
    return (answers * is_given).reshape(-1, 9, 9), answers.reshape(-1, 9, 9)


def call(job: str, *words: str) -> float:
    """Runs a job; the processor's seconds that it took."""
    before = processor_seconds()
    done = subprocess.run(
        [sys.executable, f"ray_jobs/{job}.py", *words], capture_output=True, text=True, env=os.environ, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return processor_seconds() - before


def processor_seconds() -> float:
    """Of all processes that this one started and that have ended."""
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime


def prepared(place: Path, rows: int) -> Path:
    """A run of `train.py` on a data set with so many test rows."""
    source = place / f"source-{rows}"
    source.mkdir()
    for seed, (name, count) in enumerate((("train", 200), ("validation", 64), ("test", rows))):
        question, answer = boards(count, seed)
        np.savez(source / f"{name}.npz", question=question, answer=answer)
    (place / f"{rows}.yaml").write_text(json.dumps({"name": f"boards-{rows}", "task": "table", "path": str(source)}))
    call("build_dataset", str(place / f"{rows}.yaml"), "--out", str(place / f"boards-{rows}"))
    config = CONFIG | {"data": {"folder": str(place / f"boards-{rows}")}}
    (place / f"run-{rows}.yaml").write_text(json.dumps(config))
    call("train", str(place / f"run-{rows}.yaml"), "--out", str(place / f"run-{rows}"))
    return place / f"run-{rows}"


def evaluated(run: Path, mode: str, folder: Path) -> dict[str, Any]:
    """The report of one evaluation."""
    seconds = call("evaluate", str(run), "--split", "test", "--folder", str(folder), "--set", f"data.mode={mode}")
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    print(f"{folder.name}: {seconds:.1f} s", file=sys.stderr, flush=True)
    return found | {"processor_seconds": seconds}


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--rows", type=int, nargs=2, default=(10_000, 100_000))
    options.add_argument("--repeats", type=int, default=3)
    asked = options.parse_args()
    few, many = asked.rows
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        runs = {rows: prepared(place, rows) for rows in (few, many)}
        found: dict[tuple[str, int], list[dict[str, Any]]] = {(mode, rows): [] for mode in MODES for rows in runs}
        for number in range(asked.repeats):
            for mode, rows in found:
                found[mode, rows].append(evaluated(runs[rows], mode, place / f"out-{mode}-{rows}-{number}"))
        for rows in runs:
            figures = [one["metrics"] for mode in MODES for one in found[mode, rows]]
            tables = {(place / f"out-{mode}-{rows}-0" / "puzzles.parquet").read_bytes() for mode in MODES}
            assert all(one == figures[0] for one in figures), "figures differ"
            assert len(tables) == 1, "scores of puzzles differ"
        rates = {}
        for mode in MODES:
            pairs = zip(found[mode, few], found[mode, many], strict=True)
            rates[mode] = [(many - few) / (long["processor_seconds"] - short["processor_seconds"]) for short, long in pairs]
            peaks = {
                f"peak_mb_{rows}": spread([one["environment"]["peak_memory_bytes"] / 1e6 for one in found[mode, rows]])
                for rows in runs
            }
            emit({"figure": "evaluated_rows", "mode": mode, "rows_per_second": spread(rates[mode]), **peaks}, asked.out)
        ratios = [one / other for one, other in zip(rates["stream"], rates["resident"], strict=True)]
        held = statistics.median(one["environment"]["peak_memory_bytes"] for one in found["stream", many])
        held /= statistics.median(one["environment"]["peak_memory_bytes"] for one in found["stream", few])
        emit({"figure": "evaluated_rows_streamed_to_held", "memory_many_to_few": round(held, 3), **spread(ratios)}, asked.out)


if __name__ == "__main__":
    main()
