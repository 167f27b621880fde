"""How parameters are proposed: Optuna's samplers, made afresh at every ask and seeded by (sweep seed, trial number)."""

import random
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, NSGAIIISampler, NSGAIISampler

from trm.search.journal.priors import PriorTrial
from trm.search.journal.trial import Trial
from trm.search.order import Order
from trm.search.samplers.brute_force import BruteForce
from trm.search.samplers.distributions import distribution, suggested
from trm.search.samplers.gaussian_process import GaussianProcess
from trm.search.samplers.nsga import NSGA2, NSGA3
from trm.search.samplers.quasi_monte_carlo import QuasiMonteCarlo, _Sequence
from trm.search.samplers.random_search import RandomSearch
from trm.search.samplers.study import MOST_SHOWN, StudyView, notes_of
from trm.search.samplers.study_fronts import FrontView
from trm.search.samplers.tpe import TPE, _JointTPE
from trm.search.schedulers.rungs import Rungs
from trm.search.space.enumeration import random_params
from trm.search.space.space import SearchSpace
from trm.seeds import derived_seed


@dataclass(frozen=True)
class Proposal:
    """Parameters that a sampler would try next."""

    params: dict[str, Any]
    notes: dict[str, Any]
    """What the sampler wants to see again with this trial."""


@dataclass(frozen=True)
class Advice:
    """What a sampler is shown besides this sweep's trials."""

    trials: Sequence[PriorTrial]
    """Of an earlier sweep about the same question."""
    rungs: Rungs
    """Of this sweep."""


class Proposer:
    """Proposes parameters from what is known of the trials so far."""

    def __init__(self, space: SearchSpace) -> None:
        """For the space's sampler."""
        self._space = space
        self._view = _view(space)

    def proposals(self, trials: Sequence[Trial], number: int, advice: Advice | None = None) -> Iterator[Proposal]:
        """Endless proposals for trial `number`, the sampler's first choice first; the same for the same trials and seed.

        With `advice` it is shown an earlier sweep's trials too.
        One that is turned down (a duplicate, a broken rule) stays in the study as running, so TPE moves away from it.
        """
        settings = self._space.sampler
        if isinstance(settings, RandomSearch | BruteForce):
            yield from random_proposals(self._space, number)
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # of the samplers' interfaces: the version is pinned
            sampler = _sampler(self._space, number, "sampler" if advice is None else "advised sampler")
        if advice is None:
            study = self._view.study(trials, sampler)
        else:
            assert isinstance(self._view, StudyView), "fronts take no advice"
            study = self._view.study(trials, sampler, self._view.earlier(advice.trials, advice.rungs))
        while True:
            asked = study.ask()
            params: dict[str, Any] = {}
            for path, knob in self._space.knobs_in_order():
                if knob.is_active(params):
                    params[path] = suggested(asked, path, knob)
            yield Proposal(params, notes_of(study.get_trials(deepcopy=False)[-1].system_attrs))


def random_proposals(space: SearchSpace, number: int) -> Iterator[Proposal]:
    """Endless random proposals for trial `number`."""
    generator = random.Random(derived_seed(space.seed, "random", number))
    while True:
        yield Proposal(random_params(space, generator), {})


def _view(space: SearchSpace) -> StudyView | FrontView:
    kind = space.sampler.type
    if space.objective.against:
        return FrontView(space.search, space.objective, has_places=kind != "gp", most=MOST_SHOWN.get(kind))
    return StudyView(space.search, Order(space.objective.mode), most=MOST_SHOWN.get(kind))


def _sampler(space: SearchSpace, number: int, role: str) -> BaseSampler:
    settings = space.sampler
    seed = derived_seed(space.seed, role, number, bits=32)
    if isinstance(settings, TPE):
        joint = {path: distribution(knob) for path, knob in sorted(space.search.items()) if not knob.when}
        return _JointTPE(joint, seed=seed, n_startup_trials=settings.startup_trials, n_ei_candidates=settings.candidates)
    if isinstance(settings, GaussianProcess):
        return GPSampler(seed=seed, n_startup_trials=settings.startup_trials, warn_independent_sampling=False)
    if isinstance(settings, NSGA2):
        return NSGAIISampler(seed=seed, population_size=settings.population)
    if isinstance(settings, NSGA3):
        return NSGAIIISampler(seed=seed, population_size=settings.population, dividing_parameter=settings.divisions)
    assert isinstance(settings, QuasiMonteCarlo)
    return _Sequence(settings.sequence, derived_seed(space.seed, "sequence", bits=32), seed, number)
