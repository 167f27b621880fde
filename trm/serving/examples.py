"""Puzzles to try: some that the network was never trained on, with their right answers, where the data set lies near."""

from typing import Any

import numpy as np

from trm.data.batches.row_storage import split_bytes
from trm.data.batches.split import Split, load_split
from trm.data.format.manifest import SplitName
from trm.errors import DatasetError
from trm.files.json_files import read_json
from trm.serving.solver import Solver

EXAMPLES_COPY = "examples.json"
"""In a release folder: examples, for where the data set is not."""
MOST_EXAMPLES = 12
MOST_BYTES = 1 << 28
"""A larger split is not read for a few examples: some are made instead."""


def examples_of(solver: Solver) -> list[dict[str, Any]]:
    """JSON: questions as grids and tokens, with the right answers where they are known; of ARC with demonstrations."""
    if (known := solver.known_examples) is None:
        solver.known_examples = known = _stored(solver) or _beside(solver) or _made(solver)
    return known


def _stored(solver: Solver) -> list[dict[str, Any]]:
    manifest, folder = solver.manifest, solver.opened.data
    wanted: tuple[SplitName, ...] = ("test", "validation")
    name = next((one for one in wanted if one in manifest.splits and manifest.splits[one].rows), None)
    if folder is None or name is None or split_bytes(manifest, name) > MOST_BYTES:
        return []
    split = load_split(folder, manifest, name)
    shown = solver.play.has_demonstrations
    train = load_split(folder, manifest, "train") if shown and split_bytes(manifest, "train") <= MOST_BYTES else None
    firsts = np.unique(split.groups, return_index=True)[1]
    rows = np.sort(firsts[np.linspace(0, len(firsts) - 1, min(MOST_EXAMPLES, len(firsts))).astype(int)])
    return [_example(solver, split, int(row), train, name) for row in rows.tolist()]


def _beside(solver: Solver) -> list[dict[str, Any]]:
    """Those that a release folder brings, as this function's caller gave them where the data set was."""
    if solver.opened.folder is None:
        return []
    try:
        told: dict[str, Any] = read_json(solver.opened.folder / EXAMPLES_COPY, dict, error=DatasetError, remedy="remove it")
    except (FileNotFoundError, DatasetError):
        return []
    found, cells = told.get("examples"), solver.manifest.seq_len
    is_list = isinstance(found, list) and all(isinstance(one, dict) for one in found)
    return [one for one in found or () if len(one.get("tokens") or ()) == cells] if is_list else []


def _example(solver: Solver, split: Split, row: int, train: Split | None, name: str) -> dict[str, Any]:
    manifest, play = solver.manifest, solver.play
    question, right = split.inputs[row], split.labels[row]
    made: dict[str, Any] = {
        "name": f"{name} {row}",
        "number": row,
        "grid": play.written(question, manifest),
        "tokens": question.tolist(),
        "right": play.written(right, manifest),
        "right_tokens": right.tolist(),
    }
    group, table = int(split.groups[row]), solver.opened.identifiers
    if table is not None:
        made |= {"name": table.names[group], "identifier": table.names[group]}
    if train is not None:
        made["demonstrations"] = [
            {"input": play.written(train.inputs[one], manifest), "output": play.written(train.labels[one], manifest)}
            for one in np.flatnonzero(train.groups == group).tolist()
        ]
    return made


def _made(solver: Solver) -> list[dict[str, Any]]:
    manifest, play, found = solver.manifest, solver.play, list[dict[str, Any]]()
    for seed in range(MOST_EXAMPLES):
        drawn = play.drawn(seed, manifest)
        if drawn is None:
            break
        found.append({"name": f"random {seed}", "grid": play.written(drawn, manifest), "tokens": drawn.tolist()})
    return found
