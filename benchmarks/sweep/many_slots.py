"""Does one driver keep a thousand slots busy? Real driver, search and journal; legs only take their time, and Tune is left out.

Row: share of the slots' time in which legs ran, from the moment all were filled until the first at which a slot was free and the
search had no leg to give: what is missing is the driver's doing, while later slots are free because nobody is left to be tried or
promoted. And the driver's processor time a leg, from the same moment to the end: what it hands out, hears, watches, journals and
shows. The board is in the driver's process here, so that its time counts too.
"""

import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "fixtures")]

import rayless  # noqa: E402

from benchmarks.rows import emit, parser  # noqa: E402
from benchmarks.sweep.scheduling import SPACE  # noqa: E402
from trm.cluster import connection, progress_board, sweep_run  # noqa: E402
from trm.cluster.processes import WorkerProcess  # noqa: E402
from trm.jobs.sweep import SweepOptions, run_sweep  # noqa: E402
from trm.training.leg import LegProgress, LegResult, LegTask  # noqa: E402

POLL_SECONDS = 0.02


@dataclass
class Slots:
    """Plays the cluster: each leg takes half to one and a half times so many seconds, and tells of its first step."""

    seconds: float
    board: progress_board.ProgressBoard
    legs: list[tuple[float, float]] = field(default_factory=list)
    """Beginning and end of each."""
    since: float = 0.0
    """When all slots were filled; 0: they were not yet."""
    until: float = 0.0
    """When there was no leg for a free slot, first after that."""
    processor_seconds: float = 0.0
    legs_before: int = 0

    def run(self, source: Any, runner: Any, scratch: Path) -> None:
        """As `tune_legs.run_legs`."""
        draw, due = random.Random(0), list[tuple[float, int, LegTask]]()
        while True:
            source.tick()
            while len(due) < runner.slots and (task := source.next_leg()) is not None:
                now = time.monotonic()
                end = now + self.seconds * draw.uniform(0.5, 1.5)
                heappush(due, (end, len(self.legs), task))
                self.legs.append((now, end))
                self._begin(task)
            if not self.since and len(due) == runner.slots:
                self.since, self.legs_before, begun = time.monotonic(), len(self.legs), time.process_time()
            if self.since and not self.until and len(due) < runner.slots:
                self.until = time.monotonic()
            if not due and source.is_over:
                break
            time.sleep(max(0.0, min(POLL_SECONDS, due[0][0] - time.monotonic())) if due else POLL_SECONDS)
            while due and due[0][0] <= time.monotonic():
                self._end(source, heappop(due)[2])
        self.processor_seconds = time.process_time() - begun

    def _begin(self, task: LegTask) -> None:
        trial, rung, attempt = task.leg
        self.board.begin(task.leg, WorkerProcess("0" * 8, "here", len(self.legs), "", oom_kills=0))
        said = LegProgress(1, task.until_steps, 1e6, 1.0, 10.0, 0.5, 1e-3, trial=trial, rung=rung, attempt=attempt, at=time.time())
        self.board.put(said)

    def _end(self, source: Any, task: LegTask) -> None:
        seed = task.config.seed / 2**32 % 1.0
        self.board.ended(task.leg)
        metrics = {"exact_accuracy": seed, "loss": 1.0 - seed}
        source.leg_returned(task, LegResult("completed", metrics=metrics, steps=task.until_steps, train_flops=1e6), None)
        source.leg_over(task)

    def busy(self, slots: int) -> float:
        """Share of the slots' time in which legs ran, from when all were filled until there was none for a free one."""
        ran = sum(max(0.0, min(end, self.until) - max(begin, self.since)) for begin, end in self.legs)
        return ran / (slots * (self.until - self.since))


def main() -> int:
    made = parser(__doc__)
    made.add_argument("--slots", type=int, default=1000)
    made.add_argument("--seconds", type=float, default=60.0)
    made.add_argument("--trials", type=int, default=3000)
    made.add_argument("--sampler", default="random")
    arguments = made.parse_args()
    rayless._without_ray()
    slots = Slots(arguments.seconds, board := progress_board.ProgressBoard())
    nodes = [connection.Node("0" * 8, "127.0.0.1", float(arguments.slots), 0.0)]
    sweep_run.living_nodes, sweep_run.start_board = lambda: nodes, lambda: rayless._Handle(board)
    sweep_run.run_legs, sweep_run.report_winner = slots.run, lambda *given: None
    with tempfile.TemporaryDirectory() as storage:
        space = Path(storage) / "idle.yaml"
        space.write_text(SPACE)
        asked = (f"budget.trials={arguments.trials}", f"resources.slots={arguments.slots}", f"sampler={arguments.sampler}")
        run_sweep(SweepOptions(str(space), asked, name="idle", storage=storage))
    row = {
        "figure": "many_slots",
        "busy": round(slots.busy(arguments.slots), 4),
        "driver_ms_per_leg": round(1000 * slots.processor_seconds / (len(slots.legs) - slots.legs_before), 2),
        "legs": len(slots.legs),
        "slots": arguments.slots,
        "leg_seconds": arguments.seconds,
        "sampler": arguments.sampler,
    }
    emit(row, arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
