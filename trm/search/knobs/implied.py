"""When a knob is searched because of what it belongs to: a field of one member of a union only where its tag has that value, and
what needs a value of another field (`trm.config.meaning`) only where that has it."""

from collections.abc import Mapping
from typing import Any, get_args

from trm.config.base import Needs
from trm.config.leaves import leaves, written_at, written_tags
from trm.config.meaning import needs_of, shown
from trm.errors import ConfigError
from trm.search.knobs.knobs import ChoiceKnob, Knob


def with_implied(search: Mapping[str, Knob], base: Mapping[str, Any], *, by_meaning: bool = True) -> dict[str, Knob]:
    """The knobs, each with the conditions in `when` that follow from the unions above its path, and from what it needs of others.

    ConfigError for a knob that none of the members which the space can have knows, or that would change nothing anywhere. Not
    `by_meaning`, what it needs is not looked at.
    """
    tags = written_tags(base)
    found = {path: _conditioned(path, knob, search, tags) for path, knob in search.items()}
    if by_meaning:
        for path in found:
            found[path] = _needing(path, found, base)
    return found


def _needing(path: str, search: Mapping[str, Knob], base: Mapping[str, Any]) -> Knob:
    """The knob, searched only where it changes something, as far as that hangs on choices."""
    when, tags = dict(search[path].when), written_tags(base)
    for needs in _shared_needs(path, search, tags):
        chooser = search.get(needs.path)
        default = leaves()[needs.path].variant(tags).info.get_default(call_default_factory=True)
        possible = [written_at(base, needs.path, default)] if chooser is None else chooser.extremes
        wanted = when.get(needs.path, possible)
        wanted = wanted if isinstance(wanted, list) else [wanted]
        fitting = [value for value in wanted if needs.is_met(value)]
        if not fitting:
            has = f"the base has {needs.path}" if chooser is None else f"search.{needs.path} has"
            raise ConfigError(
                f"search.{path} changes nothing where {has} {', '.join(map(shown, wanted))}",
                remedy=f"drop it, or give {needs.path} a value with which it does",
            )
        if isinstance(chooser, ChoiceKnob) and len(fitting) < len(wanted) and _follows(chooser, when):
            when[needs.path] = fitting[0] if len(fitting) == 1 else list(fitting)
    return search[path] if when == search[path].when else search[path].model_copy(update={"when": when})


def _follows(chooser: Knob, when: Mapping[str, Any]) -> bool:
    """Whether a knob is searched wherever these conditions hold: else the base's value decides in its place."""
    return all(path in when and when[path] == value for path, value in chooser.when.items())


def _shared_needs(path: str, search: Mapping[str, Knob], tags: Mapping[str, Any]) -> list[Needs]:
    """What a knob needs of others under every member that the space can have, where every such member has the other."""

    def possible(at: str) -> list[Any]:
        chooser = search.get(at)
        wanted = search[path].when.get(at, chooser.values if isinstance(chooser, ChoiceKnob) else [tags[at]])
        return wanted if isinstance(wanted, list) else [wanted]

    def is_possible(own: Mapping[str, tuple[str, ...]]) -> bool:
        return all(any(tag in having for tag in possible(at)) for at, having in own.items())

    first, *others = [needs_of(one) for one in leaves()[path].variants if is_possible(one.tags)] or [()]
    return [
        needs
        for needs in first
        if all(needs in other for other in others)
        and all(tag in having for at, having in leaves()[needs.path].where.items() for tag in possible(at))
    ]


def _conditioned(path: str, knob: Knob, search: Mapping[str, Knob], tags: Mapping[str, Any]) -> Knob:
    when = dict(knob.when)
    for at, having in leaves()[path].where.items():
        chooser = search.get(at)
        possible = chooser.values if isinstance(chooser, ChoiceKnob) else [tags[at]]
        wanted = when.get(at, possible)
        fitting = [tag for tag in (wanted if isinstance(wanted, list) else [wanted]) if tag in having]
        owners = " or ".join(having)
        if not fitting and at in when:
            raise ConfigError(f"search.{path} is a field of {at} {owners}, and its `when` wants {wanted!r}", remedy="change `when`")
        if not fitting and not isinstance(chooser, ChoiceKnob) and tags[at] not in get_args(leaves()[at].info.annotation):
            continue  # the base's tag is none, which its own check says
        if not fitting:
            known = f"search.{at} has" if isinstance(chooser, ChoiceKnob) else "the base has"
            raise ConfigError(
                f"search.{path} is a field of {at} {owners}, and {known} {', '.join(map(str, possible))}",
                remedy=f"drop it, or set base.{at}, or search {at} with {having[0]} among its values",
            )
        if isinstance(chooser, ChoiceKnob) and len(fitting) < len(possible):
            when[at] = fitting[0] if len(fitting) == 1 else list(fitting)
    return knob if when == knob.when else knob.model_copy(update={"when": when})
