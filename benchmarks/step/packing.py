"""How many more trials an hour does a CPU finish side by side, a part of the cores each, than one after the other on all cores?

Real processes. `together` is the steps a second of `--trials` of them at once, `alone` those of one with all cores, in turn.
"""

import argparse
import multiprocessing
import sys
import time
from multiprocessing.synchronize import Barrier

import torch

from benchmarks.rows import emit, parser, spread
from benchmarks.step.train_step import BATCHES, SIZES, Size, ours

SMALLEST = Size({"hidden_size": 32, "num_heads": 2, "puzzle_emb_len": 1, "H_cycles": 2, "L_cycles": 2}, 16, 6, 32)
CASES = {"attention_d32_b32": SMALLEST} | SIZES
ROUNDS = 5
PATIENCE_SECONDS = 300.0
"""For a neighbour; a process that died breaks the barrier for all."""


def trial(name: str, kernels: str, threads: int, seconds: float, begin: Barrier, speeds: "multiprocessing.Queue[float]") -> None:
    """A process that takes steps for `seconds` in every round; says its steps a second."""
    torch.set_num_threads(threads)
    step = ours(CASES[name], is_compiled=False, kernels=kernels)
    for i in range(BATCHES):
        step(i)
    for _ in range(ROUNDS):
        begin.wait()
        start, done = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            step(done)
            done += 1
        speeds.put(done / (time.perf_counter() - start))
        begin.wait()


def start(count: int, threads: int, name: str, options: argparse.Namespace) -> "tuple[Barrier, multiprocessing.Queue[float]]":
    """`count` trials that wait for their turn."""
    context = multiprocessing.get_context("spawn")
    begin, speeds = context.Barrier(count + 1, timeout=PATIENCE_SECONDS), context.Queue()
    for _ in range(count):
        context.Process(target=trial, args=(name, options.kernels, threads, options.seconds, begin, speeds), daemon=True).start()
    return begin, speeds


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--cases", nargs="+", choices=CASES, default=["attention_d32_b32", "demo_mlp_d32", "d64_s16"])
    arguments.add_argument("--trials", type=int, default=torch.get_num_threads(), help="side by side (default: one a core)")
    arguments.add_argument("--kernels", choices=("fused", "plain"), default="fused", help="default: fused")
    arguments.add_argument("--seconds", type=float, default=2.0, help="of each of five rounds (default: 2)")
    options = arguments.parse_args()
    cores = torch.get_num_threads()
    for name in options.cases:
        groups = {"alone": (1, cores), "together": (options.trials, max(1, cores // options.trials))}
        running = {way: (count, *start(count, threads, name, options)) for way, (count, threads) in groups.items()}
        found: dict[str, list[float]] = {way: [] for way in groups}
        for _ in range(ROUNDS):
            for way, (count, begin, speeds) in running.items():
                begin.wait()
                found[way].append(sum(speeds.get() for _ in range(count)))
                begin.wait()
        gains = [together / alone for together, alone in zip(found["together"], found["alone"], strict=True)]
        row: dict[str, object] = {"benchmark": "packing", "size": name, "kernels": options.kernels, "trials": options.trials}
        emit(row | {way: spread(values) for way, values in found.items()} | {"gain": spread(gains)}, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
