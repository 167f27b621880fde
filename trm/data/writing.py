"""Data sets onto storage: all of it or nothing, the manifest last."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trm.atomic import fsync_folder
from trm.data import shards, storage
from trm.data.builders.built import BuiltDataset
from trm.data.manifest import MANIFEST, Manifest
from trm.data.recipes import Recipe
from trm.errors import DatasetError


def write_dataset(built: BuiltDataset, recipe: Recipe, folder: str) -> Manifest:
    """Write a data set as a new folder (a path or any fsspec URL) and return its manifest.

    On a local disk it appears whole, by one rename after everything is on the disk; elsewhere the manifest is written last.
    Raises DatasetError when the folder cannot be written or holds something else.
    """
    try:
        with _new_folder(folder) as target:
            manifest = _write_files(built, recipe, target)
    except (OSError, ImportError, ValueError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"a data set's folder must be writable: {folder} ({error})", remedy="name another folder") from error
    return manifest


def _write_files(built: BuiltDataset, recipe: Recipe, folder: str) -> Manifest:
    table = built.identifiers
    splits = {name: shards.write_split(folder, name, split, table) for name, split in built.splits.items()}
    manifest = Manifest(
        name=recipe.name,
        task=built.task,
        grid=built.grid,
        vocabulary=built.vocabulary,
        seq_len=built.grid[0] * built.grid[1],
        num_puzzle_identifiers=1 if table is None else len(table.codes),
        splits=splits,
        augmentation=built.augmentation,
        identifiers=None if table is None else shards.write_identifiers(folder, table),
        attachments=tuple(shards.write_file(folder, name, content) for name, content in sorted(built.attachments.items())),
        skipped=dict(built.skipped),
        row_group_rows=shards.ROW_GROUP_ROWS,
        seed=recipe.seed,
        recipe=recipe.model_dump(mode="json"),
        recipe_digest=recipe.digest(),
    ).sealed()
    text = manifest.model_dump_json(indent=1)
    storage.write_bytes(storage.join(folder, MANIFEST), text.encode())
    return manifest


@contextmanager
def _new_folder(folder: str) -> Iterator[str]:
    """A folder to write into; a local one takes its name when the block ends without an error, and is gone otherwise."""
    if not storage.is_local(folder):
        yield folder
        return
    target = storage.local_path(folder).absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = storage.staging_folder(target)
    try:
        yield str(staging)
        fsync_folder(staging)
        _rename(staging, target)
        fsync_folder(target.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _rename(staging: Path, target: Path) -> None:
    try:
        os.rename(staging, target)
    except OSError as error:
        if not target.exists():
            raise
        if not (target / MANIFEST).exists():
            raise DatasetError(
                f"a data set needs a folder of its own: {target} exists and holds something else", remedy="name another folder"
            ) from error
        # Somebody else built a data set here in the meantime; the caller verifies that it is this one.
