"""What does a trial cost the driver? Thousands of trials without any work, through the real journal, search, driver and Tune.

Row: milliseconds a trial from the first question to the last decision, of the first and the last tenth of the trials too, and
what the driver's memory grew by. Two cores, random sampler, tracking off, ASHA with its promotions.
"""

import json
import sys
import tempfile
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import ray.tune

import trm.cluster.sweep_run as sweep
from benchmarks.rows import emit, parser
from benchmarks.sweep.sweep_runs import events_of
from trm.cluster.tune_legs import LEG, OUTCOME, WARM_UP
from trm.jobs.sweep import SweepOptions, run_sweep
from trm.search.journal.events import Asked, LegEnded
from trm.training.leg import LegResult, task_from

SPACE = """
name: idle
data: {recipe: datasets/sudoku4x4.yaml}
base:
  model: {mlp_t: true, pos_encodings: none, puzzle_emb_len: 1, halt_max_steps: 1, H_cycles: 1, L_cycles: 1, L_layers: 1}
  optim: {lr_warmup_steps: 0}
  training: {global_batch_size: 16}
search:
  model.hidden_size: {type: choice, values: [32, 64]}
  model.L_cycles: {type: int, low: 1, high: 4}
  optim.lr: {type: float, low: 1e-4, high: 1e-2, log: true}
  optim.weight_decay: {type: float, low: 1e-3, high: 1.0, log: true}
budget: {trials: 10, per_trial: 1.0e13}
sampler: random
confirm: null
resources: {slots: 2}
tracking: {enabled: false}
"""


def idle_leg(config: dict[str, Any], *, feed: Any, board: Any) -> None:
    """A leg in place that does nothing and says so."""
    outcome = "{}"
    if config[LEG] != WARM_UP:
        task = task_from(config[LEG])
        seed = task.config.seed / 2**32 % 1.0
        metrics = {"exact_accuracy": seed, "loss": 1.0 - seed}
        outcome = json.dumps(
            asdict(LegResult("completed", metrics=metrics, steps=task.until_steps, train_flops=1e6 * task.until_steps))
        )
    ray.tune.report({OUTCOME: outcome})


class Watch(threading.Thread):
    """Samples of this process while legs run: unix time, processor seconds, resident bytes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.samples: list[tuple[float, float, int]] = []
        self.is_over = False

    def run(self) -> None:
        while not self.is_over:
            self.samples.append((time.time(), time.process_time(), psutil.Process().memory_info().rss))
            time.sleep(0.2)

    def processor_seconds(self, since: float, until: float) -> float:
        """What was spent between two moments."""
        times, spent, _ = zip(*self.samples, strict=True)
        return float(np.interp(until, times, spent) - np.interp(since, times, spent))


def main() -> int:
    made = parser(__doc__)
    made.add_argument("--trials", type=int, default=10_000)
    made.add_argument("--scheduler", default="{type: asha}")
    arguments = made.parse_args()
    with tempfile.TemporaryDirectory() as storage:
        watch = idle_sweep(Path(storage), (f"budget.trials={arguments.trials}", f"scheduler={arguments.scheduler}"))
        events = events_of(Path(storage) / "idle")
    asked = [event.at for event in events if isinstance(event, Asked)]
    ended = [event.at for event in events if isinstance(event, LegEnded)]
    tenth = max(1, arguments.trials // 10)
    row = {
        "figure": "scheduling_ms_per_trial",
        "mean": milliseconds(ended[-1] - asked[0], len(asked)),
        "first_tenth": milliseconds(asked[tenth] - asked[0], tenth),
        "last_tenth": milliseconds(asked[-1] - asked[-1 - tenth], tenth),
        "legs": len(ended),
        "n": len(asked),
        "driver_cpu_first_tenth": milliseconds(watch.processor_seconds(asked[0], asked[tenth]), tenth),
        "driver_cpu_last_tenth": milliseconds(watch.processor_seconds(asked[-1 - tenth], asked[-1]), tenth),
        "driver_begins_mb": round(watch.samples[0][2] / 1e6),
        "driver_grew_mb": round((max(size for _, _, size in watch.samples) - watch.samples[0][2]) / 1e6),
        "scheduler": arguments.scheduler,
    }
    emit(row, arguments.out)
    return 0


def idle_sweep(storage: Path, overrides: tuple[str, ...]) -> Watch:
    """Run the sweep `idle` in `storage`, in this process, with legs that do nothing."""
    watch = Watch()
    run_legs = sweep.run_legs

    def watched(*given: Any) -> None:
        watch.start()
        run_legs(*given)
        watch.is_over = True

    space = storage / "idle.yaml"
    space.write_text(SPACE)
    sweep.leg_in_place, sweep.run_legs = idle_leg, watched
    sweep.report_winner = lambda *given: None  # there are no weights to score
    run_sweep(SweepOptions(str(space), overrides, name="idle", storage=str(storage)))
    return watch


def milliseconds(seconds: float, count: int) -> float:
    """A share, rounded."""
    return round(1000 * seconds / count, 2)


if __name__ == "__main__":
    sys.exit(main())
