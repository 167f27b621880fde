"""What a forecast must know of a data set, whether it is built or not; nothing is written."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trm.config.data import DataConfig
from trm.config.networks import DataShape
from trm.console.long_work import silent
from trm.data.format import shards, storage
from trm.data.format.built import BuiltDataset
from trm.data.format.manifest import MANIFEST, Manifest, read_manifest
from trm.tasks.build import build
from trm.tasks.choice import task_of
from trm.tasks.making.chunks import NoStore
from trm.tasks.making.recipe import RecipeBase
from trm.tasks.recipes import dataset_folder, recipe_of_data


@dataclass(frozen=True)
class DataCounts:
    """A data set in numbers."""

    shape: DataShape
    epoch_rows: float
    """Rows that an epoch of training visits."""
    validation_rows: int
    """0: the whole published training set is trained on."""
    forms: float
    """Forms in which an example is asked in an evaluation, on average: ARC's augmentations vote."""
    source: str
    """Where the numbers come from."""
    recipe_digest: str
    """Of the complete recipe: equal ones are the same data set."""
    manifest: Manifest | None = None
    """Of the built data set; null: not built yet."""

    @property
    def content_hash(self) -> str | None:
        """Of the built data set; None: not built yet."""
        return None if self.manifest is None else self.manifest.content_hash

    def is_that_of(self, manifest: Manifest) -> bool:
        """Whether these are the numbers of that data set."""
        if self.content_hash is None:
            return self.recipe_digest == manifest.recipe_digest
        return self.content_hash == manifest.content_hash


def data_counts(data: DataConfig, root: str, say: Callable[[str], None]) -> DataCounts:
    """The numbers of the configured data set, built below `root` or not.

    A set that was not built is counted from its recipe where that says enough, else it is built in memory and dropped. Raises
    DatasetError and ConfigError.
    """
    if data.folder is not None:
        folder = storage.absolute(data.folder)
        return _of_manifest(read_manifest(folder), data, folder)
    assert data.recipe is not None
    recipe = recipe_of_data(data)
    folder = storage.absolute(dataset_folder(recipe, root))
    if storage.exists(storage.join(folder, MANIFEST)):
        return _of_manifest(read_manifest(folder), data, folder)
    task = task_of(recipe)
    known = None if task is None else task.counted(recipe)
    if known is not None and not data.is_streamed:
        source = f"{data.recipe}, not built yet"
        return DataCounts(known.shape, float(known.train), known.validation, 1.0, source, recipe.digest())
    say(f"counting the data set of {data.recipe}, which is not built yet; nothing is stored")
    return _of_built(build(recipe, silent, NoStore()), recipe, data)


def _of_manifest(manifest: Manifest, data: DataConfig, folder: str) -> DataCounts:
    puzzles = manifest.identifiers.rows if manifest.identifiers is not None else 0
    rows = manifest.splits["train"].epoch_rows(is_streamed=data.is_streamed)
    forms = _forms(manifest.num_puzzle_identifiers, puzzles)
    validation = manifest.splits["validation"].rows if "validation" in manifest.splits else 0
    return DataCounts(manifest.shape, rows, validation, forms, folder, manifest.recipe_digest, manifest)


def _of_built(built: BuiltDataset, recipe: RecipeBase, data: DataConfig) -> DataCounts:
    train, table = built.splits["train"], built.identifiers
    rows = len(train.groups) if data.is_streamed else len(np.unique(train.groups)) * shards.mean_examples(train, table)
    shape = DataShape(built.grid[0] * built.grid[1], len(built.vocabulary), built.identifier_count)
    forms = _forms(built.identifier_count, 0 if table is None else len(table.names))
    validation = len(built.splits["validation"].groups) if "validation" in built.splits else 0
    return DataCounts(shape, float(rows), validation, forms, f"{recipe.name}, not built yet", recipe.digest())


def _forms(identifiers: int, puzzles: int) -> float:
    return (identifiers - 1) / puzzles if puzzles else 1.0
