"""How well does the demo sweep use its two workers, how long does it take, how much memory, and what does its winner solve?

Share: seconds of training and evaluation over slots * (end of the last leg - start of the first).
"""

import sys
import tempfile
from pathlib import Path

from benchmarks.rows import emit, parser
from benchmarks.sweep.sweep_runs import Watched, events_of, legs_of
from trm.search.journal.events import DriverStarted, Reported

GIB = 2**30


def main() -> int:
    arguments = parser(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as storage:
        sweep = Watched("search_spaces/sudoku4x4.yaml", "--storage", storage, "--name", "demo")
        if (code := sweep.wait()) != 0:
            return code or 1
        folder = Path(storage) / "demo"
        legs, events = legs_of(folder), events_of(folder)
    trained, scored = sum(leg.train_seconds for leg in legs), sum(leg.eval_seconds for leg in legs)
    slots = next(event.slots for event in events if isinstance(event, DriverStarted))
    first, last = min(leg.started_at or 0.0 for leg in legs), max(leg.ended_at or 0.0 for leg in legs)
    report = next(event for event in events if isinstance(event, Reported))
    emit(
        {
            "figure": "demo_sweep",
            "busy_share": round((trained + scored) / (slots * (last - first)), 4),
            "evaluation_share": round(
                sum(leg.eval_seconds for leg in legs) / sum(leg.train_seconds + leg.eval_seconds for leg in legs), 4
            ),
            "sweep_seconds": round(events[-1].at - events[0].at, 1),
            "first_leg_after_seconds": round(first - sweep.started_at, 1),
            "peak_gib": round(sweep.peak_bytes / GIB, 2),
            "winner_test_exact": report.test["exact_accuracy"],
            "legs": len(legs),
        },
        arguments.out,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
