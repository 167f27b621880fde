"""Our data sets as folders of the reference's arrays: a folder a split, `identifiers.json`, and for ARC `test_puzzles.json`."""

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from trm.console.long_work import Report, silent
from trm.data.batches.split import Split, load_split
from trm.data.format import shards, storage
from trm.data.format.built import IdentifierTable
from trm.data.format.manifest import Manifest, SplitName, read_manifest
from trm.errors import DatasetError
from trm.files.atomic import fsync_file, fsync_folder, make_folders, why_unwritable
from trm.files.json_files import parse_json
from trm.tasks.arc.augment import FIRST_COLOUR, sizes
from trm.tasks.identifiers import identifier_names
from trm.tasks.making.large_arrays import CHUNK_ROWS, room
from trm.tasks.published.arrays import IDENTIFIERS_FILE, KINDS_FILE, TEST_PUZZLES_FILE, facts_file
from trm.tasks.published.arrays_arc import BLANK_NAME, cornered
from trm.tasks.published.arrays_files import ARRAYS, array_file
from trm.tasks.published.export_forms import FormRows, Layout, is_from_table, layout_of
from trm.tasks.published.export_source import in_source_place, put_back

KINDS = {"inputs": "|u1", "labels": "|u1", "puzzle_identifiers": "<i4", "puzzle_indices": "<i4", "group_indices": "<i4"}
"""Types of the arrays of a data set that did not come from arrays."""
WHOLE_NUMBERS = {"|i1", "|u1", *(f"{order}{kind}{size}" for order in "<>" for kind in "iu" for size in (2, 4, 8))}


def export_dataset(
    folder: str, out: str, *, num_aug: int | None = None, joins_validation: bool = False, report: Report = silent
) -> dict[str, dict[str, Any]]:
    """Write the data set in `folder` as the reference's arrays into the new folder `out`; what each `dataset.json` says.

    Augmentations are written out, `num_aug` of a puzzle besides its own (None: as many as the data set has). Validation becomes
    a folder of its own, or with `joins_validation` goes back into training. The folder appears whole or not at all.
    """
    if num_aug is not None and num_aug < 0:
        raise DatasetError(f"the number of augmentations must be >= 0, got {num_aug}", remedy="use 0 for none")
    manifest = read_manifest(folder)
    target = _target(out)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.exporting-", dir=target.parent) as staging:
            finished = Path(staging) / target.name
            said = _write(folder, manifest, finished, num_aug, joins_validation, report)
            for path in sorted(finished.rglob("*")):
                (fsync_folder if path.is_dir() else fsync_file)(path)
            os.rename(finished, target)
            fsync_folder(target.parent)
    except OSError as error:
        raise DatasetError(f"the export's folder must be writable: {target} ({error})", remedy="name another folder") from error
    return said


def _target(out: str) -> Path:
    if not storage.is_local(out):
        raise DatasetError(f"an export goes to a folder of this machine, got {out}", remedy="export here, then copy it there")
    target = storage.local_path(out).absolute()
    if target.exists():
        raise DatasetError(f"an export needs a folder of its own: {target} exists", remedy="name another, or remove it")
    if (reason := why_unwritable(target.parent)) is not None:
        raise DatasetError(f"the export's folder must be writable: {target} ({reason})", remedy="name another folder")
    make_folders(target.parent)
    return target


def _write(
    folder: str, manifest: Manifest, out: Path, num_aug: int | None, joins_validation: bool, report: Report
) -> dict[str, dict[str, Any]]:
    splits = {name: load_split(folder, manifest, name, room) for name in manifest.splits}
    tests = _test_puzzles(folder, manifest, splits)
    if joins_validation and "validation" in splits:
        splits["train"] = put_back(splits["train"], in_source_place(splits.pop("validation")))
    attached = {
        info.file: storage.read_bytes(storage.inside(folder, info.file), what="attachment", remedy=shards.REBUILD)
        for info in manifest.attachments
    }
    numbers = _renumbered(list(splits.values()), manifest, num_aug)
    said: dict[str, dict[str, Any]] = {}
    for name, split in splits.items():
        layout = layout_of(split, manifest, num_aug, is_trained=name == "train")
        rows = FormRows(layout, manifest, is_trained=name == "train")
        (out / name).mkdir(parents=True)
        source = "test" if name == "test" else "train"
        kinds = _kinds(attached.get(KINDS_FILE), source, storage.join(folder, KINDS_FILE))
        _write_arrays(out / name, layout, rows, numbers, kinds, partial(report, f"{name} rows"))
        said[name] = _facts(layout, manifest, int(numbers.max()) + 1)
        text = attached.get(facts_file(name))
        if text is None or not _still_says(_facts_in(text, storage.join(folder, facts_file(name))), said[name]):
            text = json.dumps(said[name]).encode()
        (out / name / "dataset.json").write_bytes(text)
    is_kept = num_aug is None or manifest.identifiers is None
    names = attached.get(IDENTIFIERS_FILE) if is_kept else None
    (out / IDENTIFIERS_FILE).write_bytes(names or json.dumps(_names(folder, manifest, numbers)).encode())
    if TEST_PUZZLES_FILE in attached or tests:
        (out / TEST_PUZZLES_FILE).write_bytes(attached.get(TEST_PUZZLES_FILE) or json.dumps(tests).encode())
    return said


def _kinds(text: bytes | None, split: str, path: str) -> dict[str, str]:
    """The types that an import found, of whole numbers, and where there are none the usual ones."""
    if text is None:
        return KINDS
    said = parse_json(text, path, dict, error=DatasetError, remedy=shards.REBUILD).get(split, {})
    if not isinstance(said, dict) or not all(name in KINDS and kind in WHOLE_NUMBERS for name, kind in said.items()):
        raise DatasetError(f"types of arrays must be whole numbers': {path} has {str(said)[:80]}", remedy=shards.REBUILD)
    return KINDS | said


