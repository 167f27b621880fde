"""How well do the speeds learned so far foretell the next leg? Real legs of random networks, one after another in one process.

Each leg is foretold from those before it: training, evaluation and the rest. The spread of the relative error is that of all legs
after the first few, in seconds and, for machines that others use too, in processor time. With `--side-by-side` two processes
share the machine, as a sweep's slots do.
"""

import random
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import torch

from benchmarks.rows import emit, parser
from trm.config.data import DataConfig
from trm.config.optimizers import AdamATan2Config
from trm.config.recursive_networks import TrmConfig
from trm.config.run import RunConfig
from trm.config.step_costs import StepCosts
from trm.config.training import EvaluationConfig, TrainingConfig
from trm.data.batches.split import load_split
from trm.data.format.manifest import read_manifest
from trm.models.cost import run_cost
from trm.search.resources.speeds import Speeds
from trm.tasks.ensure import ensure_dataset
from trm.training.leg import LegTask
from trm.training.process import keep_freed_memory
from trm.training.start import RunData
from trm.training.trainer import run_leg

FIRST = 5
"""Legs that are not counted: a sweep knows as little then."""
FLOPS = (2e10, 6e10)
"""Of a leg: about a second or two."""


def drawn(generator: random.Random) -> RunConfig:
    """A random network of the sizes that two cores can search."""
    mlp_t = generator.random() < 0.5
    model: dict[str, Any] = {
        "hidden_size": generator.choice([16, 32, 64, 128]),
        "num_heads": generator.choice([1, 2, 4]),
        "mlp_t": mlp_t,
        "pos_encodings": "none" if mlp_t else "rope",
        "puzzle_emb_len": 1,
        "halt_max_steps": 8,
        **{name: generator.randint(1, 3) for name in ("H_cycles", "L_cycles")},
        "L_layers": generator.randint(1, 2),
    }
    return RunConfig(
        data=DataConfig(recipe="datasets/sudoku4x4.yaml"),
        model=TrmConfig(**model),
        optim=AdamATan2Config(lr_warmup_steps=0),
        training=TrainingConfig(global_batch_size=64, steps=1),
        evaluation=EvaluationConfig(max_examples=200),
    )


def errors(legs: int, seed: int) -> dict[str, list[float]]:
    """Relative errors of what was foretold before each leg: a step's seconds, the leg's, and the leg's in processor time."""
    torch.set_num_threads(1)
    keep_freed_memory()
    generator, speeds, quiet = random.Random(seed), Speeds(), Speeds()
    found: dict[str, list[float]] = {"step": [], "leg": [], "leg_processor_time": []}
    with tempfile.TemporaryDirectory() as root:
        folder = ensure_dataset(DataConfig(recipe="datasets/sudoku4x4.yaml"), root, lambda line: None)
        manifest = read_manifest(folder)
        splits = RunData(train=load_split(folder, manifest, "train"), validation=load_split(folder, manifest, "validation"))
        for number in range(legs):
            config = drawn(generator)
            cost = run_cost(config, manifest.shape).step_flops
            flops = StepCosts.constant(cost)
            steps = max(5, int(generator.uniform(*FLOPS) / cost))
            task = LegTask(config, max_steps=steps, until_steps=steps, folder=f"{root}/trials/{number:04d}")
            started = time.process_time()
            out = run_leg(task, splits, manifest)
            processor = time.process_time() - started
            whole = out.train_seconds + out.eval_seconds + out.overhead_seconds
            if number >= FIRST:
                found["step"].append((speeds.step_seconds(cost) or 0.0) * steps / out.train_seconds - 1)
                found["leg"].append((speeds.leg_seconds(flops, 0, steps) or 0.0) / whole - 1)
                found["leg_processor_time"].append((quiet.leg_seconds(flops, 0, steps) or 0.0) / processor - 1)
            for learner, share in ((speeds, 1.0), (quiet, processor / whole)):
                learner.observe_leg(
                    flops,
                    0,
                    steps,
                    train_seconds=out.train_seconds * share,
                    eval_seconds=out.eval_seconds * share,
                    overhead_seconds=out.overhead_seconds * share,
                )
    return found


def main() -> None:
    """Print a row."""
    options = parser(__doc__)
    options.add_argument("--legs", type=int, default=50)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--side-by-side", action="store_true")
    arguments = options.parse_args()
    neighbour = None
    if arguments.side_by_side:
        settings = ["--legs", str(arguments.legs), "--seed", str(arguments.seed + 1)]
        command = [sys.executable, "-m", "benchmarks.sweep.speeds", *settings]
        neighbour = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    found = errors(arguments.legs, arguments.seed)
    if neighbour is not None:
        neighbour.wait()
    row: dict[str, object] = {"benchmark": "speeds", "legs": arguments.legs, "side_by_side": arguments.side_by_side}
    for name, values in found.items():
        sizes = sorted(abs(value) for value in values)
        row[f"{name}_median_error"] = round(statistics.median(sizes), 3)
        row[f"{name}_p90_error"] = round(sizes[int(0.9 * (len(sizes) - 1))], 3)
        row[f"{name}_bias"] = round(statistics.median(values), 3)
    emit(row, arguments.out)


if __name__ == "__main__":
    main()
