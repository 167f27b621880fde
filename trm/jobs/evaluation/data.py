"""Whether trained weights mean on a data set what they were trained as: its tokens, and its identifiers one by one.

A row of a table means nothing without its name. Two ARC sets of equal size can number the same tasks in another order, and every
row of the puzzle embedding then belongs to another puzzle.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from trm.config.data import DataConfig
from trm.data.format import storage
from trm.data.format.manifest import MANIFEST, Manifest
from trm.errors import CheckpointError, DatasetError, InputError
from trm.tasks.ensure import task_of_data
from trm.tasks.identifiers import NO_ROW, NamedIdentifiers, identifier_names, named_identifiers, rows_by_name
from trm.tasks.places import data_beside
from trm.training.weights import Weights

UNNAMED = "import arrays with their identifiers.json"
GIVE = "--trained-on DATA: the data set it was trained on, its arrays, or their identifiers.json"


@dataclass(frozen=True)
class DataAsked:
    """The data set that weights are to be scored on."""

    folder: str
    manifest: Manifest
    is_chosen: bool
    """Whether a person named it, and not the weights' own configuration."""
    trained_on: str | None = None
    """What a person says the weights were trained on."""


def require_there(data: DataConfig, origin: str) -> None:
    """DatasetError where no data set lies at the folder that `origin` names, on this machine."""
    if data.folder is None or not storage.is_local(data.folder) or (storage.local_path(data.folder) / MANIFEST).is_file():
        return
    raise DatasetError(
        f"the data set of {origin} must be there, and {data.folder} has no {MANIFEST}",
        remedy="say where it is now by --set data.folder=DIR, or build it with ray_jobs/build_dataset.py",
    )


def on_data(weights: Weights, asked: DataAsked) -> Weights:
    """The weights with a puzzle embedding for the identifiers of the data set, and in `notes` how each got its row.

    DatasetError or CheckpointError where tokens or identifiers would mean something else than in training.
    """
    manifest = asked.manifest
    if weights.data_hash == manifest.content_hash and asked.trained_on is None:
        return weights
    _require_alike(weights, asked)
    if not weights.table_rows:
        return replace(weights, shape=manifest.shape)
    if _has_same_rows(weights, asked):
        return weights
    there = _names_there(weights, asked)
    if there is None:
        return _unnamed(weights, asked)
    here = identifier_names(asked.folder, manifest)
    if here is None and asked.trained_on is not None and there == _numbers(manifest):
        return weights
    if here is None:
        raise DatasetError(f"identifiers are matched by name, and those of {asked.folder} have none", remedy=UNNAMED)
    if len(there) != weights.table_rows:
        raise CheckpointError(
            f"the names must be those of the table: {weights.source} has {weights.table_rows} identifiers, the names given "
            f"{len(there)}",
            remedy=f"give {GIVE}",
        )
    rows = rows_by_name(there, here, manifest.name)
    known = int((rows != NO_ROW).sum())
    if list(rows) == list(range(weights.table_rows)):
        return weights
    note = f"{known} of {len(rows)} identifiers have the row of their name"
    if known < len(rows):
        note += f", {len(rows) - known} are unknown to {weights.source} and have the mean of its {weights.table_rows} rows"
    return replace(weights.for_identifiers(rows), notes=(*weights.notes, note))


