"""Which files of a folder hold the puzzles: one a split, or one for all."""

import re
from collections.abc import Sequence

from trm.data.format import storage
from trm.errors import DatasetError
from trm.files.compressed import SUFFIXES, uncompressed_name
from trm.files.strays import is_stray

CSV = ("csv", "tsv", "tab", "txt")
ALL = "all"
"""Stands for the splits that a single file holds together."""


def has_ending(path: str, endings: Sequence[str]) -> bool:
    """Whether a file's name ends with one of the endings, or with one and that of a compression."""
    return re.search(rf"\.(?:{'|'.join(endings)})$", uncompressed_name(path), re.IGNORECASE) is not None


def puzzle_files(path: str, splits: Sequence[str], endings: Sequence[str] = CSV) -> dict[str, str]:
    """The file of each split in the folder (or URL) `path`, or the file of `ALL` where one file holds all puzzles.

    A path with one of the endings, compressed or not, is such a file; so is the only such file of a folder that has none for a
    split by name. A folder that cannot be listed has SPLIT.csv. Raises DatasetError when two files could be one split's.
    """
    if has_ending(path, endings):
        return {ALL: path}
    if storage.is_local(path) and storage.local_path(path).is_file():
        raise DatasetError(
            f"a file of puzzles must be of a known kind: {path} ends with none of {', '.join(endings)}",
            remedy=f"give such a file, also packed as {', '.join(SUFFIXES)}, or the folder of them; unpack an archive first",
        )
    names = [name for name in storage.names(path) if has_ending(name, endings) and not is_stray(name)]
    files: dict[str, str] = {}
    for split in splits:
        mine = [name for name in names if _stem(name) == split]
        if len(mine) > 1:
            raise DatasetError(f"a split must have one file: {path} has {' and '.join(mine)}", remedy="keep one of them")
        files |= {split: storage.join(path, mine[0])} if mine else {}
    if not files and len(names) == 1:
        return {ALL: storage.join(path, names[0])}
    if not files and len(names) > 1:
        raise DatasetError(
            f"a folder of puzzles must hold {' and '.join(f'{split}.{endings[0]}' for split in splits)}, or one file: {path} has "
            f"{', '.join(names[:8])}",
            remedy="rename them, or give one of them as path",
        )
    return files or {split: storage.join(path, f"{split}.{endings[0]}") for split in splits}


def _stem(name: str) -> str:
    stem = uncompressed_name(name).rpartition(".")[0].casefold()
    return {"val": "validation", "valid": "validation", "dev": "validation", "training": "train", "testing": "test"}.get(stem, stem)
