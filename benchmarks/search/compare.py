"""Does it search better? Sweeps on recorded tables, ours with its defaults against others as their users run them.

`python -m benchmarks.search.compare sudoku4x4_grid maze5x5_grid --out benchmarks/results/search.jsonl --pictures docs/pictures`

A repetition is a sweep seed; a trial's run is one of its configuration's recorded seeds. Everybody has one worker, pays the same
training FLOPs for the same training (a promoted trial of ours the difference, a stopped one what it ran) and is judged by the
true accuracy (mean over all recorded seeds at full length) of the configuration that the tool would report as best:
Ray's `get_best_result`, Optuna's `best_trial`, our leaderboard. Rows, a table and contender each, with 95 % bootstrap intervals:

- `reach`: training FLOPs, in trials of full length, until that is within the noise of a seed of the table's best, and our share of
  what a peer takes. Everybody goes on until it is, ours and random search, which never try a configuration twice, with another
  sweep. Who is not there after the compute of training the whole table once is counted with that compute (`capped`).
- `regret`: points of true accuracy lost at the end of a sweep of 10, 25 and 50 trials, ours less a peer's, and what it spent.
- `speed`: times faster than the training that was replayed.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import optuna

from benchmarks.rows import emit, parser
from benchmarks.search.contenders import OURS, PEERS
from benchmarks.search.figures import BUDGETS, TRIALS, Interval, Outcome, difference, interval, outcome, ratio
from benchmarks.search.pictures import draw
from benchmarks.search.synthetic import synthetic
from benchmarks.search.tables import TABLES, Table

Outcomes = Mapping[str, Sequence[Outcome]]


def table_of(name: str) -> Table:
    """A recorded table by its name, or the landscape of that number."""
    return synthetic(int(name)) if name.isdecimal() else Table.load(TABLES / name)


def rows(outcomes: Outcomes) -> list[dict[str, object]]:
    """The figures of a table, a contender each; ours is compared with every peer."""
    ours = outcomes["ours"]
    return [row for name, theirs in outcomes.items() for row in _rows(name, theirs, None if name in OURS else ours)]


def _rows(name: str, theirs: Sequence[Outcome], ours: Sequence[Outcome] | None) -> list[dict[str, object]]:
    flops = [one.reach for one in theirs]
    reach: dict[str, object] = {
        "figure": "reach",
        "trials_of_full_length": _rounded(interval(flops)),
        "median": _rounded(interval(flops, np.median)),
        "capped": sum(one.is_capped for one in theirs),
    }
    if ours is not None:
        reach["ours_share"] = _rounded(ratio([one.reach for one in ours], flops))
    found = [reach]
    for trials in TRIALS:
        regrets = [100 * one.regrets[trials] for one in theirs]
        row: dict[str, object] = {"figure": "regret", "trials": trials, "points": _rounded(interval(regrets))}
        row["spent"] = _rounded(interval([one.spent[trials] for one in theirs]))
        if ours is not None:
            row["ours_less"] = _rounded(difference([100 * one.regrets[trials] for one in ours], regrets))
        found.append(row)
    budgets = [4.0, 8.0, 16.0]
    by_budget = 100 * np.array([one.by_budget for one in theirs])
    at = {budget: _rounded(interval(by_budget[:, BUDGETS.index(budget)])) for budget in budgets}
    found.append({"figure": "regret_by_flops", "points": {f"{budget:g}": value for budget, value in at.items()}})
    replayed = sum(one.trained_seconds for one in theirs) / sum(one.seconds for one in theirs)
    found.append({"figure": "speed", "times_real_time": round(replayed)})
    return [{"contender": name, "repetitions": len(theirs), **row} for row in found]


def _rounded(value: Interval) -> list[float]:
    return [float(f"{one:.4g}") for one in value]


def main() -> int:
    made = parser(__doc__)
    made.add_argument("tables", nargs="+", help="names of recorded tables, or numbers of drawn landscapes")
    made.add_argument("--repetitions", type=int, default=100, help="sweep seeds (default: %(default)s)")
    made.add_argument("--pictures", type=Path, help="folder for a picture a table")
    arguments = made.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for name in arguments.tables:
        table = table_of(name)
        about = {"table": name, "noise_points": round(100 * table.noise, 2), "best": round(table.best, 4), "good": len(table.good)}
        outcomes: dict[str, list[Outcome]] = {}
        for contender, how in {**PEERS, **OURS}.items():
            outcomes[contender] = [outcome(how, table, seed) for seed in range(arguments.repetitions)]
            print(f"{name}: {contender}", file=sys.stderr, flush=True)
        for row in rows(outcomes):
            emit({**about, **row}, arguments.out)
        if arguments.pictures is not None:
            draw(table, outcomes, arguments.pictures / f"regret_{name}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
