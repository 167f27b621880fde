"""The data sets of a space: one, or each that its knobs can choose."""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trm.config.data import SET_KNOBS, DataConfig
from trm.config.paths import beside, flat
from trm.errors import ConfigError
from trm.search.knobs.knobs import Knob

MOST_SETS = 32
"""Data sets of a sweep, at most: all are built before its first trial."""
WEIGHED = "data.difficulty."
"""Begins the paths of what weighs puzzles, which choose no data set."""
STRENGTH = f"{WEIGHED}strength"
INACTIVE = object()
"""Stands for a knob that is not searched in a trial."""


def chosen_data(data: DataConfig, search: Mapping[str, Knob], params: Mapping[str, Any]) -> DataConfig:
    """`data` with what `params` choose of it."""
    chosen: dict[str, Any] = {path.removeprefix("data."): params[path] for path in SET_KNOBS if path in search and path in params}
    weighed = {path: params[path] for path in search if path.startswith(WEIGHED) and path in params}
    if weighed:
        chosen["difficulty"] = {**dict(data.difficulty), **{path.removeprefix(WEIGHED): value for path, value in weighed.items()}}
    if not chosen:
        return data
    if (train := search.get("data.train")) is not None:
        counts = [value for value in train.values_in_order if isinstance(value, int)]  # null is the recipe's own
        chosen["train_pool"] = max(counts, default=None)
    return DataConfig.model_validate({**dict(data), **chosen})


def data_choices(data: DataConfig, search: Mapping[str, Knob]) -> tuple[DataConfig, ...]:
    """Every data set that a trial can have, in the order of the knobs' values; `data` alone where none is searched.

    ConfigError when there are too many.
    """
    knobs = {path: search[path] for path in SET_KNOBS if path in search}
    if not knobs:
        return (data,)
    count = 1
    for knob in knobs.values():
        count *= int(min(knob.count, MOST_SETS + 1)) + bool(knob.when)
    if count > MOST_SETS:
        raise ConfigError(
            f"a sweep has at most {MOST_SETS} data sets, all built before its first trial: {', '.join(knobs)} make {count} or more",
            remedy="list fewer values (type: choice)",
        )
    found = {choice.source: choice for params in _combinations(knobs) for choice in (chosen_data(data, search, params),)}
    return tuple(found.values())


def _combinations(knobs: Mapping[str, Knob]) -> Iterator[dict[str, Any]]:
    """What knobs may say together; one whose condition names others is there and not there."""
    domains = [[*knob.values_in_order, *([INACTIVE] if knob.when else [])] for knob in knobs.values()]
    for values in itertools.product(*domains):
        params = {path: value for path, value in zip(knobs, values, strict=True) if value is not INACTIVE}
        if all(_may_be(knob, path in params, params, knobs) for path, knob in knobs.items()):
            yield params


def _may_be(knob: Knob, is_there: bool, params: Mapping[str, Any], knobs: Mapping[str, Knob]) -> bool:
    """Whether the knob can be there, or not there, beside the others; what else it may hang on is anything."""
    known = {other: wanted for other, wanted in knob.when.items() if other in knobs}
    holds = knob.model_copy(update={"when": known}).is_active(params)
    return holds if is_there else not holds or len(known) < len(knob.when)


def with_first_recipe(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """A space as its file has it; where `data` names no data set and recipes are searched, with the first of them."""
    search, data = values.get("search"), values.get("data", {})
    knob = search.get("data.recipe") if isinstance(search, Mapping) else None
    recipes = knob.get("values") if isinstance(knob, Mapping) else None
    if not isinstance(recipes, list) or not recipes or not isinstance(data, Mapping) or data.get("recipe") or data.get("folder"):
        return values
    return {**values, "data": {**data, "recipe": recipes[0]}}


def recipes_beside(search: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The knobs, recipes in values and conditions named as `data.recipe` would be."""
    found = dict(search)
    for path, knob in search.items():
        if not isinstance(knob, dict):
            continue
        if path == "data.recipe" and isinstance(knob.get("values"), list):
            found[path] = knob = {**knob, "values": [beside(value, folder) for value in knob["values"]]}
        if isinstance(knob.get("when"), dict):
            found[path] = {**knob, "when": recipe_beside(flat(knob["when"], "when"), folder)}
    return found


def recipe_beside(params: Any, folder: Path) -> Any:
    """Parameters or conditions, a recipe in them named as `data.recipe` would be."""
    if not isinstance(params, dict) or "data.recipe" not in params:
        return params
    named = params["data.recipe"]
    found = [beside(one, folder) for one in named] if isinstance(named, list) else beside(named, folder)
    return {**params, "data.recipe": found}
