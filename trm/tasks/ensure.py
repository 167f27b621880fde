"""A recipe's data set, built when it is missing and verified when it is there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from trm.config.data import DataConfig
from trm.console.long_work import Report, shown
from trm.data.format import storage
from trm.data.format.manifest import MANIFEST, Manifest, SplitName, TaskName, files_of, read_manifest
from trm.data.format.verification import damaged, verify, verify_sizes
from trm.errors import DatasetError
from trm.files.atomic import why_unwritable
from trm.tasks.build import build, maker_of
from trm.tasks.choice import task_named, task_of
from trm.tasks.making.chunks import NoStore
from trm.tasks.making.recipe import RecipeBase
from trm.tasks.making.repair import repair
from trm.tasks.making.writing import create, nobody
from trm.tasks.mixture.recipe import MixtureRecipe
from trm.tasks.own import require_apart, require_known
from trm.tasks.recipes import dataset_folder, recipe_of_data

READ_BYTES = 1 << 28
"""A data set of more is not read through before each use: the presence and size of its files are checked."""
Outcome = Literal["built", "verified", "repaired"]


def build_into(
    recipe: RecipeBase, folder: str, report: Report, say: Callable[[str], None] = nobody, *, repairs: bool = False
) -> tuple[Manifest, Outcome]:
    """The manifest of the recipe's data set in `folder`, and whether it was built, or found and verified, or mended.

    With `repairs` every byte is read, and what is damaged is made again. Raises DatasetError when another data set, or something
    else, is there, or when what is there is damaged.
    """
    manifest = None
    if not storage.exists(storage.join(folder, MANIFEST)):
        _refuse_taken(folder)
        manifest = create(lambda store: build(recipe, report, store), recipe, folder, report, say)
    outcome: Outcome = "verified" if manifest is None else "built"
    manifest = read_manifest(folder)
    if manifest.recipe_digest != recipe.digest():
        raise DatasetError(
            f"the folder must be empty or hold this recipe's data set ({recipe.digest()[:8]}): {folder} holds "
            f"{manifest.name} ({manifest.recipe_digest[:8]})",
            remedy="name another folder or delete that one",
        )
    if repairs and outcome == "verified" and (files := damaged(folder, manifest, report)):
        say(f"{folder} has {len(files)} missing or damaged files, which are made again: {', '.join(files[:5])}")
        manifest = repair(folder, manifest, files, maker_of(recipe), lambda: build(recipe, report, NoStore()), report)
        return manifest, "repaired"
    _verify(folder, manifest, report, reads_all=repairs)
    return manifest, outcome


def _verify(folder: str, manifest: Manifest, report: Report, *, reads_all: bool) -> None:
    is_small = sum(info.bytes for info in files_of(manifest)) <= READ_BYTES
    (verify if reads_all or is_small else verify_sizes)(folder, manifest, report)


@dataclass(frozen=True)
class DataSummary:
    """What is known of the configured data set before anything is built or verified."""

    source: str
    """Its recipe, or its folder."""
    task: TaskName
    splits: tuple[SplitName, ...]
    """Those that have puzzles, or will have."""
    to_hold_out: str
    """How the data set gets validation puzzles."""
    parts: Mapping[str, tuple[SplitName, ...]] = field(default_factory=dict)
    """Of a mixture: name of each part -> splits in which it has puzzles."""

    def parts_in(self, split: SplitName | None) -> tuple[str, ...]:
        """Parts of a mixture that have puzzles in a split."""
        return tuple(name for name, splits in self.parts.items() if split in splits)


def summary_of(data: DataConfig) -> DataSummary:
    """The configured data set by its recipe or manifest; DatasetError when neither can be read."""
    if data.recipe is not None:
        recipe = recipe_of_data(data)
        require_apart(task_named(recipe.puzzle_task))
        parts = recipe.parts_splits if isinstance(recipe, MixtureRecipe) else {}
        return DataSummary(data.recipe, recipe.puzzle_task, recipe.split_names, _to_hold_out(recipe), parts)
    source = storage.absolute(str(data.folder))
    manifest = read_manifest(source)
    require_known(manifest, source)
    require_apart(task_named(manifest.task))
    splits = tuple(name for name, info in manifest.splits.items() if info.rows)
    parts = {part.name: splits for part in manifest.parts}  # which of them each has, no manifest says
    return DataSummary(source, manifest.task, splits, "build it again with validation puzzles held out", parts)


def _to_hold_out(recipe: RecipeBase) -> str:
    if isinstance(recipe, MixtureRecipe):
        return "hold some out in one of its parts: overrides: {validation: N}"
    task = task_of(recipe)
    return "hold some out: --set data.overrides.validation=N" if task is None else task.to_hold_out(recipe)


def task_of_data(data: DataConfig, *needed: SplitName) -> TaskName:
    """The task of the configured data set, from its recipe or manifest, before anything is built or verified.

    Raises DatasetError when neither can be read, or when the data set lacks one of the `needed` splits.
    """
    found = summary_of(data)
    for name in needed:
        if name not in found.splits:
            raise DatasetError(
                f"{name} puzzles are needed, and {found.source} has only {', '.join(found.splits)}",
                remedy="use other data or another split",
            )
    return found.task


def task_to_search(data: DataConfig) -> TaskName:
    """The task of a sweep's data set; DatasetError when it has no validation puzzles to rank trials by, or none to test."""
    found = summary_of(data)
    if "validation" not in found.splits:
        raise DatasetError(
            f"a sweep ranks its trials by validation puzzles, and {found.source} has only {', '.join(found.splits)}",
            remedy=f"{found.to_hold_out} (train.py trains on all of them)",
        )
    return task_of_data(data, "train", "test")


