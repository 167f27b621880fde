"""When a knob is searched because of what it belongs to: a field of one member of a union only where its tag has that value."""

from collections.abc import Mapping
from typing import Any, get_args

from trm.config.leaves import leaves, written_tags
from trm.errors import ConfigError
from trm.search.knobs.knobs import ChoiceKnob, Knob


def with_implied(search: Mapping[str, Knob], base: Mapping[str, Any]) -> dict[str, Knob]:
    """The knobs, each with the conditions in `when` that follow from the unions above its path.

    ConfigError for a knob that none of the members which the space can have knows.
    """
    tags = written_tags(base)
    return {path: _conditioned(path, knob, search, tags) for path, knob in search.items()}


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
