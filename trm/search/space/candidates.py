"""From parameters to a trial that could run: configuration, cost, steps; or the rule that they break."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from pydantic import ValidationError

from trm.config.data import DataConfig
from trm.config.messages import Problem, problems_of
from trm.config.run import RunConfig
from trm.config.step_costs import SLACK, StepCosts, length_for
from trm.errors import ConfigError
from trm.search.journal.events import AskedStage
from trm.search.knobs.constraint_names import COST_DERIVED, Cost, known_names, names_of
from trm.search.knobs.constraints import Constraint
from trm.search.resources.memory import MemoryLimit, size_text
from trm.search.resources.speeds import Speeds
from trm.search.schedulers.rungs import first_rung_need
from trm.search.schedulers.scheduler import Scheduler, SearchedKnobs
from trm.search.space.resolution import CAPPED, Circumstances, identity, used
from trm.search.space.rules import RULES
from trm.search.space.space import SearchSpace, with_length

CostOf = Callable[[RunConfig], Cost]
CHECKPOINTS = 2
"""Of one trial on the disk at once, its last and its next."""


@dataclass(frozen=True)
class Candidate:
    """Parameters that keep every rule."""

    params: dict[str, Any]
    config: RunConfig
    """Complete, warm-up and length resolved; its seed is 0 and its data the space's own."""
    flops: StepCosts
    """Training FLOPs of its steps."""
    amounts: StepCosts
    """What its steps take of the sweep's fidelity."""
    params_count: int
    memory_bytes: int
    checkpoint_bytes: int
    max_steps: int
    """Steps of the whole run."""
    rung_steps: tuple[int, ...]
    """Steps at each rung; the last is the whole run, or of one that gets cheaper on its way as much as reaches the amount."""
    inference_flops: float = 0.0
    """Of answering one puzzle with as many supervision steps as the evaluation gives it."""
    alike: RunConfig | None = None
    """The configuration with all that makes no difference set alike, see `resolution.identity`; null: it is itself."""

    @cached_property
    def digest(self) -> str:
        """Equal for parameters that mean the same run, however long: a sweep that goes on may give new trials more compute."""
        return (self.config if self.alike is None else self.alike).network_digest()

    def scored_on(self, values: Mapping[str, Any]) -> "Candidate":
        """This candidate with other values of `evaluation`."""

        def changed(config: RunConfig) -> RunConfig:
            return config.model_copy(update={"evaluation": config.evaluation.model_copy(update=dict(values))})

        return replace(self, config=changed(self.config), alike=None if self.alike is None else changed(self.alike))

    @property
    def pass_flops(self) -> float:
        """FLOPs of scoring one puzzle, those of steps that only a figure of more needs included."""
        return self.inference_flops * self.config.pass_steps / self.config.answer_steps

    @property
    def used(self) -> dict[str, Any]:
        """Searched path -> what a trial uses in place of its parameter, where its length caps that."""
        return used(self.config, self.params, self.max_steps)

    @property
    def step_flops(self) -> float:
        """Training FLOPs of one step, in the mean of the whole run."""
        return self.flops.mean(self.max_steps)

    @property
    def stages(self) -> list[AskedStage]:
        """Stages whose steps cost apart, as the journal has them; empty where all cost alike."""
        pairs = zip(self.flops.stages, self.amounts.stages, strict=True)
        found = [AskedStage(first=own.first, step_flops=own.each, step_amount=amount.each) for own, amount in pairs]
        return found if len(found) > 1 else []

    @property
    def step_amount(self) -> float:
        """What one step takes of the sweep's fidelity, in the mean of the whole run."""
        return self.amounts.mean(self.max_steps)

    @property
    def first_rung_need(self) -> int:
        """Steps that the first of several rungs must have for it."""
        return first_rung_need(self.config.optim.lr_warmup_steps, self.config.model.halt_max_steps)


@dataclass(frozen=True)
class Rejected:
    """Parameters that break `rule`."""

    params: dict[str, Any]
    rule: str
    limit: Literal["memory", "disk"] | None = field(default=None, compare=False)
    """What of the machines is too small for it; null: it breaks a rule of the space."""
    disk_bytes: int = field(default=0, compare=False)
    """What its checkpoints need, where the disk is too small."""
    problem: Problem | None = field(default=None, compare=False)
    """What a rule that every run keeps says of it; null: it breaks a constraint, or the machines are too small."""

    @property
    def kind(self) -> str:
        """The rule without the values that break it: equal for all parameters that break one."""
        return self.rule if self.problem is None else self.problem.rule


