"""Before anything starts: can the space be satisfied, and does the first rung give every configuration enough steps?"""

import itertools
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from trm.config.messages import nearest
from trm.config.run import RunConfig
from trm.data.format.manifest import Task
from trm.errors import ConfigError
from trm.evaluation.metric_names import is_count, metric_names
from trm.search.objective import check_names
from trm.search.resources.speeds import Speeds
from trm.search.schedulers.rungs import first_rung_need
from trm.search.space.candidates import Candidate, CostOf, Facts, Rejected, Resolver
from trm.search.space.enumeration import MAX_WALKED, all_params, corner_params, random_params, space_size
from trm.search.space.resolution import collapsed, overruled
from trm.search.space.space import SearchSpace
from trm.seeds import derived_seed

DRAWS = 1000
WALKED = 1500
MANY_RULES = 500
"""Constraints from which on fewer configurations are drawn, to look at as many rules in all; at least `FEWEST_DRAWS`."""
FEWEST_DRAWS = 50
ASSUMED_FLOPS_PER_SECOND = 3e10
"""Only for limits on steps in seconds of a device that was never timed."""


@dataclass(frozen=True)
class Preflight:
    """What a sweep will meet: the two ends of its costs, and how many draws keep the rules."""

    cheapest: Candidate
    dearest: Candidate
    rung_amounts: tuple[float, ...]
    """Of the space's fidelity."""
    accepted: int
    drawn: int
    notes: tuple[str, ...] = ()
    """What is searched and changes nothing, in words."""

    @property
    def spread(self) -> float:
        """How many times dearer the dearest step is than the cheapest; beyond about 16 a space wants a constraint."""
        return self.dearest.step_flops / self.cheapest.step_flops


def check_space(space: SearchSpace, cost_of: CostOf | None = None, facts: Facts | None = None) -> Candidate:
    """A configuration that keeps every rule.

    ConfigError when no draw of a thousand does (naming the rule broken most), or a start point breaks one.
    Without `cost_of`, rules about cost are left out.
    """
    return _checked(space, Resolver(space, cost_of, facts))[0]


def _checked(space: SearchSpace, resolver: Resolver) -> tuple[Candidate, list[Candidate]]:
    """A configuration that keeps every rule, and the start points."""
    if space.sampler.tries == "walk" and space_size(space) > MAX_WALKED:
        raise ConfigError(
            f"sampler {space.sampler.type} walks through at most {MAX_WALKED} configurations, the space has {space_size(space):g}",
            remedy="use choices in place of floats, or another sampler",
        )
    broken: Counter[str] = Counter()
    one: Candidate | None = None
    for params in _draws(space, WALKED):
        found = resolver.resolve(params)
        if isinstance(found, Candidate):
            one = found
            break
        broken[found.rule] += 1
    if one is None:
        rule, times = broken.most_common(1)[0]
        raise ConfigError(
            f"the search space is empty: none of {broken.total()} draws kept every rule, {times} of them broke: {rule}",
            remedy="loosen that rule or widen the knobs it names",
        )
    starts = []
    for number, point in enumerate(space.start_points):
        source = f"start_points.{number}"
        found = resolver.resolve(space.complete(point, source))
        if isinstance(found, Rejected):
            raise ConfigError(f"{source} breaks {found.rule}", remedy="change the start point or the rule")
        starts.append(found)
    return one, starts


def check_objective(space: SearchSpace, config: RunConfig, task: Task) -> None:
    """ConfigError unless the evaluation of a trial such as `config` on puzzles of `task` reports what the objective names."""
    searched = space.search.get("evaluation.steps")
    steps = searched.extremes if searched is not None else [config.evaluation.steps]
    steps_made = min(int(count or config.model.halt_max_steps) for count in steps)
    names = metric_names(task, steps_made, has_halted=config.evaluation.reports_halted)
    if space.objective.metric not in names:
        halted = [name for name in metric_names(task, steps_made, has_halted=True) if name not in names]
        offered = [name for name in names if not is_count(name)]
        near = nearest(space.objective.metric, offered)
        remedy = f"did you mean {near}?" if near else f"choose one of {', '.join(offered)}"
        raise ConfigError(
            f"objective.metric must be what an evaluation of {task} reports, got {space.objective.metric!r}",
            remedy="set base.evaluation.reports_halted: true" if space.objective.metric in halted else remedy,
        )
    check_names(space.objective.against, names)


def preflight(space: SearchSpace, cost_of: CostOf, facts: Facts | None = None) -> Preflight:
    """The ends of the space's costs; ConfigError as `check_space`, or when the first of several rungs is too short for one.

    The dearest is the true one where the space has at most 1,500 configurations, else the worst of 500 corners, 1,000 draws and the
    start points.
    """
    _check_reserve(space)
    found, resolver = _found(space, cost_of, facts)
    if resolver.rungs.last > 0:
        _check_first_rung(space, found.everyone)
    cheapest, dearest = found.ends
    notes = overruled(space) + collapsed(space, [one.params for one in found.everyone], partial(_digest, resolver))
    return Preflight(cheapest, dearest, resolver.rungs.amounts, found.accepted, found.drawn, tuple(notes))


