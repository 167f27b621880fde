"""Values of knobs that no trial can have, whatever the others are: named with the rule that forbids them before a sweep begins."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

from trm.config.meaning import shown
from trm.errors import ConfigError
from trm.search.knobs.knobs import ChoiceKnob, Scalar
from trm.search.space.candidates import Rejected, Resolver
from trm.search.space.enumeration import Params, all_params, held_at, random_params, space_size
from trm.search.space.space import SearchSpace
from trm.search.space.spelling import spelled
from trm.seeds import derived_seed

WALKED = 1500
"""A space of at most so many configurations is walked through, of a larger one configurations are drawn."""
TRIES = 1000
"""Draws with a value that must all fail before it is called impossible."""
MOST_VALUES = 100
"""Of a choice whose values are looked at one by one; more are a grid."""


def require_possible(space: SearchSpace, resolver: Resolver) -> None:
    """ConfigError for a choice's value, or the end of a range, that breaks a rule of every run whatever the other knobs are.

    The space's constraints are not looked at: what they rule out is meant so.
    """
    possible: set[tuple[str, Scalar, bool]] = set()
    for path, knob in space.knobs_in_order():
        for value in knob.extremes if len(knob.extremes) <= MOST_VALUES else ():
            broken: dict[str, Rejected] = {}
            for params in () if _key(path, value) in possible else _draws_with(space, path, value):
                found = resolver.run_config(params)
                if not isinstance(found, Rejected):
                    possible |= {_key(*pair) for pair in params.items()}
                    broken = {}
                    break
                broken.setdefault(found.kind, found)
            if broken:
                raise _impossible(space, path, value, list(broken.values()))


def _key(path: str, value: Any) -> tuple[str, Any, bool]:
    return path, value, isinstance(value, bool)


def _draws_with(space: SearchSpace, path: str, value: Scalar) -> Iterator[Params]:
    if space_size(space) <= WALKED:
        draws: Iterator[Params] = all_params(space)
    else:
        generator, held = random.Random(derived_seed(space.seed, "possible")), held_at(space, path, value)
        draws = (random_params(space, generator, held) for _ in range(TRIES))
    for params in draws:
        if path in params and _key(path, params[path]) == _key(path, value):
            yield params


def _impossible(space: SearchSpace, path: str, value: Scalar, broken: Sequence[Rejected]) -> ConfigError:
    own = f"remove {shown(value)} from search.{path}" if isinstance(space.search[path], ChoiceKnob) else f"narrow search.{path}"
    rules = "; ".join(one.problem.text for one in broken if one.problem is not None)
    remedies = "; and ".join(remedy_in(space, one) for one in broken)
    return ConfigError(
        f"search.{path} reaches {shown(value)}, which no trial can have, whatever the other knobs are: {rules}",
        remedy=f"{own}, or {remedies}",
    )


def remedy_in(space: SearchSpace, broken: Rejected) -> str:
    """The remedy of the rule of every run that parameters break; where they do not have a knob, it is the base that it mends."""
    assert broken.problem is not None, "a rule of every run"
    return spelled(broken.problem.remedy, {path: space.search[path] for path in broken.params})
