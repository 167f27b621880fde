"""Knobs that change nothing where others stand as they do, by what their fields say of it (`trm.config.base.Needs`)."""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from trm.config.base import Later, Needs
from trm.config.leaves import Leaf, Variant, exists, leaves, without, written_at, written_tags
from trm.config.messages import Problem
from trm.config.unions import members_added

UNSAID = object()


@dataclass(frozen=True)
class Idle:
    """A value that changes nothing."""

    path: str
    value: Any
    needs: Needs
    """What would have to be otherwise."""
    got: Any
    """What is there."""

    def problem(self, prefix: str = "") -> Problem:
        """The complaint about it; `prefix` stands before its path, and before those of the remedy."""
        return Problem(
            f"{prefix}{self.path} {shown(self.value)} changes nothing with {self.needs.path} {shown(self.got)}",
            f"leave it out, or set {prefix}{self.needs.path}{self._wanted()}",
        )

    def _wanted(self) -> str:
        values = fitting_values(self.needs)
        return f": {' or '.join(map(shown, values))}" if values else f" to another than {shown(self.got)}"


def fitting_values(needs: Needs) -> tuple[Any, ...]:
    """The values that are asked for; empty where only those are known that will not do."""
    words = get_args(leaves()[needs.path].info.annotation) if needs.is_other else needs.values
    return tuple(word for word in words if not isinstance(word, type) and needs.is_met(word))


def shown(value: Any) -> str:
    """A value as YAML has it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def needs_of(variant: Variant) -> tuple[Needs, ...]:
    """What a leaf needs of others, as one member of each union has it."""
    return tuple(one for one in variant.info.metadata if isinstance(one, Needs))


@functools.cache
def _needy(added: int) -> dict[str, Leaf]:
    return {path: leaf for path, leaf in leaves().items() if any(map(needs_of, leaf.variants))}


def idle(values: Mapping[str, Any]) -> Iterator[Idle]:
    """What a sparse run configuration says that changes nothing; a value that is the default is not meant by it."""
    needy = _needy(members_added())
    said = {path: value for path in needy if (value := written_at(values, path, UNSAID)) is not UNSAID}
    tags = written_tags(values) if said else {}
    for path, value in said.items():
        variant = needy[path].variant(tags)
        if value == variant.info.get_default(call_default_factory=True) or not exists(path, tags):
            continue
        for needs in needs_of(variant):
            other = leaves()[needs.path].variant(tags)
            got = written_at(values, needs.path, other.info.get_default(call_default_factory=True))
            if exists(needs.path, tags) and not needs.is_met(got):
                yield Idle(path, value, needs, got)


def without_idle(values: Mapping[str, Any]) -> dict[str, Any]:
    """A sparse run configuration without what changes nothing: so one base may hold what some of its trials need."""
    kept = dict(values)
    while paths := {one.path for one in idle(kept)}:
        for path in paths:
            kept = without(kept, path)
    return kept


def is_complete(values: Mapping[str, Any]) -> bool:
    """Whether this project wrote a configuration: people write sparse files, machines all that there is, or was at that time."""
    tags = written_tags(values)
    return all(
        written_at(values, path, UNSAID) is not UNSAID
        for path, leaf in leaves().items()
        if path.startswith(("model.", "optim."))
        and leaf.union is None
        and exists(path, tags)
        and Later not in leaf.variant(tags).info.metadata
    )
