"""Import of the reference's array folders: rows, puzzles, groups and identifiers as they are stored there."""

import json
from collections.abc import Mapping

import numpy as np

from trm.console.long_work import Report, silent
from trm.data.batches.split import PAIR_ROW
from trm.data.format import storage
from trm.data.format.built import BuiltDataset, BuiltSplit, IdentifierTable
from trm.data.format.manifest import IDENTIFIER_NAMES, SplitName
from trm.errors import DatasetError
from trm.files.json_files import parse_json
from trm.tasks.choice import task_named
from trm.tasks.making.equal_rows import contradictions
from trm.tasks.making.large_arrays import chunks, room
from trm.tasks.published import arrays_arc
from trm.tasks.published.arrays_files import SourceSplit, array_file, read_json, read_source
from trm.tasks.published.arrays_parts import Rows, held_out, without_contamination
from trm.tasks.published.arrays_rules import bad_rows, shape_of
from trm.tasks.published.recipe import ArraysRecipe
from trm.tasks.repeated import with_doubles

KINDS_FILE = "arrays.json"
IDENTIFIERS_FILE = IDENTIFIER_NAMES
TEST_PUZZLES_FILE = "test_puzzles.json"
SOURCE_ROW, DOWN, RIGHT = "source_row", "down", "right"
SOURCE_SPLITS = ("train", "test")


def facts_file(split: str) -> str:
    """The attachment that keeps a split's `dataset.json`."""
    return f"{split}-dataset.json"


def build_arrays(recipe: ArraysRecipe, report: Report = silent) -> BuiltDataset:
    """The data set of `recipe`. Raises DatasetError naming file and row of what it cannot take."""
    sources = {name: read_source(storage.join(recipe.path, name)) for name in SOURCE_SPLITS}
    names, attachments = _root_files(recipe, sources)
    facts = sources["train"].facts
    grid, vocabulary = shape_of(recipe.puzzle, facts, recipe.grid, storage.join(recipe.path, "train", "dataset.json"))
    table = None
    if recipe.puzzle == "arc":
        table = arrays_arc.identifier_table_of(names or [], storage.join(recipe.path, IDENTIFIERS_FILE))
    skipped: dict[str, int] = {}
    numbers = _group_numbers(sources, table)
    if table is not None and TEST_PUZZLES_FILE in attachments:
        _check_test_puzzles(recipe.path, attachments[TEST_PUZZLES_FILE], {table.names[number] for number in numbers["test"]})
    parts = {
        name: _good_rows(recipe, Rows(source, numbers[name], np.arange(len(source))), skipped, name, report)
        for name, source in sources.items()
    }
    train = without_contamination(recipe, parts["train"], parts["test"], table, grid, skipped)
    train, validation = held_out(recipe, train, parts["test"], table, grid)
    chosen: dict[SplitName, Rows] = {"train": train}
    if validation is not None:
        chosen["validation"] = validation
    chosen["test"] = parts["test"]
    has_forms = any(len(s.group_indices) != len(s.puzzle_indices) or s.puzzle_identifiers.any() for s in sources.values())
    built = BuiltDataset(
        task=recipe.puzzle,
        grid=grid,
        vocabulary=vocabulary,
        splits={
            name: _split(rows, table, has_forms=has_forms, is_scored=name != "train", is_joined=validation is not None)
            for name, rows in chosen.items()
        },
        identifiers=table,
        num_puzzle_identifiers=facts.num_puzzle_identifiers,
        skipped=skipped,
        attachments=attachments,
    )
    return with_doubles(built)


