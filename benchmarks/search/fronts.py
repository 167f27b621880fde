"""What does ranking by Pareto fronts cost? Rows: milliseconds of processor time an arrival at a rung, with and without.

At every arrival a driver asks where the trial stands and who may go on, and at the end of a sweep who stays. `spread` scores lie
anywhere; `traded` ones all on one front, the worst case: each is dearer and better than another.
"""

import random
import sys
import time
from collections.abc import Callable

from benchmarks.rows import emit, parser
from trm.search.order import Order, Score
from trm.search.schedulers.pareto_rung import ParetoRung
from trm.search.schedulers.rung import Rung

CASES = (("spread", 1, 1000), ("spread", 2, 1000), ("spread", 3, 1000), ("traded", 2, 1000))
CASES += (("spread", 1, 10_000), ("spread", 2, 10_000), ("spread", 3, 10_000))


def scores(kind: str, objectives: int, count: int) -> list[Score]:
    """Scores of so many trials."""
    draw = random.Random(0)
    made = []
    for trial in range(count):
        quality = draw.random()
        others = [draw.random() if kind == "spread" else quality + draw.random() * 1e-9 for _ in range(objectives - 1)]
        made.append(Score(trial, quality, 0.01, 1 - quality, f"{trial:05d}", tuple(others)))
    return made


def milliseconds(make: Callable[[], Rung], arriving: list[Score]) -> tuple[float, float]:
    """Of an arrival, over all and over the last tenth."""
    board, started, before_last = make(), time.process_time(), 0.0
    for index, score in enumerate(arriving):
        if index == len(arriving) * 9 // 10:
            before_last = time.process_time()
        board.add(score)
        board.rank(score.trial)
        while (best := board.promotable()) is not None:
            board.leave(best)
    board.survivors()
    ended = time.process_time()
    return 1000 * (ended - started) / len(arriving), 1000 * (ended - before_last) / (len(arriving) / 10)


def main() -> int:
    arguments = parser(__doc__).parse_args()
    for kind, objectives, count in CASES:
        make = (lambda: Rung(3, Order("max"), 0.5)) if objectives == 1 else (lambda: ParetoRung(3, Order("max"), 0.5))
        mean, last = milliseconds(make, scores(kind, objectives, count))
        row = {"figure": "arrival_milliseconds", "scores": kind, "objectives": objectives, "trials": count}
        emit(row | {"mean": round(mean, 3), "last_tenth": round(last, 3)}, arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
