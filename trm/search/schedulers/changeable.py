"""Whether a space may be searched by population based training, whose knobs change within a run."""

from collections.abc import Iterable

from trm.config.run import CHANGES_WITHIN_RUN
from trm.errors import ConfigError
from trm.search.schedulers.settings import PopulationBasedTraining, Scheduler
from trm.search.settings import Fidelity


def check_changeable(scheduler: Scheduler, paths: Iterable[str], fidelity: Fidelity) -> None:
    """ConfigError for what a population cannot search: a knob that is fixed within a run, or lengths that differ."""
    if not isinstance(scheduler, PopulationBasedTraining):
        return
    for path in paths:
        if path not in CHANGES_WITHIN_RUN:
            raise ConfigError(
                f"scheduler pbt changes knobs within a run, and {path} cannot change there",
                remedy=f"fix {path} in base, or use another scheduler; pbt searches {', '.join(CHANGES_WITHIN_RUN)}",
            )
    if fidelity == "seconds":
        raise ConfigError(
            "scheduler pbt compares members at equal steps, and with fidelity seconds they differ as speeds are learned",
            remedy="set fidelity to train_flops or steps",
        )
    if scheduler.population * scheduler.quantile < 1:
        raise ConfigError(
            f"scheduler pbt replaces nobody: {scheduler.quantile:g} of a population of {scheduler.population} is less than one",
            remedy=f"raise scheduler.quantile to {1 / scheduler.population:.3g} or more",
        )
