"""Blocks: the fields of what a recursion calls, attention or a mixer and a SwiGLU."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from trm.config.base import Later, only_with, unless
from trm.config.networks import HALTING, ModelConfig

SWIGLU_MULTIPLE = 256
Activation = Literal["silu", "gelu", "relu", "relu2"]


def swiglu_width(expansion: float, width_in: int) -> int:
    """Hidden width of a SwiGLU: round(expansion * width_in * 2 / 3), rounded up to a multiple of 256."""
    return -(-round(expansion * width_in * 2 / 3) // SWIGLU_MULTIPLE) * SWIGLU_MULTIPLE


class RecursiveConfig(ModelConfig):
    """Fields of the blocks that a recursion calls, whatever it is (arXiv 2510.04871, section 4)."""

    HEADS_DIVIDE: ClassVar[bool] = True
    """Whether `num_heads` must divide `hidden_size`; else attention is `num_heads * (hidden_size // num_heads)` wide."""
    HAS_BLOCKS: ClassVar[bool] = True
    FUSED_VALUES: ClassVar[Mapping[str, tuple[Any, ...]]] = {}

    num_heads: Annotated[int, unless("model.mlp_t", True)] = Field(8, ge=1, le=256)
    """Attention heads."""
    expansion: float = Field(4.0, gt=0, le=64)
    """SwiGLU expansion; the width is rounded up to a multiple of 256."""
    mlp_t: bool = False
    """Mix positions with a SwiGLU across them in place of attention."""
    pos_encodings: Literal["rope", "rope2d", "learned", "none"] = "rope"
    """Position encodings; rope2d turns half the channels by a cell's row, half by its column; `none` is the rule with `mlp_t`."""
    rope_theta: Annotated[float, only_with("model.pos_encodings", "rope", "rope2d")] = Field(10000.0, gt=1)
    """Base of the rotary angles."""
    rms_norm_eps: float = Field(1e-5, gt=0, lt=1)
    """Added to the mean square in every norm."""
    halt_bias: Annotated[float, Later, HALTING] = Field(-5.0, ge=-100, le=100)
    """What the halting head's two biases start from, its weights from 0: at -5 no puzzle wants to halt at first; -3 starts deep
    (nano-trm)."""
    ffn: Annotated[Literal["swiglu", "conv_swiglu", "normed_swiglu"], Later] = "swiglu"
    """swiglu: act(gate) * up. conv_swiglu: then a short convolution along the tokens and act again (arXiv 2512.14693, URM).
    normed_swiglu: sigmoid(gate) * norm(gate * up), for Muon (jvdillon/sic), across positions too where `mlp_t`."""
    activation: Annotated[Activation, Later, unless("model.ffn", "normed_swiglu")] = "silu"
    """Activation of the gates (act); gelu by a hyperbolic tangent, relu2 the square of relu. A normed SwiGLU has silu's."""
    conv_kernel: Annotated[int, Field(ge=1, le=15), Later, only_with("model.ffn", "conv_swiglu")] = 2
    """Tokens that the convolution of conv_swiglu sees: 2 are a token and the one before, as published."""
    grid_width: Annotated[int | None, Field(ge=1, le=4096), Later, only_with("model.pos_encodings", "rope2d")] = None
    """Cells in a row of the puzzle, for rope2d; null: the puzzle is a square."""
    dropout: Annotated[float, Later] = Field(0.0, ge=0, lt=1)
    """Chance that a channel of a token is zeroed after a block, in every call, the others scaled up; in training only."""
    path_noise: Annotated[float, Later] = Field(0.0, ge=0, le=10)
    """Standard deviation of normal noise that a latent is given after every call that updates it (EqR, arXiv 2605.21488: 0.01)."""
    path_noise_in: Annotated[Literal["training", "always"], Later, unless("model.path_noise", 0)] = "training"
    """Where there is path noise: in training only, or in evaluation too, as in EqR's code."""
    relaxation: Annotated[float, Later] = Field(1.0, gt=0, le=1)
    """Share b of what a call says in the latent that it updates: z = (1 - b) z + b f(...) (EqR: 0.95); 1: z = f(...)."""
    initial_latents: Annotated[Literal["fixed", "random"], Later] = "fixed"
    """What a puzzle starts from: one vector a latent, the same in every place (arXiv 2510.04871); or a normal cut at 2 sigma in
    every place, drawn for each puzzle anew, in evaluation too (EqR)."""

    def shallowest(self) -> ModelConfig:
        """The network with as little recursion as it can have: as wide, and soon timed."""
        return self if self.cycles is None else self.model_copy(update={"H_cycles": 1, "L_cycles": 1})

    @property
    def draws_in_training(self) -> bool:
        """Whether the network draws in a training step."""
        return self.dropout > 0 or self.path_noise > 0 or self.draws_starts

    @property
    def draws_in_evaluation(self) -> bool:
        """Whether the network draws where it is evaluated."""
        return self.draws_starts or (self.path_noise > 0 and self.path_noise_in == "always")

    @property
    def draws_starts(self) -> bool:
        """Whether the latents that a puzzle starts from are drawn for it."""
        return self.initial_latents == "random"

    @property
    def has_biases(self) -> bool:
        """Whether it has weights of one axis: the halting head's, or those of convolutions."""
        return self.halting.learns_halt or self.ffn == "conv_swiglu"

    @property
    def head_size(self) -> int:
        """Channels of an attention head."""
        return self.hidden_size // self.num_heads

    @property
    def attention_width(self) -> int:
        """Channels of all heads together: `hidden_size` where the heads divide it."""
        return self.num_heads * self.head_size

    def deciding_values(self) -> dict[str, Any]:
        """Fields as JSON, set alike where they make the same network.

        The FFN width is rounded to 256, so several `expansion` are one network; `num_heads` and `rope_theta` mean nothing
        with `mlp_t`.
        """
        values = super().deciding_values() | {"expansion": swiglu_width(self.expansion, self.hidden_size)}
        if self.mlp_t:
            values["num_heads"] = 0
        if self.pos_encodings not in ("rope", "rope2d"):
            values["rope_theta"] = 0
        for name, is_used in (("conv_kernel", self.ffn == "conv_swiglu"), ("grid_width", self.pos_encodings == "rope2d")):
            if not is_used:
                values.pop(name)
        if self.path_noise == 0:
            values.pop("path_noise_in")
        return values

    @model_validator(mode="after")
    def _check_halting(self) -> "RecursiveConfig":
        if self.halt_bias != type(self).model_fields["halt_bias"].default and not self.halting.learns_halt:
            kind = "answers_after every_cycle" if self.recursion.answers_every_cycle else f"the architecture {self.architecture}"
            raise ValueError(
                f"halt_bias {self.halt_bias:g} means nothing for {kind}, which has no halting head; leave it out, or take a "
                f"network that halts"
            )
        return self

    def _other_heads(self) -> str:
        """As a remedy the next lower number of heads that would do, and encodings that take heads of any size."""
        multiple = {"rope": 2, "rope2d": 4}.get(self.pos_encodings, 1)
        fitting = [
            heads
            for heads in range(1, min(self.num_heads, self.hidden_size) + 1)
            if (not self.HEADS_DIVIDE or self.hidden_size % heads == 0) and self.hidden_size // heads % multiple == 0
        ]
        tries = [f"try num_heads {fitting[-1]}"] if fitting else []
        return " or ".join([*tries, *(["set pos_encodings: learned"] if self.hidden_size % self.num_heads == 0 else [])])

    @model_validator(mode="after")
    def _check_blocks(self) -> "RecursiveConfig":
        if not self.mlp_t:
            if self.num_heads > self.hidden_size or (self.HEADS_DIVIDE and self.hidden_size % self.num_heads):
                raise ValueError(
                    f"hidden_size must divide by num_heads: {self.hidden_size} by {self.num_heads}; {self._other_heads()}"
                )
            if self.pos_encodings == "rope" and self.head_size % 2:
                raise ValueError(
                    f"rotary encodings need an even head size: hidden_size {self.hidden_size} / num_heads "
                    f"{self.num_heads} is {self.head_size}; {self._other_heads()}"
                )
            if self.pos_encodings == "rope2d" and self.head_size % 4:
                raise ValueError(
                    f"pos_encodings rope2d needs a head size that divides by 4: hidden_size {self.hidden_size} / num_heads "
                    f"{self.num_heads} is {self.head_size}; {self._other_heads()}"
                )
        elif self.pos_encodings in ("rope", "rope2d"):
            raise ValueError(
                f"mlp_t mixes positions without attention, so pos_encodings {self.pos_encodings} has no effect; "
                f"set pos_encodings: none"
            )
        if self.ffn == "normed_swiglu" and self.activation != "silu":
            raise ValueError(
                f"ffn normed_swiglu has the gate of silu, got activation {self.activation}; set activation: silu or another ffn"
            )
        return self
