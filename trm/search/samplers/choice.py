"""Which samplers there are."""

from typing import Annotated

from trm.config.unions import Tagged
from trm.search.samplers.brute_force import BruteForce
from trm.search.samplers.gaussian_process import GaussianProcess
from trm.search.samplers.nsga import NSGA2, NSGA3
from trm.search.samplers.quasi_monte_carlo import QuasiMonteCarlo
from trm.search.samplers.random_search import RandomSearch
from trm.search.samplers.surrogate import Surrogate
from trm.search.samplers.tpe import TPE
from trm.search.samplers.transfer import Transfer

SamplerChoice = Annotated[
    Surrogate | TPE | RandomSearch | GaussianProcess | QuasiMonteCarlo | NSGA2 | NSGA3 | BruteForce | Transfer,
    Tagged("type", default="tpe", is_short=True),
]
"""How a search space says its sampler; a file may leave the type to `trm.search.space.defaults`."""
