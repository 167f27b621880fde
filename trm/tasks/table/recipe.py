"""The recipe of puzzles of one's own: tables of questions and answers."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from trm.data.format.manifest import TaskName
from trm.tasks.making.recipe import RecipeBase

Meaning = Literal["question", "answer", "identifier", "group", "split"]
Share = Annotated[int, Field(ge=0)] | Annotated[float, Field(ge=0, lt=1)]


class TableRecipe(RecipeBase):
    """Questions and answers as rows of CSV, JSON, JSON lines, npz or Parquet files: grids or sequences of any tokens."""

    task: Literal["table"] = "table"
    path: str
    """A file of all puzzles, or a folder (or URL) with train, validation and test files; `.gz` `.bz2` `.xz` `.zst` too."""
    columns: dict[Meaning, str] = Field(default_factory=dict)
    """What the files call question, answer, identifier, group and split, where the usual names do not say."""
    text: Literal["characters", "words", "json"] = "characters"
    """How a text is read: a token a character, tokens between blanks, or JSON lists of tokens (`[[1, 2], [3, 4]]`)."""
    row_separator: str = Field("\n", min_length=1)
    """What parts the rows of a grid in a text."""
    vocabulary: tuple[str | int, ...] | None = Field(None, min_length=1, max_length=255)
    """Every token, in order, from 1; null: those of the files, numbers first."""
    padding: str | int | None = None
    """The token that stands for padding in the files: it becomes token 0 and is never scored."""
    grid: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = None
    """Height and width of the canvas; null: the largest question or answer. Smaller ones are padded below and to the right."""
    validation: Share | None = None
    """Puzzles held out of training: how many, or below 1 a share; null: the files' own, else a tenth, at most 1,000."""
    test: Share | None = None
    """Puzzles held out for the test split, likewise; null: the files' own, else a tenth, at most 1,000."""
    skip_bad: bool = False
    """Leave out rows that break a rule, and count them, by rule, in the manifest; false: refuse the first."""

    @property
    def puzzle_task(self) -> TaskName:
        """What the data set's puzzles are: nothing is known of them but their tokens."""
        return "other"

    @property
    def has_validation(self) -> bool:
        """Whether some puzzles validate."""
        return self.validation != 0

    @property
    def named_columns(self) -> dict[str, str]:
        """Meaning -> what the files call that column."""
        return {str(meaning): name for meaning, name in self.columns.items()}

    @model_validator(mode="after")
    def _check(self) -> "TableRecipe":
        names = [str(token) for token in self.vocabulary or ()]
        if len(set(names)) < len(names):
            raise ValueError(f"the tokens of the vocabulary must differ: {names}; name each once")
        if self.test == 0:
            raise ValueError("a data set needs test puzzles, test is 0; give a number, or a share such as 0.1")
        return self
