"""Which policy a search space's scheduler is."""

from trm.search.schedulers.asha import PromotingAsha, StoppingAsha
from trm.search.schedulers.brackets import Brackets
from trm.search.schedulers.halving import SynchronousHalving
from trm.search.schedulers.median import Median
from trm.search.schedulers.pbt import PopulationTraining
from trm.search.schedulers.run_to_end import Unstopped
from trm.search.schedulers.scheduler import Policy
from trm.search.schedulers.settings import Asha, Hyperband, MedianStopping, NoScheduler, PopulationBasedTraining, SuccessiveHalving
from trm.search.space.candidates import Candidate, Resolver
from trm.search.space.space import SearchSpace


def policy_of(space: SearchSpace) -> Policy:
    """The policy of the space's scheduler."""
    match space.scheduler:
        case Asha():
            return PromotingAsha() if space.scheduler.promotes else StoppingAsha()
        case SuccessiveHalving() | Hyperband():
            return SynchronousHalving(Brackets.of(space.scheduler))
        case MedianStopping():
            return Median(space.scheduler)
        case PopulationBasedTraining():
            resolver = Resolver(space, None)  # what changes within a run changes no cost
            knobs = dict(space.knobs_in_order())
            return PopulationTraining(
                space.scheduler, knobs, space.seed, lambda params: isinstance(resolver.resolve(params), Candidate)
            )
        case NoScheduler():
            return Unstopped()
