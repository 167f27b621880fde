"""A search space read from its YAML file: overrides, recipes named there, and what the file leaves out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trm.config.files import apply_overrides, honour_in, load_yaml, merged, require_kind, validated
from trm.config.meaning import is_complete, without_idle
from trm.config.paths import flat, nested, with_data_beside
from trm.config.run import RunConfig
from trm.config.shipped import named_file
from trm.config.unions import Tagged, union_of
from trm.errors import ConfigError
from trm.search.space.data_choice import recipe_beside, recipes_beside
from trm.search.space.defaults import with_defaults
from trm.search.space.rules import RULES, goes_by_meaning
from trm.search.space.space import SearchSpace
from trm.search.space.start_points import names_recipes, read_recipe, start_points
from trm.search.space.starts import with_starts_beside


def load_space(path: str | Path, overrides: Sequence[str] = (), *, rules: int = RULES) -> SearchSpace:
    """The search space of a YAML file with `--set` overrides laid over it; ConfigError for everything that is wrong with it.

    `rules`: those by which a sweep of it began that is to go on; what they did not know is neither refused nor implied.
    """
    path = named_file(path, "search space")
    mapping = with_data_beside(load_yaml(path), path.parent)
    require_kind(mapping, "search space", path)
    whole = [override for override in overrides if override.partition("=")[0].strip() in ("base", "base.recipe", "imports")]
    mapping = _with_base(apply_overrides(mapping, whole), path.parent, rules)
    mapping = apply_overrides(mapping, [override for override in overrides if override not in whole], _unions())
    honour_in(mapping, overrides)
    if isinstance(mapping.get("search"), dict):
        searched = flat(mapping["search"], "search", _holds_knobs)
        mapping["search"] = {path: knob for path, knob in searched.items() if knob is not None}
        mapping["search"] = recipes_beside(mapping["search"], path.parent)
    mapping.setdefault("name", path.stem)
    if isinstance(mapping.get("start_points"), list):
        flat_ones = [_flat_point(number, point) for number, point in enumerate(mapping["start_points"])]
        mapping["start_points"] = [recipe_beside(point, path.parent) for point in flat_ones]
    mapping = with_starts_beside(mapping, path.parent, rules)
    mapping = _with_types(mapping, str(path), rules)
    points, context = mapping.get("start_points"), {"rules": rules}
    if not isinstance(points, list) or not names_recipes(points):
        return with_defaults(validated(SearchSpace, mapping, str(path), context), mapping, rules)
    knobs = list(validated(SearchSpace, {**mapping, "start_points": []}, str(path), context).knobs_in_order())
    found, notes = start_points(points, knobs, path.parent)
    mapping = {**mapping, "start_points": found, "start_notes": notes}
    return with_defaults(validated(SearchSpace, mapping, str(path), context), mapping, rules)


def _unions() -> dict[str, Tagged]:
    """Sections of a space that are one of several kinds."""
    return {name: union for name, info in SearchSpace.model_fields.items() if (union := union_of(info)) is not None}


def _with_types(mapping: dict[str, Any], source: str, rules: int) -> dict[str, Any]:
    """`mapping` where settings of which no kind is named are of the kind that there is when the section is left out."""
    unnamed = [
        (name, union.tag)
        for name, union in _unions().items()
        if isinstance(section := mapping.get(name), dict) and union.tag not in section
    ]
    if not unnamed:
        return mapping
    rest = {**mapping, "start_points": []}
    for name, _ in unnamed:
        del rest[name]
    plain = with_defaults(validated(SearchSpace, rest, source, {"rules": rules}), rest, rules)
    return {**mapping, **{name: {tag: getattr(getattr(plain, name), tag), **mapping[name]} for name, tag in unnamed}}


def _with_base(mapping: dict[str, Any], folder: Path, rules: int) -> dict[str, Any]:
    base = mapping.get("base")
    base = {"recipe": base} if isinstance(base, str) else base
    if isinstance(base, dict) and "recipe" in base:
        changes = dict(base)
        values, source = read_recipe("base.recipe", changes.pop("recipe"), folder)
        if "data" in values:
            mapping = {"data": values.pop("data"), **mapping}
        for own in ("seed", "tracking"):  # a run's; a sweep has its own
            values.pop(own, None)
        _require_imports(str(source), values.pop("imports", None), mapping)
        if goes_by_meaning(rules) and is_complete(values):  # as a run or a sweep wrote it
            values = without_idle(values)
        base = merged(values, nested(changes, "base"))
    elif isinstance(base, dict):
        base = nested(base, "base")
    return mapping if base is None else {**mapping, "base": base}


def _require_imports(source: str, named: Any, mapping: Mapping[str, Any]) -> None:
    """ConfigError for modules of a recipe that the space does not name itself: what imports them is a person's own file."""
    said = mapping.get("imports") or []
    lacking = [name for name in named or () if not isinstance(said, list | tuple) or name not in said]
    if lacking:
        raise ConfigError(
            f"base.recipe {source} has imports {', '.join(map(str, lacking))}, which a space has to name itself",
            remedy=f"set imports: [{', '.join(map(str, [*said, *lacking]))}] beside `base`",
        )


def _holds_knobs(path: str, value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("type", {}), dict) or path.count(".") > 1:
        return False
    return path in RunConfig.model_fields or (bool(value) and all(isinstance(one, dict) for one in value.values()))


def _flat_point(number: int, point: Any) -> Any:
    return flat(point, f"start_points.{number}") if isinstance(point, dict) else point
