"""What a space's file leaves open, as sweeps that begin now have it: where they begin, who samples, and whether their winner is
confirmed.

It is filled in when the file is read, so that `sweep.yaml` says it, and a later default changes no sweep.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trm.search.samplers.surrogate import Surrogate
from trm.search.settings import Confirm
from trm.search.space.rules import begins_with_base, confirms_unasked, moves_by_default
from trm.search.space.start_points import base_point

if TYPE_CHECKING:
    from trm.search.space.space import SearchSpace

CONFIRMED = Confirm(top=2, seeds=2, most_seeds=2)
"""Replayed, the best two on two fresh seeds each are worth 1.4 and 2.5 points (docs/how/findings.md)."""
FEWEST_TRIALS = 20
"""Below that four runs of full length are more than half of what the search takes, and more trials are the better use of them."""
LEAST_LENGTHS = 24.0
"""Trials of full length in `budget.train_flops` from which on they are at most a sixth of it: of 16 they cost TPE 1.2 points."""


def with_defaults(space: "SearchSpace", mapping: Mapping[str, Any], rules: int) -> "SearchSpace":
    """The space of a file that holds `mapping`, with what it leaves open as sweeps of `rules` have it."""
    is_open = begins_with_base(rules) and not {"start_points", "base_point"} & mapping.keys()
    if is_open and space.search and space.sampler.tries != "earlier":
        space = _filled(space, base_point=base_point(space)[0])
    if moves_by_default(rules) and "sampler" not in mapping and not space.objective.against and not space.scheduler.changes_knobs:
        space = _filled(space, sampler=Surrogate())
    if "confirm" not in mapping and (confirm := unasked_confirm(space, rules)) is not None:
        space = _filled(space, confirm=confirm)
    return space


def unasked_confirm(space: "SearchSpace", rules: int) -> Confirm | None:
    """What a sweep of `rules` confirms whose file does not say whether; None: nothing."""
    return CONFIRMED if confirms_unasked(rules) and _wants_one_best(space) and _has_compute(space) else None


def _filled(space: "SearchSpace", **values: Any) -> "SearchSpace":
    """`space` with values of which `model_fields_set` says on that its file left them open."""
    return type(space).model_construct(_fields_set=space.model_fields_set, **{**dict(space), **values})


def _wants_one_best(space: "SearchSpace") -> bool:
    """Whether a sweep looks for one configuration, each tried on one seed: no front, no population, and no end at a target."""
    is_plain = not space.objective.against and not space.scheduler.changes_knobs and space.budget.target is None
    return bool(space.search) and space.replicates == 1 and is_plain


def _has_compute(space: "SearchSpace") -> bool:
    """Whether confirmations are a small part of what the budget allows; not where only clocks end the sweep, which end them too."""
    budget = space.budget
    lengths = budget.train_flops / budget.per_trial if budget.train_flops and space.fidelity == "train_flops" else None
    if budget.trials is None and lengths is None:
        return False
    return (budget.trials is None or budget.trials >= FEWEST_TRIALS) and (lengths is None or lengths >= LEAST_LENGTHS)
