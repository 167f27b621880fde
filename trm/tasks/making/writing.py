"""Data sets onto storage: all of it or nothing, the manifest last."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from trm.console.long_work import Report, silent
from trm.data.format import shards, storage
from trm.data.format.built import BuiltDataset
from trm.data.format.manifest import MANIFEST, FileInfo, Manifest, files_of, read_manifest
from trm.errors import DatasetError
from trm.files.atomic import fsync_folder
from trm.tasks.making.chunks import ChunkStore, NoStore
from trm.tasks.making.recipe import RecipeBase
from trm.tasks.making.staging import ChunkFolder, staging_folder
from trm.tasks.own import import_of

Build = Callable[[ChunkStore], BuiltDataset]


def nobody(_: str) -> None:
    """A `say` that tells nobody."""


def create(
    build: Build, recipe: RecipeBase, folder: str, report: Report = silent, say: Callable[[str], None] = nobody
) -> Manifest | None:
    """Build a data set as a new folder (a path or any fsspec URL); its manifest, or None when another process built it meanwhile.

    On a local disk it appears whole, by one rename after everything is on the disk, and an interrupted build goes on where it was
    when the same recipe is built there again; elsewhere files that are there already are kept and the manifest is written last.
    Raises DatasetError when the folder cannot be written or holds something else; then nothing of the build is left.
    """
    if storage.is_local(folder):
        try:
            return _create_local(build, recipe, storage.local_path(folder).absolute(), report, say)
        except OSError as error:
            raise _unwritable(folder, error) from error
    built = build(NoStore())
    try:
        return write_files(built, recipe, folder, report)
    except (OSError, ImportError, ValueError) as error:  # of a foreign file system
        raise _unwritable(folder, error) from error


def _unwritable(folder: str, error: Exception) -> DatasetError:
    return DatasetError(f"a data set's folder must be writable: {folder} ({error})", remedy="name another folder")


def write_dataset(built: BuiltDataset, recipe: RecipeBase, folder: str) -> Manifest:
    """Write a data set that was built already, and return the manifest. Raises DatasetError as `create`."""
    return create(lambda store: built, recipe, folder) or read_manifest(folder)


def write_files(built: BuiltDataset, recipe: RecipeBase, folder: str, report: Report = silent) -> Manifest:
    """Write all files of a data set into `folder`, the manifest last; those that are there already are kept."""
    table = built.identifiers
    splits = {name: shards.write_split(folder, name, split, table, report) for name, split in built.splits.items()}
    manifest = Manifest(
        name=recipe.name,
        task=built.task,
        grid=built.grid,
        vocabulary=built.vocabulary,
        seq_len=built.grid[0] * built.grid[1],
        num_puzzle_identifiers=built.identifier_count,
        splits=splits,
        augmentation=built.augmentation,
        parts=built.parts,
        identifiers=None if table is None else shards.write_identifiers(folder, table),
        attachments=write_attachments(built, folder),
        skipped=dict(built.skipped),
        doubled=dict(built.doubled),
        duplicates=built.duplicates,
        row_group_rows=shards.ROW_GROUP_ROWS,
        seed=recipe.seed,
        recipe=recipe.model_dump(mode="json") | ({"imports": imports} if (imports := import_of(built.task)) else {}),
        recipe_digest=recipe.digest(),
    ).sealed()
    write_manifest(folder, manifest)
    return manifest


def write_attachments(built: BuiltDataset, folder: str) -> tuple[FileInfo, ...]:
    """Write the attachments and return what the manifest says of them."""
    return tuple(shards.write_file(folder, name, content) for name, content in sorted(built.attachments.items()))


def write_manifest(folder: str, manifest: Manifest) -> None:
    """Write the manifest into the folder."""
    storage.write_bytes(storage.join(folder, MANIFEST), manifest.model_dump_json(indent=1).encode())


def _create_local(build: Build, recipe: RecipeBase, target: Path, report: Report, say: Callable[[str], None]) -> Manifest | None:
    with staging_folder(target, recipe.digest(), say) as staging:
        if (target / MANIFEST).exists():
            return None
        finished = staging / target.name
        finished.mkdir(exist_ok=True)
        manifest = write_files(build(ChunkFolder(staging)), recipe, str(finished), report)
        for leftover in set(storage.names(str(finished))) - {MANIFEST, *(info.file for info in files_of(manifest))}:
            (finished / leftover).unlink()  # of an interrupted build, before its source changed
        fsync_folder(finished)
        _rename(finished, target)
        fsync_folder(target.parent)
        return manifest


def _rename(finished: Path, target: Path) -> None:
    try:
        os.rename(finished, target)
    except OSError as error:
        if not target.exists():
            raise
        if not (target / MANIFEST).exists():
            raise DatasetError(
                f"a data set needs a folder of its own: {target} exists and holds something else", remedy="name another folder"
            ) from error
        # Another host built a data set here in the meantime; the caller verifies that it is this one.
        shutil.rmtree(finished)