@dataclass(frozen=True)
class SetFacts:
    """What the search must know of one of several data sets."""

    epoch_rows: float
    """Rows that an epoch of training visits."""
    content: str
    """Equal for two that are one data set."""
    folder: str | None = None
    """Where it lies, built; null: nobody needs to know."""


@dataclass
class Facts:
    """What is known of data and machines besides the space; the search folds the journal into it."""

    epoch_rows: float | None = None
    """Rows that an epoch of training visits, where the space has one data set; needed where the fidelity is epochs."""
    sets: Mapping[str, SetFacts] = field(default_factory=dict)
    """Those of a space with several data sets, by `DataConfig.source`."""
    speeds: Speeds = field(default_factory=Speeds)
    """Seconds of a step; needed where the fidelity is seconds."""
    memory: MemoryLimit = field(default_factory=MemoryLimit)
    """What fits a worker."""
    disk_bytes: int | None = None
    """Bytes free for checkpoints; null: unknown."""

    def rows_of(self, data: DataConfig) -> float | None:
        """Rows that an epoch on the data set visits; null: unknown."""
        return self.sets[data.source].epoch_rows if self.sets else self.epoch_rows

    def folder_of(self, data: DataConfig) -> str | None:
        """Where the data set lies, of a space with several; null: unknown, or the space has one."""
        return self.sets[data.source].folder if self.sets else None


