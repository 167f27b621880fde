"""Baselines that see a puzzle as a grid of cells: convolutions, and a recursion on each cell by itself."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from trm.config.base import only_with
from trm.config.halting import LOCKSTEP, Halting
from trm.config.networks import CARRYING, WIDEST, ModelConfig
from trm.config.recursion import QUESTION, Call, Latent, Recursion


class GridConfig(ModelConfig):
    """Fields of the baselines that see a puzzle as a grid: no halting head, puzzle tokens summed and added to every cell."""

    grid_width: Annotated[int | None, only_with("model.convolutions", 2)] = Field(None, ge=1, le=4096)
    """Cells in a row of the puzzle, for convolutions; null: the puzzle is a square."""

    @property
    def halting(self) -> Halting:
        """Never before `halt_max_steps`."""
        return LOCKSTEP


def _as_text(value: Any) -> Any:
    """A list, or a number alone, as text: `32-64-64`."""
    return "-".join(map(str, value)) if isinstance(value, list | tuple) else str(value) if type(value) is int else value


def _of_numbers(value: str) -> str:
    if not all(part.isdecimal() and 1 <= int(part) <= WIDEST for part in value.split("-") if value):
        raise ValueError(f"widths are numbers from 1 to {WIDEST} with - between them, got {value!r}; write for instance 32-64-64")
    return value


class CnnConfig(GridConfig):
    """Convolutions of 3 by 3, once through (a baseline; acharyaanusha's 3-32-64-64-32-2 has 74,850 parameters)."""

    HAS_MATRICES: ClassVar[bool] = False
    HAS_EMBEDDINGS: ClassVar[bool] = False
    CARRIES_LATENTS: ClassVar[bool] = False

    architecture: Literal["cnn"] = "cnn"
    """The network family."""
    hidden_size: int = Field(32, ge=8, le=WIDEST)
    """Channels after the last convolution, which the answer is read from (D)."""
    widths: Annotated[str, BeforeValidator(_as_text), AfterValidator(_of_numbers)] = Field("32-64-64", max_length=400)
    """Channels after each convolution before the last, as text, so that a knob may have it: 32-64-64; a list is taken too."""
    halt_max_steps: Annotated[int, CARRYING] = Field(1, ge=1, le=1024)
    """Supervision steps of a puzzle: one, since nothing is carried to a next."""

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels after each convolution."""
        return (*(int(width) for width in self.widths.split("-") if width), self.hidden_size)

    def layers_of(self, network: str) -> int:
        """Convolutions."""
        return len(self.channels)


class CellMlpConfig(GridConfig):
    """A recursion on each cell by itself (a baseline of acharyaanusha: 28,258 parameters at 3 tokens and 2 classes)."""

    architecture: Literal["cell_mlp"] = "cell_mlp"
    """The network family."""
    hidden_size: int = Field(64, ge=8, le=WIDEST)
    """Channels of a cell's latent (D); its question has half as many, its last answer a quarter, the MLP twice as many."""
    convolutions: Literal[0, 2] = 0
    """Convolutions that make a cell's question; 0: its token alone, so that no cell sees another. With 2 and D 32: 9,922
    parameters."""
    L_cycles: int = Field(4, ge=1, le=64)
    """Latent updates before each answer update."""
    halt_max_steps: int = Field(6, ge=1, le=1024)
    """Supervision steps that a puzzle may stay in its slot."""

    @property
    def question_size(self) -> int:
        """Channels of a cell's question."""
        return self.hidden_size // 2

    @property
    def answer_size(self) -> int:
        """Channels of a cell's last answer."""
        return self.hidden_size // 4

    @property
    def recursion(self) -> Recursion:
        """What one supervision step computes: the last update of the latent and that of the answer are differentiated."""
        cycle = (Call("z", ("y", QUESTION, "z")),) * self.L_cycles + (Call("y", ("z", "y")),)
        return Recursion((Latent("y", "y_init"), Latent("z", "z_init")), cycle, 1, 2)

    def shallowest(self) -> "ModelConfig":
        """The network with as little recursion as it can have: as wide, and soon timed."""
        return self.model_copy(update={"L_cycles": 1})

    def deciding_values(self) -> dict[str, Any]:
        """Fields as JSON, set alike where they make the same network: without convolutions there are no rows."""
        values = super().deciding_values()
        if not self.convolutions:
            values["grid_width"] = None
        return values

    @model_validator(mode="after")
    def _check_width(self) -> "CellMlpConfig":
        if self.hidden_size % 4:
            near = self.hidden_size // 4 * 4
            raise ValueError(f"cell_mlp needs a hidden_size that divides by 4, got {self.hidden_size}; try hidden_size {near}")
        return self
