"""The configurations that are looked at before a sweep starts: drawn and resolved once, for every question about the space."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

from trm.config.files import merged
from trm.errors import ConfigError
from trm.search.knobs.constraint_names import known_names, leaf_names
from trm.search.knobs.constraints import Constraint
from trm.search.planning.possible import WALKED, remedy_in, require_possible
from trm.search.resources.speeds import Speeds
from trm.search.schedulers.asha import Asha
from trm.search.space.candidates import Candidate, CostOf, Facts, Rejected, Resolver
from trm.search.space.enumeration import MAX_WALKED, all_params, corner_params, random_params, space_size
from trm.search.space.space import SearchSpace
from trm.seeds import derived_seed

DRAWS = 1000
MANY_RULES = 500
"""Constraints from which on fewer configurations are drawn, to look at as many rules in all; at least `FEWEST_DRAWS`."""
FEWEST_DRAWS = 50
ASSUMED_FLOPS_PER_SECOND = 3e10
"""Only for limits on steps in seconds of a device that was never timed."""


class _Found(NamedTuple):
    kept: list[Candidate]
    starts: list[Candidate]
    drawn: int


class Survey:
    """A space, and configurations that stand for all of it, resolved when the first question about them comes.

    They are every one where the space has at most 1,500, else 1,000 draws and 500 corners; the start points come last.
    """

    def __init__(self, space: SearchSpace, cost_of: CostOf, facts: Facts | None = None) -> None:
        """Trials that are so many seconds long take an assumed speed as long as `facts` know none."""
        facts = Facts() if facts is None else facts
        if space.fidelity == "seconds" and facts.speeds.step_seconds(1.0) is None:
            facts = replace(facts, speeds=Speeds())
            facts.speeds.observe(ASSUMED_FLOPS_PER_SECOND, 1, 1.0)
        self.space, self.cost_of, self.facts = space, cost_of, facts

    @cached_property
    def resolver(self) -> Resolver:
        """What resolves further parameters of the space."""
        return Resolver(self.space, self.cost_of, self.facts)

    @cached_property
    def _found(self) -> _Found:
        return _kept(self.space, self.resolver)

    @property
    def everyone(self) -> list[Candidate]:
        """All that keep every rule; ConfigError as `check_space`."""
        return self._found.kept + self._found.starts

    @property
    def starts(self) -> list[Candidate]:
        """The start points."""
        return self._found.starts

    @cached_property
    def base(self) -> Candidate | Rejected | None:
        """The trial that is the base, or the rule that it breaks; None where the space has none."""
        return self.resolver.base()

    @property
    def drawn(self) -> int:
        """How many were looked at, start points apart."""
        return self._found.drawn

    @property
    def accepted(self) -> int:
        """How many of them keep every rule."""
        return len(self._found.kept)

    @property
    def ends(self) -> tuple[Candidate, Candidate]:
        """The cheapest and the dearest."""
        by_cost = sorted(self.everyone, key=lambda one: one.step_flops)
        return by_cost[0], by_cost[-1]

    def with_rungs(self, scheduler: Asha) -> "Survey":
        """The survey's configurations with the rungs of `scheduler` on the way to the same length."""
        other = Survey(self.space.model_copy(update={"scheduler": scheduler}), self.cost_of, self.facts)
        assert other.resolver.rungs.amounts[-1] == self.resolver.rungs.amounts[-1], "rungs do not change how long a trial is"
        rungs = other.resolver.rungs
        self._hand_on(other, lambda one: replace(one, rung_steps=rungs.steps(one.amounts)))
        return other

    def scored_on(self, values: Mapping[str, Any]) -> "Survey":
        """The survey's configurations with these values of `evaluation`, such as `max_examples`, that cost no step anything."""
        space = self.space.model_copy(update={"base": merged(self.space.base, {"evaluation": dict(values)})})
        other = Survey(space, self.cost_of, self.facts)
        names = {name for name, path in leaf_names().items() if path.removeprefix("evaluation.") in values}
        if not any(names & Constraint(text, known_names()).names for text in space.constraints):  # else their rules are asked anew
            self._hand_on(other, lambda one: one.scored_on(values))
        return other

    def _hand_on(self, other: "Survey", changed: Callable[[Candidate], Candidate]) -> None:
        """Give `other` what was found here, where it was."""
        if "_found" in vars(self):
            kept, starts, drawn = self._found
            other._found = _Found(list(map(changed, kept)), list(map(changed, starts)), drawn)


