"""A recipe's data set, built when it is missing and verified when it is there."""

from collections.abc import Callable

from trm.config import DataConfig
from trm.data import shards, storage
from trm.data.build_progress import Lines
from trm.data.builders.built import BuiltDataset, Report
from trm.data.manifest import MANIFEST, Manifest, read_manifest
from trm.data.recipes import ArcRecipe, MazeRecipe, Recipe, SudokuRecipe, dataset_folder, load_recipe
from trm.data.writing import write_dataset
from trm.errors import DatasetError


def build(recipe: Recipe, report: Report) -> BuiltDataset:
    """The recipe's data set in memory."""
    match recipe:
        case SudokuRecipe():
            from trm.data.builders.sudoku import build_sudoku

            return build_sudoku(recipe, report)
        case MazeRecipe():
            from trm.data.builders.maze import build_maze

            return build_maze(recipe, report)
        case ArcRecipe():
            from trm.data.builders.arc import build_arc

            return build_arc(recipe, report)


def build_into(recipe: Recipe, folder: str, report: Report) -> tuple[Manifest, bool]:
    """The manifest of the recipe's data set in `folder`, and whether it was built just now rather than found and verified.

    Raises DatasetError when another data set, or something else, is there, or when what is there is damaged.
    """
    is_new = not storage.exists(storage.join(folder, MANIFEST))
    if is_new:
        _refuse_foreign(folder)
        write_dataset(build(recipe, report), recipe, folder)
    manifest = read_manifest(folder)
    if manifest.recipe_digest != recipe.digest():
        raise DatasetError(
            f"the folder must be empty or hold this recipe's data set ({recipe.digest()[:8]}): {folder} holds "
            f"{manifest.name} ({manifest.recipe_digest[:8]})",
            remedy="name another folder or delete that one",
        )
    shards.verify(folder, manifest)
    return manifest, is_new


def ensure_dataset(data: DataConfig, root: str, say: Callable[[str], None]) -> str:
    """The folder of the configured data set, verified; a recipe's is built below `root` when it is missing.

    `say` is told in lines what is being done. Raises DatasetError.
    """
    if data.folder is not None:
        shards.verify(data.folder, read_manifest(data.folder))
        return data.folder
    assert data.recipe is not None
    recipe = load_recipe(data.recipe, data.overrides)
    folder = dataset_folder(recipe, root)
    manifest, is_new = build_into(recipe, folder, Lines(recipe.name, say))
    counts = ", ".join(f"{split.rows} {name}" for name, split in manifest.splits.items())
    say(f"data set {recipe.name} {'built' if is_new else 'verified'}: {counts} examples in {folder}")
    return folder


def _refuse_foreign(folder: str) -> None:
    if storage.is_local(folder):
        path = storage.local_path(folder)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise DatasetError(
                f"the folder must be empty or hold this recipe's data set: {folder} exists and holds something else",
                remedy="name another folder",
            )
