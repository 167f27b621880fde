"""The reference's array format on disk: a folder a split, read without loading it, everything in it checked.

`all__inputs.npy` and `all__labels.npy` hold examples; `all__puzzle_indices.npy` says where each puzzle's examples begin,
`all__group_indices.npy` where each group's puzzles begin, `all__puzzle_identifiers.npy` each puzzle's identifier.
"""

import json
import tempfile
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import fsspec
import numpy as np
from jaxtyping import Int32, Int64, Integer
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trm.data.format import storage
from trm.errors import DatasetError
from trm.files.json_files import parse_json

REMEDY = "make the folder again with the builder that wrote it, or correct path"
ARRAYS = ("inputs", "labels", "puzzle_identifiers", "puzzle_indices", "group_indices")
MOST_TOKENS = 256


class Facts(BaseModel):
    """What `dataset.json` says of a split."""

    model_config = ConfigDict(extra="allow", frozen=True)

    pad_id: int
    ignore_label_id: int | None
    blank_identifier_id: int
    vocab_size: int = Field(ge=2, le=MOST_TOKENS)
    seq_len: int = Field(ge=1)
    num_puzzle_identifiers: int = Field(ge=1)
    total_groups: int
    mean_puzzle_examples: float
    total_puzzles: int
    sets: list[str]


def array_file(name: str) -> str:
    """The file of one array of a split."""
    return f"all__{name}.npy"


@dataclass(frozen=True, eq=False)
class SourceSplit:
    """One split as it lies in the reference's folder; the grids are memory-mapped."""

    folder: str
    facts: Facts
    facts_text: bytes
    inputs: Integer[np.ndarray, "rows cells"]
    labels: Integer[np.ndarray, "rows cells"]
    puzzle_identifiers: Integer[np.ndarray, "puzzles"]
    puzzle_indices: Integer[np.ndarray, "puzzles_and_one"]
    group_indices: Integer[np.ndarray, "groups_and_one"]

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def kinds(self) -> dict[str, str]:
        """The type of every array, as NumPy writes it."""
        return {name: getattr(self, name).dtype.str for name in ARRAYS}

    @cached_property
    def puzzle_of_row(self) -> Int32[np.ndarray, "rows"]:
        """The number of each row's puzzle."""
        return np.repeat(np.arange(len(self.puzzle_identifiers), dtype=np.int32), np.diff(self.puzzle_indices))

    @cached_property
    def group_of_puzzle(self) -> Int64[np.ndarray, "puzzles"]:
        """The number of each puzzle's group."""
        return np.repeat(np.arange(len(self.group_indices) - 1), np.diff(self.group_indices))


def read_source(folder: str) -> SourceSplit:
    """The split in `folder` (a path or any fsspec URL). Raises DatasetError naming the file that is missing or wrong."""
    text = storage.read_bytes(storage.join(folder, "dataset.json"), what="file of a reference data set", remedy=REMEDY)
    facts = _facts(storage.join(folder, "dataset.json"), text)
    arrays = {name: read_array(storage.join(folder, array_file(name))) for name in ARRAYS}
    source = SourceSplit(folder, facts, text, **_checked(folder, arrays, facts))
    _check_indices(source)
    _check_facts(source)
    return source


def read_json(folder: str, file: str, kind: type) -> tuple[Any, bytes] | None:
    """A JSON file of the folder and its bytes; None when it has none. Raises DatasetError when it does not hold a `kind`."""
    path = storage.join(folder, file)
    if not storage.exists(path):
        return None
    text = storage.read_bytes(path, what="file of a reference data set", remedy=REMEDY)
    return parse_json(text, path, kind, error=DatasetError, remedy=REMEDY), text


def _facts(path: str, text: bytes) -> Facts:
    try:
        facts = Facts.model_validate(parse_json(text, path, dict, error=DatasetError, remedy=REMEDY))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise DatasetError(f"dataset.json must describe its split: {path}, {where}: {first['msg']}", remedy=REMEDY) from error
    wanted: tuple[tuple[str, Any, tuple[Any, ...]], ...] = (
        ("pad_id", facts.pad_id, (0,)),
        ("ignore_label_id", facts.ignore_label_id, (0, None)),
        ("blank_identifier_id", facts.blank_identifier_id, (0,)),
        ("sets", facts.sets, (["all"],)),
    )
    for name, value, allowed in wanted:
        if value not in allowed:
            raise DatasetError(
                f"{name} must be {json.dumps(allowed[0])}: {path} has {json.dumps(value)}",
                remedy="renumber the tokens so that 0 is padding, ignored and blank, and put the sets into one named all",
            )
    return facts