def _require_alike(weights: Weights, asked: DataAsked) -> None:
    """DatasetError unless the data have the network's cells and tokens, and were chosen where they are other data."""
    manifest, shape = asked.manifest, weights.shape
    if weights.data_hash and not asked.is_chosen and weights.data_hash != manifest.content_hash:
        raise DatasetError(
            f"the data must be what {weights.source} was trained on (content hash {weights.data_hash[:12]}): {asked.folder} has "
            f"{manifest.content_hash[:12]}",
            remedy="name the right one, or deliberately another, by --set data.folder=DIR",
        )
    cells = (shape.seq_len, shape.vocab_size), (manifest.shape.seq_len, manifest.shape.vocab_size)
    if cells[0] != cells[1]:
        raise DatasetError(
            f"the data must have the network's shape: {weights.source} was trained on {cells[0][0]} cells of {cells[0][1]} tokens, "
            f"{asked.folder} has {cells[1][0]} of {cells[1][1]}",
            remedy="give the data set it was trained on by --set data.folder=DIR",
        )
    tokens = weights.names.vocabulary
    if tokens and tokens != manifest.vocabulary:
        there, here = next((a, b) for a, b in zip(tokens, manifest.vocabulary, strict=True) if a != b)
        raise DatasetError(
            f"tokens must mean what they meant in training: {weights.source} knows {there!r} where {asked.folder} has {here!r}",
            remedy="give data of the puzzle it was trained on",
        )


def _has_same_rows(weights: Weights, asked: DataAsked) -> bool:
    """Whether the table's rows are known to be the data set's identifiers, in its order."""
    manifest = asked.manifest
    if weights.table_rows != manifest.num_puzzle_identifiers:
        return False
    if manifest.num_puzzle_identifiers == 1:
        return True
    return bool(weights.names.identifiers) and weights.names.identifiers == manifest.names.identifiers and asked.trained_on is None


def _names_there(weights: Weights, asked: DataAsked) -> list[str] | None:
    """The names of the table's rows: as a person says, or of the data set that the weights' configuration names."""
    if asked.trained_on is not None:
        return _told(weights, asked, asked.trained_on)
    if weights.table_rows == 1 or not weights.data_hash:
        return None
    folder = _own_folder(weights)
    if folder is None:
        return None
    own = named_identifiers(folder)
    return own.names if own.manifest is not None and own.manifest.content_hash == weights.data_hash else None


def _told(weights: Weights, asked: DataAsked, source: str) -> list[str]:
    given: NamedIdentifiers = named_identifiers(source)
    if weights.data_hash and given.manifest is not None and given.manifest.content_hash != weights.data_hash:
        raise CheckpointError(
            f"{weights.source} was trained on data of content hash {weights.data_hash[:12]}, and {source} has "
            f"{given.manifest.content_hash[:12]}",
            remedy=f"give {GIVE}",
        )
    if given.names is not None:
        return given.names
    assert given.manifest is not None, "a list has names"
    if given.manifest.content_hash == asked.manifest.content_hash:
        return _numbers(given.manifest)
    raise DatasetError(f"identifiers are matched by name, and those of {source} have none", remedy=UNNAMED)


def _numbers(manifest: Manifest) -> list[str]:
    """In place of names, between a data set that has none and itself."""
    return [str(row) for row in range(manifest.num_puzzle_identifiers)]


def _own_folder(weights: Weights) -> str | None:
    """The data set in the weights' configuration, where it lies on this machine: their word fetches nothing from another."""
    data = data_beside(weights.config.data, Path(weights.source), weights.data_hash)
    if data.folder is None or not storage.is_local(data.folder):
        return None
    try:
        task_of_data(data)
    except InputError:
        return None
    return storage.absolute(data.folder)


def _unnamed(weights: Weights, asked: DataAsked) -> Weights:
    """Without names: the mean for a table of another size, as the published code does; refused where rows could be mistaken."""
    count = asked.manifest.num_puzzle_identifiers
    if weights.table_rows == count:
        raise CheckpointError(
            f"rows of a puzzle embedding mean nothing without their names: {weights.source} does not say which puzzles its {count} "
            f"rows are, and {asked.folder} may number its own in another order",
            remedy=f"say what it was trained on by {GIVE}",
        )
    note = f"all {count} identifiers have the mean of the {weights.table_rows} rows of {weights.source}, whose names are unknown"
    if count > 1 and weights.table_rows > 1:
        note += f"; {GIVE} matches them by name"
    return replace(weights.for_identifiers(np.full(count, NO_ROW, dtype=np.int64)), notes=(*weights.notes, note))
