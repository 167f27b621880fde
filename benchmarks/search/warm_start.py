"""What does an earlier sweep save, and what does a wrong one cost? Sweeps on recorded tables, begun with earlier ones and without.

`python -m benchmarks.search.warm_start sudoku4x4_grid --other maze5x5_grid --out benchmarks/results/search_warm_start.jsonl`

A repetition is a sweep seed: an earlier sweep with our defaults and another seed (25 trials) is read as `--warm-start` reads one.
Then ours runs with that and without, until its incumbent is within the noise of a seed of the table's best for the first time.

- `right`: as it was.
- `wrong`: every score mirrored within its rung, and nothing says so: its best configurations are its worst.
- `shuffled`: its scores belong to other configurations.
- `wrong_elsewhere`: as `wrong`, and said to be about other data.
- `other`: the sweep of another table (`--other`), where the knobs are the same.

A row a table and kind, with paired 95 % bootstrap intervals: training FLOPs in trials of full length, their share of what it takes
without an earlier sweep, and how many trials came of it.
"""

import random
import sys
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import optuna

from benchmarks.rows import emit, parser
from benchmarks.search.compare import table_of
from benchmarks.search.replay import replay, space_of
from benchmarks.search.tables import Table
from trm.search.journal.priors import Prior, PriorScore, PriorTrial
from trm.search.planning.earlier import Earlier, prior_of
from trm.search.planning.rung_choice import with_rungs
from trm.search.planning.survey import Survey
from trm.search.search import Search
from trm.search.space.candidates import Facts, Resolver
from trm.search.space.space import SearchSpace

EARLIER_SEEDS = 10_000
EARLIER_TRIALS = 25
RESAMPLES = 2000


def earlier_sweep(table: Table, seed: int) -> Earlier:
    """A sweep that somebody else made on a table."""
    search = replay(space_of(table, trials=EARLIER_TRIALS), table, EARLIER_SEEDS + seed).search
    assert isinstance(search, Search)
    return Earlier("earlier", search.state)


def priors_of(space: SearchSpace, table: Table, other: Table | None, seed: int) -> Mapping[str, list[Prior]]:
    """Kind -> what the sweep knows at its start."""
    resolver = Resolver(with_rungs(Survey(space, table.cost_of, Facts())).space, table.cost_of)
    right = prior_of(earlier_sweep(table, seed), resolver)
    wrong = rescored(right, mirrored)
    found = {
        "none": [],
        "right": [right],
        "wrong": [wrong],
        "shuffled": [rescored(right, lambda scores: shuffled(scores, seed))],
        "wrong_elsewhere": [wrong.model_copy(update={"differences": ["data: said to be other"]})],
    }
    if other is not None:
        found["other"] = [prior_of(earlier_sweep(other, seed), resolver, data_difference="data: the other table's")]
    return found


def mirrored(scores: Sequence[PriorScore]) -> list[PriorScore]:
    """The best becomes the worst, the scale stays."""
    highest, losses = sum(f(one.objective for one in scores) for f in (max, min)), [one.loss or 0.0 for one in scores]
    return [
        one.model_copy(update={"objective": highest - one.objective, "loss": max(losses) + min(losses) - (one.loss or 0.0)})
        for one in scores
    ]


def shuffled(scores: Sequence[PriorScore], seed: int) -> list[PriorScore]:
    """The same scores, of other configurations."""
    return random.Random(seed).sample(scores, len(scores))


def rescored(prior: Prior, change: Callable[[Sequence[PriorScore]], list[PriorScore]]) -> Prior:
    """The earlier sweep with the scores at each share changed, and ranked anew."""
    scores: dict[int, list[PriorScore]] = {index: [] for index in range(len(prior.trials))}
    for share in sorted({score.share for one in prior.trials for score in one.scores}):
        holders = [index for index, one in enumerate(prior.trials) if any(score.share == share for score in one.scores)]
        there = [next(score for score in prior.trials[index].scores if score.share == share) for index in holders]
        for index, score in zip(holders, change(there), strict=True):
            scores[index].append(score)
    trials = [one.model_copy(update={"scores": scores[index]}) for index, one in enumerate(prior.trials)]
    return prior.model_copy(update={"trials": sorted(trials, key=_place)})


def _place(one: PriorTrial) -> tuple[float, float]:
    return -one.scores[-1].objective, one.scores[-1].loss or 0.0


def main() -> int:
    made = parser(__doc__)
    made.add_argument("table", help="name of a recorded table, or number of a drawn landscape")
    made.add_argument("--other", help="another table, whose sweep is a start too")
    made.add_argument("--repetitions", type=int, default=100, help="sweep seeds (default: %(default)s)")
    arguments = made.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    table, other = table_of(arguments.table), None if arguments.other is None else table_of(arguments.other)
    space = space_of(table, trials=len(table.params))
    taken: dict[str, list[tuple[float, int]]] = {}
    for seed in range(arguments.repetitions):
        for kind, priors in priors_of(space, table, other, seed).items():
            history = replay(space, table, seed, priors=priors, until=table.good)
            assert history.search is not None
            came_of_it = sum(trial.asked.prior is not None for trial in history.search.state.trials)
            taken.setdefault(kind, []).append((history.moments[-1].train_flops / space.budget.per_trial, came_of_it))
        if (seed + 1) % 10 == 0:
            print(f"{seed + 1} repetitions", {kind: share(taken, kind)[0] for kind in taken}, file=sys.stderr, flush=True)
    for kind, outcomes in taken.items():
        flops = np.array([flops for flops, _ in outcomes])
        emit(
            {
                "figure": "warm_start",
                "table": arguments.table,
                "earlier": kind,
                "repetitions": len(outcomes),
                "first_mean": float(f"{flops.mean():.4g}"),
                "first_median": float(f"{np.median(flops):.4g}"),
                "share_of_none": share(taken, kind),
                "trials_of_it": float(np.mean([count for _, count in outcomes])),
                "dearer": int(np.sum(flops > np.array([flops for flops, _ in taken["none"]]) * (1 + 1e-9))),
            },
            arguments.out,
        )
    return 0


def share(taken: Mapping[str, Sequence[tuple[float, int]]], kind: str) -> list[float]:
    """Ratio of mean training FLOPs to those without an earlier sweep, and its 95 % interval, seeds resampled in pairs."""
    one, other = (np.array([flops for flops, _ in taken[name]]) for name in (kind, "none"))
    drawn = np.random.default_rng(0).integers(0, len(one), (RESAMPLES, len(one)))
    low, high = np.percentile(one[drawn].mean(axis=1) / other[drawn].mean(axis=1), [2.5, 97.5])
    return [float(f"{value:.3g}") for value in (one.mean() / other.mean(), low, high)]


if __name__ == "__main__":
    sys.exit(main())
