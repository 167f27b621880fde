"""Knobs: what may be searched at one path of a run configuration, and whether the path allows it."""

import math
import types
from collections.abc import Callable, Mapping
from functools import cache, cached_property
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import Field, TypeAdapter, ValidationError, field_validator, model_validator

from trm.config.base import Later, TextForm, Written
from trm.config.leaves import leaves
from trm.config.messages import nearest, not_among, problem_at, unknown_key
from trm.config.paths import flat
from trm.config.run import RunConfig
from trm.config.unions import members_added
from trm.errors import ConfigError
from trm.search.knobs.belief import Belief

Scalar = bool | int | float | str | None

NOT_SEARCHED = {
    "data.folder": "search data.recipe, or fields of one (data.num_aug, data.train)",
    "data.overrides": "search data.recipe, or fields of one (data.num_aug, data.train)",
    "data.train_pool": "it follows from the values of data.train; remove it",
    "data.mode": "where rows wait is one thing for a sweep; put it into the space's `data`",
    "data.shuffle_window_rows": "it is one thing for a sweep; put it into the space's `data`",
    "tracking": "it decides no result; put it beside `search`",
    "seed": "a trial's seed follows from the sweep's seed and the trial's number; remove it",
    "training.epochs": "the length of a trial is budget.per_trial; remove it",
    "training.steps": "the length of a trial is budget.per_trial; remove it",
    "training.train_flops": "the length of a trial is budget.per_trial; remove it",
    "training.eval_every_steps": "a sweep evaluates at its rungs; remove it",
    "training.log_every_steps": "how often a curve has a point changes no result; put it into `base`",
    "training.checkpoint_every_steps": "a sweep makes checkpoints at its rungs; remove it",
    "training.keep_checkpoints": "a sweep keeps checkpoints by keep; remove it",
    "start.digest": "it follows from start.from, which is searched; remove it",
    "evaluation.metrics": "what is reported besides changes no result; name it in the objective, or put it into `base`",
    "evaluation.split": "a sweep ranks its trials by validation; remove it",
}


class _Knob(Written):
    """What every knob has."""

    when: dict[str, Scalar | list[Scalar]] = Field(default_factory=dict)
    """Other searched paths and the value, or the values, at which this knob is searched; else the base's value holds."""
    prior: Annotated[Belief | None, Later] = None
    """Where you believe that good values lie; null: nowhere in particular. In YAML the value alone does."""

    @field_validator("when", mode="before")
    @classmethod
    def _each_path_once(cls, value: Any) -> Any:
        return flat(value, "when") if isinstance(value, dict) else value

    @field_validator("prior", mode="before")
    @classmethod
    def _value_alone(cls, value: Any) -> Any:
        return value if value is None or isinstance(value, dict | Belief) else {"at": value}

    def is_active(self, params: Mapping[str, Any]) -> bool:
        """Whether the conditions hold for the parameters chosen so far."""
        return all(path in params and _is_among(params[path], wanted) for path, wanted in self.when.items())


class IntKnob(_Knob):
    """Whole numbers from `low` to `high`, both included."""

    type: Literal["int"]
    """Names the kind of knob."""
    low: int
    """Least value."""
    high: int
    """Greatest value."""
    step: int = Field(1, ge=1)
    """Distance of neighbours, counted from `low`."""
    log: bool = False
    """Draw evenly in the logarithm."""

    @model_validator(mode="after")
    def _check(self) -> "IntKnob":
        _check_range(self.low, self.high, self.log)
        if self.log and self.step != 1:
            raise ValueError(f"log and step exclude each other, got step {self.step}; drop one")
        if (self.high - self.low) % self.step:
            raise ValueError(
                f"high must be low plus a multiple of step: {self.low} + k * {self.step} never gives {self.high}; "
                f"try high {self.high - (self.high - self.low) % self.step}"
            )
        step = f" in steps of {self.step}" if self.step > 1 else ""
        _check_prior(self, f"{self.low} .. {self.high}{step}")
        return self

    def contains(self, value: Any) -> bool:
        """Whether `value` is one of the knob's."""
        whole = isinstance(value, int) and not isinstance(value, bool)
        return whole and self.low <= value <= self.high and (value - self.low) % self.step == 0

    @property
    def extremes(self) -> list[Scalar]:
        """The values at the ends."""
        return [self.low, self.high] if self.low != self.high else [self.low]

    @property
    def count(self) -> float:
        """How many values there are."""
        return (self.high - self.low) // self.step + 1

    @property
    def values_in_order(self) -> list[Scalar]:
        """Every value, in order."""
        return list(range(self.low, self.high + 1, self.step))


