"""What every configuration model shares: unknown keys are refused, values never change, numbers are numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import InitErrorDetails

from trm.console.redaction import stored

MOST_WHOLE = (1 << 63) - 1
"""What tables, seeds and tensors hold."""


class Frozen(BaseModel):
    """Base of all configuration: unknown keys are refused, values never change, and as JSON it holds no secret of an address."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_serializer(mode="wrap", when_used="json")
    def _without_secrets(self, values: Callable[[Any], Any]) -> Any:
        """JSON is what goes into files: a configuration, a recipe, a manifest, a line of the journal."""
        return stored(values(self))


RECORDED = {"is_recorded": True}
"""pydantic's context of what this project wrote itself: rules that came later than the file do not refuse it."""


def is_recorded(info: Any) -> bool:
    """Whether what is validated was read from a file that this project wrote, by pydantic's information for validators."""
    return bool((info.context or {}).get("is_recorded"))


class Later:
    """Marks a field that came after values had digests: `Annotated[float, Later] = 0.0` counts in none while it is 0."""


@dataclass(frozen=True)
class Needs:
    """Marks a field that changes nothing unless others are so: `Annotated[int, only_with("model.ffn", "conv_swiglu")]`.

    From it follow that a value without effect is refused, that a sweep leaves it out of its trials, so that none is trained twice,
    and when a knob is searched. Who reads it: `trm.config.meaning`.
    """

    fields: tuple[str, ...]
    """Dotted paths of what it hangs on; a complaint names the first that alone would mend it."""


@dataclass(frozen=True)
class NeedsValue(Needs):
    """What one field must be, or must not be; where a network has no such field nothing is needed."""

    values: tuple[bool | float | str | None, ...]
    is_other: bool


@dataclass(frozen=True)
class NeedsNetwork(Needs):
    """A property of the network's configuration that must be true."""

    name: str


@dataclass(frozen=True)
class NeedsEither(Needs):
    """Needs of which one must be met."""

    parts: tuple[Needs, ...]


def only_with(path: str, *values: bool | float | str | None) -> Needs:
    """Marks a field that changes something only where the one at `path` has one of `values`."""
    return NeedsValue((path,), values, is_other=False)


def unless(path: str, *values: bool | float | str | None) -> Needs:
    """Marks a field that changes nothing where the one at `path` has one of `values`."""
    return NeedsValue((path,), values, is_other=True)


def only_where(name: str, *fields: str) -> Needs:
    """Marks a field that changes something only where the network's property `name` is true, which hangs on `fields` of `model`."""
    named = fields if "architecture" in fields else (*fields, "architecture")
    return NeedsNetwork(tuple(f"model.{field}" for field in named), name)


def either(*needs: Needs) -> Needs:
    """Marks a field that changes something where one of `needs` is met."""
    return NeedsEither(tuple(field for one in needs for field in one.fields), needs)


class TextForm:
    """Marks a field whose values may be written as text, so that a knob may have those that are no number, text or null."""

    def __init__(self, write: Callable[[Any], str]) -> None:
        """`write` makes the text of a value; the field's validator reads it."""
        self.write = write


def without_later(model: BaseModel, values: dict[str, Any]) -> dict[str, Any]:
    """`values`, which `model` gave of itself as JSON, without fields marked `Later` that are at their defaults, at any depth.

    What was digested before there was a field is known by the same digest after.
    """
    kept = dict(values)
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if Later in field.metadata and value == field.get_default(call_default_factory=True):
            kept.pop(name, None)
        elif isinstance(value, BaseModel) and isinstance(kept.get(name), dict):
            kept[name] = without_later(value, kept[name])
        elif isinstance(value, dict) and isinstance(kept.get(name), dict):
            kept[name] = {key: _without_later(value.get(key), one) for key, one in kept[name].items()}
    return kept


def _without_later(value: Any, dumped: Any) -> Any:
    return without_later(value, dumped) if isinstance(value, BaseModel) and isinstance(dumped, dict) else dumped


class Written(Frozen):
    """Base of what people write: numbers are finite, and true is no number."""

    model_config = ConfigDict(allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _true_is_no_number(cls, values: Any) -> Any:
        if isinstance(values, dict):
            fields = cls.model_fields
            wrong = [
                InitErrorDetails(type=kind, loc=(name,), input=value)
                for name, value in values.items()
                if isinstance(value, bool) and name in fields and (kind := _number_problem(fields[name].annotation))
            ]
            wrong += [
                InitErrorDetails(type="less_than_equal", loc=(name,), input=value, ctx={"le": MOST_WHOLE})
                for name, value in values.items()
                if type(value) is int and abs(value) > MOST_WHOLE and name in fields and _is_whole(fields[name].annotation)
            ]
            if wrong:
                raise ValidationError.from_exception_data(cls.__name__, wrong)
        return values


def _is_whole(annotation: Any) -> bool:
    kinds = get_args(annotation) or (annotation,)
    return int in kinds and float not in kinds


def _number_problem(annotation: Any) -> str | None:
    """pydantic's name of the complaint that a value is no number; None where true and false may stand."""
    kinds = get_args(annotation) or (annotation,)
    if bool in kinds:
        return None
    return "float_type" if float in kinds else "int_type" if int in kinds else None
