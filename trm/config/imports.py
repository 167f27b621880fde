"""A person's own modules: what `imports` in a run or a space names, imported on that person's word alone.

Importing a module runs it, so a file alone is no reason to. A name is imported only
- from `imports` of the space or the run configuration that the person names on the command line, or of `--set imports=...`;
- or from the environment variable `TRM_IMPORTS` (names with commas between), which is the person's word for every command, and
  by which a command hands on to its own child processes what it was told.
What lies in a folder that is only looked at, resumed, evaluated or started from (`sweep.yaml`, a run's `config.yaml`, a
checkpoint, a journal) imports nothing: where it names a module that was not asked for as above, it is refused with the name.
Modules are looked for where Python looks, then in the working folder; never beside such a file.
"""

import hashlib
import importlib
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.machinery import PathFinder
from inspect import isabstract
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from trm.config.unions import Imported, add_member, added_to, base_of, tags_of
from trm.errors import ConfigError

VARIABLE = "TRM_IMPORTS"
NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
VERSION = "imports "
"""Before a module's name, among the versions that a sweep or a run was made with."""

_IMPORTED: dict[str, tuple[ModuleType, str]] = {}
"""What was imported by this process, by name, and the digest of its sources at that moment."""


def honour(names: Iterable[str]) -> None:
    """Imports modules that a person asked for, for this process and its children; ConfigError for one that cannot be used."""
    for name in names:
        if name not in _IMPORTED:
            digest = source_digest(name) or "none"
            _IMPORTED[name] = _imported(name), digest
            told = [*filter(None, os.environ.get(VARIABLE, "").split(",")), name]
            os.environ[VARIABLE] = ",".join(dict.fromkeys(told))


def asked_for() -> list[str]:
    """The modules that a person asked for by the environment."""
    return [name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip()]


def require_asked(names: Any, what: str) -> None:
    """ConfigError for a module that `what` names and nobody asked for; those asked for by the environment are imported now."""
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        return  # which is refused as what it is
    honour(name for name in asked_for() if name in names)
    strange = [name for name in names if name not in _IMPORTED]
    if strange:
        raise ConfigError(
            f"modules are imported on your word alone, and {what} names {', '.join(strange)}",
            remedy=f"look at what is importable here under that name, then set {VARIABLE}={','.join(strange)} for this command",
        )


def module_of(name: str) -> ModuleType:
    """A module that `honour` imported."""
    return _IMPORTED[name][0]


def members_of(name: str) -> list[type[BaseModel]]:
    """What a module that `honour` imported adds to unions."""
    return _members(_IMPORTED[name][0])


def exported(attribute: str) -> list[tuple[str, Any]]:
    """Module and value of an attribute, of every imported module that has it."""
    return [(name, getattr(module, attribute)) for name, (module, _) in _IMPORTED.items() if hasattr(module, attribute)]


def source_digest(name: str) -> str | None:
    """Digest of the source files of a module and of the whole package it is in; None where there is none. Imports nothing."""
    top = name.partition(".")[0]
    spec = PathFinder.find_spec(top, [*sys.path, os.getcwd()])
    if spec is None:
        return None
    if spec.submodule_search_locations:
        files = sorted((Path(root), path) for root in spec.submodule_search_locations for path in Path(root).rglob("*.py"))
    elif spec.origin is not None and spec.origin.endswith(".py"):
        files = [(Path(spec.origin).parent, Path(spec.origin))]
    else:
        return None
    digest = hashlib.sha256()
    for root, path in files:
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def import_versions(names: Sequence[str]) -> dict[str, str]:
    """What is recorded of imported modules beside the versions of packages: the digest of each one's sources."""
    return {f"{VERSION}{name}": _IMPORTED[name][1] for name in names if name in _IMPORTED}


def require_unchanged(before: Mapping[str, str], names: Sequence[str], what: str) -> None:
    """ConfigError when `what` began with other sources of its imported modules, as `import_versions` has them in `before`."""
    for key, now in import_versions(names).items():
        if key in before and before[key] != now:
            raise ConfigError(
                f"{what} began with {key.removeprefix(VERSION)} of digest {before[key]}, and its sources have {now} now",
                remedy="restore them, or start anew under another name",
            )


def _imported(name: str) -> ModuleType:
    if not NAME.fullmatch(name):
        raise ConfigError(f"imports must be names of Python modules such as my_lab.nets, got {name!r}", remedy="give its name")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name}."):
            raise ConfigError(f"imports: {name} needs {error.name}, which is not there", remedy=f"install {error.name}") from error
        raise ConfigError(
            f"imports: {name} is no module that Python finds here", remedy="start where it lies, or add its folder to PYTHONPATH"
        ) from error
    except (Exception, SystemExit) as error:  # whatever a person's module does when it is imported
        raise ConfigError(f"imports: {name} cannot be imported ({type(error).__name__}: {error})", remedy="mend it") from error
    members = _members(module)
    if not members and not getattr(module, "METRICS", ()):
        raise ConfigError(
            f"imports: {name} adds nothing: no class in it derives from a base of `trm.config` such as ImportedOptimizer, "
            f"and it has no METRICS",
            remedy="derive from one; docs/extending.md has a recipe a door",
        )
    for member in members:
        _require_member(name, member)
        add_member(base_of(member), member)
    return module


def _members(module: ModuleType) -> list[type[BaseModel]]:
    """Classes of a module's own package that derive from a base of imported members, each once."""
    top = module.__name__.partition(".")[0]
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Imported) and issubclass(value, BaseModel)
    ]
    own = [one for one in found if one.__module__.partition(".")[0] == top and Imported not in one.__bases__]
    return list(dict.fromkeys(one for one in own if not isabstract(one)))


def _require_member(name: str, member: type[BaseModel]) -> None:
    base = base_of(member)
    tag = base.TAG
    where = f"imports: {name}.{member.__name__}"
    tags = tags_of(member, tag)
    if len(tags) != 1 or not isinstance(tags[0], str):
        raise ConfigError(f'{where} must have one tag, `{tag}: Literal["..."] = "..."`', remedy="write it so")
    if member.model_fields[tag].default != tags[0]:
        raise ConfigError(f"{where} must have its tag {tags[0]!r} as the default of {tag}", remedy=f"write = {tags[0]!r} behind it")
    for method in base.METHODS:
        if getattr(member, method) is getattr(base, method):
            raise ConfigError(f"{where} must have a method {method}", remedy=f"write it as {base.__name__}.{method} says")
    missing = [field for field, info in member.model_fields.items() if info.is_required()]
    if missing:
        raise ConfigError(f"{where} must have a default for {', '.join(missing)}", remedy="give one: people write sparse YAML")
    for other in (*base.built_in(), *added_to(base)):
        if other is not member and tags[0] in tags_of(other, tag):
            raise ConfigError(f"{where} has the tag {tags[0]}, which {other.__name__} has too", remedy="choose another")
