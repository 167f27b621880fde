"""What does MLflow's writer cost a trial? Sweeps of 200 and 1,000 simulated trials, with and without training curves, on sqlite.

The journal is the real search's, driven by the tests' simulator; the writer is its process, from its start to its end, on a
store whose tables are there. A trial has 15 metrics a rung; its curve 60 points of 11.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.rows import emit, parser, spread

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "fixtures")]

TRIALS = (200, 1000)
CURVE_POINTS = 60
FLUSH = (sys.executable, "-W", "ignore", "-m", "trm.tracking.writer")


def main() -> int:
    made = parser(__doc__)
    made.add_argument("--trials", type=int, nargs="+", default=TRIALS)
    made.add_argument("--repeats", type=int, default=3)
    arguments = made.parse_args()
    for trials in arguments.trials:
        for has_curves in (False, True):
            found = [written(trials, has_curves=has_curves) for _ in range(arguments.repeats)]
            row = {"figure": "tracking_cost", "trials": trials, "curves": has_curves}
            seconds = {"wall_ms_a_trial": [one[0] for one in found], "cpu_ms_a_trial": [one[1] for one in found]}
            more = {name: spread([1000 * value / trials for value in values]) for name, values in seconds.items()}
            emit({**row, **more, "nothing_new_seconds": spread([one[2] for one in found])}, arguments.out)
    return 0


def written(trials: int, *, has_curves: bool) -> tuple[float, float, float]:
    """Wall seconds and CPU seconds of a writer that sends a whole sweep, and the wall seconds of one that finds nothing new."""
    with tempfile.TemporaryDirectory() as storage:
        folder = simulated(Path(storage) / "simulated-1", trials, curve_points=CURVE_POINTS if has_curves else 0)
        make_tables(Path(storage))
        wall, cpu = timed([*FLUSH, str(folder), "--seconds", "3600"])
        return wall, cpu, timed([*FLUSH, str(folder), "--seconds", "3600"])[0]


def timed(command: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of a command that must succeed."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic() - start, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def make_tables(storage: Path) -> None:
    """The schema of a storage's store, which takes seconds once a storage."""
    code = "import sys; from mlflow.tracking import MlflowClient; MlflowClient(sys.argv[1]).search_experiments()"
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, f"sqlite:///{storage}/mlflow.db"], check=True, stderr=subprocess.DEVNULL
    )


def simulated(folder: Path, trials: int, *, curve_points: int = 0, name: str = "simulated") -> Path:
    """The folder of a sweep that the simulator drove, its curves included; what a writer reads."""
    from search_simulator import LegOrder, Simulator, curve

    from trm.config.files import dump_yaml
    from trm.search.space.space import SearchSpace
    from trm.training.curve import MEANS, Curve

    values = {
        "name": name,
        "data": {"recipe": "datasets/sudoku4x4.yaml"},
        "base": {"model": {"halt_max_steps": 8}, "training": {"global_batch_size": 64}, "evaluation": {"max_examples": 200}},
        "search": {
            "model.mlp_t": {"type": "choice", "values": [True, False]},
            "model.hidden_size": {"type": "choice", "values": [32, 64]},
            "model.H_cycles": {"type": "int", "low": 1, "high": 3},
            "model.L_cycles": {"type": "int", "low": 1, "high": 6},
            "optim.lr": {"type": "float", "low": 3e-4, "high": 4e-3, "log": True},
            "optim.weight_decay": {"type": "float", "low": 1e-2, "high": 1.0, "log": True},
        },
        "budget": {"trials": trials, "per_trial": 1e12},
        "scheduler": {"type": "asha", "eta": 3, "rungs": 3},
        "sampler": "random",
    }
    space, names = SearchSpace.model_validate(values), [f"metric_{index}" for index in range(12)]

    def outcome(order: LegOrder) -> dict[str, object]:
        found = curve(order)
        exact = found["objective"]
        if order.trial % 41 == 7 and order.rung == 0:
            return {"status": "diverged", "steps": order.until_steps // 2, "train_flops": 1e9, "error": "the loss is nan"}
        metrics = {one: exact * (1 + index) for index, one in enumerate(names)}
        metrics |= {"exact_accuracy": exact, "exact_accuracy_low": exact - 0.02, "exact_accuracy_high": exact + 0.02}
        return {**found, "metrics": metrics, "train_seconds": 3.0, "eval_seconds": 0.5, "overhead_seconds": 0.1}

    folder.mkdir(parents=True)
    fsync = os.fsync
    os.fsync = lambda handle: None  # type: ignore[assignment]
    try:
        manifest = ROOT / "tests" / "fixtures" / "journals" / "dataset.json"
        shutil.copy(manifest, folder)
        data = {"folder": "data/sudoku4x4", "mode": "resident", "content_hash": json.loads(manifest.read_text())["content_hash"]}
        dump_yaml(folder / "sweep.yaml", {"name": folder.name, "space": space.model_dump(mode="json"), "dataset": data})
        log = Simulator(space, folder, outcome=outcome, slots=4, now=1.79e9).run()
        for trial in log.search.state.trials if curve_points else ():
            last = max(trial.steps, curve_points)
            points = Curve(folder / "curves" / f"{trial.number:04d}.parquet", trial=trial.number)
            for index in range(1, curve_points + 1):
                step = index * last // curve_points
                means = dict.fromkeys(MEANS, 1 / (1 + step / 100))
                at = trial.asked.at + index
                points.add(
                    {
                        **means,
                        "step": step,
                        "train_flops": step * trial.asked.step_flops,
                        "at": at,
                        "lr": 1e-3,
                        "rows_per_second": 1e3,
                    }
                )
            points.write()
    finally:
        os.fsync = fsync
    return folder


if __name__ == "__main__":
    sys.exit(main())
