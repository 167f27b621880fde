"""The search space: one YAML file that says which data, which knobs, how much compute."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from trm.config.base import Later, Written, is_recorded, without_later
from trm.config.data import SET_KNOBS, DataConfig
from trm.config.imports import require_asked
from trm.config.leaves import leaves, put, without_other_members, written_at, written_tags
from trm.config.meaning import without_idle
from trm.config.messages import nearest
from trm.config.run import RunConfig
from trm.config.tracking import Tracking
from trm.config.training import TrainingConfig, require_divisible
from trm.errors import ConfigError
from trm.search.knobs.constraint_names import known_names
from trm.search.knobs.constraints import Constraint
from trm.search.knobs.implied import require_meaning, with_implied
from trm.search.knobs.knobs import Knob, Scalar, as_listed, check_knob, check_path, field_value
from trm.search.objective import asked_figures, check_comparable
from trm.search.samplers.choice import SamplerChoice
from trm.search.samplers.tpe import TPE
from trm.search.schedulers.asha import Asha
from trm.search.schedulers.choice import SchedulerChoice
from trm.search.settings import Audit, Budget, Confirm, Fidelity, Keep, Objective, Resources, Storage, TestTime
from trm.search.space.checks import (
    NETWORK,
    check_base,
    check_conditions,
    check_fused,
    check_target,
    check_test_time,
    check_widening,
    networks_tried,
    tags_tried,
)
from trm.search.space.data_choice import STRENGTH, chosen_data, data_choices, with_first_recipe
from trm.search.space.rules import RULES, asks_for_figures, goes_by_meaning, is_average_plain
from trm.search.space.starts import with_digest

WARMUP_SHARE = 0.03


class SearchSpace(Written):
    """Everything a sweep is: data, base configuration, knobs, rules, objective, budget, sampler, scheduler."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]*$", max_length=100)
    """Name of the space; sweeps are named after it."""
    data: DataConfig
    """The puzzles."""
    base: dict[str, Any] = Field(default_factory=dict)
    """Run configuration that the knobs change, sparse; in YAML also the path of a recipe, or `recipe:` beside changes to it."""
    search: dict[str, Knob]
    """Dotted path in the run configuration -> what may stand there; empty: one configuration, on `replicates` seeds."""
    constraints: list[str] = Field(default_factory=list)
    """Expressions that every trial keeps, such as `step_gflops <= 5`."""
    start_points: list[dict[str, Scalar]] = Field(default_factory=list)
    """Parameters of the first trials; a knob left out takes the base's value. In YAML also the path of a recipe, or `recipe:`
    beside changes to it: a knob takes the recipe's value, or the nearest that it can be. Left out: the base (`base_point`)."""
    base_point: Annotated[dict[str, Scalar] | None, Later] = None
    """Parameters of a trial after the start points that is the base itself, or the nearest to it that the knobs can be; it is left
    out where it breaks a rule. Filled in when a file is read that names no `start_points`; null: none."""
    start_notes: list[str] = Field(default_factory=list)
    """What recipes became as start points, in words; written when the file is read."""
    objective: Objective = Objective()
    """What is made best."""
    fidelity: Fidelity = "train_flops"
    """What the length of trials and rungs is counted in."""
    budget: Budget
    """What may be spent."""
    replicates: int = Field(1, ge=1, le=100)
    """Trials of each configuration, each with a seed of its own."""
    sampler: SamplerChoice = TPE()
    """How parameters are chosen."""
    scheduler: SchedulerChoice = Asha()
    """How trials are stopped early."""
    resources: Resources = Resources()
    """What a trial takes."""
    tracking: Tracking = Tracking()
    """Where MLflow writes."""
    keep: Keep = Keep()
    """Which checkpoints stay."""
    confirm: Confirm | None = None
    """How the best trials are confirmed on fresh seeds when the search is over; null: they are not. Left out in YAML: the
    best two on two seeds, where that is a small part of the sweep (`defaults.py`)."""
    audit: Audit | None = None
    """Which of the trials that early stopping ends run on as controls; null: none."""
    imports: tuple[str, ...] = ()
    """Your own Python modules that add networks, optimizers, losses, puzzles, metrics (see `trm.config.imports`)."""
    seed: int = Field(0, ge=0, lt=1 << 63)
    """Everything random in the sweep follows from it."""
    starts: Annotated[dict[str, str], Later] = Field(default_factory=dict)
    """Digest of the weights at every path that trials start from; filled in when the sweep begins."""
    storage: Annotated[Storage, Later] = Storage()
    """Where checkpoints live."""
    test_time: Annotated[TestTime | None, Later] = None
    """How settings at test time are searched on the best trials' weights when the search is over; null: they are not."""

    @model_validator(mode="before")
    @classmethod
    def _imports_were_asked_for(cls, values: Any) -> Any:
        if isinstance(values, dict):
            require_asked(values.get("imports"), "the search space")
        return values

    @model_validator(mode="before")
    @classmethod
    def _data_of_first_recipe(cls, values: Any) -> Any:
        return with_first_recipe(values) if isinstance(values, dict) else values

    @model_validator(mode="before")
    @classmethod
    def _seeds_of_one(cls, values: Any) -> Any:
        """Of a space without knobs: nobody is stopped early, and the sweep ends with its last seed."""
        if not isinstance(values, dict) or "search" not in values or values["search"]:
            return values
        budget, limits = values.get("budget"), ("trials", "train_flops", "gpu_hours", "wall_clock_seconds")
        changes: dict[str, Any] = {"search": {}}
        if isinstance(budget, dict) and all(budget.get(limit) is None for limit in limits):
            changes["budget"] = {**budget, "trials": values.get("replicates", 1)}
        return {"scheduler": "none", **values, **changes}

    @field_validator("search", mode="before")
    @classmethod
    def _known_paths(cls, value: Any) -> Any:
        for path in value if isinstance(value, dict) else ():
            check_path(str(path))
        return value

    @field_validator("search")
    @classmethod
    def _with_implied_conditions(cls, search: dict[str, Knob], info: Any) -> dict[str, Knob]:
        data = info.data.get("data")
        base = {**info.data.get("base", {}), "data": {} if data is None else data.model_dump()}
        return with_implied(search, base, by_meaning=_goes_by_meaning(info))

    @model_validator(mode="after")
    def _check(self, info: Any) -> "SearchSpace":
        if not self.search and self.replicates == 1:
            raise ConfigError(
                "search must have at least 1 entries, or replicates be more than 1: else it is one run",
                remedy="search a knob, set replicates, or take train.py",
            )
        for path, knob in self.search.items() if _goes_by_meaning(info) else ():  # else they were checked when it began
            check_knob(path, knob)
        if self.budget.gpu_hours is not None and self.resources.gpus == 0:
            raise ConfigError(
                f"budget.gpu_hours {self.budget.gpu_hours:g} never ends a sweep whose trials hold no GPU",
                remedy="give resources.gpus, or limit trials, train_flops or wall_clock_seconds",
            )
        if self.confirm is not None and self.scheduler.changes_knobs:
            raise ConfigError(
                "confirm trains a configuration anew, but a population's members change theirs on the way "
                f"(scheduler: {self.scheduler.type})",
                remedy="drop confirm, or take another scheduler",
            )
        if self.objective.outcome_constraints and not self.scheduler.knows_outcomes:
            raise ConfigError(
                f"scheduler {self.scheduler.type} stops by scores alone, and objective.outcome_constraints asks for more",
                remedy="take asha, successive_halving, hyperband or none, or drop the outcome constraints",
            )
        if not is_recorded(info):
            check_target(self.objective, self.budget)
            check_comparable(self.objective, self.search)
        self.scheduler.check(self.search, self.fidelity, has_fronts=bool(self.objective.against))
        self.sampler.check(self.objective)
        self.sampler.check_beliefs(self.believed)
        check_conditions(self.search)
        list(self.knobs_in_order())
        if self.test_time is not None:
            check_test_time(self.base, self.search)
        self._check_data()
        check_base(self.base, self.data, self.search)
        if _goes_by_meaning(info):
            require_meaning({**self.base, "data": self.data.model_dump()}, self.search)
            check_fused(self.base, self.search)
        if "training.global_batch_size" not in self.search:
            default = TrainingConfig.model_fields["global_batch_size"].default
            require_divisible(written_at(self.base, "training.global_batch_size", default), self.resources.workers)
        check_widening(self.resources, self.base, self.search, is_population=self.scheduler.changes_knobs)
        for constraint in self.constraints:
            Constraint(constraint, known_names())
        for number, point in enumerate(self.start_points):
            self._check_start_point(f"start_points.{number}", point)
        if self.base_point is not None:
            self._check_start_point("base_point", self.base_point)
        return self

    def _check_data(self) -> None:
        if self.data.folder is not None and (path := next((path for path in SET_KNOBS if path in self.search), None)):
            raise ConfigError(
                f"search.{path} chooses of a recipe, but data.folder {self.data.folder!r} is built already",
                remedy="give data.recipe in its place",
            )
        if "data.recipe" in self.search and self.search["data.recipe"].contains(None):
            raise ConfigError("search.data.recipe names recipes, and null is none", remedy="remove it from the values")
        if self.weighs_puzzles and self.data.is_streamed:
            raise ConfigError(
                "search.data.difficulty.strength weighs puzzles, and data.mode stream takes each row once an epoch",
                remedy="set data.mode: resident, or drop the knob",
            )
        data_choices(self.data, self.search)

    def _check_start_point(self, source: str, point: Mapping[str, Scalar]) -> None:
        for path in point:
            if path not in self.search:
                near = nearest(path, list(self.search))
                raise ConfigError(
                    f"{source}.{path} is not a searched path",
                    remedy=f"did you mean {near}?" if near else f"the paths are {', '.join(self.search)}",
                )
        self.complete(point, source)

    def knobs_in_order(self) -> Iterator[tuple[str, Knob]]:
        """Every knob after those that its `when` names; ConfigError when conditions go in a circle."""
        done: set[str] = set()
        waiting = dict(self.search)
        while waiting:
            ready = [path for path, knob in waiting.items() if knob.when.keys() <= done]
            if not ready:
                raise ConfigError(f"the conditions of {', '.join(waiting)} go in a circle", remedy="drop one `when`")
            for path in ready:
                yield path, waiting.pop(path)
            done.update(ready)

    def complete(self, point: Mapping[str, Scalar], source: str = "parameters") -> dict[str, Scalar]:
        """Parameters for every active knob, those that `point` leaves out from the base; ConfigError for what a knob cannot be."""
        params: dict[str, Scalar] = {}
        for path, knob in self.knobs_in_order():
            if not knob.is_active(params):
                if path in point:
                    conditions = ", ".join(f"{other} = {wanted!r}" for other, wanted in knob.when.items())
                    raise ConfigError(f"{source}.{path} is searched only when {conditions}", remedy=f"leave {path} out there")
                continue
            value = point[path] if path in point else self.base_value(path, params)
            try:
                value = as_listed(path, knob, field_value(path, value))
            except ConfigError as error:
                raise ConfigError(f"{source}.{error.problem}", remedy=error.remedy) from error
            if not knob.contains(value):
                origin = "is" if path in point else "is left out, and the base's value is"
                raise ConfigError(f"{source}.{path} {origin} {value!r}, outside {_domain(knob)}", remedy="give a value of the knob")
            params[path] = value
        return params

    def base_value(self, path: str, params: Mapping[str, Any]) -> Any:
        """The base's value at a searched path, written or by default, of a trial with these parameters before it."""
        default = leaves()[path].variant(written_tags(self.base) | dict(params)).info.get_default(call_default_factory=True)
        return written_at({**self.base, "data": dict(self.data)}, path, default)

    def run_config(
        self,
        params: Mapping[str, Any],
        *,
        seed: int,
        folder: str | None = None,
        max_steps: int | None = None,
        rules: int = RULES,
    ) -> RunConfig:
        """The complete configuration of a trial; pydantic's ValidationError when the parameters make an impossible one.

        `max_steps` is the trial's length (see `with_length`); without it the length is the budget's training FLOPs, which is
        enough to compute the cost of a step. `folder` is the built data set. The weight average warms up (DESIGN 4), unless the
        base says that it does not. What changes nothing is left out, so that `train.py` takes what a trial was. `rules`:
        those by which the sweep began.
        """
        values = {name: dict(section) if isinstance(section, dict) else section for name, section in self.base.items()}
        optim = values.setdefault("optim", {})
        if not (is_average_plain(rules) and optim.get("ema_warmup") is False):
            optim["ema_warmup"] = True
        for path, value in params.items():
            if not path.startswith("data."):
                put(values, path, value)
        values = without_other_members(values, tags_tried(self.search))
        data = self.data_of(params)
        if goes_by_meaning(rules):
            values = without_idle({**values, "data": data.model_dump()})
        values["seed"] = seed
        values["imports"] = self.imports
        values["data"] = data if folder is None else data.built(folder)
        values.setdefault("training", {}).update(epochs=None, steps=None, train_flops=self.budget.per_trial)
        halting = self.search.get("model.halt_max_steps")
        evaluation = values.setdefault("evaluation", {})
        if halting is not None and evaluation.get("steps") is None and _asks_again(values):
            evaluation["steps"] = max(int(value) for value in halting.extremes if value is not None)
        if asks_for_figures(rules) and (figures := asked_figures(self.objective)):
            evaluation["metrics"] = list(dict.fromkeys([*(evaluation.get("metrics") or ()), *figures]))
        with_digest(values, self.starts)
        draft = RunConfig.model_validate(values)
        return draft if max_steps is None else with_length(draft, max_steps)

    def carries_latents(self, params: Mapping[str, Any]) -> bool:
        """Whether the network of a trial with these parameters carries anything from one supervision step to the next."""
        return _asks_again({"model": {"architecture": params.get(NETWORK, written_tags(self.base)[NETWORK])}})

    def data_of(self, params: Mapping[str, Any]) -> DataConfig:
        """The data set of a trial with these parameters, as a recipe or a folder."""
        return chosen_data(self.data, self.search, params)

    @property
    def believed(self) -> list[str]:
        """Searched paths that have a `prior`."""
        return [path for path, knob in self.search.items() if knob.prior is not None]

    @property
    def weighs_puzzles(self) -> bool:
        """Whether a trial may visit puzzles by their difficulty, which needs them in memory."""
        return self.data.is_weighed or STRENGTH in self.search

    @property
    def data_choices(self) -> tuple[DataConfig, ...]:
        """Every data set that a trial can have: `data` alone where none of its knobs is searched."""
        return data_choices(self.data, self.search)

    def frozen(self) -> dict[str, Any]:
        """What may not change when a sweep is resumed, as plain values."""
        frozen = without_later(self, self.model_dump(mode="json", exclude=set(MAY_CHANGE)))
        if not self.imports:  # as before there were any
            frozen.pop("imports")
        return frozen

    def frozen_digest(self) -> str:
        """Digest of `frozen()`: equal for a sweep and its resume."""
        return hashlib.sha256(json.dumps(self.frozen(), sort_keys=True).encode()).hexdigest()[:16]


