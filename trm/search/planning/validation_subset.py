"""On how many validation examples, by how many votes, a rung is scored: chosen where the space leaves it open, before a sweep.

They are two numbers and one fixed subset for all trials, so that they are compared on the same puzzles. They are written into the
space (`sweep.yaml`), so that a resume and a replay find them there.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trm.config.files import merged
from trm.config.training import VOTES
from trm.errors import ConfigError
from trm.search.planning.preflight import training_per_answer
from trm.search.planning.survey import Survey
from trm.search.space.space import SearchSpace

SHARE = 0.1
"""Of the training between two rungs that scoring the later one may take, in FLOPs."""
LEAST = 100
"""Fewer examples tell too little: a share of so many has a standard error of up to 5 points."""
EXAMPLES = "max_examples"
CHOSEN = (EXAMPLES, "votes")
"""Leaves of `evaluation` that are chosen here."""
PATH = f"evaluation.{EXAMPLES}"


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
    votes: float = 1.0
    """Forms in which each is asked, on average."""

    @property
    def text(self) -> str:
        """How many of the validation examples are scored, in words."""
        which = f"all {self.of}" if self.examples == self.of else f"{self.examples} of {self.of}"
        origin = "" if self.is_chosen else f" ({PATH})"
        votes = f", each by {self.votes:.3g} votes" if self.votes > 1 else ""
        scored = f"{which} validation examples{origin}{votes}"
        text = f"{scored}; that takes at most {100 * self.share:.2g} % of the training between two rungs"
        if not self.is_chosen or self.share <= SHARE:
            return text
        few = f"fewer than {LEAST} would tell too little (a standard error above 5 points)"
        return f"{text}: {few}; a longer budget.per_trial or fewer rungs lower it"


def with_subset(survey: Survey, *, examples: int, forms: Sequence[float] = (1.0,)) -> tuple[Survey, Subset | None]:
    """`survey` with its numbers of examples and votes filled in, where they are left open and many; and what that means.

    `examples` are those of the validation split, each asked in so many `forms` (of every data set a number, on average), of which
    at most `VOTES` vote, and in all sets equally many. None where the number is searched, or costs nothing. ConfigError as
    `check_space`, and for more votes than a set has forms where others have more.
    """
    least, most = min(forms), max(forms)
    if most > VOTES and least >= VOTES and _is_open(survey.space, "votes"):
        survey = survey.scored_on({"votes": VOTES})
    elif least < most:
        survey = _with_equal_votes(survey, math.floor(least), most)
    space = survey.space
    if PATH in space.search or not (per_answer := training_per_answer(survey)):
        return survey, None
    votes = min(most, _most_votes(space) or most)
    per_example = votes / per_answer
    own = _own(space).get(EXAMPLES)
    workers = space.resources.max_workers or space.resources.workers
    if space.resources.most_slots > 1 and workers > examples:
        raise ConfigError(
            f"workers share what is scored: resources.max_workers {workers} must be at most the {examples} puzzles of validation",
            remedy="lower it, or build a larger validation split",
        )
    number = min(own or max(LEAST, workers, int(SHARE / per_example)), examples)
    subset = Subset(number, examples, number * per_example, is_chosen=own is None, votes=votes)
    return (survey.scored_on({EXAMPLES: number}) if own is None and number < examples else survey), subset


def _with_equal_votes(survey: Survey, least: int, most: float) -> Survey:
    """The survey with as many votes as the data set with the fewest forms has, where the number is left open."""
    if _is_open(survey.space, "votes"):
        return survey.scored_on({"votes": min(VOTES, least)})
    if (asked := _most_votes(survey.space) or most) > least:
        raise ConfigError(
            f"all data sets of a sweep are scored by as many votes: evaluation.votes may be {asked:g}, and one set "
            f"has {least} forms of a puzzle",
            remedy=f"ask for at most {least}, leave evaluation.votes open, or search larger data.num_aug",
        )
    return survey


def subset_as_begun(space: SearchSpace, begun: SearchSpace) -> SearchSpace:
    """`space` with what it leaves open as the sweep of `begun` has it."""
    before = _own(begun)
    return _filled(space, {leaf: before[leaf] for leaf in CHOSEN if before.get(leaf) is not None and _is_open(space, leaf)})


def _is_open(space: SearchSpace, leaf: str) -> bool:
    return _own(space).get(leaf) is None and f"evaluation.{leaf}" not in space.search


def _most_votes(space: SearchSpace) -> int | None:
    """Augmentations of a task that vote at most, where that is searched in the trial that asks for most; None: all."""
    knob = space.search.get("evaluation.votes")
    if knob is None:
        values = [_own(space).get("votes")]
    else:
        values = list(knob.extremes) if knob.type != "choice" else list(knob.values_in_order)
    return None if any(value in (None, "all") for value in values) else max(int(str(value)) for value in values)


def _own(space: SearchSpace) -> Mapping[str, Any]:
    section = space.base.get("evaluation")
    return section if isinstance(section, Mapping) else {}


def _filled(space: SearchSpace, values: Mapping[str, Any]) -> SearchSpace:
    return space.model_copy(update={"base": merged(space.base, {"evaluation": dict(values)})}) if values else space
