"""What the identifiers of a data set are called: a row of a puzzle embedding means nothing without its name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64

from trm.data.format import shards, storage
from trm.data.format.manifest import IDENTIFIER_NAMES, MANIFEST, Manifest, read_manifest
from trm.errors import DatasetError
from trm.files.json_files import parse_json
from trm.tasks.arc.augment import name_ends
from trm.tasks.published.arrays_arc import BLANK_NAME

NO_ROW = -1
"""For an identifier whose name a table does not know."""
REMEDY = "give the folder of a data set, of published arrays, or their identifiers.json"


@dataclass(frozen=True)
class NamedIdentifiers:
    """Names in the order of a table's rows, and the data set that they are of where it is one of ours."""

    names: list[str] | None
    """None: the data set does not name them."""
    manifest: Manifest | None


def identifier_names(folder: str, manifest: Manifest) -> list[str] | None:
    """The name of every identifier of the data set in `folder`, in order; None where it has several that nobody named."""
    table = shards.read_identifiers(folder, manifest)
    if table is not None:
        owners = np.repeat(np.arange(len(table.names)), np.diff(table.starts)).tolist()
        return [BLANK_NAME, *(table.names[owner] + end for owner, end in zip(owners, name_ends(table.codes[1:]), strict=True))]
    if manifest.num_puzzle_identifiers == 1:
        return [BLANK_NAME]
    if any(info.file == IDENTIFIER_NAMES for info in manifest.attachments):
        return _read_names(storage.join(folder, IDENTIFIER_NAMES))
    return None


def named_identifiers(source: str) -> NamedIdentifiers:
    """The names behind `source`: the folder of a data set or of published arrays, or a JSON file of names in order.

    Raises DatasetError.
    """
    if storage.exists(storage.join(source, MANIFEST)):
        manifest = read_manifest(source)
        return NamedIdentifiers(identifier_names(source, manifest), manifest)
    inside = storage.join(source, IDENTIFIER_NAMES)
    return NamedIdentifiers(_read_names(inside if storage.exists(inside) else source), None)


def rows_by_name(there: Sequence[str], here: Sequence[str], name: str = "") -> Int64[np.ndarray, " identifiers"]:
    """For each identifier of a data set the row of its name in a table, or `NO_ROW`.

    `there` are the table's names, `here` the data set's; a data set with one unnamed identifier goes by its own `name`, as it
    does within a mixture.
    """
    rows = {known: row for row, known in reversed(list(enumerate(there)))}
    if len(here) == 1:
        found = rows.get(name, NO_ROW) if len(there) > 1 else 0
        return np.array([found], dtype=np.int64)
    return np.array([rows.get(one, NO_ROW) for one in here], dtype=np.int64)


def _read_names(path: str) -> list[str]:
    text = storage.read_bytes(path, what="list of identifiers", remedy=REMEDY)
    names: list[Any] = parse_json(text, path, list, error=DatasetError, remedy=REMEDY)
    if not names or not all(isinstance(name, str) for name in names):
        raise DatasetError(f"identifiers must be a list of names: {path} holds something else", remedy=REMEDY)
    return names
