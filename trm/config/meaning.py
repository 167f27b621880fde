"""Knobs that change nothing where others stand as they do, by what their fields say of it (`trm.config.base.Needs`)."""

import functools
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from trm.config.base import Later, Needs, NeedsEither, NeedsNetwork, NeedsValue
from trm.config.leaves import Leaf, Variant, exists, leaves, put, without, written_at, written_tags
from trm.config.messages import Problem
from trm.config.run import RunConfig
from trm.config.unions import members_added, tagged_members

UNSAID = object()
NETWORK = "model.architecture"
Written = Mapping[str, Any]
"""A sparse run configuration."""


@dataclass(frozen=True)
class Blame:
    """What would have to be otherwise for a knob to change something."""

    field: str
    got: Any
    """What is there."""
    fitting: tuple[Any, ...]
    """What it may be; empty where only what is there is known not to do."""


@dataclass(frozen=True)
class Idle:
    """A value that changes nothing."""

    path: str
    value: Any
    blame: Blame

    def problem(self, prefix: str = "") -> Problem:
        """The complaint about it; `prefix` stands before its path, and before those of the remedy."""
        field, got, fitting = self.blame.field, shown(self.blame.got), self.blame.fitting
        wanted = f": {' or '.join(map(shown, fitting))}" if fitting else f" to another than {got}"
        return Problem(
            f"{prefix}{self.path} {shown(self.value)} changes nothing with {field} {got}",
            f"leave it out, or set {prefix}{field}{wanted}",
        )


def shown(value: Any) -> str:
    """A value as YAML has it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def needs_of(variant: Variant) -> tuple[Needs, ...]:
    """What a leaf needs of others, as one member of each union has it."""
    return tuple(one for one in variant.info.metadata if isinstance(one, Needs))


def deciding(path: str) -> frozenset[str]:
    """Paths of what decides whether the leaf at `path` changes something: what it needs, and the tags that this hangs on."""
    own = {path, *(field for variant in leaves()[path].variants for one in needs_of(variant) for field in one.fields)}
    tags = {at for field in own if field in leaves() for variant in leaves()[field].variants for at in variant.tags}
    return frozenset((own | tags) - {path})


def unmet(path: str, values: Written) -> Needs | None:
    """The first of the needs of a leaf that a sparse run configuration does not meet; None: it may change something."""
    return _unmet(path, values, written_tags(values))


def _unmet(path: str, values: Written, tags: Mapping[str, Any]) -> Needs | None:
    return next((one for one in needs_of(leaves()[path].variant(tags)) if not _is_met(one, values, tags)), None)


def _is_met(needs: Needs, values: Written, tags: Mapping[str, Any]) -> bool:
    match needs:
        case NeedsValue(fields=(path,)):
            return not exists(path, tags) or (_value(path, values, tags) in needs.values) != needs.is_other
        case NeedsNetwork():
            try:
                return bool(operator.attrgetter(needs.name)(_network(values, tags)))
            except (TypeError, KeyError):  # a value that is none of its field, which its own check says
                return True
        case NeedsEither():
            return any(_is_met(one, values, tags) for one in needs.parts)
    raise AssertionError(needs)


def _value(path: str, values: Written, tags: Mapping[str, Any]) -> Any:
    return written_at(values, path, leaves()[path].variant(tags).info.get_default(call_default_factory=True))


def _network(values: Written, tags: Mapping[str, Any]) -> Any:
    """The network's configuration, its values as they are written: rules between them hold for what is validated."""
    member, written = tagged_members(RunConfig.model_fields["model"])[tags[NETWORK]], values.get("model")
    fields = member.model_fields.keys() - {"architecture"}
    return member.model_construct(**{name: value for name, value in dict(written or {}).items() if name in fields})


def blame(needs: Needs, values: Written) -> Blame:
    """What to set so that `needs` are met: the first of its fields that alone would do."""
    tags = written_tags(values)
    there = [field for field in needs.fields if field in leaves() and exists(field, tags)]
    for field in there:
        words = _words(field, tags)
        fitting = tuple(word for word in words if _is_met_with(needs, values, field, word))
        if fitting or (not words and (_is_excluded(needs, field) or _is_met_with(needs, values, field, UNSAID))):
            return Blame(field, _value(field, values, tags), fitting)
    return Blame(there[0], _value(there[0], values, tags), ())


def _is_excluded(needs: Needs, field: str) -> bool:
    """Whether any other value of the field than what is there would do."""
    parts = needs.parts if isinstance(needs, NeedsEither) else (needs,)
    return any(isinstance(one, NeedsValue) and one.is_other and one.fields == (field,) for one in parts)


def _words(field: str, tags: Mapping[str, Any]) -> tuple[Any, ...]:
    annotation = leaves()[field].variant(tags).info.annotation
    if annotation is bool:
        return True, False
    words = [word for part in (annotation, *get_args(annotation)) for word in get_args(part)]
    return tuple(dict.fromkeys(word for word in words if isinstance(word, str | int)))


def _is_met_with(needs: Needs, values: Written, field: str, value: Any) -> bool:
    changed = without(values, field) if value is UNSAID else dict(values)
    if value is not UNSAID:
        put(changed, field, value)
    return _is_met(needs, changed, written_tags(changed))


@functools.cache
def _needy(added: int) -> dict[str, Leaf]:
    return {path: leaf for path, leaf in leaves().items() if any(map(needs_of, leaf.variants))}


def idle(values: Written) -> Iterator[Idle]:
    """What a sparse run configuration says that changes nothing; a value that is the default is not meant by it."""
    needy = _needy(members_added())
    said = {path: value for path in needy if (value := written_at(values, path, UNSAID)) is not UNSAID}
    tags = written_tags(values) if said else {}
    for path, value in said.items():
        default = needy[path].variant(tags).info.get_default(call_default_factory=True)
        if value == default or not exists(path, tags):
            continue
        if (needs := _unmet(path, values, tags)) is not None:
            yield Idle(path, value, blame(needs, values))


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
