"""Is the reported winner the best of the confirmed ones, when the report says so with P(best) >= 0.95?

`python -m benchmarks.search.confirmation` confirms three candidates over and over, by the code that sweeps use, with seeds that
scatter as named; their true means are known. `--selected` takes the best of 25 by one score each, as a search does, and lets that
score count. `--table TASK` draws the candidates from the ten best configurations of a recorded table instead, and their seeds from
their recorded ones, with replacement; `--judge NAME` takes the best of a hundred random ones of a judge. `--replay TASK` confirms
whole sweeps replayed on it, and `gained` is then what the search's own winner lacks of the confirmed one. `--top`, `--seeds`,
`--most-seeds` say how, else as `--confirm 3` does.
"""

import argparse
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.rows import emit, parser
from benchmarks.search.figures import interval
from benchmarks.search.judges.choice import judge_of
from benchmarks.search.judges.judge import Judge, drawn
from benchmarks.search.judges.run import names_of
from benchmarks.search.replay import History, replay, space_of
from benchmarks.search.tables import TABLES, Table
from trm.search.confirmation import candidates, next_to_confirm
from trm.search.findings.confirmed import winner
from trm.search.settings import Confirm
from trm.stats.best_of import confirmation_statistics
from trm.stats.intervals import wilson

SEARCHED = 25
"""Configurations of which the best are `--selected`."""
DRAWN = 100
"""Random configurations of a judge, of which the best are confirmed."""
BEST = 10
"""Configurations of a table that candidates are drawn from."""
Draw = Callable[[int], float]
Candidates = tuple[np.ndarray, Draw]
"""True means, and a score on a fresh seed of candidate number n."""


Scatter = Callable[[np.random.Generator, int], Candidates]
"""Draws so many candidates."""


def normal(spread: float, noise: float, uneven: float = 0.0) -> Scatter:
    """Means that scatter by `spread` about 0.6, seeds by `noise`, times e to the power of `uneven` standard normals."""

    def draw(rng: np.random.Generator, count: int) -> Candidates:
        means, scatter = 0.6 + spread * rng.standard_normal(count), noise * np.exp(uneven * rng.standard_normal(count))
        return means, lambda number: float(means[number] + scatter[number] * rng.standard_normal())

    return draw


def rising_late(succeed: float, fail: float) -> Scatter:
    """A seed rises to about 0.9 or stays at about 0.2; how often it rises is beta distributed over candidates."""

    def draw(rng: np.random.Generator, count: int) -> Candidates:
        share, high = rng.beta(succeed, fail, count), 0.9 + 0.03 * rng.standard_normal(count)
        low = 0.2 + 0.1 * rng.random(count)

        def score(number: int) -> float:
            is_high = rng.random() < share[number]
            return float((high if is_high else low)[number] + (0.01 if is_high else 0.03) * rng.standard_normal())

        return share * high + (1 - share) * low, score

    return draw


def recorded(table: Table) -> Scatter:
    """Some of the table's best configurations and their recorded seeds."""
    best = [int(config) for config in np.argsort(-table.truths)[:BEST]]

    def draw(rng: np.random.Generator, count: int) -> Candidates:
        chosen = rng.choice(best, count, replace=False)
        means = np.array([table.truth(int(config)) for config in chosen])
        return means, lambda number: table.final(int(chosen[number]), int(rng.choice(table.seeds(int(chosen[number])))))

    return draw


def of_judge(judge: Judge) -> Scatter:
    """The best of a hundred random configurations, and what seeds make of them at the end; as shares."""

    def draw(rng: np.random.Generator, count: int) -> Candidates:
        found = [drawn(judge.knobs, rng) for _ in range(DRAWN)]
        truths = np.array([judge.truth(params) / 100 for params in found])
        best = rng.permutation(np.argsort(-truths)[:count])

        def score(number: int) -> float:
            return judge.score(found[best[number]], int(rng.integers(2**32)), judge.epochs).score / 100

        return truths[best], score

    return draw


SCATTERS: dict[str, Scatter] = {
    "no difference": normal(0.0, 0.1),
    "means by a third of a seed": normal(0.03, 0.1),
    "means as seeds": normal(0.1, 0.1),
    "means thrice as seeds": normal(0.3, 0.1),
    "means as seeds, uneven": normal(0.1, 0.1, 0.8),
    "rises in 2 of 3": rising_late(2, 1),
    "rises in 5 of 6": rising_late(5, 1),
    "rises in half": rising_late(2, 2),
}


@dataclass(frozen=True)
class Outcome:
    """What one confirmation came to."""

    p_best: float
    is_right: bool
    lost: float
    """True mean of the best less that of the winner."""
    runs: int
    unseen: bool | None = None
    """Whether it is the best by the recorded seeds alone that neither search nor confirmation took; null: some have none left."""
    gained: float = 0.0
    """True mean of the winner less that of the one that the search would have reported."""


def confirmed(scatter: Scatter, confirm: Confirm, seed: int, *, is_selected: bool = False) -> Outcome:
    """Confirms candidates to the end, one run after the other; of `is_selected` ones the search's score counts too."""
    means, draw = scatter(np.random.default_rng([seed, 11]), SEARCHED if is_selected else confirm.top)
    own: dict[int, list[float]] = {number: [draw(number)] for number in range(len(means))} if is_selected else {}
    chosen = sorted(own, key=lambda number: -own[number][0])[: confirm.top] if is_selected else range(confirm.top)
    scores: dict[int, list[float]] = {number: [] for number in chosen}
    while (number := next_to_confirm(scores, {}, confirm, "max", seed, own=own)) is not None:
        scores[number].append(draw(number))
    first = confirmation_statistics(scores, "max", seed, own=own).rows[0]
    lost = float(max(means[number] for number in chosen) - means[first.trial])
    gained = float(means[first.trial] - means[chosen[0]]) if is_selected else 0.0
    return Outcome(first.p_best, lost < 1e-9, lost, sum(map(len, scores.values())), gained=gained)


