"""Who is compared: others as their users run them, ours with its defaults, and variants of ours."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.search.peers import Limits, grid, optuna_hyperband, ray_tune
from benchmarks.search.replay import History, replay, space_of
from benchmarks.search.tables import Table


@dataclass(frozen=True)
class Contender:
    """One way to search."""

    sweep: Callable[[Table, int, Limits], History]
    """With this sweep seed, to this end."""
    ends_with_the_space: bool = False
    """Whether no configuration is chosen twice; and a sweep's last trials are still decided about when all are asked."""


def ours(slots: int = 1, **sections: Any) -> Contender:
    """Our search with `sections` of the space set, the others as they are when nothing is set."""

    def sweep(table: Table, seed: int, limits: Limits) -> History:
        return replay(space_of(table, trials=limits.trials, **sections), table, seed, slots=slots)

    return Contender(sweep, ends_with_the_space=True)


PEERS: Mapping[str, Contender] = {
    "random": ours(
        sampler="random", scheduler="none", base_point=None, confirm=None
    ),  # never a configuration twice: on a grid that favours it
    "grid": Contender(grid),
    "ray_tune": Contender(ray_tune),
    "optuna_hyperband": Contender(optuna_hyperband),
}
OURS: Mapping[str, Contender] = {"ours": ours()}
