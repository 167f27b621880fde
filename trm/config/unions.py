"""Tagged unions of a configuration: this project's members, and those that a person's own modules add (`trm.config.imports`)."""

import functools
import operator
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Field, GetCoreSchemaHandler, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema


class Imported:
    """Marks the base that an imported module's members of a union derive from; itself it is no member."""

    TAG: ClassVar[str] = "type"
    """The field that holds a member's tag."""
    METHODS: ClassVar[tuple[str, ...]] = ("build",)
    """What every member has to write."""

    @classmethod
    def built_in(cls) -> tuple[Any, ...]:
        """The members of the union that need no import."""
        return ()


@dataclass(frozen=True)
class Tagged:
    """Annotates a union of models that are told apart by a tag: `Annotated[A | B | ImportedOne, Tagged("type", "a")]`.

    A mapping without the tag is the member called `default`.
    """

    tag: str
    """The field that tells members apart, a literal in each."""
    default: str
    """Tag of the member that a mapping without a tag is."""
    is_short: bool = False
    """Whether the tag alone, as text, stands for its member as well."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validates by the members that there are at that moment, so that an import adds to every configuration after it."""

        def validate(value: Any, info: Any) -> Any:
            return _adapter(models_in(source), self.tag).validate_python(self.spelled_out(value), context=info.context)

        return core_schema.with_info_plain_validator_function(validate)

    def spelled_out(self, value: Any) -> Any:
        """A member's fields with its tag among them; what is no mapping is taken for the tag where that may stand alone."""
        if self.is_short and not isinstance(value, Mapping | BaseModel):
            return {self.tag: value}
        return {self.tag: self.default, **value} if isinstance(value, Mapping) else value


def union_of(field: FieldInfo) -> Tagged | None:
    """How the members of a field's union are told apart; None for a field that holds none."""
    return next((one for one in field.metadata if isinstance(one, Tagged)), None)


def tagged_members(field: FieldInfo) -> dict[str, type[BaseModel]]:
    """Tag -> member of a field that `union_of` knows, imported ones last."""
    union = union_of(field)
    assert union is not None, "the field holds a tagged union"
    return {tag: member for member in models_in(field.annotation) for tag in tags_of(member, union.tag)}


def tags_of(member: type[BaseModel], tag: str) -> tuple[str, ...]:
    """What the tag of a member may be; empty where it is no literal."""
    field = member.model_fields.get(tag)
    return get_args(field.annotation) if field is not None and get_origin(field.annotation) is Literal else ()


def models_in(annotation: Any) -> tuple[type[BaseModel], ...]:
    """The models that a value of this annotation may be, unions taken apart and what was imported among them."""
    return tuple(dict.fromkeys(_models(annotation)))


def members_in(annotation: Any) -> list[Any]:
    """What an annotation may be, unions and Annotated taken apart; a base of imported members counts as the members."""
    if get_origin(annotation) is Annotated:
        return members_in(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [member for part in get_args(annotation) for member in members_in(part)]
    return list(added_to(annotation)) if _is_base(annotation) else [annotation]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    for member in members_in(annotation):
        if isinstance(member, type) and issubclass(member, BaseModel):
            yield member


def _is_base(annotation: Any) -> bool:
    return isinstance(annotation, type) and Imported in annotation.__bases__


_ADDED: dict[type, dict[type[BaseModel], None]] = {}
"""Base -> its members; filled by `trm.config.imports` alone, and never emptied: a class that was imported stays."""


def base_of(member: type) -> type[Imported]:
    """The base that an imported member derives from."""
    return next(base for base in member.__mro__ if _is_base(base))


def added_to(base: type) -> tuple[type[BaseModel], ...]:
    """The members that imported modules derive from `base`, in the order of their import."""
    return tuple(_ADDED.get(base, ()))


def members_added() -> int:
    """How many members imported modules added to all unions so far: what hangs on the members hangs on it."""
    return sum(map(len, _ADDED.values()))


def add_member(base: type, member: type[BaseModel]) -> None:
    """Makes `member` one of the union that has `base` in it."""
    _ADDED.setdefault(base, {})[member] = None


@functools.cache
def _adapter(members: tuple[type[BaseModel], ...], tag: str) -> Any:
    if len(members) == 1:  # a union of one is its member: pydantic would not look for the tag
        return TypeAdapter(members[0])
    union: Any = functools.reduce(operator.or_, members)
    return TypeAdapter(Annotated[union, Field(discriminator=tag)])