def replayed(table: Table, confirm: Confirm, seed: int) -> Outcome:
    """A whole sweep of 25 trials with its confirmation; the truth is the mean of all recorded seeds, and of those not taken."""
    history = replay(space_of(table, trials=25, confirm=confirm.model_dump()), table, seed)
    assert history.search is not None
    found = winner(history.search.state)
    assert found is not None
    assert found.confirmed is not None
    truths = {trial.number: table.truth(table.config(trial.params)) for trial in candidates(history.search.state)}
    lost = max(truths.values()) - truths[found.trial.number]
    runs = sum(map(len, history.search.state.confirmations.values()))
    assert history.search.state.leader is not None
    gained = truths[found.trial.number] - table.truth(table.config(history.search.state.leader.params))
    unseen = _best_by_unseen(table, history, found.trial.number)
    return Outcome(found.confirmed.p_best, lost < 1e-9, lost, runs, unseen, gained)


def _best_by_unseen(table: Table, history: History, winner: int) -> bool | None:
    assert history.search is not None
    assert history.runs is not None
    left: dict[int, float] = {}
    for trial in candidates(history.search.state):
        config = table.config(trial.params)
        unseen = set(table.seeds(config)) - set(history.runs.taken[config])
        if not unseen:
            return None
        left[trial.number] = float(np.mean([table.final(config, seed) for seed in unseen]))
    return left[winner] >= max(left.values()) - 1e-9


def row_of(name: str, outcomes: list[Outcome], confirm: Confirm) -> dict[str, object]:
    """The figures of one kind of seeds."""
    sure = [one for one in outcomes if one.p_best >= confirm.certainty]
    held = wilson(np.mean([one.is_right for one in sure]).item(), len(sure)) if sure else None
    return {
        "benchmark": "confirmation",
        "seeds": name,
        "repetitions": len(outcomes),
        "said_to_be_sure": len(sure),
        "right_when_sure": round(float(np.mean([one.is_right for one in sure])), 3) if sure else None,
        "interval_95": [round(held.low, 3), round(held.high, 3)] if held else None,
        "right_by_unseen_seeds": _share([one.unseen for one in sure if one.unseen is not None]),
        "p_best_when_sure": round(float(np.mean([one.p_best for one in sure])), 3) if sure else None,
        "lost_when_sure": round(float(np.mean([one.lost for one in sure])), 4) if sure else None,
        "right": round(float(np.mean([one.is_right for one in outcomes])), 3),
        "lost": round(float(np.mean([one.lost for one in outcomes])), 4),
        "gained": [round(value, 4) for value in interval([one.gained for one in outcomes])],
        "runs": round(float(np.mean([one.runs for one in outcomes])), 1),
        "confirm": confirm.model_dump(),
    }


def _share(right: list[bool]) -> list[float] | None:
    """Share and number of repetitions; None of none."""
    return [round(float(np.mean(right)), 3), len(right)] if right else None


def cases(options: argparse.Namespace, confirm: Confirm) -> Iterable[tuple[str, Callable[[int], Outcome]]]:
    """Name and repetition of every kind of seeds that was asked for."""
    scatters = {} if options.table or options.replay or options.judge else SCATTERS
    for task in options.table:
        scatters[f"{task}, recorded"] = recorded(Table.load(options.tables / task))
    for name in names_of(options.judge, may_be_kept=options.kept):
        scatters[name] = of_judge(judge_of(name))
    for name, scatter in scatters.items():
        yield name, lambda seed, scatter=scatter: confirmed(scatter, confirm, seed, is_selected=options.selected)
    for task in options.replay:
        table = Table.load(options.tables / task)
        yield f"{task}, replayed", lambda seed, table=table: replayed(table, confirm, seed)


def main(arguments: list[str]) -> None:
    """One row a kind of seeds."""
    options_parser = parser(__doc__)
    options_parser.add_argument("--repetitions", type=int, default=200)
    options_parser.add_argument("--top", type=int, default=3)
    options_parser.add_argument("--seeds", type=int, default=3)
    options_parser.add_argument("--most-seeds", type=int, default=6)
    options_parser.add_argument("--selected", action="store_true", help="candidates are the best of 25 by a score that counts")
    options_parser.add_argument("--table", action="append", default=[], help="a recorded task (repeat for more)")
    options_parser.add_argument("--replay", action="append", default=[], help="a recorded task (repeat for more)")
    options_parser.add_argument("--judge", action="append", default=[], help="a judge, or tuning or kept (repeat for more)")
    options_parser.add_argument("--kept", action="store_true", help="judges that are kept for the end may be looked at")
    options_parser.add_argument("--tables", type=Path, default=TABLES)
    options = options_parser.parse_args(arguments)
    confirm = Confirm(top=options.top, seeds=options.seeds, most_seeds=options.most_seeds)
    for name, repeat in cases(options, confirm):
        emit(row_of(name, [repeat(seed) for seed in range(options.repetitions)], confirm), options.out)


if __name__ == "__main__":
    main(sys.argv[1:])
