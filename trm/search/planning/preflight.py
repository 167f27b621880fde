"""Before anything starts: can the space be satisfied, and does the first rung give every configuration enough steps?"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from trm.config.run import RunConfig
from trm.data.format.manifest import TaskName
from trm.errors import ConfigError
from trm.search.planning.survey import Survey
from trm.search.settings import COSTS
from trm.search.space.candidates import Candidate, Resolver
from trm.search.space.resolution import collapsed, overruled
from trm.search.space.space import SearchSpace
from trm.tasks.forms import require_forms
from trm.tasks.metrics import Reportable


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


def check_objective(space: SearchSpace, config: RunConfig, task: TaskName, parts: Sequence[str] = ()) -> None:
    """ConfigError unless the evaluation of a trial such as `config` on puzzles of `task` reports what the objective names.

    `parts`: those of a mixture that have validation puzzles.
    """
    forms = space.search.get("evaluation.forms")
    most = [config.evaluation.forms] if forms is None else [int(one) for one in forms.extremes if isinstance(one, int)]
    require_forms(max(most, default=1), task)
    if space.test_time is not None:
        require_forms(space.test_time.forms, task, "test_time.forms")
    searched = space.search.get("evaluation.steps")
    steps = searched.extremes if searched is not None else [config.evaluation.steps]
    steps_made = min(int(count or config.model.halt_max_steps) for count in steps)
    can = Reportable.of(config, task, parts, steps=steps_made)
    objective = space.objective
    can.require("objective.metric", objective.metric)
    named = [(f"against.{place}", one.metric) for place, one in enumerate(objective.against)]
    named += [(f"outcome_constraints.{place}", one.metric) for place, one in enumerate(objective.wanted)]
    for place, metric in named:
        can.require(f"objective.{place}", metric, COSTS)
    for figure in config.evaluation.figures:
        can.require("base.evaluation.metrics", figure.text)


def preflight(survey: Survey) -> Preflight:
    """The ends of the space's costs; ConfigError as `check_space`, or when the first of several rungs is too short for one.

    The dearest is the true one where the space has at most 1,500 configurations, else the worst of those looked at.
    """
    space, resolver = survey.space, survey.resolver
    _check_reserve(space)
    everyone = survey.everyone
    if resolver.rungs.last > 0:
        _check_first_rung(space, everyone)
    cheapest, dearest = survey.ends
    notes = overruled(space) + collapsed(space, [one.params for one in everyone], partial(_digest, resolver))
    return Preflight(cheapest, dearest, resolver.rungs.amounts, survey.accepted, survey.drawn, tuple(notes))


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


def length_in_needs(survey: Survey) -> float:
    """How many times longer a whole trial is than a first rung must be, for the configuration that this is hardest for.

    ConfigError as `check_space`.
    """
    return min(one.max_steps / one.first_rung_need for one in survey.everyone)


def training_per_answer(survey: Survey) -> float:
    """Training FLOPs between two rungs for each FLOP of scoring one puzzle, where that is least; 0: answers cost nothing."""
    everyone = survey.everyone
    legs = [
        (one, min(one.flops.between(first, last) for first, last in itertools.pairwise((0, *one.rung_steps)))) for one in everyone
    ]
    ratios = [flops / one.pass_flops for one, flops in legs if one.inference_flops and flops]
    return min(ratios, default=0.0)


def _check_first_rung(space: SearchSpace, candidates: list[Candidate]) -> None:
    def shortfall(one: Candidate) -> float:
        return one.first_rung_need / one.rung_steps[0]

    worst = max(candidates, key=lambda one: (shortfall(one), one.step_flops))
    if shortfall(worst) <= 1:
        return
    warmup, halting = worst.config.optim.lr_warmup_steps, worst.config.model.halt_max_steps
    need = worst.first_rung_need
    shown = ", ".join(f"{path}={value}" for path, value in worst.params.items())
    is_by_cost = space.fidelity in ("train_flops", "seconds")
    limit = float(f"{worst.step_flops / 1e9 / shortfall(worst):.3g}")
    is_kept = any(one.step_flops / 1e9 <= limit and shortfall(one) <= 1 for one in candidates)  # else it leaves none
    cheaper = f", or add the constraint step_gflops <= {limit:g}" if is_by_cost and is_kept else ""
    raise ConfigError(
        f"the first rung must give every configuration {need} steps (100, 2 warm-ups of {warmup}, 4 * halt_max_steps {halting}), "
        f"but {shown} with {worst.step_flops / 1e9:.3g} GFLOP a step makes only {worst.rung_steps[0]} of {worst.max_steps} there",
        remedy=f"raise budget.per_trial to {space.budget.per_trial * shortfall(worst):.3g}, use fewer rungs{cheaper}",
    )
