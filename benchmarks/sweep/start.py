"""How long does a new sweep take from its command to its first leg? Embedded Ray, the data set built before."""

import signal
import sys
import tempfile
from pathlib import Path

from benchmarks.rows import emit, parser, spread
from benchmarks.sweep.sweep_runs import Watched, events_of
from trm.search.journal.events import LegStarted

SPACE = "search_spaces/sudoku4x4.yaml"


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--repeats", type=int, default=3)
    arguments = options.parse_args()
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as storage:
        for repeat in range(arguments.repeats + 1):
            name = f"start-{repeat}"
            sweep = Watched(SPACE, "--storage", storage, "--name", name)
            leg = first_leg(sweep, Path(storage) / name)
            sweep.process.send_signal(signal.SIGINT)
            sweep.process.wait()
            if repeat:  # the first built the data set
                seconds.append(leg - sweep.started_at)
    emit({"figure": "start_to_first_leg_seconds", "ray": "embedded", **spread(seconds)}, arguments.out)
    return 0


def first_leg(sweep: Watched, folder: Path) -> float:
    """When the sweep's first leg was handed out; unix seconds."""

    def started() -> list[float]:
        return [event.at for event in events_of(folder) if isinstance(event, LegStarted)]

    sweep.wait(until=lambda: bool(started()))
    return started()[0]


if __name__ == "__main__":
    sys.exit(main())
