"""Values of knobs that no trial can have, whatever the others are: named with the rule that forbids them before a sweep begins."""

import random
import re
from collections.abc import Iterator
from typing import Any

from trm.config.leaves import leaves
from trm.config.meaning import shown
from trm.config.messages import Problem
from trm.config.run import RunConfig
from trm.errors import ConfigError
from trm.search.knobs.knobs import ChoiceKnob, Knob, Scalar
from trm.search.space.candidates import Rejected, Resolver
from trm.search.space.enumeration import Params, all_params, held_at, random_params, space_size
from trm.search.space.space import SearchSpace
from trm.seeds import derived_seed

WALKED = 1500
"""A space of at most so many configurations is walked through, of a larger one configurations are drawn."""
TRIES = 1000
"""Draws with a value that must all fail before it is called impossible."""
MOST_VALUES = 100
"""Of a choice whose values are looked at one by one; more are a grid."""
PATH = re.compile(rf"(?<![\w.])((?:{'|'.join(RunConfig.model_fields)})\.[\w.]*\w)(?:: ([\w.+-]*[\w]))?")


def require_possible(space: SearchSpace, resolver: Resolver) -> None:
    """ConfigError for a choice's value, or the end of a range, that breaks a rule of every run whatever the other knobs are.

    The space's constraints are not looked at: what they rule out is meant so.
    """
    possible: set[tuple[str, Scalar, bool]] = set()
    for path, knob in space.knobs_in_order():
        for value in knob.extremes if len(knob.extremes) <= MOST_VALUES else ():
            broken: Rejected | None = None
            for params in () if _key(path, value) in possible else _draws_with(space, path, value):
                found = resolver.run_config(params)
                if not isinstance(found, Rejected):
                    possible |= {_key(*pair) for pair in params.items()}
                    broken = None
                    break
                broken = broken or found
            if broken is not None and broken.problem is not None:
                raise _impossible(space, path, value, broken.problem)


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


def _impossible(space: SearchSpace, path: str, value: Scalar, problem: Problem) -> ConfigError:
    knob = space.search[path]
    own = f"remove {shown(value)} from search.{path}" if isinstance(knob, ChoiceKnob) else f"narrow search.{path}"
    return ConfigError(
        f"search.{path} reaches {shown(value)}, which no trial can have, whatever the other knobs are: {problem.text}",
        remedy=f"{own}, or {remedy_in(space, problem)}",
    )


def remedy_in(space: SearchSpace, problem: Problem) -> str:
    """The remedy of a run's rule as the space spells it: paths below `base`, or below `search` where they are searched."""

    def spelled(match: re.Match[str]) -> str:
        path, value = match[1], match[2]
        if path not in leaves() and path not in RunConfig.model_fields:
            return match[0]
        knob: Knob | None = space.search.get(path)
        if knob is None:
            return f"base.{match[0]}"
        return f"search.{path}.values: [{value}]" if value and isinstance(knob, ChoiceKnob) else f"search.{match[0]}"

    return PATH.sub(spelled, problem.remedy)
