"""The search of a sweep on its data set: what drives it, and what looks at its folder, must have the same."""

from collections.abc import Callable
from functools import partial

from trm.config.run import RunConfig
from trm.data.format.manifest import Manifest
from trm.models.cost import RunCost, run_cost
from trm.search.search import Search
from trm.search.settings import Resources
from trm.search.space.space import SearchSpace


def costs_on(manifest: Manifest, resources: Resources) -> Callable[[RunConfig], RunCost]:
    """What a configuration costs on that data set with those resources."""
    return partial(_cost, manifest, resources)


def sweep_search(space: SearchSpace, manifest: Manifest, dataset: str | None = None) -> Search:
    """The search before its first event; `dataset`: where the data set lies, which a search that runs no leg need not know."""
    rows = manifest.splits["train"].epoch_rows(is_streamed=space.data.is_streamed)
    return Search(space, costs_on(manifest, space.resources), folder=dataset, epoch_rows=rows)


def _cost(manifest: Manifest, resources: Resources, config: RunConfig) -> RunCost:
    return run_cost(config, manifest.shape, workers=resources.workers, device="cuda" if resources.gpus else "cpu")