def _facts_in(text: bytes, path: str) -> dict[str, Any]:
    return parse_json(text, path, dict, error=DatasetError, remedy=shards.REBUILD)


def _write_arrays(folder: Path, layout: Layout, rows: FormRows, numbers: np.ndarray, kinds: Mapping[str, str], tell: Any) -> None:
    ends, cells = layout.puzzle_indices, layout.split.inputs.shape[1]
    indices = {
        "puzzle_identifiers": numbers[layout.identifiers],
        "puzzle_indices": ends,
        "group_indices": layout.group_indices,
    }
    for name, values in indices.items():
        np.save(folder / array_file(name), values.astype(kinds[name]))
    with ExitStack() as files:
        kinds_of = [np.dtype(kinds[name]) for name in ARRAYS[:2]]
        grids = [files.enter_context(open(folder / array_file(name), "wb")) for name in ARRAYS[:2]]
        for file, kind in zip(grids, kinds_of, strict=True):
            said = {"descr": kind.str, "fortran_order": False, "shape": (int(ends[-1]), cells)}
            np.lib.format.write_array_header_1_0(file, said)
        first = 0
        while first < len(ends) - 1:
            last = max(int(np.searchsorted(ends, ends[first] + CHUNK_ROWS, side="right")) - 1, first + 1)
            for file, kind, made in zip(grids, kinds_of, rows.make(first, last), strict=True):
                file.write(made.astype(kind).tobytes())
            tell(int(ends[last]), int(ends[-1]))
            first = last


def _renumbered(splits: list[Split], manifest: Manifest, num_aug: int | None) -> np.ndarray:
    """The exported number of every identifier: with fewer augmentations than the data set has, they close ranks."""
    numbers = np.arange(manifest.num_puzzle_identifiers)
    starts = splits[0].identifier_starts
    if starts is None or num_aug is None:
        return numbers
    is_drawn = np.zeros(len(starts) - 1, dtype=bool)
    for split in splits:
        is_drawn[split.groups[is_from_table(split)]] = True
    counts = np.diff(starts)
    within = np.arange(1, len(numbers)) - np.repeat(starts[:-1], counts)
    is_kept = np.append(True, (within <= num_aug) | ~np.repeat(is_drawn, counts))
    return np.where(is_kept, np.cumsum(is_kept) - 1, -1)


def _facts(layout: Layout, manifest: Manifest, identifiers: int) -> dict[str, Any]:
    """What `dataset.json` says."""
    puzzles, groups = len(layout.puzzles), len(layout.group_indices) - 1
    return {
        "pad_id": 0,
        "ignore_label_id": 0,
        "blank_identifier_id": 0,
        "vocab_size": len(manifest.vocabulary),
        "seq_len": manifest.seq_len,
        "num_puzzle_identifiers": identifiers,
        "total_groups": groups,
        "mean_puzzle_examples": int(layout.puzzle_indices[-1]) / puzzles if puzzles else 0.0,
        "total_puzzles": puzzles,
        "sets": ["all"],
    }


def _still_says(kept: dict[str, Any], counted: dict[str, Any]) -> bool:
    """Whether a `dataset.json` that was imported describes the split that is exported."""
    same = ("total_groups", "num_puzzle_identifiers", "vocab_size", "seq_len")
    mean = kept.get("mean_puzzle_examples")
    return (
        all(kept.get(name) == counted[name] for name in same)
        and kept.get("total_puzzles") in (counted["total_puzzles"], counted["total_groups"])
        and isinstance(mean, int | float)
        and bool(np.isclose(mean, counted["mean_puzzle_examples"]))
    )


def _names(folder: str, manifest: Manifest, numbers: np.ndarray) -> list[str]:
    """The name of every exported identifier."""
    names = identifier_names(folder, manifest) or [BLANK_NAME] * manifest.num_puzzle_identifiers
    return [name for name, number in zip(names, numbers, strict=True) if number >= 0]


def _test_puzzles(folder: str, manifest: Manifest, splits: Mapping[SplitName, Split]) -> dict[str, dict[str, list[Any]]]:
    """The tasks of the test split by name, with their demonstrations, as grids of colours; of no other puzzle than ARC."""
    table = shards.read_identifiers(folder, manifest)
    if table is None or manifest.task != "arc":
        return {}
    groups = np.unique(splits["test"].groups)
    tested: dict[int, dict[str, list[Any]]] = {int(group): {"train": [], "test": []} for group in groups}
    parts: tuple[SplitName, ...] = ("train", "test")
    for name in parts:
        split = splits[name]
        for row in _unaugmented(split, table):
            if (task := tested.get(int(split.groups[row]))) is not None:
                inputs, labels, *_ = cornered(np.array(split.inputs[[row]]), np.array(split.labels[[row]]))
                task[name].append({"input": _colours(inputs), "output": _colours(labels)})
    return {table.names[group]: task for group, task in tested.items()}


def _unaugmented(split: Split, table: IdentifierTable) -> np.ndarray:
    """Rows of the split that are stored as the task has them."""
    if split.puzzle_identifiers is None:
        return np.arange(len(split))
    return np.flatnonzero((split.puzzle_identifiers < 0) | (table.codes[split.puzzle_identifiers] == 0))


def _colours(canvas: np.ndarray) -> list[list[int]]:
    (height,), (width,) = sizes(canvas)
    grid: list[list[int]] = (canvas.reshape(30, 30)[:height, :width].astype(int) - FIRST_COLOUR).tolist()
    return grid
