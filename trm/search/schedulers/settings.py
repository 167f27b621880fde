"""Settings of the schedulers, as a search space says them."""

from typing import Annotated, Literal

from pydantic import Field

from trm.config.base import Written


class Asha(Written):
    """Asynchronous successive halving (arXiv 1810.05934), with the rules of `asha.py`."""

    type: Literal["asha"] = "asha"
    """Names the scheduler."""
    eta: int | None = Field(None, ge=2, le=16)
    """Each rung has eta times the fidelity of the one before, and about 1/eta of its trials; null: chosen as rungs are."""
    rungs: int | None = Field(None, ge=1, le=10)
    """Rungs, the last at `budget.per_trial`; null: chosen when the sweep starts, from its budget and costs."""
    promotes: bool = True
    """True: trials pause at a rung and the best are promoted (algorithm 2). False: each goes on at once or is stopped for good."""


class SuccessiveHalving(Written):
    """Synchronous successive halving (arXiv 1502.07943): the whole cohort is scored at a rung, then the best 1/eta go on."""

    type: Literal["successive_halving"] = "successive_halving"
    """Names the scheduler."""
    eta: int = Field(3, ge=2, le=16)
    """Each rung has eta times the fidelity of the one before, and 1/eta of its trials."""
    rungs: int = Field(3, ge=1, le=10)
    """Rungs, the last at `budget.per_trial`."""
    cohort: int | None = Field(None, ge=2)
    """Trials that are halved together; null: eta^(rungs - 1), of which one reaches the last rung."""


class Hyperband(Written):
    """Hyperband (arXiv 1603.06560): cohorts of successive halving that start at different rungs, in turn."""

    type: Literal["hyperband"] = "hyperband"
    """Names the scheduler."""
    eta: int = Field(3, ge=2, le=16)
    """Each rung has eta times the fidelity of the one before, and 1/eta of its trials."""
    rungs: int = Field(3, ge=1, le=10)
    """Rungs, the last at `budget.per_trial`; as many brackets, one that starts at each."""


class MedianStopping(Written):
    """Median stopping (Golovin et al. 2017, section 3.2.2): trials stop whose best score is below the median of means."""

    type: Literal["median"] = "median"
    """Names the scheduler."""
    rungs: int = Field(5, ge=1, le=100)
    """Rungs at even distances, the last at `budget.per_trial`."""
    min_trials: int = Field(5, ge=2)
    """Other trials scored at a rung before any is stopped there."""


class PopulationBasedTraining(Written):
    """Population based training (arXiv 1711.09846), a generation at a time, of knobs that may change within a run."""

    type: Literal["pbt"] = "pbt"
    """Names the scheduler."""
    population: int = Field(8, ge=2)
    """Members, each a trial; with more `budget.trials`, one population follows another."""
    generations: int = Field(10, ge=1, le=1000)
    """Rungs at even distances, the last at `budget.per_trial`; between them the worst go on from the best."""
    quantile: float = Field(0.25, gt=0, le=0.5)
    """Share of the members that is replaced, and share whose members replace them."""
    resample: float = Field(0.25, ge=0, le=1)
    """Probability that a knob is drawn anew; else a number is multiplied by 0.8 or 1.25, a choice goes to a neighbour."""


class NoScheduler(Written):
    """Every trial runs to its end."""

    type: Literal["none"] = "none"
    """Names the scheduler."""


Scheduler = Annotated[
    Asha | SuccessiveHalving | Hyperband | MedianStopping | PopulationBasedTraining | NoScheduler, Field(discriminator="type")
]
