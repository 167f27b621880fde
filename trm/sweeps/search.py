"""The search of a sweep on its data sets: what drives it, and what looks at its folder, must have the same."""

from collections.abc import Callable
from functools import partial

from trm.config.run import RunConfig
from trm.models.cost import RunCost, run_cost
from trm.search.search import Search
from trm.search.settings import Resources
from trm.search.space.space import SearchSpace
from trm.sweeps.data_sets import DataSets


def costs_on(sets: DataSets, resources: Resources) -> Callable[[RunConfig], RunCost]:
    """What a configuration costs on its data set with those resources."""
    return partial(_cost, sets, resources)


def sweep_search(space: SearchSpace, sets: DataSets, *, knows_places: bool = False) -> Search:
    """The search before its first event; `knows_places`: the data sets lie where `sets` say, as a search that runs legs needs."""
    is_streamed = space.data.is_streamed
    return Search(
        space,
        costs_on(sets, space.resources),
        folder=sets.first.folder if knows_places else None,
        epoch_rows=sets.epoch_rows(is_streamed=is_streamed),
        sets=sets.facts(is_streamed=is_streamed),
    )


def _cost(sets: DataSets, resources: Resources, config: RunConfig) -> RunCost:
    return run_cost(
        config, sets.of(config.data).manifest.shape, workers=resources.workers, device="cuda" if resources.gpus else "cpu"
    )
