"""The manifest: what a data set on disk is, which shards hold it, and how to tell whether they still do."""

import hashlib
import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from trm.config.base import Frozen
from trm.config.networks import DataNames, DataShape
from trm.console.program import job
from trm.data.format import storage
from trm.errors import DatasetError
from trm.files.contained import file_name
from trm.files.json_files import parse_json

FORMAT_VERSION = 2
MANIFEST = "manifest.json"
MOST_SHARD_ROWS = 1 << 16
"""Rows of a shard at most, so that one is read, checked and made again in little memory."""
IDENTIFIER_NAMES = "identifiers.json"
"""Attachment that names every identifier, where no table does."""
SplitName = Literal["train", "validation", "test"]
TaskName = str
"""Of a puzzle: sudoku, maze, arc, other, or one that somebody added (`trm/tasks/choice.py`)."""


class NoAugmentation(Frozen):
    """Rows are trained on as they are stored."""

    kind: Literal["none"] = "none"


class SudokuAugmentation(Frozen):
    """Digit, band, row, stack and column permutations, and transposition where boxes are square, drawn for every row."""

    kind: Literal["sudoku"] = "sudoku"
    num_aug: int | None = Field(None, ge=1)
    """Forms a puzzle is seen in besides its own; null: a new form at every visit."""


class DihedralAugmentation(Frozen):
    """The eight symmetries of the square; the maze is solved anew, because the labelling rule is not symmetric."""

    kind: Literal["dihedral"] = "dihedral"


class ArcAugmentation(Frozen):
    """Symmetry and colour permutation by identifier, from the table in `identifiers.parquet`; translation at every visit."""

    kind: Literal["arc"] = "arc"
    num_aug: int = Field(ge=0)
    """Augmentations sought a puzzle, besides the puzzle itself."""
    translate: bool = True
    """Move training examples on the canvas, all but one example a puzzle."""


Augmentation = Annotated[NoAugmentation | SudokuAugmentation | DihedralAugmentation | ArcAugmentation, Field(discriminator="kind")]


class PartInfo(Frozen):
    """One data set of a mixture."""

    name: str
    """Name of the part."""
    groups: tuple[int, int]
    """Its base puzzles have the numbers from the first to below the second."""
    weight: float | None = None
    """Share of the visits that go to it, against the other parts' weights; null: in proportion to its training groups."""
    augmentation: Augmentation = NoAugmentation()
    """How its training rows are varied."""


class FileInfo(Frozen):
    """One file of the data set."""

    file: Annotated[str, AfterValidator(file_name)]
    """Name in the data set's folder."""
    bytes: int = Field(ge=0)
    """Size of the file."""
    sha256: str
    """Digest of the file as it was written."""


class ShardInfo(FileInfo):
    """One Parquet file of the data set."""

    rows: int = Field(ge=0)
    """Rows in the file."""
    draws: tuple[int, int] | None = None
    """First and last draw of a generated shard, from which it can be made again."""


class IdentifiersInfo(ShardInfo):
    """The identifier table: a row a base puzzle."""

    content_sha256: str
    """Digest of names, starts and codes, whatever wrote the file."""


class SplitInfo(Frozen):
    """One split: its counts and its shards in row order."""

    rows: int = Field(ge=0)
    """Examples."""
    groups: int = Field(ge=0)
    """Base puzzles; an epoch visits each once."""
    mean_examples: float = Field(ge=0)
    """Mean number of examples of a puzzle, every augmentation counted as a puzzle of its own."""
    shards: tuple[ShardInfo, ...]
    """The files."""
    content_sha256: str
    """Digest of the columns, whatever wrote the files."""

    def epoch_rows(self, *, is_streamed: bool) -> float:
        """Rows of an epoch of training: every row once where rows stream, else of every puzzle as many as it has on average."""
        return self.rows if is_streamed else self.groups * self.mean_examples


