"""Every value of a run configuration by its dotted path, those of union members with the tags at which they exist."""

import functools
import operator
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from trm.config.base import Written
from trm.config.descriptions import described
from trm.config.run import RunConfig
from trm.config.unions import Imported, Tagged, members_added, tagged_members, union_of


@dataclass(frozen=True)
class Variant:
    """A leaf as one member of each union above it has it."""

    info: FieldInfo
    tags: Mapping[str, tuple[str, ...]]
    """Path of a union's tag -> the tags of the member."""
    owner: type[BaseModel]
    name: str
    """Whose field it is, by which name."""
    is_imported: bool = False
    """Whether the member comes from an imported module."""

    @property
    def description(self) -> str:
        """What its field says of itself."""
        return described(self.owner, self.name)


@dataclass(frozen=True)
class Leaf:
    """What may stand at a path of the run configuration."""

    variants: tuple[Variant, ...]
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Path of a union's tag -> the tags at which the leaf exists; empty where it always does."""
    union: Tagged | None = None
    """Of a tag: the union whose members it tells apart."""

    @property
    def info(self) -> FieldInfo:
        """As the first member has it."""
        return self.variants[0].info

    def variant(self, tags: Mapping[str, Any]) -> Variant:
        """As the members that `tags` (path of a tag -> tag) choose have it, or the first member where they have it not."""
        fitting = (one for one in self.variants if all(tags.get(path) in own for path, own in one.tags.items()))
        return next(fitting, self.variants[0])


def leaves() -> dict[str, Leaf]:
    """Every leaf of a `RunConfig` by its dotted path; sections are taken apart, and tagged unions into their members' fields.

    The tag of a union that may be written as its tag alone stands at the path of the union itself (`training.loss`).
    """
    return _leaves(members_added())


@functools.cache
def _leaves(added: int) -> dict[str, Leaf]:
    found: dict[str, list[Variant]] = {}
    unions: dict[str, tuple[Tagged, frozenset[str]]] = {}
    for path, variant, union in _walked(RunConfig, "", {}):
        found.setdefault(path, []).append(variant)
        if union is not None:
            unions[path] = union
    return {
        path: Leaf(tuple(variants), _where(variants, unions), unions[path][0] if path in unions else None)
        for path, variants in found.items()
    }


def _where(variants: list[Variant], unions: Mapping[str, tuple[Tagged, frozenset[str]]]) -> dict[str, tuple[str, ...]]:
    where: dict[str, tuple[str, ...]] = {}
    for path in dict.fromkeys(path for one in variants for path in one.tags):
        tags = tuple(dict.fromkeys(tag for one in variants for tag in one.tags.get(path, ())))
        if set(tags) != unions[path][1]:
            where[path] = tags
    return where


def _walked(
    model: type[BaseModel], prefix: str, tags: Mapping[str, tuple[str, ...]]
) -> Iterator[tuple[str, Variant, tuple[Tagged, frozenset[str]] | None]]:
    for name, info in model.model_fields.items():
        path, union = f"{prefix}{name}", union_of(info)
        if union is not None:
            yield from _of_union(path, (model, name), union, tags)
        elif isinstance(info.annotation, type) and issubclass(info.annotation, Written):
            yield from _walked(info.annotation, f"{path}.", tags)
        else:
            yield path, Variant(info, tags, model, name, is_imported=issubclass(model, Imported)), None


def _of_union(
    path: str, field: tuple[type[BaseModel], str], union: Tagged, tags: Mapping[str, tuple[str, ...]]
) -> Iterator[tuple[str, Variant, tuple[Tagged, frozenset[str]] | None]]:
    members = tagged_members(field[0].model_fields[field[1]])
    at = tag_path(path, union)
    says = field if union.is_short else (next(iter(members.values())), union.tag)
    choice: Any = Literal[tuple(members)]
    yield at, Variant(FieldInfo(annotation=choice, default=union.default), tags, *says), (union, frozenset(members))
    for member in dict.fromkeys(members.values()):
        own = tuple(tag for tag, one in members.items() if one is member)
        for found, variant, inner in _walked(member, f"{path}.", {**tags, at: own}):
            if found != f"{path}.{union.tag}":
                yield found, variant, inner


