"""What does a leg cost beyond its training and evaluation? 40 trials of one step on two slots, both shown busy.

Row: seconds from the end of a leg to the end of the next in the same process, less training and evaluation.
"""

import sys
import tempfile
from pathlib import Path

from benchmarks.rows import emit, parser, spread
from benchmarks.sweep.sweep_runs import Watched, legs_of, overheads

TRIALS = 40
SPACE = """
name: overhead
data: {recipe: datasets/sudoku4x4.yaml}
base:
  model: {mlp_t: true, pos_encodings: none, puzzle_emb_len: 1, halt_max_steps: 1, H_cycles: 1, L_cycles: 1, L_layers: 1}
  training: {global_batch_size: 16}
  evaluation: {max_examples: 16}
search:
  model.hidden_size: {type: choice, values: [32, 64]}
  optim.lr: {type: float, low: 1e-4, high: 1e-2, log: true}
budget: {trials: 40, per_trial: 1.0}
sampler: random
scheduler: none
resources: {slots: 2}
"""


def main() -> int:
    arguments = parser(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as storage:
        space = Path(storage) / "overhead.yaml"
        space.write_text(SPACE)
        if (code := Watched(str(space), "--storage", storage, "--name", "overhead").wait()) != 0:
            return code or 1
        legs = legs_of(Path(storage) / "overhead")
    found = overheads(legs)
    seconds = [value for there in found.values() for value in there]
    busy = {process.rpartition(":")[2]: len(there) + 1 for process, there in found.items()}
    row = {"figure": "leg_overhead_seconds", **spread(seconds), "legs_by_process": busy}
    emit(row, arguments.out)
    return 0 if len(legs) == TRIALS and len(busy) == 2 else 1


if __name__ == "__main__":
    sys.exit(main())
