"""On how many validation examples a rung is scored: chosen from the costs where the space leaves it open, once, before the sweep.

It is one number and one fixed subset for all trials, so that they are compared on the same puzzles. It is written into the
space (`sweep.yaml`), so that a resume and a replay find it there.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from trm.config_files import merged
from trm.search.candidates import CostOf, Facts
from trm.search.preflight import training_per_answer
from trm.search.space import SearchSpace

SHARE = 0.1
"""Of the training between two rungs that scoring the later one may take, in FLOPs."""
LEAST = 100
"""Fewer examples tell too little: a share of so many has a standard error of up to 5 points."""
PATH = "evaluation.max_examples"


@dataclass(frozen=True)
class Subset:
    """What a rung is scored on."""

    examples: int
    of: int
    """Examples of the validation split."""
    share: float
    """FLOPs of scoring against those of the training between two rungs, for the configuration where that is most."""
    is_chosen: bool
    """Whether the number is ours, not the space's."""

    @property
    def text(self) -> str:
        """The same in words."""
        which = f"all {self.of}" if self.examples == self.of else f"{self.examples} of {self.of}"
        origin = "" if self.is_chosen else f" ({PATH})"
        text = f"{which} validation examples{origin}; that takes at most {100 * self.share:.2g} % of the training between two rungs"
        if not self.is_chosen or self.share <= SHARE:
            return text
        few = f"fewer than {LEAST} would tell too little (a standard error above 5 points)"
        return f"{text}: {few}; a longer budget.per_trial or fewer rungs lower it"


def with_subset(
    space: SearchSpace, cost_of: CostOf, facts: Facts, *, examples: int, forms: float = 1.0
) -> tuple[SearchSpace, Subset | None]:
    """`space` with its number of examples filled in, itself where nothing is left open or all are few enough; and what that means.

    `examples` are those of the validation split, each asked in so many `forms`. None where the number is searched, or costs
    nothing. ConfigError as `check_space`.
    """
    if PATH in space.search or not (per_answer := training_per_answer(space, cost_of, facts)):
        return space, None
    per_example = forms / per_answer
    own = _own(space)
    number = min(own or max(LEAST, space.resources.workers, int(SHARE / per_example)), examples)
    subset = Subset(number, examples, number * per_example, is_chosen=own is None)
    return (_filled(space, number) if own is None and number < examples else space), subset


def subset_as_begun(space: SearchSpace, begun: SearchSpace) -> SearchSpace:
    """`space` with what it leaves open as the sweep of `begun` has it."""
    number = _own(begun)
    return _filled(space, number) if _own(space) is None and PATH not in space.search and number is not None else space


def _own(space: SearchSpace) -> int | None:
    section = space.base.get("evaluation")
    return section.get("max_examples") if isinstance(section, Mapping) else None


def _filled(space: SearchSpace, number: int) -> SearchSpace:
    return space.model_copy(update={"base": merged(space.base, {"evaluation": {"max_examples": number}})})
