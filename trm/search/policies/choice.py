"""Which policy a search space's scheduler is."""

from trm.search.policies.asha import PromotingAsha
from trm.search.policies.policy import Policy
from trm.search.settings import Asha, NoScheduler, Scheduler


def policy_of(scheduler: Scheduler) -> Policy:
    """The policy for these settings."""
    match scheduler:
        case Asha() | NoScheduler():
            return PromotingAsha()
        case _:
            raise NotImplementedError(scheduler.type)
