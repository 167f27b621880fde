"""How good is the predicted memory of a training process? Peak resident memory of fresh processes, less what they began with.

On CUDA the same is what torch's allocator says; here only a CPU was at hand. A row a configuration, then the spread of measured
over predicted.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.rows import emit, parser, spread
from trm.config.data import DataConfig
from trm.config.networks import DataShape
from trm.config.recursive_networks import TrmConfig
from trm.config.run import RunConfig
from trm.config.training import TrainingConfig
from trm.data.batches.plan import Batch
from trm.models.cost import run_cost
from trm.training.loop import take_step
from trm.training.process import keep_freed_memory
from trm.training.state import TrainingState

STEPS = 3
SUDOKU4, SUDOKU9, MAZE = (16, 6), (81, 11), (900, 6)
CASES: list[tuple[tuple[int, int], int, dict[str, Any]]] = [
    (SUDOKU4, 64, {"hidden_size": 32, "num_heads": 2, "H_cycles": 1, "L_cycles": 1, "puzzle_emb_len": 1}),
    (SUDOKU4, 64, {"hidden_size": 64, "mlp_t": True, "H_cycles": 2, "L_cycles": 2, "L_layers": 1, "puzzle_emb_len": 1}),
    (SUDOKU4, 64, {"hidden_size": 64, "num_heads": 4, "H_cycles": 3, "L_cycles": 6, "puzzle_emb_len": 1}),
    (SUDOKU4, 768, {"hidden_size": 64, "num_heads": 4, "H_cycles": 2, "L_cycles": 2, "puzzle_emb_len": 1}),
    (SUDOKU9, 32, {"hidden_size": 128, "num_heads": 4, "H_cycles": 1, "L_cycles": 2}),
    (SUDOKU9, 32, {"hidden_size": 128, "mlp_t": True, "H_cycles": 1, "L_cycles": 6}),
    (SUDOKU9, 8, {"hidden_size": 512, "num_heads": 8, "H_cycles": 1, "L_cycles": 2}),
    (SUDOKU9, 128, {"hidden_size": 64, "num_heads": 4, "H_cycles": 1, "L_cycles": 4, "L_layers": 1}),
    (MAZE, 8, {"hidden_size": 48, "num_heads": 4, "H_cycles": 1, "L_cycles": 1, "puzzle_emb_len": 1}),
    (MAZE, 4, {"hidden_size": 128, "num_heads": 4, "H_cycles": 1, "L_cycles": 3, "puzzle_emb_len": 1}),
]


def config_of(case: int) -> tuple[RunConfig, DataShape]:
    """The run of a case."""
    (cells, tokens), batch, fields = CASES[case]
    positions = {"pos_encodings": "none"} if fields.get("mlp_t") else {}
    config = RunConfig(
        data=DataConfig(folder="unused"),
        model=TrmConfig(**positions, **fields),
        training=TrainingConfig(global_batch_size=batch, steps=10),
    )
    return config, DataShape(cells, tokens, 1)


def status(key: str) -> int:
    """Bytes that the kernel says of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def measure(case: int) -> None:
    """In a fresh process: print the peak above the start."""
    torch.set_num_threads(1)
    keep_freed_memory()
    config, shape = config_of(case)
    tiny = config.model_copy(update={"model": TrmConfig(hidden_size=8, num_heads=1, puzzle_emb_len=1)})
    one = tiny.model_copy(update={"training": TrainingConfig(global_batch_size=1, steps=1)})
    step(one, DataShape(4, 4, 1))  # what torch loads on first use
    before = status("VmRSS")
    step(config, shape)
    print(json.dumps(max(0, status("VmHWM") - before)))


def step(config: RunConfig, shape: DataShape) -> None:
    """A few training steps."""
    rows = config.training.global_batch_size
    state = TrainingState(config, shape, max_steps=10)
    cells = np.random.default_rng(0).integers(1, shape.vocab_size, size=(2, rows, shape.seq_len), dtype=np.int32)
    for _ in range(STEPS):
        take_step(state, Batch(cells[0], cells[1], np.zeros(rows, np.int32)))


def main() -> None:
    """Print the rows."""
    options = parser(__doc__)
    options.add_argument("--case", type=int, help="measure one in this process")
    arguments = options.parse_args()
    if arguments.case is not None:
        measure(arguments.case)
        return
    shares = []
    for case, (_, _, fields) in enumerate(CASES):
        config, shape = config_of(case)
        predicted = run_cost(config, shape).memory_bytes
        command = [sys.executable, "-m", "benchmarks.step.memory", "--case", str(case)]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        measured = json.loads(run.stdout)
        shares.append(measured / predicted)
        row = {"cells": shape.seq_len, "batch": config.training.global_batch_size, **fields}
        figures = {"predicted_mb": round(predicted / 1e6, 1), "measured_mb": round(measured / 1e6, 1)}
        emit({"benchmark": "memory", **row, **figures, "share": round(shares[-1], 3)}, arguments.out)
    emit({"benchmark": "memory", "measured_over_predicted": spread(shares)}, arguments.out)


if __name__ == "__main__":
    main()
