"""When a knob is searched because of what it belongs to: a field of one member of a union only where its tag has that value, and
what needs a value of another field (`trm.config.meaning`) only where that has it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, get_args

from trm.config.leaves import exists, leaves, put, written_tags
from trm.config.meaning import blame, deciding, idle, shown, unmet
from trm.errors import ConfigError
from trm.search.knobs.knobs import ChoiceKnob, Knob


def with_implied(search: Mapping[str, Knob], base: Mapping[str, Any], *, by_meaning: bool = True) -> dict[str, Knob]:
    """The knobs, each with the conditions in `when` that follow from the unions above its path, and from what it needs of others.

    ConfigError for a knob that none of the members which the space can have knows, or that would change nothing anywhere. Not
    `by_meaning`, what it needs is not looked at.
    """
    tags = written_tags(base)
    found = {path: _conditioned(path, knob, search, tags) for path, knob in search.items()}
    is_done = not by_meaning
    while not is_done:  # what one is searched with may be another's condition
        before = dict(found)
        for path in found:
            found[path] = _needing(path, found, base)
        is_done = found == before
    return found


def _needing(path: str, search: Mapping[str, Knob], base: Mapping[str, Any]) -> Knob:
    """The knob, searched only where it changes something, as far as that hangs on choices."""
    knob, deciders = search[path], deciding(path)
    if not deciders:
        return knob
    asked = [params for params in assigned({*deciders, *knob.when}, search) if knob.is_active(params)]
    lost = [(params, needs) for params in asked if (needs := unmet(path, with_params(base, params))) is not None]
    if not lost:
        return knob
    if len(lost) == len(asked):
        params, needs = lost[0]
        why = blame(needs, with_params(base, params))
        has = ", ".join(dict.fromkeys(shown(one[why.field]) for one in asked if why.field in one))
        there = f"search.{why.field} has {has}" if has else f"the base has {why.field} {shown(why.got)}"
        raise ConfigError(
            f"search.{path} changes nothing where {there}",
            remedy=f"drop it, or give {why.field} a value with which it does",
        )
    acting = [params for params in asked if all(params is not one for one, _ in lost)]
    when = dict(knob.when)
    for at in sorted(deciders & search.keys()):
        if isinstance(search[at], ChoiceKnob) and all(at in params for params in acting):
            had = [value for value in search[at].extremes if any(at in one and one[at] == value for one in asked)]
            fitting = [value for value in had if any(params[at] == value for params in acting)]
            if len(fitting) < len(had):
                when[at] = fitting[0] if len(fitting) == 1 else list(fitting)
    return knob if when == knob.when else knob.model_copy(update={"when": when})


def assigned(paths: Collection[str], search: Mapping[str, Knob]) -> list[dict[str, Any]]:
    """Every combination of values that the searched ones of `paths` can have; of ranges their ends.

    A knob is in those alone where it is searched; else the base's value decides in its place.
    """
    waiting, needed = [path for path in paths if path in search], dict[str, Knob]()
    while waiting:
        at = waiting.pop()
        if at in search and at not in needed:
            needed[at] = search[at]
            waiting.extend(search[at].when)
    wanted: dict[str, list[Any]] = {}
    for knob in search.values():
        for at, values in knob.when.items():
            wanted.setdefault(at, []).extend(values if isinstance(values, list) else [values])
    found: list[dict[str, Any]] = [{}]
    while needed:
        ready = [path for path, knob in needed.items() if not knob.when.keys() & needed.keys()]
        if not ready:  # conditions in a circle, which their own check says
            return []
        path, knob = ready[0], needed.pop(ready[0])
        values = [*knob.extremes, *([] if isinstance(knob, ChoiceKnob) else wanted.get(path, []))]
        found = [more for params in found for more in _with(params, path, knob, values)]
    return found


def _with(params: dict[str, Any], path: str, knob: Knob, values: Sequence[Any]) -> list[dict[str, Any]]:
    return [{**params, path: value} for value in values] if knob.is_active(params) else [params]


def with_params(base: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """A sparse run configuration with parameters laid over it."""
    values = dict(base)
    for path, value in params.items():
        put(values, path, value)
    return values


def require_meaning(base: Mapping[str, Any], search: Mapping[str, Knob]) -> None:
    """ConfigError for what a base, with the space's data, says that changes nothing in any trial."""
    members = [with_params(base, params) for params in assigned([at for at in search if leaves()[at].union], search)]
    for path in sorted({one.path for values in members for one in idle(values)}):
        found = [with_params(base, params) for params in assigned(deciding(path), search)]
        idle_ones = [next((one for one in idle(values) if one.path == path), None) for values in found]
        acts = any(one is None and exists(path, written_tags(values)) for one, values in zip(idle_ones, found, strict=True))
        first = next((one for one in idle_ones if one is not None), None)
        if first is not None and not acts:
            problem = first.problem("" if path.startswith("data.") else "base.")
            raise ConfigError(problem.text, remedy=problem.remedy)


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
