"""What does a gang of two workers cost around its training: before its first step, and after its last one?

Rows: seconds from the scheduler's start of a leg to its first step (first leg, second and later ones), from its answer to the
journal's line on it, and the memory of all processes. When the first step was done is not journaled: counted is the time until the
leg's function runs, all of its set-up and its checkpoint, and a step.
"""

import sys
import tempfile
from pathlib import Path

from benchmarks.rows import emit, parser, spread
from benchmarks.sweep.sweep_runs import Watched, events_of, legs_of
from trm.search.journal.events import DriverStarted, LegEnded, LegStarted

SPACE = """
name: gangs
data: {{recipe: datasets/sudoku4x4.yaml}}
base:
  model: {{mlp_t: true, pos_encodings: none, puzzle_emb_len: 1, halt_max_steps: 2, H_cycles: 1, L_cycles: 1, L_layers: 1}}
  training: {{global_batch_size: 16}}
  evaluation: {{max_examples: 32}}
search:
  model.hidden_size: {{type: choice, values: [32, 64]}}
  optim.lr: {{type: float, low: 1e-4, high: 1e-2, log: true}}
budget: {{trials: {trials}, per_trial: 2.0e9}}
sampler: random
scheduler: none
resources: {{workers: 2, cpus: 1, slots: 1}}
tracking: {{enabled: false}}
"""


def start_seconds(started: LegStarted, ended: LegEnded) -> float:
    """Seconds to the end of the leg's first step, at most."""
    assert ended.started_at is not None
    return ended.started_at - started.at + ended.overhead_seconds + ended.train_seconds / max(1, ended.steps)


def main() -> int:
    made = parser(__doc__)
    made.add_argument("--trials", type=int, default=6)
    arguments = made.parse_args()
    with tempfile.TemporaryDirectory() as storage:
        space, folder = Path(storage) / "gangs.yaml", Path(storage) / "gangs"
        space.write_text(SPACE.format(trials=arguments.trials))
        watched = Watched(str(space), "--storage", storage, "--name", "gangs")
        if (code := watched.wait()) != 0:
            return code or 1
        events, legs = events_of(folder), legs_of(folder)
    begun = next(event.at for event in events if isinstance(event, DriverStarted))
    started = {event.trial: event for event in events if isinstance(event, LegStarted)}
    seconds = [start_seconds(started[leg.trial], leg) for leg in legs]
    told = [leg.at - (leg.ended_at or 0.0) for leg in legs]
    first = {"first_leg": round(seconds[0], 3), "sweep_to_first_leg": round(started[legs[0].trial].at - begun, 3)}
    emit({"figure": "gang_start_seconds", **first, "later_legs": spread(seconds[1:])}, arguments.out)
    emit({"figure": "gang_answer_seconds", **spread(told)}, arguments.out)
    emit({"figure": "gang_peak_memory_bytes", "value": watched.peak_bytes}, arguments.out)
    return 0 if len(legs) == arguments.trials else 1


if __name__ == "__main__":
    sys.exit(main())
