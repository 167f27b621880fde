"""What a run's weights start from, where that is not a draw: weights of ours, or of the published implementation."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, create_model

from trm.config.base import Written, only_with, unless

GIVEN = unless("start.from", None)

if TYPE_CHECKING:
    _From = Written
else:  # a field that people write as `from`, a word that Python keeps for itself
    _From = create_model(
        "_From",
        __base__=Written,
        **{
            "from": (
                str | None,
                Field(
                    None,
                    description="Path of the weights: a run, a sweep (its best/), a checkpoint, an export, or a published .pt or "
                    ".safetensors file; relative to the file that names it; null: weights are drawn.",
                ),
            )
        },
    )


class StartConfig(_From):
    """Weights to begin with, and what of them is taken; everything that was not taken is listed."""

    weights: Annotated[Literal["average", "raw"], GIVEN] = "average"
    """Which of a checkpoint's weights: the average, which is what was evaluated, or those that were trained."""
    puzzle_embedding: Annotated[Literal["keep", "mean", "zero", "by_name"], GIVEN] = "keep"
    """Rows of the puzzle embedding: as they are, all the mean of them, all zero, or each identifier the row of its name
    (`name|||tK|||perm`), the mean where the name is unknown."""
    heads: Annotated[Literal["keep", "fresh"], GIVEN] = "keep"
    """The answer and halting heads: as they are, or drawn."""
    missing: Annotated[Literal["error", "fresh"], GIVEN] = "error"
    """What to do for a tensor that the weights do not have: refuse, or draw it."""
    trained_on: Annotated[str | None, GIVEN, only_with("start.puzzle_embedding", "by_name")] = None
    """What the weights were trained on, for `by_name` where they do not say it: the folder of a data set or of published arrays, or
    their identifiers.json."""
    digest: Annotated[str | None, GIVEN] = Field(None, pattern="^[0-9a-f]{64}$")
    """SHA-256 of what `from` holds; filled in when the run begins. Weights of another digest are refused."""

    @property
    def path(self) -> str | None:
        """What `from` says."""
        return getattr(self, "from", None)

    def deciding_values(self) -> dict[str, Any] | None:
        """What decides the weights, as JSON: their digest and what is taken of them, wherever they lie; None: they are drawn."""
        if self.path is None:
            return None
        values = self.model_dump(mode="json")
        if self.puzzle_embedding != "by_name":
            values.pop("trained_on")
        if self.digest is not None:
            values.pop("from")
        return values
