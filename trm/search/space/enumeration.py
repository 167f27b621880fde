"""Draws from a search space that need no model: at random, at its corners, or all of it."""

import itertools
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trm.search.knobs.knobs import Scalar, at_share
from trm.search.space.space import SearchSpace

Params = dict[str, Any]

MAX_WALKED = 20_000
"""A space of at most so many configurations may be walked through, one by one."""


def random_params(space: SearchSpace, generator: random.Random, held: Mapping[str, Sequence[Scalar]] | None = None) -> Params:
    """One draw, each active knob independent of the others; of a knob in `held` one of the values there."""
    params: Params = {}
    for path, knob in space.knobs_in_order():
        share = generator.random()  # drawn for inactive knobs too, so that one knob's value moves no other's
        if knob.is_active(params):
            values = held.get(path) if held else None
            params[path] = at_share(knob, share) if values is None else values[int(share * len(values))]
    return params


def held_at(space: SearchSpace, path: str, value: Scalar) -> dict[str, list[Scalar]]:
    """The values to hold in draws that have `value` at `path`: it, and those at which knobs are that it is searched with."""
    held: dict[str, list[Scalar]] = {path: [value]}
    waiting = [path]
    while waiting:
        for other, wanted in space.search[waiting.pop()].when.items():
            values = wanted if isinstance(wanted, list) else [wanted]
            there = held.get(other, values)
            held[other] = [one for one in there if one in values] or there
            waiting.append(other)
    return held


def corner_params(space: SearchSpace, limit: int) -> Iterator[Params]:
    """Combinations of the knobs' extremes (every value of a choice), at most `limit`."""
    return itertools.islice(_combinations(space, [], {}, extremes=True), limit)


def all_params(space: SearchSpace) -> Iterator[Params]:
    """Every configuration of a finite space, in a fixed order."""
    assert space_size(space) < math.inf, "only a finite space can be walked through"
    return _combinations(space, [], {}, extremes=False)


def space_size(space: SearchSpace) -> float:
    """An upper bound of the number of configurations; infinite when a knob is continuous."""
    return math.prod(knob.count for knob in space.search.values())


def _combinations(space: SearchSpace, done: list[str], params: Params, *, extremes: bool) -> Iterator[Params]:
    waiting = [(path, knob) for path, knob in space.knobs_in_order() if path not in done]
    if not waiting:
        yield dict(params)
        return
    path, knob = waiting[0]
    if not knob.is_active(params):
        yield from _combinations(space, [*done, path], params, extremes=extremes)
        return
    for value in knob.extremes if extremes else knob.values_in_order:
        yield from _combinations(space, [*done, path], {**params, path: value}, extremes=extremes)
