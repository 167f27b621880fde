"""Where a sweep begins: recipes, published settings as complete run configurations, as base and as start points; and the base."""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm.config.data import RECIPE_FIELDS
from trm.config.files import load_yaml, require_kind, validated
from trm.config.leaves import value_at
from trm.config.paths import beside, nested, with_data_beside, with_start_beside
from trm.config.run import RunConfig
from trm.config.shipped import named_file
from trm.errors import ConfigError
from trm.search.knobs.knobs import FloatKnob, IntKnob, Knob, Scalar, as_listed, field_value
from trm.tasks.recipes import recipe_of_data

if TYPE_CHECKING:
    from trm.search.space.space import SearchSpace

Knobs = Sequence[tuple[str, Knob]]
"""Searched path and knob, in the order of their conditions."""
_OF_RECIPE = tuple(f"data.{name}" for name in RECIPE_FIELDS)


def read_recipe(key: str, recipe: Any, folder: Path) -> tuple[dict[str, Any], Path]:
    """The run configuration that `key` names, in `folder` or from here, and where it was."""
    if not isinstance(recipe, str):
        raise ConfigError(f"{key} must be the path of a run configuration, got {recipe!r}", remedy="give its path")
    source = named_file(beside(recipe, folder), "run configuration")
    if not os.path.exists(source) and os.path.isdir((folder / recipe).parent):
        source = folder / recipe
    values = with_data_beside(load_yaml(source), source.parent)
    require_kind(values, "run configuration", source)
    return with_start_beside(nested(values), source.parent), source


def names_recipes(points: Sequence[Any]) -> bool:
    """Whether start points, as a file has them, name a recipe."""
    return any(map(_is_recipe, points))


def start_points(points: Sequence[Any], knobs: Knobs, folder: Path) -> tuple[list[Any], list[str]]:
    """The points with each recipe replaced by what it is for `knobs`, and in words what differs from the recipes."""
    found, notes = list(points), []
    for number, point in enumerate(points):
        if _is_recipe(point):
            own = {} if isinstance(point, str) else {path: value for path, value in point.items() if path != "recipe"}
            named = point if isinstance(point, str) else point["recipe"]
            values, source = read_recipe(f"start_points.{number}.recipe", named, folder)
            recipe = validated(RunConfig, values, str(source))
            found[number], changed = recipe_point(knobs, recipe, own)
            said = ", ".join(changed) if changed else "every searched knob as there"
            notes.append(f"start point {number} from {source.name}, for {recipe.data.recipe or recipe.data.folder}: {said}")
    return found, notes


def _is_recipe(point: Any) -> bool:
    return isinstance(point, str) or (isinstance(point, dict) and "recipe" in point)


def recipe_point(knobs: Knobs, recipe: RunConfig, own: Mapping[str, Scalar]) -> tuple[dict[str, Scalar], list[str]]:
    """The start point that `recipe` is for `knobs`, `own` values laid over it, and in words what differs from the recipe.

    A value that a knob cannot be becomes the nearest that it can.
    """
    point: dict[str, Scalar] = {}
    changed: list[str] = []
    for path, knob in knobs:
        if not knob.is_active(point):
            continue
        value = as_listed(path, knob, value_at(recipe, path))
        point[path] = own[path] if path in own else value if knob.contains(value) else _nearest(knob, value)
        if point[path] != value:
            changed.append(f"{path} {value!r} -> {point[path]!r}")
    point |= {path: value for path, value in own.items() if path not in point}  # the space says what is wrong with them
    return point, changed


def base_point(space: "SearchSpace") -> tuple[dict[str, Scalar], list[str]]:
    """The start point that the base of `space` is for its knobs, and in words what differs from the base.

    A knob with a `prior` has the value that is believed in. A value that a knob cannot be becomes the nearest that it can. Of a
    data set it is the recipe's own.
    """
    point: dict[str, Scalar] = {}
    changed: list[str] = []
    for path, knob in space.knobs_in_order():
        if not knob.is_active(point):
            continue
        if knob.prior is not None:
            point[path] = knob.prior.at
            continue
        value = as_listed(path, knob, field_value(path, space.base_value(path, point)))
        if value is None and path in _OF_RECIPE and not knob.contains(None):
            value = getattr(recipe_of_data(space.data_of(point)), path.removeprefix("data."), None)
        point[path] = value if knob.contains(value) else _nearest(knob, value)
        if point[path] != value:
            changed.append(f"{path} {value!r} -> {point[path]!r}")
    return point, changed


def _nearest(knob: Knob, value: Any) -> Scalar:
    """The knob's value that is nearest to one that it cannot be; the first one where neither has a place on a scale."""
    if isinstance(knob, FloatKnob):
        return min(knob.high, max(knob.low, value)) if _is_number(value) else knob.low
    if isinstance(knob, IntKnob):
        inside = min(knob.high, max(knob.low, value)) if _is_number(value) else knob.low
        return int(knob.low + knob.step * math.ceil((inside - knob.low) / knob.step - 0.5))
    values = knob.values_in_order
    numbers = [one for one in values if _is_number(one)]
    if not numbers or not _is_number(value):
        return values[0]
    return min(numbers, key=lambda one: abs(float(str(one)) - float(value)))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