def _digest(resolver: Resolver, params: dict[str, Any]) -> str | None:
    found = resolver.resolve(params, is_limited=False)
    return found.digest if isinstance(found, Candidate) else None


def _check_reserve(space: SearchSpace) -> None:
    """ConfigError when confirmations alone would take all that the sweep may spend."""
    limit, confirm = space.budget.train_flops, space.confirm
    if limit is None or confirm is None or space.fidelity != "train_flops":
        return
    needed = confirm.top * confirm.seeds * space.budget.per_trial
    if needed + space.budget.per_trial > limit:
        raise ConfigError(
            f"confirm.top {confirm.top} times confirm.seeds {confirm.seeds} trials of full length take {needed:g} training FLOPs, "
            f"which leaves no trial for the search of budget.train_flops {limit:g}",
            remedy=f"give budget.train_flops more than {needed + space.budget.per_trial:g}, or confirm fewer",
        )


def cost_ends(space: SearchSpace, cost_of: CostOf, facts: Facts) -> tuple[Candidate, Candidate]:
    """The cheapest and the dearest configuration, before any speed is known: what is worth timing."""
    return _found(space, cost_of, _assumed(facts))[0].ends


def _assumed(facts: Facts) -> Facts:
    assumed = replace(facts, speeds=Speeds())
    assumed.speeds.observe(ASSUMED_FLOPS_PER_SECOND, 1, 1.0)
    return assumed


def length_in_needs(space: SearchSpace, cost_of: CostOf, facts: Facts | None = None) -> float:
    """How many times longer a whole trial is than a first rung must be, for the configuration that this is hardest for.

    Looks at the same configurations as `preflight`; ConfigError as `check_space`.
    """
    everyone = _found(space, cost_of, facts)[0].everyone
    return min(one.max_steps / _first_need(one) for one in everyone)


def training_per_answer(space: SearchSpace, cost_of: CostOf, facts: Facts) -> float:
    """Training FLOPs between two rungs for each FLOP of answering one puzzle, where that is least; 0: answers cost nothing.

    Looks at the same configurations as `preflight`; where trials are so many seconds long, at an assumed speed.
    """
    everyone = _found(space, cost_of, _assumed(facts) if space.fidelity == "seconds" else facts)[0].everyone
    legs = [(one, min(after - before for before, after in itertools.pairwise((0, *one.rung_steps)))) for one in everyone]
    ratios = [steps * one.step_flops / one.inference_flops for one, steps in legs if one.inference_flops and steps]
    return min(ratios, default=0.0)


@dataclass(frozen=True)
class _Found:
    everyone: list[Candidate]
    accepted: int
    drawn: int

    @property
    def ends(self) -> tuple[Candidate, Candidate]:
        by_cost = sorted(self.everyone, key=lambda one: one.step_flops)
        return by_cost[0], by_cost[-1]


def _found(space: SearchSpace, cost_of: CostOf, facts: Facts | None) -> tuple[_Found, Resolver]:
    resolver = Resolver(space, cost_of, facts)
    _, starts = _checked(space, resolver)
    found = [resolver.resolve(params) for params in _draws(space, WALKED)]
    candidates = [one for one in found if isinstance(one, Candidate)]
    everyone = candidates + starts
    return _Found(everyone, len(candidates), len(found)), resolver


def _draws(space: SearchSpace, limit: int) -> Iterator[dict[str, Any]]:
    if space_size(space) <= limit:
        yield from all_params(space)
        return
    generator = random.Random(derived_seed(space.seed, "preflight"))
    for _ in range(min(DRAWS, max(FEWEST_DRAWS, DRAWS * MANY_RULES // max(1, len(space.constraints))))):
        yield random_params(space, generator)
    yield from corner_params(space, limit - DRAWS)


def _first_need(one: Candidate) -> int:
    return first_rung_need(one.config.optim.lr_warmup_steps, one.config.model.halt_max_steps)


def _check_first_rung(space: SearchSpace, candidates: list[Candidate]) -> None:
    def shortfall(one: Candidate) -> float:
        return _first_need(one) / one.rung_steps[0]

    worst = max(candidates, key=lambda one: (shortfall(one), one.step_flops))
    if shortfall(worst) <= 1:
        return
    warmup, halting = worst.config.optim.lr_warmup_steps, worst.config.model.halt_max_steps
    need = _first_need(worst)
    shown = ", ".join(f"{path}={value}" for path, value in worst.params.items())
    is_by_cost = space.fidelity in ("train_flops", "seconds")
    cheaper = f", or add the constraint step_gflops <= {worst.step_flops / 1e9 / shortfall(worst):.3g}" if is_by_cost else ""
    raise ConfigError(
        f"the first rung must give every configuration {need} steps (100, 2 warm-ups of {warmup}, 4 * halt_max_steps {halting}), "
        f"but {shown} with {worst.step_flops / 1e9:.3g} GFLOP a step makes only {worst.rung_steps[0]} of {worst.max_steps} there",
        remedy=f"raise budget.per_trial to {space.budget.per_trial * shortfall(worst):.3g}, use fewer rungs{cheaper}",
    )
