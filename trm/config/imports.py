"""A person's own modules: what `imports` in a run, a space or a recipe names, imported on that person's word alone.

Importing a module runs it, so a file alone is no reason to. A name is imported only
- from `imports` of the space, the run configuration or the recipe that the person names on the command line, or of `--set
  imports=...`;
- or from the environment variable `TRM_IMPORTS` (names with commas between), which is the person's word for every command, and
  by which a command hands on to its own child processes what it was told.
What lies in a folder that is only looked at, resumed, evaluated or started from (`sweep.yaml`, a run's `config.yaml`, a
checkpoint, a journal, a data set), or what another file names (`data.recipe`), imports nothing: where it names a module that was
not asked for as above, it is refused with the name.
Modules are looked for where Python looks, then in the working folder; never beside such a file.
"""

import hashlib
import importlib
import os
import re
import sys
from collections.abc import Iterable, Mapping
from importlib.machinery import PathFinder
from inspect import isabstract
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from pydantic import BaseModel

from trm.config.unions import Added, add_member, added_to, base_of, is_base
from trm.errors import ConfigError, ContractError

Made = TypeVar("Made")

VARIABLE = "TRM_IMPORTS"
NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
VERSION = "imports "
"""Before a module's name, among the versions that a sweep or a run was made with."""

_IMPORTED: dict[str, tuple[ModuleType, str]] = {}
"""What was imported by this process, by name, and the digest of its sources at that moment."""


_UNDER_WAY: set[str] = set()
"""What is being imported: who asks for all members meanwhile gets those that are there."""


def honour(names: Iterable[str]) -> None:
    """Imports modules that a person asked for, for this process and its children; ConfigError for one that cannot be used."""
    for name in names:
        if name not in _IMPORTED and name not in _UNDER_WAY:
            digest = source_digest(name) or "none"
            _UNDER_WAY.add(name)
            try:
                _IMPORTED[name] = _imported(name), digest
            finally:
                _UNDER_WAY.discard(name)
            told = [*filter(None, os.environ.get(VARIABLE, "").split(",")), name]
            os.environ[VARIABLE] = ",".join(dict.fromkeys(told))


def asked_for() -> list[str]:
    """The modules that a person asked for by the environment."""
    return [name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip()]


def members_of_door(base: type) -> tuple[Any, ...]:
    """What imported modules add to the door of `base`; those asked for by the environment are imported now."""
    honour(asked_for())
    return added_to(base)


def require_asked(names: Any, what: str, way: str = "") -> None:
    """ConfigError for a module that `what` names and nobody asked for; those asked for by the environment are imported now.

    `way`: another way to ask for it, in words, for the remedy.
    """
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        return  # which is refused as what it is
    honour(name for name in asked_for() if name in names)
    strange = [name for name in names if name not in _IMPORTED]
    if strange:
        said = f"{way}set {VARIABLE}={','.join(strange)} for this command"
        raise ConfigError(
            f"modules are imported on your word alone, and {what} names {', '.join(strange)}",
            remedy=f"look at what is importable here under that name, then {said}",
        )


def members_of(name: str) -> list[Any]:
    """What a module that `honour` imported adds to doors: classes, and metrics."""
    return _members(_IMPORTED[name][0])


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


def import_versions() -> dict[str, str]:
    """What is recorded of imported modules beside the versions of packages: the digest of each one's sources."""
    honour(asked_for())
    return {f"{VERSION}{name}": digest for name, (_, digest) in _IMPORTED.items()}


def require_unchanged(before: Mapping[str, str], what: str) -> None:
    """ConfigError when `what` began with other sources of its imported modules, as `import_versions` has them in `before`."""
    for key, now in import_versions().items():
        if key in before and before[key] != now:
            raise ConfigError(
                f"{what} began with {key.removeprefix(VERSION)} of digest {before[key]}, and its sources have {now} now",
                remedy="restore them, or start anew under another name",
            )


def require_made(member: BaseModel, method: str, made: Made, kind: type[Any]) -> Made:
    """What a method of an imported member gave; ContractError where it is no `kind`."""
    if isinstance(made, kind):
        return made
    name = type(member)
    raise ContractError(
        f"{name.__module__}.{name.__name__}.{method} must give a {kind.__name__}, got {made!r}",
        remedy=f"mend it; python -m trm.contract {name.__module__} checks all that its door asks",
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
    if not members:
        raise ConfigError(
            f"imports: {name} adds nothing: no class in it derives from a base such as ImportedOptimizer or Task, and it has no "
            "METRICS",
            remedy="derive from one; docs/extending.md has a recipe a door",
        )
    for member in members:
        where = f"imports: {name}.{member.__name__ if isinstance(member, type) else f'METRICS: {member.name}'}"
        if isinstance(member, type) and isabstract(member):
            missing = ", ".join(sorted(getattr(member, "__abstractmethods__", ())))
            raise ConfigError(f"{where} must have a method {missing}", remedy=f"write it as {base_of(member).__name__} says")
        base_of(member).require_usable(member, where)
        add_member(base_of(member), member, name)
    return module


def _members(module: ModuleType) -> list[Any]:
    """What a module adds: classes of its own package that derive from a base of a door, and its `METRICS`, each once.

    A class that leaves methods open counts only when no other one fills them.
    """
    top = module.__name__.partition(".")[0]
    found = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, Added)]
    own = [one for one in found if one.__module__.partition(".")[0] == top and not is_base(one)]
    whole = [one for one in own if not (isabstract(one) and any(other is not one and issubclass(other, one) for other in own))]
    values = getattr(module, "METRICS", ())
    if not isinstance(values, tuple | list) or not all(is_base(type(value)) for value in values):
        raise ConfigError(
            f"imports: {module.__name__}.METRICS must be a tuple of metrics, got {values!r:.80}", remedy="write (Metric(...),)"
        )
    return list(dict.fromkeys([*whole, *values]))