class Manifest(Frozen):
    """Everything about a data set except its rows; written last, so a folder without it holds no data set."""

    format_version: int = FORMAT_VERSION
    """Layout of folder and manifest."""
    name: str
    """Name of the recipe."""
    task: TaskName
    """What the puzzle is; decides augmentation and scoring."""
    grid: tuple[int, int]
    """Height and width of the canvas."""
    vocabulary: tuple[str, ...] = Field(max_length=256)
    """Token names by number; 0 is padding."""
    seq_len: int = Field(ge=1, le=1 << 20)
    """Cells of a row."""
    num_puzzle_identifiers: int = Field(ge=1)
    """Rows that a puzzle embedding needs; the blank identifier 0 counts."""
    splits: dict[SplitName, SplitInfo]
    """The splits."""
    augmentation: Augmentation = NoAugmentation()
    """How training rows are varied when they are needed."""
    parts: tuple[PartInfo, ...] = ()
    """The data sets of a mixture, in order of their groups; each has its own augmentation."""
    identifiers: IdentifiersInfo | None = None
    """The identifier table, for tasks that have one."""
    attachments: tuple[FileInfo, ...] = ()
    """Small files kept as they came, for an export."""
    skipped: dict[str, int] = Field(default_factory=dict)
    """Rows of the source that were left out, by the rule they broke."""
    doubled: dict[str, int] = Field(default_factory=dict)
    """Rows that are kept although the split has their puzzle before, by the split; scores count such puzzles once."""
    duplicates: tuple[int, ...] = ()
    """Draws that were left out of a generated data set as symmetric forms of earlier ones."""
    row_group_rows: int = Field(ge=1, le=MOST_SHARD_ROWS)
    """Rows of a Parquet row group, the unit that streams; a shard's last one may be shorter."""
    seed: int
    """Seed of the recipe."""
    recipe: dict[str, Any]
    """The complete recipe."""
    recipe_digest: str
    """Digest of the recipe: two data sets of equal digest are the same data set."""
    content_hash: str = ""
    """Digest of everything above that decides a batch; filled in by `sealed`."""

    @property
    def shape(self) -> DataShape:
        """What a network must know."""
        return DataShape(self.seq_len, len(self.vocabulary), self.num_puzzle_identifiers)

    @property
    def names(self) -> DataNames:
        """What tokens and identifiers stand for."""
        return DataNames(self._identifiers_digest(), self.vocabulary)

    def _identifiers_digest(self) -> str:
        """Equal for data sets whose rows of a puzzle embedding mean the same; those without names are like themselves only."""
        if self.identifiers is not None:
            return self.identifiers.content_sha256
        if self.num_puzzle_identifiers == 1:
            return ""
        return next((info.sha256 for info in self.attachments if info.file == IDENTIFIER_NAMES), self.content_hash)

    @model_validator(mode="after")
    def _check(self) -> "Manifest":
        if self.grid[0] * self.grid[1] != self.seq_len:
            raise ValueError(f"grid {self.grid} has {self.grid[0] * self.grid[1]} cells, seq_len is {self.seq_len}")
        for name, split in self.splits.items():
            if sum(shard.rows for shard in split.shards) != split.rows:
                raise ValueError(f"split {name} counts {split.rows} rows, its shards {sum(s.rows for s in split.shards)}")
            if (most := max((shard.rows for shard in split.shards), default=0)) > MOST_SHARD_ROWS:
                raise ValueError(f"a shard holds at most {MOST_SHARD_ROWS} rows, one of {name} is to hold {most}")
        return self

    def digest(self) -> str:
        """The content hash these values should have: over splits, vocabulary and augmentation, not over file layout."""
        values = self.model_dump(
            mode="json", exclude={"content_hash", "recipe", "attachments", "skipped", "doubled", "duplicates", "row_group_rows"}
        )
        for split in values["splits"].values():
            split.pop("shards")
        if values["identifiers"]:
            values["identifiers"] = values["identifiers"]["content_sha256"]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    def sealed(self) -> "Manifest":
        """This manifest with its content hash filled in."""
        return self.model_copy(update={"content_hash": self.digest()})


def files_of(manifest: Manifest) -> Iterator[FileInfo]:
    """Every file of the data set but the manifest."""
    yield from manifest.attachments
    if manifest.identifiers is not None:
        yield manifest.identifiers
    for split in manifest.splits.values():
        yield from split.shards


def read_manifest(folder: str) -> Manifest:
    """The manifest of the data set in `folder` (a path or any fsspec URL).

    Raises DatasetError when there is none, when it cannot be read, or when it was changed after it was written.
    """
    path = storage.join(folder, MANIFEST)
    text = storage.read_bytes(path, what="manifest", remedy=f"build it with {job('build_dataset.py')}, or correct the path")
    return manifest_of(text, path)


def manifest_of(text: bytes, path: str) -> Manifest:
    """The manifest that a file says, wherever it lies. Raises DatasetError when it is none, or was changed after it was written."""
    rebuild = "delete the folder and build the data set again"
    values = parse_json(text, f"the manifest {path}", dict, error=DatasetError, remedy=rebuild)
    if (version := values.get("format_version")) != FORMAT_VERSION:
        is_later = isinstance(version, int) and version > FORMAT_VERSION
        raise DatasetError(
            f"a manifest must have format {FORMAT_VERSION}: {path} has "
            + ("no format_version" if version is None else f"{'the later ' if is_later else ''}format {version!r:.40}"),
            remedy="update trm-search, or build the data set again" if is_later else rebuild,
        )
    try:
        manifest = Manifest.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise DatasetError(f"a manifest must be valid: {path}, {where}: {first['msg']}", remedy=rebuild) from error
    known = {MANIFEST}
    for info in files_of(manifest):
        if info.file in known:
            raise DatasetError(f"every file must have a name of its own: {path} has {info.file} twice", remedy=rebuild)
        known.add(info.file)
    if manifest.content_hash != manifest.digest():
        raise DatasetError(
            f"a manifest must match its content hash: {path} says {manifest.content_hash[:12]}, its values give "
            f"{manifest.digest()[:12]}",
            remedy=rebuild,
        )
    return manifest
