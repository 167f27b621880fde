"""How long does a sweep of a thousand trials take to go on, from the command to the next trial's first step? TPE, one rung.

The thousand are trials of the real search, journaled by the real driver, whose legs did nothing (`scheduling.py`); the next one
is real.
"""

import sys
import tempfile
from pathlib import Path

from benchmarks.rows import emit, parser, spread
from benchmarks.sweep.resume import wait_for_leg
from benchmarks.sweep.scheduling import idle_sweep
from benchmarks.sweep.sweep_runs import Watched, events_of

TRIALS = 1000
REPEATS = 3
SETTINGS = ("sampler=tpe", "scheduler=none", "budget.per_trial=2e9")


def main() -> int:
    arguments = parser(__doc__).parse_args()
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as storage:
        folder = Path(storage) / "idle"
        idle_sweep(Path(storage), (*SETTINGS, f"budget.trials={TRIALS}"))
        settings = [word for setting in SETTINGS for word in ("--set", setting)]
        for repeat in range(REPEATS):
            before = len(events_of(folder))
            options = (f"{storage}/idle.yaml", "--storage", storage, "--name", "idle", *settings, "--resume")
            sweep = Watched(*options, "--trials", str(TRIALS + 1 + repeat))
            leg = wait_for_leg(sweep, folder, after=before)
            seconds.append((leg.started_at or 0.0) + leg.overhead_seconds - sweep.started_at)
            sweep.kill()
    emit({"figure": "resume_of_a_thousand_to_first_step_seconds", **spread(seconds)}, arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
