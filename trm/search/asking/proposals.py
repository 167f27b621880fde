"""How parameters are proposed: Optuna's samplers, made afresh at every ask and seeded by (sweep seed, trial number)."""

import random
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from optuna.exceptions import ExperimentalWarning

from trm.search.journal.priors import PriorTrial
from trm.search.journal.trial import Trial
from trm.search.order import Order
from trm.search.samplers.distributions import suggested
from trm.search.samplers.sampler import Ask
from trm.search.samplers.study import StudyView, notes_of
from trm.search.samplers.study_fronts import FrontView
from trm.search.schedulers.rungs import Rungs
from trm.search.space.enumeration import random_params
from trm.search.space.rules import RULES, shows_scored_as_finished
from trm.search.space.space import SearchSpace
from trm.seeds import derived_seed


@dataclass(frozen=True)
class Proposal:
    """Parameters that a sampler would try next."""

    params: dict[str, Any]
    notes: dict[str, Any]
    """What the sampler wants to see again with this trial."""
    source: Literal["sampler", "belief", "near_best"] = "sampler"
    """Who proposes them."""


@dataclass(frozen=True)
class Advice:
    """What a sampler is shown besides this sweep's trials."""

    trials: Sequence[PriorTrial]
    """Of an earlier sweep about the same question."""
    rungs: Rungs
    """Of this sweep."""


class Proposer:
    """Proposes parameters from what is known of the trials so far."""

    def __init__(self, space: SearchSpace, rules: int = RULES) -> None:
        """For the sampler of a space, in a sweep that began by `rules`."""
        self._space, self._rules = space, rules
        self._view = _view(space, rules)

    def proposals(self, trials: Sequence[Trial], number: int, advice: Advice | None = None) -> Iterator[Proposal]:
        """Endless proposals for trial `number`, the sampler's first choice first; the same for the same trials and seed.

        With `advice` it is shown an earlier sweep's trials too.
        One that is turned down (a duplicate, a broken rule) stays in the study as running, so TPE moves away from it.
        """
        space, role = self._space, "sampler" if advice is None else "advised sampler"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # of the samplers' interfaces: the version is pinned
            sampler = space.sampler.sampler(
                Ask(
                    number,
                    derived_seed(space.seed, role, number, bits=32),
                    sweep_seed=space.seed,
                    knobs=dict(space.knobs_in_order()),
                    rules=self._rules,
                )
            )
        if sampler is None:
            yield from random_proposals(space, number)
            return
        if advice is None:
            study = self._view.study(trials, sampler)
        else:
            assert isinstance(self._view, StudyView), "fronts take no advice"
            study = self._view.study(trials, sampler, self._view.earlier(advice.trials, advice.rungs))
        while True:
            asked = study.ask()
            params: dict[str, Any] = {}
            for path, knob in space.knobs_in_order():
                if knob.is_active(params):
                    params[path] = suggested(asked, path, knob)
            yield Proposal(params, notes_of(study.get_trials(deepcopy=False)[-1].system_attrs))


def random_proposals(space: SearchSpace, number: int) -> Iterator[Proposal]:
    """Endless random proposals for trial `number`."""
    generator = random.Random(derived_seed(space.seed, "random", number))
    while True:
        yield Proposal(random_params(space, generator), {})


def _view(space: SearchSpace, rules: int) -> StudyView | FrontView:
    sampler = space.sampler
    if space.objective.against:
        return FrontView(space.search, space.objective, has_places=sampler.reads_ranks, most=sampler.most_shown)
    as_finished = sampler.reads_finished_alone and shows_scored_as_finished(rules)
    return StudyView(
        space.search,
        Order(space.objective.mode),
        most=sampler.most_shown,
        as_finished=as_finished,
        by_standing=sampler.compares_rungs,
    )
