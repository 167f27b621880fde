"""Tagged unions of a configuration: this project's members, and those that a person's own modules add (`trm.config.imports`)."""

import functools
import operator
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Field, GetCoreSchemaHandler, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema

from trm.errors import ConfigError


class Added:
    """Marks a base: what an imported module derives from it, or makes of it, becomes a member of its door; itself it is none."""

    @classmethod
    def require_usable(cls, member: Any, where: str) -> None:
        """ConfigError, beginning with `where`, for a member that the door cannot take."""


class Imported(Added):
    """Marks the base that an imported module's members of a union derive from."""

    TAG: ClassVar[str] = "type"
    """The field that holds a member's tag."""
    METHODS: ClassVar[tuple[str, ...]] = ("build",)
    """What every member has to write."""

    @classmethod
    def built_in(cls) -> tuple[Any, ...]:
        """The members of the union that need no import."""
        return ()

    @classmethod
    def require_usable(cls, member: Any, where: str) -> None:
        """ConfigError for a member without a tag of its own, without a default for a field, or without a method."""
        tags = tags_of(member, cls.TAG)
        if len(tags) != 1 or not isinstance(tags[0], str):
            raise ConfigError(f'{where} must have one tag, `{cls.TAG}: Literal["..."] = "..."`', remedy="write it so")
        if member.model_fields[cls.TAG].default != tags[0]:
            raise ConfigError(
                f"{where} must have its tag {tags[0]!r} as the default of {cls.TAG}", remedy=f"write = {tags[0]!r} behind it"
            )
        for method in cls.METHODS:
            if getattr(member, method) is getattr(cls, method):
                raise ConfigError(f"{where} must have a method {method}", remedy=f"write it as {cls.__name__}.{method} says")
        missing = [field for field, info in member.model_fields.items() if info.is_required()]
        if missing:
            raise ConfigError(f"{where} must have a default for {', '.join(missing)}", remedy="give one: people write sparse YAML")
        for other in (*cls.built_in(), *added_to(cls)):
            if other is not member and tags[0] in tags_of(other, cls.TAG):
                raise ConfigError(f"{where} has the tag {tags[0]}, which {other.__name__} has too", remedy="choose another")


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
        named = self.named(value)
        return {self.tag: self.default, **named} if isinstance(named, Mapping) else named

    def named(self, value: Any) -> Any:
        """A member as a mapping where its tag alone stands for it; any other value as it is."""
        return {self.tag: value} if self.is_short and not isinstance(value, Mapping | BaseModel) else value


def union_of(field: FieldInfo) -> Tagged | None:
    """How the members of a field's union are told apart; None for a field that holds none."""
    return next((one for one in field.metadata if isinstance(one, Tagged)), None)


def tagged_members(field: FieldInfo) -> dict[str, type[BaseModel]]:
    """Tag -> member of a field that `union_of` knows, imported ones last."""
    union = union_of(field)
    assert union is not None, "the field holds a tagged union"
    annotation: Any = field.annotation
    return dict(_tagged(annotation, union.tag, members_added()))


@functools.cache
def _tagged(annotation: Any, tag: str, added: int) -> tuple[tuple[str, type[BaseModel]], ...]:
    return tuple((one, member) for member in models_in(annotation) for one in tags_of(member, tag))


def tags_of(member: type[BaseModel], tag: str) -> tuple[str, ...]:
    """What the tag of a member may be; empty where it is no literal."""
    field = member.model_fields.get(tag)
    return get_args(field.annotation) if field is not None and get_origin(field.annotation) is Literal else ()


def models_in(annotation: Any) -> tuple[type[BaseModel], ...]:
    """The models that a value of this annotation may be, unions taken apart and what was imported among them."""
    return _models(annotation, members_added())


def members_in(annotation: Any) -> list[Any]:
    """What an annotation may be, unions and Annotated taken apart; a base of imported members counts as the members."""
    if get_origin(annotation) is Annotated:
        return members_in(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [member for part in get_args(annotation) for member in members_in(part)]
    return list(added_to(annotation)) if is_base(annotation) else [annotation]


@functools.cache
def _models(annotation: Any, added: int) -> tuple[type[BaseModel], ...]:
    kinds = (one for one in members_in(annotation) if isinstance(one, type) and issubclass(one, BaseModel))
    return tuple(dict.fromkeys(kinds))


def is_base(kind: Any) -> bool:
    """Whether a class is what the members of a door derive from."""
    return isinstance(kind, type) and kind is not Imported and bool({Added, Imported} & set(kind.__bases__))


_ADDED: dict[type, dict[Any, str]] = {}
"""Base -> its members and the modules that they came with; filled by `trm.config.imports` alone, and never emptied: a class that
was imported stays."""


def base_of(member: Any) -> type[Added]:
    """The base that an imported member, a class or a value, derives from."""
    kind = member if isinstance(member, type) else type(member)
    return next(base for base in kind.__mro__ if is_base(base))


def added_to(base: type) -> tuple[Any, ...]:
    """The members that imported modules add to the door of `base`, in the order of their import."""
    return tuple(_ADDED.get(base, ()))


def module_adding(member: Any) -> str | None:
    """The name in `imports` that a member came with; None for one that nobody imported."""
    return _ADDED.get(base_of(member), {}).get(member)


def members_added() -> int:
    """How many members imported modules added to all doors so far: what hangs on the members hangs on it."""
    return sum(map(len, _ADDED.values()))


def add_member(base: type, member: Any, module: str) -> None:
    """Makes `member`, which came with `module`, one of the door that `base` is of."""
    _ADDED.setdefault(base, {}).setdefault(member, module)


@functools.cache
def _adapter(members: tuple[type[BaseModel], ...], tag: str) -> Any:
    if len(members) == 1:  # a union of one is its member: pydantic would not look for the tag
        return TypeAdapter(members[0])
    union: Any = functools.reduce(operator.or_, members)
    return TypeAdapter(Annotated[union, Field(discriminator=tag)])
