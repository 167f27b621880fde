"""Do fused kernels learn what plain operators learn? Loss curves on real puzzles, beside what another thread count alone changes.

Operators that sum in another order round differently, and training amplifies any difference until only the seed is in
common. So the yardstick is plain torch on one thread against plain torch on all: `apart` is the largest difference of two
runs' training loss (means of `WINDOW` steps) over the mean loss of both, and validation stands beside it.
"""

import argparse
import itertools
import statistics
import sys
import tempfile

import torch

from benchmarks.rows import emit, parser, spread
from trm.config.data import DataConfig
from trm.config.optimizers import AdamATan2Config
from trm.config.recursive_networks import TrmConfig
from trm.config.run import RunConfig
from trm.config.training import TrainingConfig
from trm.data.batches.split import Split, load_split
from trm.data.format.manifest import Manifest, read_manifest
from trm.distributed import SOLO
from trm.tasks.ensure import ensure_dataset
from trm.training.loop import train
from trm.training.scoring import score
from trm.training.start import start_plan, start_state

WINDOW = 20
MODEL = {"hidden_size": 64, "num_heads": 2, "H_cycles": 2, "L_cycles": 2, "puzzle_emb_len": 1, "halt_max_steps": 4}


def curve(kernels: str, threads: int, seed: int, options: argparse.Namespace) -> tuple[list[float], float]:
    """Mean training losses of every `WINDOW` steps, and the exact accuracy on validation at the end."""
    manifest: Manifest = options.manifest
    config = RunConfig(
        data=DataConfig(folder=options.folder),
        model=TrmConfig(**MODEL),
        optim=AdamATan2Config(lr=1e-3, lr_warmup_steps=20, weight_decay=0.1, ema_warmup=True),
        training=TrainingConfig(global_batch_size=64, steps=options.steps, kernels=kernels),
        seed=seed,
    )
    torch.set_num_threads(threads)
    state = start_state(config, manifest, None, max_steps=options.steps, device="cpu", gang=SOLO)
    plan = start_plan(state, options.splits["train"], manifest)
    losses = []
    for until in range(WINDOW, options.steps + 1, WINDOW):
        train(state, plan, until_steps=until)
        losses.append(state.metrics.take_report()["loss"])
    return losses, score(state, options.splits["validation"], manifest).evaluation.metrics["exact_accuracy"]


def apart(one: list[float], other: list[float], windows: int) -> float:
    """Largest relative difference over the first `windows`."""
    return max(2 * abs(a - b) / (a + b) for a, b in itertools.islice(zip(one, other, strict=True), windows))


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--steps", type=int, default=400, help=f"of a run, a multiple of {WINDOW} (default: 400)")
    arguments.add_argument("--seeds", type=int, default=5, help="default: 5")
    options = arguments.parse_args()
    threads = torch.get_num_threads()
    ways = {
        "plain": ("plain", threads),
        "plain, 1 thread": ("plain", 1),
        "fused": ("fused", threads),
        "fused, 1 thread": ("fused", 1),
    }
    with tempfile.TemporaryDirectory() as root:
        options.folder = ensure_dataset(DataConfig(recipe="datasets/sudoku4x4.yaml"), root, lambda line: None)
        options.manifest = read_manifest(options.folder)
        options.splits: dict[str, Split] = {
            name: load_split(options.folder, options.manifest, name) for name in ("train", "validation")
        }
        runs = {way: [curve(*how, seed, options) for seed in range(options.seeds)] for way, how in ways.items()}
    for way, found in runs.items():
        row: dict[str, object] = {"benchmark": "same_curves", "operators": way, "steps": options.steps}
        for name, windows in (("first_quarter", options.steps // WINDOW // 4), ("whole", options.steps // WINDOW)):
            pairs = zip(found, runs["plain"], strict=True)
            row[f"apart_{name}"] = spread([apart(ours[0], plain[0], windows) for ours, plain in pairs])
        row["last_loss"] = spread([losses[-1] for losses, _ in found])
        row["exact_accuracy"] = spread([accuracy for _, accuracy in found])
        emit(row, options.out)
    seeds = [statistics.mean(accuracy for _, accuracy in found) for found in runs.values()]
    print(f"mean exact accuracy of the {len(ways)} ways: {', '.join(f'{value:.3f}' for value in seeds)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
