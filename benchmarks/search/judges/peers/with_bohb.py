"""BOHB of its authors (hpbandster, unmaintained since 2018): its model and its successive halving, driven without its Pyro server.

The budget is epochs: shares of a trial's own compute; the factor is its default, 3. What its master does between the two is ten
lines of arithmetic, written again below (`optimizers/bohb.py`: brackets as in Hyperband). It names the best at the largest budget.
It has no way to be told a default.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hpbandster.optimizers.config_generators.bohb import BOHB
from hpbandster.optimizers.iterations import SuccessiveHalving

from benchmarks.search.judges.judge import Sweep
from benchmarks.search.judges.peers.drive import Configurations, epoch_of, error, first_share, levels
from benchmarks.search.judges.peers.spaces import params_of, space_of


@dataclass
class Job:
    """What its classes look at of a run that ended."""

    id: Any
    kwargs: dict[str, Any]
    result: dict[str, float]
    timestamps: dict[str, float] = field(default_factory=dict)
    exception: str | None = None


def bracket(number: int, epochs: int, most: int, eta: int) -> tuple[list[int], np.ndarray]:
    """Configurations and budget of each stage of a bracket, of which the first has the most stages."""
    stages = most - number % most
    begun = most // stages * eta ** (stages - 1)
    return [max(begun // eta**at, 1) for at in range(stages)], epochs / eta ** np.arange(stages - 1.0, -1.0, -1.0)


def _sweep(sweep: Sweep, *, tries_default: bool, first: float | None = None, eta: int = 3) -> None:
    assert not tries_default, "it has no way to be told a default"
    np.random.seed(sweep.seed % 2**32)  # noqa: NPY002 it draws from the global generator
    judge, runs, number = sweep.judge, Configurations(sweep), 0
    first = first or first_share(sweep, eta, eta**-2)
    model = BOHB(configspace=space_of(judge, sweep.seed))
    while True:
        counts, budgets = bracket(number, judge.epochs, levels(judge, first, eta), eta)
        halving = SuccessiveHalving(HPB_iter=number, num_configs=counts, budgets=budgets, config_sampler=model.get_config)
        while (asked := halving.get_next_run()) is not None:
            name, config, budget = asked
            value = runs.train(params_of(judge, config), epoch_of(judge, budget))
            if value is None:
                return
            job = Job(name, {"config": config, "budget": budget}, {"loss": error(value)})
            halving.register_result(job)
            model.new_result(job)
        number += 1


TOOLS: Mapping[str, Callable[..., None]] = {"bohb": _sweep}
