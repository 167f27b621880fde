"""SMAC: random forests under Hyperband, its MultiFidelityFacade asked and told.

The budget is epochs: shares of a trial's own compute; the factor is its default, 3. It is told how many evaluations the sweep has
room for, as its users do: a quarter of them, and at least the first bracket, is its random start. A default configuration comes
after that start, which is therefore one configuration shorter than the first bracket then. It names its incumbent, which is chosen
at the highest budget. Where a judge has no curves it is the HyperparameterOptimizationFacade.
"""

import logging
import math
import os
import tempfile
from collections.abc import Callable, Mapping

from ConfigSpace import Configuration
from smac import HyperparameterOptimizationFacade, MultiFidelityFacade, Scenario
from smac.runhistory.dataclasses import TrialValue

from benchmarks.search.judges.judge import Limits, Sweep
from benchmarks.search.judges.peers.drive import Configurations, epoch_of, error, first_share, least_budget, levels
from benchmarks.search.judges.peers.spaces import default_codes, params_of, space_of

os.environ.setdefault("LOKY_MAX_CPU_COUNT", "1")  # its forest adds up in the order in which threads end


def evaluations(limits: Limits, most: int, eta: int) -> int:
    """That a sweep has room for, as many as rounds of Hyperband's brackets make of its trials or its compute."""
    begun = scored = lengths = 0.0
    for last in range(most):
        counts = [math.ceil(eta**last * most / (last + 1)) // eta**at for at in range(last + 1)]
        begun += counts[0]
        scored += sum(counts)
        lengths += counts[0] / eta**last + sum(count * (1 - 1 / eta) / eta ** (last - at) for at, count in enumerate(counts) if at)
    room = min(limits.trials / begun, limits.compute / lengths) * scored
    assert math.isfinite(room), "a sweep that ends"
    return round(room)


def _sweep(sweep: Sweep, *, tries_default: bool, first: float | None = None, eta: int = 3) -> None:
    judge = sweep.judge
    first = first or first_share(sweep, eta, eta**-2)
    space, most = space_of(judge, sweep.seed), levels(judge, first, eta)
    defaults = [Configuration(space, values=default_codes(judge))] if tries_default else []
    room = max(evaluations(sweep.limits, most, eta), eta ** (most - 1))
    with tempfile.TemporaryDirectory() as folder:
        shared = {"output_directory": folder, "n_trials": room, "seed": sweep.seed}
        if most > 1:
            scenario = Scenario(space, deterministic=True, min_budget=least_budget(judge, first), max_budget=judge.epochs, **shared)
            tool = _hyperband(scenario, defaults, eta, eta ** (most - 1))
        else:
            tool = _whole(Scenario(space, **shared), defaults)
        _drive(tool, Configurations(sweep))


def _hyperband(scenario: Scenario, defaults: list[Configuration], eta: int, in_first_bracket: int) -> MultiFidelityFacade:
    # A start shorter than the bracket would be filled up from a generator in the state that drew the start: the same ones again.
    random = in_first_bracket - len(defaults) if defaults else max(in_first_bracket, scenario.n_trials // 4)
    return MultiFidelityFacade(
        scenario,
        lambda config, seed, budget: 0.0,
        initial_design=MultiFidelityFacade.get_initial_design(
            scenario, additional_configs=defaults, n_configs=random, max_ratio=1.0
        ),
        intensifier=MultiFidelityFacade.get_intensifier(scenario, eta=eta),
        logging_level=logging.ERROR,
    )


def _whole(scenario: Scenario, defaults: list[Configuration]) -> HyperparameterOptimizationFacade:
    design = HyperparameterOptimizationFacade.get_initial_design(scenario, additional_configs=defaults)
    return HyperparameterOptimizationFacade(scenario, lambda config, seed: 0.0, initial_design=design, logging_level=logging.ERROR)


def _drive(tool: HyperparameterOptimizationFacade, runs: Configurations) -> None:
    judge = runs.sweep.judge
    while True:
        try:
            asked = tool.ask()
        except StopIteration:  # it found no configuration that is new
            return
        value = runs.train(params_of(judge, asked.config), epoch_of(judge, asked.budget or judge.epochs))
        if value is None:
            return
        tool.optimizer.tell(asked, TrialValue(cost=error(value)), save=False)


TOOLS: Mapping[str, Callable[..., None]] = {"smac": _sweep}
