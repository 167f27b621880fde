"""A data set without validation: its validation puzzles are trained on too, its test puzzles stay out as they were."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydantic import ConfigDict

from trm.config.data import DataConfig
from trm.data.batches.split import SAME_AS
from trm.data.format.built import BuiltDataset, BuiltSplit
from trm.data.format.manifest import Manifest, SplitName, TaskName
from trm.errors import ConfigError
from trm.tasks.ensure import ensure_dataset
from trm.tasks.making.large_arrays import joined
from trm.tasks.making.recipe import RecipeBase
from trm.tasks.making.writing import write_dataset
from trm.tasks.mixture.build import read_built
from trm.tasks.recipes import dataset_folder
from trm.tasks.repeated import with_doubles


class JoinedRecipe(RecipeBase):
    """How the data set was made: the recipe of the one that it comes from, all its fields, and that one's content."""

    model_config = ConfigDict(extra="allow")
    joined: str
    """Content hash of the data set whose training and validation puzzles these are."""

    @property
    def puzzle_task(self) -> TaskName:
        """What the puzzles are; the manifest says it too."""
        return str((self.model_extra or {}).get("task", "other"))

    @property
    def has_validation(self) -> bool:
        """None validate."""
        return False


def all_data(data: DataConfig, folder: str, manifest: Manifest, root: Path, say: Callable[[str], None]) -> str:
    """The folder, below `root`, of the data set with its validation puzzles among the training ones; built where it is missing.

    `folder` holds the data set of `manifest`, `data` names it as the space does. ARC's is built by its recipe, which has the field.
    """
    if "validation" not in manifest.splits or not manifest.splits["validation"].rows:
        raise ConfigError(f"--retrain all is of data with validation puzzles, {folder} has none", remedy="take --retrain full")
    if manifest.identifiers is not None or manifest.parts:
        return _by_recipe(data, manifest, root, say)
    recipe = JoinedRecipe.model_validate({**manifest.recipe, "name": f"{manifest.name}-all", "joined": manifest.content_hash})
    target = dataset_folder(recipe, str(root))
    if not (Path(target) / "manifest.json").is_file():
        write_dataset(_joined(read_built(folder, manifest)), recipe, target)
        say(f"data set {recipe.name}: training and validation puzzles of {folder}, in {target}")
    return target


def _by_recipe(data: DataConfig, manifest: Manifest, root: Path, say: Callable[[str], None]) -> str:
    if data.recipe is None or manifest.parts:
        kind = "a mixture" if manifest.parts else "ARC tasks that are named by their folder"
        raise ConfigError(
            f"--retrain all needs a recipe that can leave validation out, and the sweep is of {kind}",
            remedy="build the data set yourself without validation, and train on it: --retrain full --set data.folder=DIR",
        )
    whole = data.model_copy(update={"overrides": {**data.overrides, "validation": "none"}})
    return ensure_dataset(whole, str(root), say)


def _joined(built: BuiltDataset) -> BuiltDataset:
    """Training and validation as one split, the rows of a group together, groups in order."""
    train, more = built.splits["train"], built.splits["validation"]
    order = np.argsort(np.concatenate([train.groups, more.groups]), kind="stable")
    extras = (set(train.extras) & set(more.extras)) - {SAME_AS}
    puzzles = identifiers = None
    if train.puzzles is not None and more.puzzles is not None:
        first = int(train.puzzles.max(initial=-1)) + 1
        numbers = np.concatenate([train.puzzles, more.puzzles + np.int32(first)])[order]
        puzzles = np.cumsum(np.diff(numbers, prepend=numbers[:1]) != 0, dtype=np.int32)
    if train.puzzle_identifiers is not None and more.puzzle_identifiers is not None:
        identifiers = np.concatenate([train.puzzle_identifiers, more.puzzle_identifiers])[order]
    both = BuiltSplit(
        joined([train.inputs, more.inputs])[order],
        joined([train.labels, more.labels])[order],
        np.concatenate([train.groups, more.groups])[order],
        {name: np.concatenate([train.extras[name], more.extras[name]])[order] for name in sorted(extras)},
        puzzles,
        identifiers,
    )
    splits: dict[SplitName, BuiltSplit] = {"train": both}
    if "test" in built.splits:
        test = built.splits["test"]
        splits["test"] = replace(test, extras={name: test.extras[name] for name in sorted(set(test.extras) & extras)})
    return with_doubles(replace(built, splits=splits, doubled={}))
