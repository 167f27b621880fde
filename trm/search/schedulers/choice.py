"""Which schedulers there are."""

from typing import Annotated

from trm.config.unions import Tagged
from trm.search.schedulers.asha import Asha
from trm.search.schedulers.halving import Hyperband, SuccessiveHalving
from trm.search.schedulers.median import MedianStopping
from trm.search.schedulers.pbt import PopulationBasedTraining
from trm.search.schedulers.run_to_end import NoScheduler

SchedulerChoice = Annotated[
    Asha | SuccessiveHalving | Hyperband | MedianStopping | PopulationBasedTraining | NoScheduler,
    Tagged("type", default="asha", is_short=True),
]
"""How a search space says its scheduler."""
