"""Every search tool by its name, imported when it is asked for: each lives in an environment of its own."""

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from benchmarks.search.judges.judge import Judge, Knob, Run, Score, Sweep, Value, drawn

Tool = Callable[..., None]
"""Sweep, and settings of the tool by name -> the sweep is over: begins runs, trains them, reports after each training."""
LEVELS = (0.0, 0.5, 1.0)
"""Places of a number's scale that a grid has."""


def tool_of(name: str) -> Tool:
    """The tool; ValueError for a name that is none: `peers/choice.py` says which peers there are."""
    match name:
        case "random":
            return random
        case "grid":
            return grid
        case "ours":
            from benchmarks.search.judges.ours import run

            return run
        case _:
            from benchmarks.search.judges.peers.choice import peer_of

            return peer_of(name)


def random(sweep: Sweep) -> None:
    """Random configurations at full length, the best one is reported."""
    generator = np.random.default_rng([sweep.seed, 7])
    _to_the_end(sweep, (drawn(sweep.judge.knobs, generator) for _ in itertools.count()))


def grid(sweep: Sweep) -> None:
    """A grid in the order of a file, low to high, at full length; the cheapest first where costs differ."""
    _to_the_end(sweep, grid_of(sweep.judge))


def grid_of(judge: Judge) -> Iterator[dict[str, Value]]:
    """Three levels of each number and all values of each choice, the first knob changing last."""
    points = _points(judge.knobs, {})
    draw = np.random.default_rng(0)
    costs = {round(judge.cost(drawn(judge.knobs, draw)), 9) for _ in range(20)}
    return points if len(costs) == 1 else iter(sorted(points, key=judge.cost))


def _points(knobs: Sequence[Knob], params: dict[str, Value]) -> Iterator[dict[str, Value]]:
    if not knobs:
        yield params
        return
    knob, *others = knobs
    if not knob.is_active(params):
        yield from _points(others, params)
        return
    values = knob.values if knob.kind == "choice" else tuple(dict.fromkeys(knob.at(level) for level in LEVELS))
    for value in values:
        yield from _points(others, {**params, knob.name: value})


def _to_the_end(sweep: Sweep, configurations: Iterator[dict[str, Value]]) -> None:
    best: tuple[Run, Score] | None = None
    for params in configurations:
        if sweep.is_over:
            return
        run = sweep.begin(params)
        score = run.train_to(sweep.judge.epochs)
        if best is None or _is_better(score, best[1]):
            best = run, score
        sweep.report(best[0])


def _is_better(one: Score, other: Score) -> bool:
    """By the score, then by the loss."""
    return (one.score, -one.loss) > (other.score, -other.loss)