class FloatKnob(_Knob):
    """Real numbers from `low` to `high`."""

    type: Literal["float"]
    """Names the kind of knob."""
    low: float
    """Least value."""
    high: float
    """Greatest value."""
    log: bool = False
    """Draw evenly in the logarithm."""

    @model_validator(mode="after")
    def _check(self) -> "FloatKnob":
        _check_range(self.low, self.high, self.log)
        _check_prior(self, f"{self.low} .. {self.high}")
        return self

    def contains(self, value: Any) -> bool:
        """Whether `value` is one of the knob's."""
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high

    @property
    def extremes(self) -> list[Scalar]:
        """The values at the ends."""
        return [self.low, self.high] if self.low != self.high else [self.low]

    @property
    def count(self) -> float:
        """How many values there are."""
        return math.inf if self.low < self.high else 1

    @property
    def values_in_order(self) -> list[Scalar]:
        """Every value, when there is only one."""
        return [self.low]


class ChoiceKnob(_Knob):
    """One of a few values."""

    type: Literal["choice"]
    """Names the kind of knob."""
    values: list[Scalar] = Field(min_length=1)
    """The values to choose from."""

    @model_validator(mode="after")
    def _check(self) -> "ChoiceKnob":
        seen: set[Scalar] = set()
        for value in self.values:
            if value in seen:
                raise ValueError(f"values must differ, {value!r} stands there twice; remove one")
            seen.add(value)
        _check_prior(self, ", ".join(map(repr, self.values)))
        return self

    @cached_property
    def _members(self) -> frozenset[tuple[bool, Scalar]]:
        return frozenset((isinstance(value, bool), value) for value in self.values)

    def contains(self, value: Any) -> bool:
        """Whether `value` is one of the knob's."""
        return isinstance(value, bool | int | float | str | None) and (isinstance(value, bool), value) in self._members

    @cached_property
    def numbers(self) -> list[int | float] | None:
        """The values by size, where all of them are numbers, however they are listed; None: they have no order."""
        found = [value for value in self.values if isinstance(value, int | float) and not isinstance(value, bool)]
        return sorted(found) if len(found) == len(self.values) else None

    @property
    def extremes(self) -> list[Scalar]:
        """Every value: a choice has no order."""
        return list(self.values)

    @property
    def count(self) -> float:
        """How many values there are."""
        return len(self.values)

    @property
    def values_in_order(self) -> list[Scalar]:
        """Every value, as listed."""
        return list(self.values)


Knob = Annotated[IntKnob | FloatKnob | ChoiceKnob, Field(discriminator="type")]


def _is_among(value: Any, wanted: Any) -> bool:
    return any(value == one for one in (wanted if isinstance(wanted, list) else [wanted]))


def _check_prior(knob: "IntKnob | FloatKnob | ChoiceKnob", domain: str) -> None:
    if knob.prior is not None and not knob.contains(knob.prior.at):
        raise ValueError(f"prior must be a value of the knob, of {domain}, got {knob.prior.at!r}; give one of them")


def _check_range(low: float, high: float, log: bool) -> None:
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"low and high must be finite, got {low} and {high}; give numbers")
    if low > high:
        raise ValueError(f"low must be <= high, got low {low} and high {high}; exchange them")
    if log and low <= 0:
        raise ValueError(f"log needs low > 0, got {low}; raise low or drop log")


@cache
def _validator(path: str, added: int) -> Callable[[Any], Any]:
    """By what any member that has the leaf allows."""

    def validate(value: Any) -> Any:
        problems = []
        for variant in leaves()[path].variants:
            adapter = TypeAdapter(cast(Any, Annotated[cast(Any, variant.info.annotation), variant.info]))
            try:
                return adapter.validate_python(value)
            except ValidationError as error:
                problems.append(error)
        raise problems[0]

    return validate


def field_value(path: str, value: Any) -> Any:
    """`value` as the field at `path` holds it; ConfigError when the field cannot (wrong type, out of its own bounds)."""
    try:
        got = _validator(path, members_added())(value)
    except ValidationError as error:
        leaf = leaves()[path]
        tags = [] if leaf.union is None else get_args(leaf.info.annotation)
        problem = not_among(path, value, tags) if tags else problem_at(RunConfig, path, error)
        raise ConfigError(problem.text, remedy=problem.remedy) from error
    if not isinstance(got, Scalar):  # a field of its own form, which its validator reads from text too
        return got
    if isinstance(got, bool) != isinstance(value, bool) or isinstance(got, str) != isinstance(value, str):
        description = leaves()[path].variants[0].description
        raise ConfigError(f"{path} cannot be {value!r}, which is of another kind", remedy=f"{path} is: {description}")
    return got


