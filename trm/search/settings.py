"""What a search space says besides its knobs: objective, budget, sampler, scheduler, resources, tracking, keep."""

import math
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import ByteSize, Field, field_validator, model_validator

from trm.config.base import Later, Written, is_recorded
from trm.config.figures import MOST_STEPS
from trm.config.messages import nearest
from trm.errors import ConfigError
from trm.evaluation.metrics import Direction
from trm.files.objects import address_problem
from trm.tasks.metrics import direction, is_count, reported_name

COSTS = ("params", "inference_flops", "train_flops", "latency_seconds")
"""What a trial costs, as `objective.against` names it (`objective.py`); less of each is better."""


OUTCOME = re.compile(r"\s*(?P<metric>[A-Za-z_][\w./@-]*)\s*(?P<sign><=|>=)\s*(?P<bound>[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?)\s*")


class _Directed(Written):
    """What has a metric, and the direction in which that one is good."""

    @field_validator("metric", mode="after", check_fields=False)
    @classmethod
    def _as_reported(cls, value: str) -> str:
        return reported_name(value)

    @model_validator(mode="before")
    @classmethod
    def _mode_of_metric(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("mode") is not None:
            return values
        metric = values.get("metric", cls.model_fields["metric"].default)
        own = good_direction(metric) if isinstance(metric, str) else None
        rest = {key: value for key, value in values.items() if key != "mode"}
        return rest if own is None else {**rest, "mode": own}


class Tradeoff(_Directed):
    """Another figure that the objective is weighed against."""

    metric: str
    """Its name: what a trial costs, or a metric as the objective's."""
    mode: Literal["max", "min"] = "min"
    """Whether more is better; left out: as it is of that figure."""


@dataclass(frozen=True)
class OutcomeConstraint:
    """What a trial's figure is to come to."""

    metric: str
    is_least: bool
    """Whether `bound` is the least that the figure may be; else the most."""
    bound: float

    @staticmethod
    def of(text: str) -> "OutcomeConstraint":
        """The constraint that is written so; ValueError where it is none."""
        found = OUTCOME.fullmatch(text)
        bound = math.nan if found is None else float(found["bound"])
        if found is None or not math.isfinite(bound):
            raise ValueError(f"an outcome constraint compares a figure with a number, got {text!r}; write cell_accuracy >= 0.9")
        return OutcomeConstraint(reported_name(found["metric"]), found["sign"] == ">=", bound)

    def violation(self, value: float | None) -> float:
        """By how much of the bound a value breaks it, 0 where it keeps it; infinite where none is known."""
        if value is None or not math.isfinite(value):
            return math.inf
        missing = self.bound - value if self.is_least else value - self.bound
        return max(0.0, missing) / (abs(self.bound) or 1.0)


class Objective(_Directed):
    """What the search makes large or small."""

    metric: str = "exact_accuracy"
    """Name of a metric that the evaluation reports, or can report: `exact_accuracy@64` after 64 supervision steps, a part of a
    mixture as `exact_accuracy/PART`, ARC's `pass@5` (`evaluation.metrics`)."""
    mode: Literal["max", "min"] = "max"
    """Whether more is better; left out: as it is of that metric."""
    against: list[Tradeoff] = Field(default_factory=list)
    """Figures that it is weighed against: trials then rank by Pareto dominance; empty: by the metric alone. In YAML a name does."""
    outcome_constraints: Annotated[list[str], Later] = Field(default_factory=list)
    """What a trial is to come to, such as `cell_accuracy >= 0.9` or `latency_seconds <= 0.01`: whoever breaks one ranks behind all
    that keep them, by how far it is off; empty: nothing is asked (outcome constraints, Gardner et al. 2014)."""

    @field_validator("against", mode="before")
    @classmethod
    def _names_alone(cls, value: Any) -> Any:
        return [{"metric": one} if isinstance(one, str) else one for one in value] if isinstance(value, list) else value

    @model_validator(mode="after")
    def _check(self, info: Any) -> "Objective":
        for text in self.outcome_constraints:
            OutcomeConstraint.of(text)
        if twice := [one for one in self.outcome_constraints if self.outcome_constraints.count(one) > 1]:
            raise ValueError(f"an outcome constraint is said once, got {twice[0]!r} twice; drop one of them")
        names = [self.metric, *(one.metric for one in self.against)]
        if not is_recorded(info):
            _check_direction("objective", self)
        for place, one in enumerate(self.against):
            if names.count(one.metric) > 1:
                raise ValueError(f"an objective is weighed once against each figure, got {one.metric} twice; drop one of them")
            if not is_recorded(info):
                _check_direction(f"objective.against.{place}", one)
            if good_direction(one.metric) is None and "mode" not in one.model_fields_set:
                near = nearest(one.metric, COSTS)
                remedy = f"did you mean {near}?" if near else f"the costs are {', '.join(COSTS)}"
                raise ValueError(f"against names a cost or what the evaluation reports, got {one.metric!r}; {remedy}")
        return self

    @property
    def wanted(self) -> list[OutcomeConstraint]:
        """The outcome constraints."""
        return [OutcomeConstraint.of(text) for text in self.outcome_constraints]

    @property
    def others(self) -> list[str]:
        """Names of the figures beside the metric that decide: what it is weighed against, and what is wanted."""
        return list(dict.fromkeys([*(one.metric for one in self.against), *(one.metric for one in self.wanted)]))

    @property
    def contrary(self) -> list[str]:
        """What a sweep of an earlier version makes worse, in words; such an objective is refused since."""
        figures: list[_Scored] = [self, *self.against]
        return [f"{one.metric}, {one.mode}" for one in figures if good_direction(one.metric) not in (None, one.mode)]


_Scored = Objective | Tradeoff


def good_direction(metric: str) -> Direction | None:
    """Whether more or less of a figure is better; None where nobody knows it, or where it says nothing of how good."""
    return "min" if metric in COSTS else direction(metric)


def _check_direction(path: str, one: _Scored) -> None:
    if is_count(one.metric):
        raise ConfigError(f"{path}.metric {one.metric} counts what is scored, alike in every trial", remedy="name another metric")
    if (good := good_direction(one.metric)) not in (None, one.mode):
        raise ConfigError(
            f"{path}.mode {one.mode} looks for the worst: of {one.metric} {'more' if good == 'max' else 'less'} is better",
            remedy=f"leave mode out, or write mode: {good}",
        )


Fidelity = Literal["train_flops", "steps", "epochs", "seconds"]
"""What a trial's length and its rungs are counted in; seconds are those that the speeds learned so far predict."""


class Budget(Written):
    """What a trial may take, and what the sweep may spend, over all its drivers."""

    per_trial: float = Field(gt=0)
    """Amount of `fidelity` (training FLOPs, unless it says otherwise) of one trial that is never stopped: the last rung."""
    trials: int | None = Field(None, ge=1)
    """Trials to ask for; null: as many as the other limits allow."""
    train_flops: float | None = Field(None, gt=0)
    """Training FLOPs of the whole sweep, failed attempts included; null: no limit."""
    gpu_hours: float | None = Field(None, gt=0)
    """Hours that legs hold GPUs, times the GPUs, over the whole sweep; null: no limit."""
    wall_clock_seconds: float | None = Field(None, gt=0)
    """Seconds that drivers may run, added up; null: no limit."""
    target: float | None = None
    """The sweep ends as soon as a trial's `objective.metric` alone reaches this at any rung; null: it does not."""

    @model_validator(mode="after")
    def _check(self) -> "Budget":
        limits = (self.trials, self.train_flops, self.gpu_hours, self.wall_clock_seconds)
        if all(limit is None for limit in limits):
            raise ValueError(
                "a sweep needs an end, got none of trials, train_flops, gpu_hours, wall_clock_seconds; set one of them"
            )
        return self

    @property
    def is_counted(self) -> bool:
        """Whether the number of its trials alone ends a sweep, so that every one of them will come."""
        others = (self.train_flops, self.gpu_hours, self.wall_clock_seconds, self.target)
        return self.trials is not None and all(limit is None for limit in others)


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
    max_workers: Annotated[int | None, Later] = Field(None, ge=1, le=4096)
    """Workers that a leg of the last rungs may have where slots would idle, by doubling `workers`; null: no more than `workers`."""
    restart_seconds: Annotated[float, Later] = Field(20.0, gt=0)
    """What stopping a leg and starting it with more workers takes, or more where that is seen: it is done where the leg ends sooner
    by twice that."""
    stall_seconds: float = Field(300.0, gt=0)
    """A leg is ended as stalled that makes no step for so long, and for ten times what one takes (the first: three times that)."""

    @model_validator(mode="after")
    def _check(self) -> "Resources":
        if (most := self.max_workers) is None:
            return self
        doubled = [self.workers * 2**power for power in range(13)]
        if most < self.workers:
            raise ValueError(f"max_workers must be >= workers {self.workers}, got {most}; raise it, or leave it out")
        if most not in doubled:
            near = [one for one in doubled if most / 2 < one < 2 * most]
            raise ValueError(
                f"a leg's workers double, so that max_workers is workers {self.workers} times a power of two, got {most}; "
                f"try {' or '.join(map(str, near))}"
            )
        return self

    @property
    def most_slots(self) -> int:
        """Slots that one leg may have."""
        return 1 if self.max_workers is None else self.max_workers // self.workers


class Confirm(Written):
    """Winners are confirmed: their configurations are trained again on fresh seeds and scored on the whole validation split.

    The winner is then who has the best mean of all its scores.
    """

    top: int = Field(3, ge=1, le=50)
    """Candidates: so many of the best trials, each another configuration."""
    seeds: int = Field(3, ge=1, le=100)
    """Fresh seeds that each candidate gets."""
    most_seeds: int = Field(6, ge=1, le=1000)
    """A candidate that could still win gets up to so many."""
    certainty: float = Field(0.95, gt=0.5, lt=1)
    """No further seeds once a candidate is the best with this probability."""
    ahead: Annotated[int | None, Later] = Field(None, ge=0, le=1000)
    """Candidates that get their fresh seeds while the search's last trials still run, on slots that would idle, where neither
    `budget.train_flops` nor `gpu_hours` limits compute; what proves unneeded is stopped at the end. Null: `top`, where slots are
    more than `top` times `seeds`; else 0."""

    @model_validator(mode="after")
    def _check(self) -> "Confirm":
        if self.most_seeds < self.seeds:
            raise ValueError(f"most_seeds {self.most_seeds} must not be below seeds {self.seeds}; set most_seeds: {self.seeds}")
        return self


class Audit(Written):
    """Early stopping is watched: some trials that it would stop run on as controls."""

    share: float = Field(0.1, gt=0, le=1)
    """Share of the trials stopped early that become controls."""


class TestTime(Written):
    """Settings at test time are searched on the best trials' weights when the search is over, on validation, without training.

    They are judged by the objective's metric. Every smaller depth and breadth, fewer forms, and every selector come of one pass a
    noise and start; the plain answer is always among them.
    The winner's configuration has the most accurate setting whose gain over its plain answer is more than chance, if there is one.
    """

    __test__ = False  # it is no test, whatever its name begins with
    noise: tuple[Annotated[float, Field(ge=0, le=10)], ...] = Field((0.1, 0.3, 1.0), min_length=1, max_length=20)
    """Standard deviations of noise between supervision steps, a pass each (`evaluation.noise`; arXiv 2605.19943: 0.3)."""
    starts: tuple[Literal["own", "random"], ...] = Field(("own",), min_length=1, max_length=2)
    """What puzzles start from (`evaluation.starts`), a pass each."""
    rollouts: int = Field(16, ge=2, le=1 << 12)
    """Most answers to a puzzle (`evaluation.rollouts`)."""
    steps: int = Field(16, ge=1, le=MOST_STEPS)
    """Most supervision steps (`evaluation.steps`)."""
    forms: int = Field(1, ge=1, le=1 << 12)
    """Most symmetric forms of a puzzle, each asked with all its rollouts (`evaluation.forms`); Sudoku and mazes have such."""
    top: int = Field(1, ge=1, le=50)
    """Trials whose weights are tried, the winner first; the setting that is taken is the winner's."""
    max_inference_flops: float | None = Field(None, gt=0)
    """Most FLOPs that an answer may take of the setting that is taken; null: no limit."""

    @model_validator(mode="after")
    def _check(self) -> "TestTime":
        if self.steps == 1 and (any(self.noise) or "random" not in self.starts):
            raise ValueError(
                "noise lies between supervision steps, got steps 1; set steps: 2 or more, or noise: [0], starts: [random]"
            )
        return self

    @property
    def passes(self) -> list[tuple[float, Literal["own", "random"]]]:
        """Noise and starts of every pass, the plain one first."""
        every: list[tuple[float, Literal["own", "random"]]] = [(0.0, "own")]
        every += [(noise, starts) for starts in self.starts for noise in self.noise]
        return list(dict.fromkeys(every))


class Storage(Written):
    """Where what legs leave lives."""

    checkpoints: str | None = None
    """URL of any fsspec file system, such as s3://bucket/folder, below which the trials' checkpoints become objects; null: they lie
    in the sweep's folder, which every node must see. Credentials come from the environment."""

    mirror: bool = True
    """Whether the journal, tables and best/ are kept below that URL too, so that any machine can go on with the sweep:
    `--resume s3://bucket/folder/NAME`. Every decision then waits until the store has it."""

    @field_validator("checkpoints")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        if value is not None and (problem := address_problem(value)) is not None:
            raise ValueError(f"{problem}; write s3://bucket/folder, or leave it out")
        return value


class Keep(Written):
    """Which checkpoints stay; those of trials that can still go on always do."""

    best: int | None = Field(None, ge=1)
    """Checkpoints of so many best trials; null: of all."""
    bytes: ByteSize | None = Field(None, gt=0)
    """All checkpoints of the sweep together, such as 200GB: the worst of the ended trials go first; null: no limit."""
