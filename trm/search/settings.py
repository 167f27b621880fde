"""What a search space says besides its knobs: objective, budget, sampler, scheduler, resources, tracking, keep."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from trm.config import Written


class Objective(Written):
    """What the search makes large or small."""

    metric: str = "exact_accuracy"
    """Name of a metric that the evaluation reports."""
    mode: Literal["max", "min"] = "max"
    """Whether more is better."""


class Budget(Written):
    """What the sweep may spend, over all its drivers."""

    trials: int | None = Field(None, ge=1)
    """Trials to ask for; null: as many as the clock allows."""
    train_flops: float = Field(gt=0)
    """Training FLOPs of one trial that is never stopped: the last rung."""
    wall_clock_seconds: float | None = Field(None, gt=0)
    """Seconds that drivers may run, added up; null: no limit."""

    @model_validator(mode="after")
    def _check(self) -> "Budget":
        if self.trials is None and self.wall_clock_seconds is None:
            raise ValueError("a sweep needs an end, got neither trials nor wall_clock_seconds; set one of them")
        return self


class TPE(Written):
    """Optuna's tree-structured Parzen estimator, multivariate."""

    type: Literal["tpe"] = "tpe"
    """Names the sampler."""
    startup_trials: int = Field(10, ge=0)
    """Trials with a result before the estimator takes over from random draws."""
    candidates: int = Field(24, ge=1)
    """Draws from the good trials' density, of which the best is taken."""


class RandomSearch(Written):
    """Independent draws."""

    type: Literal["random"] = "random"
    """Names the sampler."""


class GaussianProcess(Written):
    """Optuna's Gaussian process (needs scipy and torch at run time); it learns from finished trials only."""

    type: Literal["gp"] = "gp"
    """Names the sampler."""
    startup_trials: int = Field(10, ge=1)
    """Finished trials before the process takes over from random draws."""


class QuasiMonteCarlo(Written):
    """Optuna's low-discrepancy sequences (needs scipy); conditional knobs are drawn at random."""

    type: Literal["qmc"] = "qmc"
    """Names the sampler."""
    sequence: Literal["sobol", "halton"] = "sobol"
    """Which sequence."""


class NSGA2(Written):
    """Optuna's genetic algorithm; it learns from finished trials only."""

    type: Literal["nsga2"] = "nsga2"
    """Names the sampler."""
    population: int = Field(20, ge=2)
    """Trials in a generation."""


class BruteForce(Written):
    """Every configuration of a finite space, in random order."""

    type: Literal["brute_force"] = "brute_force"
    """Names the sampler."""


Sampler = Annotated[TPE | RandomSearch | GaussianProcess | QuasiMonteCarlo | NSGA2 | BruteForce, Field(discriminator="type")]


class Asha(Written):
    """Asynchronous successive halving that pauses and promotes (arXiv 1810.05934, algorithm 2), with the rules of `asha.py`."""

    type: Literal["asha"] = "asha"
    """Names the scheduler."""
    eta: int = Field(3, ge=2, le=16)
    """Each rung has eta times the training FLOPs of the one before, and about 1/eta of its trials."""
    rungs: int = Field(3, ge=1, le=10)
    """Rungs, the last at `budget.train_flops`."""


class NoScheduler(Written):
    """Every trial runs to its end."""

    type: Literal["none"] = "none"
    """Names the scheduler."""


Scheduler = Annotated[Asha | NoScheduler, Field(discriminator="type")]


class Resources(Written):
    """What one trial takes, and how many run side by side."""

    workers: int = Field(1, ge=1, le=4096)
    """Workers a trial; 1 runs in the trial's own process, more form a gang."""
    cpus: float = Field(1.0, gt=0)
    """CPUs a worker."""
    gpus: float = Field(0.0, ge=0)
    """GPUs a worker; a fraction shares one."""
    slots: int | None = Field(None, ge=1)
    """Trials side by side; null: as many as fit the cluster."""
    threads: int | None = Field(None, ge=1)
    """Threads of arithmetic a worker; null: its CPUs."""


class Tracking(Written):
    """Where MLflow writes."""

    enabled: bool = True
    """False: no MLflow."""
    uri: str | None = None
    """Tracking store; null: MLFLOW_TRACKING_URI, else `<storage>/mlflow.db`."""
    experiment: str | None = None
    """Experiment's name; null: the search space's name."""
    artifact_location: str | None = None
    """Where the experiment's artifacts go; null: beside the store."""


class Keep(Written):
    """Which checkpoints outlive their trial's end."""

    best: int | None = Field(None, ge=1)
    """Checkpoints of so many best trials; null: of all."""