def as_listed(path: str, knob: "IntKnob | FloatKnob | ChoiceKnob", value: Any) -> Any:
    """A configuration's value at `path` as the knob has it: what is no number, text or null by the text that means it."""
    form = next((one for one in leaves()[path].info.metadata if isinstance(one, TextForm)), None)
    if form is None or isinstance(value, Scalar):
        return value
    meant = (one for one in knob.values_in_order if isinstance(one, str) and field_value(path, one) == value)
    return next(meant, form.write(value))


def check_knob(path: str, knob: IntKnob | FloatKnob | ChoiceKnob) -> None:
    """ConfigError unless `path` is a leaf that may be searched, and each value of `knob` is one that it can hold."""
    check_path(path)
    if isinstance(knob, FloatKnob) and not any(_takes_float(one.info.annotation) for one in leaves()[path].variants):
        raise ConfigError(f"search.{path} has type float, but {path} takes no fractions", remedy="use type int or choice")
    values = knob.values if isinstance(knob, ChoiceKnob) else knob.extremes
    for value in values:
        try:
            field_value(path, value)
        except ConfigError as error:
            remedy = f"mend it there: {error.remedy}" if isinstance(knob, ChoiceKnob) else "narrow the knob to what it can be"
            raise ConfigError(f"search.{path} reaches {value!r}, but {error.problem}", remedy=remedy) from error


def check_path(path: str) -> None:
    """ConfigError unless `path` is a leaf that may be searched."""
    parts = path.split(".")
    reason = next(
        (NOT_SEARCHED[above] for end in range(1, len(parts) + 1) if (above := ".".join(parts[:end])) in NOT_SEARCHED), None
    )
    if reason is not None:
        raise ConfigError(f"search: {path} cannot be searched", remedy=reason)
    if path not in leaves():
        raise unknown_path(path)


def unknown_path(path: str) -> ConfigError:
    """The complaint about a path that RunConfig does not have, with the nearest one that it has."""
    paths = list(leaves())
    if path in RunConfig.model_fields:
        below = ", ".join(leaf for leaf in paths if leaf.startswith(f"{path}."))
        return ConfigError(f"{path} is a section of the run configuration, not a knob", remedy=f"choose one of {below}")
    union = leaves()[path.rpartition(".")[0]].union if path.rpartition(".")[0] in leaves() else None
    if union is not None and path.rpartition(".")[2] == union.tag:
        return ConfigError(f"{path} is written {path.rpartition('.')[0]}", remedy=f"write {path.rpartition('.')[0]}")
    if "." in path and path.split(".")[0] in RunConfig.model_fields:
        problem = unknown_key(RunConfig, tuple(path.split(".")[:-1]), path.split(".")[-1])
        return ConfigError(f"{path} is not in the run configuration", remedy=problem.remedy)
    same = [leaf for leaf in paths if leaf.split(".")[-1] == path.split(".")[-1]]
    near = same[0] if same else nearest(path, paths)
    return ConfigError(
        f"{path} is not in the run configuration", remedy=f"did you mean {near}?" if near else "give its dotted path"
    )


def _takes_float(annotation: Any) -> bool:
    if get_origin(annotation) in (Union, types.UnionType):
        return any(_takes_float(part) for part in get_args(annotation))
    return annotation is float


def at_share(knob: Knob, share: float) -> Any:
    """The knob's value at `share` (0 included, 1 not) of its range, in the logarithm where the knob is drawn so."""
    if isinstance(knob, ChoiceKnob):
        return knob.values[int(share * len(knob.values))]
    if isinstance(knob, IntKnob):
        if knob.log:
            low, high = math.log(knob.low - 0.5), math.log(knob.high + 0.5)
            return min(knob.high, max(knob.low, round(math.exp(low + share * (high - low)))))
        return knob.low + knob.step * int(share * knob.count)
    assert isinstance(knob, FloatKnob)
    if knob.log:
        low, high = math.log(knob.low), math.log(knob.high)
        return min(knob.high, max(knob.low, math.exp(low + share * (high - low))))
    return knob.low + share * (knob.high - knob.low)
