"""Dotted paths of a run configuration as files spell them: `model.H_cycles: 3` or `model: {H_cycles: 3}`, each path once."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from trm.config.run import RunConfig
from trm.errors import ConfigError

IsSection = Callable[[str, Any], bool]
"""Whether what stands at a path holds further paths, and is no value itself."""


def flat(section: Mapping[str, Any], source: str, is_section: IsSection | None = None) -> dict[str, Any]:
    """Dotted path -> value of everything below `section`, in its order; ConfigError names both spellings of a path given twice.

    Without `is_section` every mapping is one.
    """
    found: dict[str, Any] = {}
    spelled: dict[str, str] = {}
    for path, spelling, value in _walked(section, "", "", is_section or _is_mapping):
        if path in found:
            raise ConfigError(
                f"{source}.{path} stands there twice, as `{spelled[path]}` and as `{spelling}`", remedy="keep one of them"
            )
        found[path], spelled[path] = value, spelling
    return found


def nested(mapping: Mapping[str, Any], source: str = "") -> dict[str, Any]:
    """A sparse run configuration, its dotted keys taken apart; ConfigError names both spellings of a path given twice."""
    sections = {name: dict(value) for name, value in mapping.items() if name in RunConfig.model_fields and _is_mapping(name, value)}
    result: dict[str, Any] = {**mapping, **sections}
    for key, value in mapping.items():
        section, dot, name = key.partition(".")
        if not dot or section not in RunConfig.model_fields:
            continue
        del result[key]
        there = result.setdefault(section, {})
        if not isinstance(there, dict) or name in there:
            path = f"{source}.{key}" if source else key
            nested_spelling = f"{section}: {name}" if isinstance(there, dict) else section
            raise ConfigError(f"{path} stands there twice, as `{nested_spelling}` and as `{key}`", remedy="keep one of them")
        there[name] = value
    return result


def beside(named: Any, folder: Path) -> Any:
    """The path of a file that another file in `folder` names: beside that one if it is there, else from the working folder.

    What lies below the working folder comes relative to it, so that one file has one path from wherever its space is named. What is
    no path of a local file is returned as it is.
    """
    if not isinstance(named, str) or not named or os.path.isabs(named) or "://" in named:
        return named
    place = os.path.abspath(folder / named)
    if not os.path.exists(place):
        return named
    below = os.path.relpath(place)
    return place if below.startswith(os.pardir) else below


def with_data_beside(mapping: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A mapping whose `data` names its recipe, its folder and the files in `overrides` as `beside` finds them."""
    data = mapping.get("data")
    if not isinstance(data, Mapping):
        return dict(mapping)
    found = {key: beside(value, folder) if key in ("recipe", "folder") else value for key, value in data.items()}
    if isinstance(overrides := found.get("overrides"), Mapping):
        found["overrides"] = with_sources_beside(overrides, folder)
    return {**mapping, "data": found}


def with_start_beside(mapping: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A sparse run configuration whose `start` names its files by absolute paths: beside the file in `folder` that names them if
    they are there, else from the working folder."""
    start = mapping.get("start")
    if not isinstance(start, Mapping):
        return dict(mapping)
    found = {key: absolute_beside(value, folder) if key in ("from", "trained_on") else value for key, value in start.items()}
    return {**mapping, "start": found}


def absolute_beside(named: Any, folder: Path) -> Any:
    """The absolute path of what a file in `folder` names: there, or in the working folder if it is there alone; else as it is."""
    if not isinstance(named, str) or not named:
        return named
    named = os.path.expanduser(named)
    there, here = os.path.abspath(folder / named), os.path.abspath(named)
    return here if os.path.exists(here) and not os.path.exists(there) else there


def with_sources_beside(fields: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Fields of a data set recipe, of which `path` and `paths` name their files as `beside` finds them."""
    found = {key: beside(value, folder) if key == "path" else value for key, value in fields.items()}
    if isinstance(paths := found.get("paths"), Mapping):
        found["paths"] = {subset: beside(place, folder) for subset, place in paths.items()}
    return found


def _walked(section: Mapping[str, Any], prefix: str, spelling: str, is_section: IsSection) -> Iterator[tuple[str, str, Any]]:
    for key, value in section.items():
        path = f"{prefix}{key}"
        if is_section(path, value):
            yield from _walked(value, f"{path}.", f"{spelling}{key}: ", is_section)
        else:
            yield path, f"{spelling}{key}", value


def _is_mapping(path: str, value: Any) -> bool:
    return isinstance(value, dict)