def with_length(config: RunConfig, max_steps: int) -> RunConfig:
    """The configuration of a run of `max_steps` steps, its warm-up at most 3 % of them."""
    warmup = min(config.optim.lr_warmup_steps, math.floor(WARMUP_SHARE * max_steps))
    changes = {
        "training": config.training.model_copy(update={"steps": max_steps, "epochs": None, "train_flops": None}),
        "optim": config.optim.model_copy(update={"lr_warmup_steps": warmup}),
    }
    return config.model_copy(update=changes)


def _goes_by_meaning(info: Any) -> bool:
    """Whether what is validated is of a sweep whose rules do, by pydantic's information for validators."""
    return not is_recorded(info) and goes_by_meaning((info.context or {}).get("rules", RULES))


def _asks_again(values: Mapping[str, Any]) -> bool:
    """Whether the network of a sparse run configuration may have several supervision steps."""
    return all(kind.CARRIES_LATENTS for kind in networks_tried(values, {}).values())


def _domain(knob: Knob) -> str:
    values = knob.extremes if knob.type != "choice" else knob.values_in_order
    return " .. ".join(map(repr, values)) if knob.type != "choice" else repr(values)


MAY_CHANGE = ("budget", "resources", "tracking", "keep", "confirm", "audit", "test_time")
"""Sections that a resume may change; `budget.per_trial` only as `growth.check_growth` allows."""