def parts_to_search(data: DataConfig) -> tuple[str, ...]:
    """Parts of a sweep's mixture that have validation puzzles; empty of any other data set."""
    return summary_of(data).parts_in("validation")


def ensure_dataset(data: DataConfig, root: str, say: Callable[[str], None]) -> str:
    """The folder of the configured data set, absolute and verified; a recipe's is built below `root` when it is missing.

    `say` is told in lines what is being done. Raises DatasetError.
    """
    if data.folder is not None:
        folder = storage.absolute(data.folder)
        if storage.is_local(folder) and "?" in folder:
            raise DatasetError(f"data.folder must be without ?, which Ray Data takes for a URL's, got {folder}", remedy="rename it")
        with shown(f"data set {folder}", say) as report:
            _verify(folder, read_manifest(folder), report, reads_all=False)
        return folder
    assert data.recipe is not None
    recipe = recipe_of_data(data)
    folder = storage.absolute(dataset_folder(recipe, root))
    with shown(f"data set {recipe.name}", say) as report:
        manifest, outcome = build_into(recipe, folder, report, say)
    counts = ", ".join(f"{split.rows} {name}" for name, split in manifest.splits.items())
    say(f"data set {recipe.name} {outcome}: {counts} examples in {folder}")
    for rule, count in manifest.skipped.items():
        say(f"data set {recipe.name} left out: {count:,} rows ({rule})")
    for rule, count in manifest.doubled.items():
        say(f"data set {recipe.name} has {count:,} rows more than once ({rule}); scores count such puzzles once")
    return folder


def _refuse_taken(folder: str) -> None:
    """DatasetError, before a data set is built, when it could not be put into the folder."""
    if not storage.is_local(folder):
        return
    path = storage.local_path(folder)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise DatasetError(
            f"the folder must be empty or hold this recipe's data set: {folder} exists and holds something else",
            remedy="name another folder",
        )
    if (reason := why_unwritable(path.absolute().parent)) is not None:
        raise DatasetError(f"a data set's folder must be writable: {folder} ({reason})", remedy="name another folder")