def _root_files(recipe: ArraysRecipe, sources: Mapping[str, SourceSplit]) -> tuple[list[str] | None, dict[str, bytes]]:
    """The identifiers' names, and the small files to keep; what the splits and the names say must agree."""
    train, test = (sources[name].facts for name in SOURCE_SPLITS)
    for field in ("vocab_size", "seq_len", "num_puzzle_identifiers", "ignore_label_id"):
        one, other = getattr(train, field), getattr(test, field)
        if one != other:
            raise DatasetError(
                f"both splits must have one {field}: train/dataset.json in {recipe.path} says {one}, test/dataset.json {other}",
                remedy="take both splits from one folder",
            )
    kept = {facts_file(name): source.facts_text for name, source in sources.items()}
    kept[KINDS_FILE] = json.dumps({name: source.kinds for name, source in sources.items()}).encode()
    if (found := read_json(recipe.path, TEST_PUZZLES_FILE, dict)) is not None:
        kept[TEST_PUZZLES_FILE] = found[1]
    if (found := read_json(recipe.path, IDENTIFIERS_FILE, list)) is None:
        if recipe.puzzle == "arc":
            raise DatasetError(
                f"ARC needs the names of its identifiers: {recipe.path} has no {IDENTIFIERS_FILE}", remedy="put the file there"
            )
        return None, kept
    names, kept[IDENTIFIERS_FILE] = found
    if len(names) != train.num_puzzle_identifiers or not all(isinstance(name, str) for name in names):
        raise DatasetError(
            f"{IDENTIFIERS_FILE} must name each of the {train.num_puzzle_identifiers} identifiers: that in {recipe.path} has "
            f"{len(names)} entries",
            remedy="put the file there that belongs to the arrays",
        )
    return names, kept


def _check_test_puzzles(folder: str, text: bytes, tested: set[str]) -> None:
    """The tasks of `test_puzzles.json` and those of the test split are the same."""
    path = storage.join(folder, TEST_PUZZLES_FILE)
    listed = set(parse_json(text, path, dict, error=DatasetError, remedy="put the file there that belongs to the arrays"))
    if strange := sorted(listed ^ tested):
        has, lacks = (path, storage.join(folder, "test")) if strange[0] in listed else (storage.join(folder, "test"), path)
        raise DatasetError(
            f"{TEST_PUZZLES_FILE} must name the tasks of the test split: {has} has {strange[0]}, {lacks} has not "
            f"({len(strange)} such tasks)",
            remedy="put the file there that belongs to the arrays, or remove it",
        )


def _group_numbers(sources: Mapping[str, SourceSplit], table: IdentifierTable | None) -> dict[str, np.ndarray]:
    """The data set's number of each group: by order, or for ARC the task's, so that a task has one number in both splits."""
    counts = {name: len(source.group_indices) - 1 for name, source in sources.items()}
    if table is None:
        return {"train": np.arange(counts["train"]), "test": np.arange(counts["test"]) + counts["train"]}
    task_of = np.repeat(np.arange(len(table.names)), np.diff(table.starts))
    numbers = {}
    for name, source in sources.items():
        path = storage.join(source.folder, array_file("puzzle_identifiers"))
        identifiers = source.puzzle_identifiers.astype(np.int64)
        if len(wrong := np.flatnonzero(identifiers == 0)):
            raise DatasetError(
                f"an ARC puzzle must have an identifier of its own: {path} row {wrong[0]} has 0", remedy="correct puzzle"
            )
        tasks = task_of[identifiers - 1]
        firsts = tasks[source.group_indices[:-1]]
        if len(wrong := np.flatnonzero(tasks != firsts[source.group_of_puzzle])):
            raise DatasetError(
                f"the puzzles of a group must be forms of one task: {path} row {wrong[0]} is {table.names[tasks[wrong[0]]]}, its "
                f"group {table.names[firsts[source.group_of_puzzle[wrong[0]]]]}",
                remedy="make the folder again with the published ARC builder",
            )
        names, times = np.unique(firsts, return_counts=True)
        if (times > 1).any():
            raise DatasetError(
                f"a task must be one group: {path} has {table.names[names[times > 1][0]]} in several",
                remedy="make the folder again from subsets without common tasks",
            )
        numbers[name] = firsts
    return numbers


def _good_rows(recipe: ArraysRecipe, part: Rows, skipped: dict[str, int], name: str, report: Report) -> Rows:
    """The rows that keep the rules. Raises DatasetError for the first that does not, unless bad ones are to be skipped."""
    rows = len(part.rows)
    bad = bad_rows(part.source, recipe.puzzle, is_test=name == "test", report=lambda done: report(f"{name} rows", done, rows))
    is_bad = np.zeros(rows, dtype=bool)
    for rule, numbers in bad.items():
        if not recipe.skip_bad:
            raise DatasetError(
                f"{rule}: row {numbers[0]} of {storage.join(part.source.folder, array_file('inputs'))} and its label break that "
                f"({len(numbers)} rows in all)",
                remedy="mend the source, or leave such rows out with --skip-bad",
            )
        skipped[rule] = skipped.get(rule, 0) + len(numbers)
        is_bad[numbers] = True
    is_bad |= _contested(recipe, part, skipped)
    if is_bad.all():
        raise DatasetError(f"a split must have good rows: all {rows} of {part.source.folder} are bad", remedy="correct puzzle")
    return part.without(is_bad) if is_bad.any() else part