def tag_path(path: str, union: Tagged) -> str:
    """Where the tag of the union at `path` stands."""
    return path if union.is_short else f"{path}.{union.tag}"


def imported_leaves() -> set[str]:
    """Paths that only members from imported modules have."""
    return {path for path, leaf in leaves().items() if all(one.is_imported for one in leaf.variants)}


def tags_in(config: RunConfig) -> dict[str, Any]:
    """Path of every union's tag -> the tag of the configuration's member."""
    return {path: read(config) for path, read in _tag_readers(members_added())}


@functools.cache
def _tag_readers(added: int) -> tuple[tuple[str, Callable[[RunConfig], Any]], ...]:
    return tuple((path, reader(path)) for path, leaf in leaves().items() if leaf.union is not None and not leaf.where)


def reader(path: str) -> Callable[[RunConfig], Any]:
    """What reads a leaf of a configuration that has it."""
    union = leaves()[path].union
    return operator.attrgetter(f"{path}.{union.tag}" if union is not None and union.is_short else path)


def exists(path: str, tags: Mapping[str, Any]) -> bool:
    """Whether the members that `tags` choose have the leaf."""
    return all(tags.get(at) in own for at, own in leaves()[path].where.items())


def value_at(config: RunConfig, path: str) -> Any:
    """The value of a leaf; None where the configuration's members do not have it."""
    try:
        return reader(path)(config)
    except AttributeError:
        return None


def written_at(mapping: Mapping[str, Any], path: str, default: Any) -> Any:
    """What a sparse run configuration says of a leaf; `default` where it says nothing."""
    node: Any = mapping
    for part in path.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return default
        node = node[part]
    leaf = leaves().get(path) if isinstance(node, Mapping) else None
    return node if leaf is None or leaf.union is None else node.get(leaf.union.tag, leaf.union.default)


def written_tags(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Path of every union's tag -> the tag that a sparse run configuration means."""
    return {path: written_at(mapping, path, default) for path, default in _tags(members_added())}


@functools.cache
def _tags(added: int) -> tuple[tuple[str, Any], ...]:
    """Path and default of every union's tag."""
    return tuple((path, leaf.info.default) for path, leaf in leaves().items() if leaf.union is not None)


def put(mapping: dict[str, Any], path: str, value: Any) -> None:
    """Sets a leaf of a sparse run configuration; what stands at its sections is copied first."""
    leaf = leaves()[path]
    parts = [*path.split("."), leaf.union.tag] if leaf.union is not None and leaf.union.is_short else path.split(".")
    node, at = mapping, ""
    for part in parts[:-1]:
        at = f"{at}.{part}" if at else part
        there = node.get(part, {})
        union = leaves()[at].union if at in leaves() else None
        node[part] = dict(there if union is None else union.spelled_out(there))
        node = node[part]
    node[parts[-1]] = value


def without_other_members(mapping: Mapping[str, Any], searched: Mapping[str, Collection[Any]]) -> dict[str, Any]:
    """A sparse run configuration without the fields that its members do not have, but others that are searched do.

    `searched` has the tags that are tried by the path of their union's tag. So one base may hold the fields of every member that
    a sweep tries, and of no other.
    """
    tags, result = written_tags(mapping), dict(mapping)
    for path, leaf in leaves().items():
        for at, own in leaf.where.items():
            if tags[at] not in own and any(tag in own for tag in searched.get(at, ())):
                result = without(result, path)
    return result


def without(mapping: Mapping[str, Any], path: str) -> dict[str, Any]:
    """A sparse run configuration that says nothing of a leaf."""
    first, _, rest = path.partition(".")
    if first not in mapping:
        return dict(mapping)
    if not rest:
        return {name: value for name, value in mapping.items() if name != first}
    inner = mapping[first]
    return {**mapping, first: without(inner, rest)} if isinstance(inner, Mapping) else dict(mapping)