class Resolver:
    """Turns parameters into candidates."""

    def __init__(self, space: SearchSpace, cost_of: CostOf | None, facts: Facts | None = None) -> None:
        """Without `cost_of`, rules that name a cost are not looked at, and a candidate's cost is 0 FLOPs and 1 step.

        `facts` may change between two calls.
        """
        self.space = space
        self.rungs = space.scheduler.rungs_up_to(space.budget.per_trial)
        self.rules = RULES
        """Number of the rules by which the sweep began."""
        self._circumstances = Circumstances.of(space)
        self.facts = Facts() if facts is None else facts
        self._cost_of = cost_of
        constraints = [Constraint(text, known_names()) for text in space.constraints]
        self._plain = [one for one in constraints if not one.names & COST_DERIVED]
        self._costly = [one for one in constraints if one.names & COST_DERIVED] if cost_of is not None else []

    def resolve(self, params: Mapping[str, Any], *, is_limited: bool = True) -> Candidate | Rejected:
        """The candidate that `params` mean, or the first rule that they break; not `is_limited`, device and disk fit anything."""
        params = dict(params)
        draft = self.run_config(params)
        if isinstance(draft, Rejected):
            return draft
        names = names_of(draft)
        broken = next((one for one in self._plain if not one.is_kept(names)), None)
        if broken is not None:
            return Rejected(params, broken.text)
        if self._cost_of is None:
            return Candidate(params, draft, StepCosts.constant(0.0), StepCosts.constant(1.0), 0, 0, 0, 1, (1,))
        cost = self._cost_of(draft)
        if not (math.isfinite(cost.step_flops) and cost.step_flops > 0):
            raise ConfigError(f"a step of {params} costs {cost.step_flops} FLOPs", remedy="mend the cost function")
        amount_of = self._amount_of(draft)
        max_steps = length_for(
            [one._replace(each=amount_of(one.each)) for one in cost.stage_flops], self.rungs.amounts[-1], slack=SLACK
        )
        flops = StepCosts.of(cost.stage_flops, max_steps)
        amounts = flops.mapped(amount_of)
        names |= {"step_flops": cost.step_flops, "step_gflops": cost.step_flops / 1e9, "max_steps": max_steps}
        names |= {name: getattr(cost, name) for name in ("inference_flops", "params_count", "memory_bytes", "checkpoint_bytes")}
        broken = next((one for one in self._costly if not one.is_kept(names)), None)
        if broken is not None:
            return Rejected(params, broken.text)
        if is_limited and (misfit := self._misfit(params, cost.memory_bytes, cost.checkpoint_bytes)) is not None:
            return misfit
        config = with_length(draft, max_steps)
        return Candidate(
            params=params,
            config=config,
            flops=flops,
            amounts=amounts,
            params_count=cost.params_count,
            memory_bytes=cost.memory_bytes,
            checkpoint_bytes=cost.checkpoint_bytes,
            max_steps=max_steps,
            rung_steps=self.rungs.steps(amounts),
            inference_flops=cost.inference_flops,
            alike=self._alike(config, params, is_capped=config.optim.lr_warmup_steps < draft.optim.lr_warmup_steps),
        )

    def base(self) -> Candidate | Rejected | None:
        """The trial that is the base, or the first rule that it breaks, that of a first rung which is long enough included.

        None where the space has none.
        """
        if self.space.base_point is None:
            return None
        found = self.resolve(self.space.complete(self.space.base_point, "base_point"))
        if isinstance(found, Candidate) and self.rungs.last > 0 and found.rung_steps[0] < found.first_rung_need:
            return Rejected(found.params, f"steps at the first rung >= {found.first_rung_need}, with {found.rung_steps[0]}")
        return found

    def run_config(self, params: Mapping[str, Any]) -> RunConfig | Rejected:
        """The complete configuration that `params` mean, its length apart, or the first rule of every run that they break."""
        try:
            draft = self.space.run_config(params, seed=0, rules=self.rules)
        except ValidationError as error:
            problem = problems_of(RunConfig, error)[0]
            return Rejected(dict(params), f"run configuration: {problem.text}", problem=problem)
        undivided = self._undivided(draft)
        return draft if undivided is None else Rejected(dict(params), undivided.text, problem=undivided)

    def _undivided(self, draft: RunConfig) -> Problem | None:
        """The rule that a batch breaks which workers, or each worker's parts, cannot share; None where they can."""
        batch, workers, parts = draft.training.global_batch_size, self.space.resources.workers, draft.training.micro_batches
        if batch % workers:
            rule = f"training.global_batch_size % resources.workers == 0, with {workers} workers"
            return Problem(rule, f"take multiples of {workers}", "workers share the batch")
        if batch // workers % parts:
            rule = f"training.global_batch_size / {workers} workers % training.micro_batches == 0, with {parts} parts"
            return Problem(rule, f"take parts that divide {batch // workers}", "parts share a worker's slots")
        return None

    def _alike(self, config: RunConfig, params: dict[str, Any], *, is_capped: bool) -> RunConfig:
        """The configuration by which a run is known again, however its data set and its warm-up were asked for."""
        assert config.training.steps is not None, "its length is resolved"
        alike = identity(config, params, config.training.steps, self._circumstances, self.rules)
        if self.facts.sets:
            alike = alike.model_copy(update={"data": config.data.built(self.facts.sets[config.data.source].content)})
        if is_capped:
            alike = alike.model_copy(update={"optim": alike.optim.model_copy(update={"lr_warmup_steps": CAPPED})})
        return alike

    def _misfit(self, params: dict[str, Any], memory_bytes: int, checkpoint_bytes: int) -> Rejected | None:
        """Why what is so predicted is turned down, because a device or the disk is too small; None when it fits."""
        if rule := self.facts.memory.why(memory_bytes):
            return Rejected(params, rule, "memory")
        free, needed = self.facts.disk_bytes, checkpoint_bytes * CHECKPOINTS
        if free is not None and needed > free:
            return Rejected(
                params, f"checkpoint <= {size_text(free / CHECKPOINTS)}, half of what is free on the disk", "disk", needed
            )
        return None

    def _amount_of(self, config: RunConfig) -> Callable[[float], float]:
        """FLOPs of a step of the configuration -> what it takes of the sweep's fidelity."""
        match self.space.fidelity:
            case "train_flops":
                return lambda flops: flops
            case "steps":
                return lambda flops: 1.0
            case "epochs":
                rows = self.facts.rows_of(config.data)
                assert rows is not None, "an epoch has rows"
                share = config.training.global_batch_size / rows
                return lambda flops: share
            case "seconds":
                return self._seconds_of

    def _seconds_of(self, flops: float) -> float:
        seconds = self.facts.speeds.step_seconds(flops)
        assert seconds is not None, "steps were timed before trials are counted in seconds"
        return seconds


def scheduler_of(space: SearchSpace, rules: int = RULES) -> Scheduler:
    """The space's scheduler; changed knobs keep its rules where they resolve to a candidate, whatever that costs."""
    resolver = Resolver(space, None)  # what changes within a run changes no cost
    resolver.rules = rules
    return space.scheduler.scheduler(
        SearchedKnobs(
            dict(space.knobs_in_order()),
            space.seed,
            lambda params: isinstance(resolver.resolve(params), Candidate),
            rules,
        )
    )