def check_space(space: SearchSpace, cost_of: CostOf | None = None, *, is_begun: bool = False) -> Candidate:
    """A configuration that keeps every rule.

    ConfigError when no draw of a thousand does (naming the rule broken most), a start point breaks one, or a knob has a value that
    no trial can have; not for the last in a sweep that `is_begun`. Without `cost_of`, rules about cost are left out.
    """
    _check_walked(space)
    resolver = Resolver(space, cost_of)
    broken: list[Rejected] = []
    for one in map(resolver.resolve, _draws(space)):
        if isinstance(one, Candidate):
            _starts(space, resolver)
            if not is_begun:
                require_possible(space, resolver)
            return one
        broken.append(one)
    raise _empty(space, broken)


def kept(space: SearchSpace) -> Iterator[Candidate]:
    """The start points of a space, then draws, that keep every rule but those about cost."""
    resolver = Resolver(space, None)
    yield from _starts(space, resolver)
    yield from (one for one in map(resolver.resolve, _draws(space)) if isinstance(one, Candidate))


def _kept(space: SearchSpace, resolver: Resolver) -> _Found:
    _check_walked(space)
    found = [resolver.resolve(params) for params in _draws(space)]
    kept = [one for one in found if isinstance(one, Candidate)]
    if not kept:
        raise _empty(space, [one for one in found if isinstance(one, Rejected)])
    return _Found(kept, _starts(space, resolver), len(found))


def _check_walked(space: SearchSpace) -> None:
    if space.sampler.tries == "walk" and space_size(space) > MAX_WALKED:
        raise ConfigError(
            f"sampler {space.sampler.type} walks through at most {MAX_WALKED} configurations, the space has {space_size(space):g}",
            remedy="use choices in place of floats, or another sampler",
        )


def _empty(space: SearchSpace, broken: Sequence[Rejected]) -> ConfigError:
    kind, times = Counter(one.kind for one in broken).most_common(1)[0]
    said = [one for one in broken if one.kind == kind]
    problem = said[0].problem
    if problem is not None and all(one.problem == problem for one in broken):
        return ConfigError(f"no trial can be, whatever the knobs are: {problem.text}", remedy=remedy_in(space, said[0]))
    return ConfigError(
        f"the search space is empty: none of {len(broken)} draws kept every rule, {times} of them broke: {said[0].rule}",
        remedy="loosen that rule or widen the knobs it names" if problem is None else remedy_in(space, said[0]),
    )


def _starts(space: SearchSpace, resolver: Resolver) -> list[Candidate]:
    starts = []
    for number, point in enumerate(space.start_points):
        source = f"start_points.{number}"
        found = resolver.resolve(space.complete(point, source))
        if isinstance(found, Rejected):
            own = "" if found.problem is None else f": {remedy_in(space, found)}"
            raise ConfigError(f"{source} breaks {found.rule}", remedy=f"change the start point or the rule{own}")
        starts.append(found)
    return starts


def _draws(space: SearchSpace) -> Iterator[dict[str, Any]]:
    if space_size(space) <= WALKED:
        yield from all_params(space)
        return
    generator = random.Random(derived_seed(space.seed, "preflight"))
    for _ in range(min(DRAWS, max(FEWEST_DRAWS, DRAWS * MANY_RULES // max(1, len(space.constraints))))):
        yield random_params(space, generator)
    yield from corner_params(space, WALKED - DRAWS)
