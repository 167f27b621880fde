"""How long does a resume take, from the command to the first training step? A sweep is killed with -9 in a leg and resumed."""

import sys
import tempfile
from pathlib import Path

from benchmarks.rows import emit, parser, spread
from benchmarks.sweep.sweep_runs import Watched, events_of
from trm.search.journal.events import LegEnded

REPEATS = 3


def main() -> int:
    arguments = parser(__doc__).parse_args()
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as storage:
        folder = Path(storage) / "resume"
        options = ("search_spaces/sudoku4x4.yaml", "--storage", storage, "--name", "resume", "--set", "budget.trials=64")
        sweep = Watched(*options)
        for _ in range(REPEATS):
            wait_for_leg(sweep, folder, after=len(events_of(folder)))
            sweep.kill()
            before = len(events_of(folder))
            sweep = Watched(*options, "--resume")
            leg = wait_for_leg(sweep, folder, after=before)
            seconds.append((leg.started_at or 0.0) + leg.overhead_seconds - sweep.started_at)
        sweep.kill()
    emit({"figure": "resume_to_first_step_seconds", **spread(seconds)}, arguments.out)
    return 0


def wait_for_leg(sweep: Watched, folder: Path, *, after: int) -> LegEnded:
    """The first leg that this driver's processes end after so many events; others were answered by a killed driver's workers."""

    def ended() -> list[LegEnded]:
        found = [event for event in events_of(folder)[after:] if isinstance(event, LegEnded)]
        return [leg for leg in found if (leg.started_at or 0.0) > sweep.started_at]

    sweep.wait(until=lambda: bool(ended()))
    return ended()[0]


if __name__ == "__main__":
    sys.exit(main())