def read_array(path: str) -> np.ndarray:
    """The array in a file, memory-mapped; one behind a URL is fetched into a temporary file first. Nothing is unpickled."""
    try:
        if storage.is_local(path):
            array = np.load(storage.local_path(path), mmap_mode="r", allow_pickle=False)
        else:
            with tempfile.NamedTemporaryFile(prefix="trm-array-") as copy:
                files, where = fsspec.core.url_to_fs(path)
                files.get_file(where, copy.name)
                array = np.load(copy.name, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise DatasetError(f"the file of a reference data set must exist: {path} does not", remedy=REMEDY) from error
    except Exception as error:  # foreign file systems raise what they like
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DatasetError(f"{path} must be a whole NumPy array of numbers ({reason})", remedy=REMEDY) from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iu":
        kind = array.dtype if isinstance(array, np.ndarray) else "an archive"
        raise DatasetError(f"{path} must hold whole numbers, it holds {kind}", remedy=REMEDY)
    return array


def _checked(folder: str, arrays: dict[str, np.ndarray], facts: Facts) -> dict[str, np.ndarray]:
    rows = len(arrays["inputs"]) if arrays["inputs"].ndim else 0
    for name, array in arrays.items():
        wanted = f"({rows}, {facts.seq_len})" if name in ("inputs", "labels") else "one dimension"
        is_right = array.shape == (rows, facts.seq_len) if name in ("inputs", "labels") else array.ndim == 1
        if not is_right:
            path = storage.join(folder, array_file(name))
            raise DatasetError(
                f"arrays must agree with each other and with seq_len: {path} has shape {array.shape}, not {wanted}", remedy=REMEDY
            )
    return {name: array if name in ("inputs", "labels") else np.array(array) for name, array in arrays.items()}


def _check_indices(source: SourceSplit) -> None:
    """Indices begin at 0, rise, and end at the count of what they index; identifiers are below their count."""
    ends = {"puzzle_indices": ("examples", len(source)), "group_indices": ("puzzles", len(source.puzzle_indices) - 1)}
    for name, (what, end) in ends.items():
        indices, path = getattr(source, name), storage.join(source.folder, array_file(name))
        if len(indices) < 2 or indices[0] != 0 or indices[-1] != end:
            has = f"{indices[0]} to {indices[-1]}" if len(indices) else "nothing"
            raise DatasetError(f"indices must run from 0 to the {end} {what}: {path} has {has}", remedy=REMEDY)
        if len(wrong := np.flatnonzero(np.diff(indices.astype(np.int64)) <= 0)):
            row = int(wrong[0])
            raise DatasetError(
                f"indices must rise, so that nothing is without {what}: {path} has {indices[row]} in row {row} and "
                f"{indices[row + 1]} in row {row + 1}",
                remedy=REMEDY,
            )
    identifiers, count = source.puzzle_identifiers, source.facts.num_puzzle_identifiers
    path = storage.join(source.folder, array_file("puzzle_identifiers"))
    if len(identifiers) != len(source.puzzle_indices) - 1:
        raise DatasetError(
            f"every puzzle must have an identifier: {path} has {len(identifiers)} for {len(source.puzzle_indices) - 1} puzzles",
            remedy=REMEDY,
        )
    if len(wrong := np.flatnonzero((identifiers < 0) | (identifiers >= count))):
        row = int(wrong[0])
        raise DatasetError(f"identifiers must be below the count {count}: {path} row {row} has {identifiers[row]}", remedy=REMEDY)


def _check_facts(source: SourceSplit) -> None:
    """`dataset.json` says what the arrays say; the published Sudoku builder counts groups as puzzles, which is let pass."""
    rows, puzzles, groups = len(source), len(source.puzzle_identifiers), len(source.group_indices) - 1
    facts, path = source.facts, storage.join(source.folder, "dataset.json")
    wanted = (
        ("total_groups", facts.total_groups, (groups,)),
        ("total_puzzles", facts.total_puzzles, (puzzles, groups)),
        ("mean_puzzle_examples", facts.mean_puzzle_examples, (rows / puzzles,)),
    )
    for name, said, counted in wanted:
        if not np.isclose(counted, said, rtol=1e-6).any():
            raise DatasetError(
                f"dataset.json must agree with the arrays: {path} has {name} {said}, they {counted[0]}", remedy=REMEDY
            )