def _contested(recipe: ArraysRecipe, part: Rows, skipped: dict[str, int]) -> np.ndarray:
    """Which rows have a question that the split answers in two ways; of ARC a question may have an answer in each task."""
    if task_named(recipe.puzzle).arrays.answers_by_task:
        return np.zeros(len(part.rows), dtype=bool)
    grids = part.grids("inputs"), part.grids("labels")
    is_contested, rows = contradictions(*grids, part.source.puzzle_identifiers[part.puzzles])
    if rows is not None:
        rule = "a question must have one answer"
        if not recipe.skip_bad:
            raise DatasetError(
                f"{rule}: rows {rows[0]} and {rows[1]} of {storage.join(part.source.folder, array_file('inputs'))} are one "
                f"question, their labels differ",
                remedy="mend the source, or leave such rows out with --skip-bad",
            )
        skipped[rule] = skipped.get(rule, 0) + int(is_contested.sum())
    return is_contested


def _split(part: Rows, table: IdentifierTable | None, *, has_forms: bool, is_scored: bool, is_joined: bool) -> BuiltSplit:
    """The rows as a split. All splits have the same columns."""
    inputs, labels = part.grids("inputs"), part.grids("labels")
    groups = part.groups[part.source_groups].astype(np.int32)
    puzzles = part.puzzles.astype(np.int32)
    extras = {SOURCE_ROW: part.rows} if is_joined else {}
    if table is not None:
        rows = np.arange(len(groups))
        down = right = np.zeros(len(groups), dtype=np.int8)
        identifiers = part.source.puzzle_identifiers[puzzles]
        if is_scored:
            inputs, labels, down, right = _cornered(part, inputs, labels)
            rows = arrays_arc.pair_rows(inputs, labels, table.codes[identifiers], groups, puzzles)
            if (rows < 0).any():
                raise DatasetError(
                    f"a scored ARC task must have its unaugmented form: row {part.rows[np.argmin(rows)]} of {part.source.folder} "
                    f"is a form of no such pair",
                    remedy="make the folder again with the published ARC builder",
                )
        firsts = np.flatnonzero(np.concatenate([[True], np.diff(puzzles) != 0]))
        sizes = np.diff(np.append(firsts, len(puzzles)))
        extras |= {
            "pair": (np.arange(len(puzzles)) - np.repeat(firsts, sizes)).astype(np.int32),
            "pairs": np.repeat(sizes, sizes).astype(np.int32),
            PAIR_ROW: rows.astype(np.int64),
        }
        if is_joined:
            extras |= {DOWN: down, RIGHT: right}
    if not has_forms:
        return BuiltSplit(inputs, labels, groups, extras)
    return BuiltSplit(inputs, labels, groups, extras, puzzles, part.source.puzzle_identifiers[puzzles].astype(np.int32))


def _cornered(part: Rows, inputs: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Scored ARC grids in the canvas's corner, and how far down and right they were."""
    inputs_there, labels_there = room(inputs.shape), room(labels.shape)
    down, right = (np.zeros(len(inputs), dtype=np.int8) for _ in range(2))
    for chunk in chunks(len(inputs)):
        grids = np.asarray(inputs[chunk]), np.asarray(labels[chunk])
        inputs_there[chunk], labels_there[chunk], down[chunk], right[chunk] = corner = arrays_arc.cornered(*grids)
        if not (is_same := arrays_arc.is_undone(corner, grids)).all():
            raise DatasetError(
                f"a scored ARC row must be a rectangle of colours with end markers, question and answer at one place: row "
                f"{part.rows[chunk.start + np.argmin(is_same)]} of {part.source.folder} is not",
                remedy="set validation: 0 if it is in train/, or make the folder again",
            )
    return inputs_there, labels_there, down, right
