"""Networks: the fields of each architecture, and what a network must know of a data set."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import (
    Field,
    model_validator,
)

from trm.config.base import Later, Written
from trm.config.recursion import Recursion, one_call, several_latents, single_z, trm
from trm.config.unions import Imported

if TYPE_CHECKING:
    import torch

    from trm.models.arithmetic import RowCost, TensorSizes
    from trm.models.network import Network

SWIGLU_MULTIPLE = 256
Activation = Literal["silu", "gelu", "relu", "relu2"]


@dataclass(frozen=True)
class DataShape:
    """What a network must know of a data set; the bounds are for files that claim it."""

    seq_len: Annotated[int, Field(ge=1, le=1 << 24)]
    vocab_size: Annotated[int, Field(ge=1, le=1 << 24)]
    num_puzzle_identifiers: Annotated[int, Field(ge=1, le=1 << 40)]


@dataclass(frozen=True)
class DataNames:
    """What the rows of a network's tables stand for: two data sets of one shape may give them other meanings."""

    identifiers: str = ""
    """Digest of the puzzle identifiers' names, in order; empty where there is one only, or nobody knows."""
    vocabulary: tuple[str, ...] = ()
    """Names of the tokens; empty when nobody knows."""


def swiglu_width(expansion: float, width_in: int) -> int:
    """Hidden width of a SwiGLU: round(expansion * width_in * 2 / 3), rounded up to a multiple of 256."""
    return -(-round(expansion * width_in * 2 / 3) // SWIGLU_MULTIPLE) * SWIGLU_MULTIPLE


def named_values(fields: Mapping[str, Any]) -> str:
    """Fields of a network and their values, as a message names them."""
    return " and ".join(f"model.{name} {value}" for name, value in fields.items())


class ModelConfig(Written):
    """What every network has: its width, its puzzle tokens, halting, and the type it computes in."""

    HAS_MATRICES: ClassVar[bool] = True
    """Whether its blocks have weights of two axes, which Muon updates."""

    architecture: str
    """The network family."""
    hidden_size: int = Field(512, ge=8, le=16384)
    """Channels of a token (D)."""
    puzzle_emb_ndim: int | None = Field(None, ge=0, le=1 << 20)
    """Values in a puzzle's own embedding row; null: `hidden_size`; 0: no puzzle embedding."""
    puzzle_emb_len: int = Field(16, ge=0, le=1024)
    """Puzzle tokens in front (P); 0: as many as `puzzle_emb_ndim` values need."""
    halt_max_steps: int = Field(16, ge=1, le=1024)
    """Supervision steps that a puzzle may stay in its slot."""
    halt_exploration_prob: float = Field(0.1, ge=0, le=1)
    """Chance, a slot and step, that a minimum number of steps is demanded before halting."""
    no_ACT_continue: bool = True
    """True: halt when q_halt > 0. False: halt when q_halt > q_continue, and learn q_continue (one more forward)."""
    forward_dtype: Literal["auto", "float32", "tf32", "bfloat16", "float64"] = "auto"
    """Type of activations; auto: bfloat16 on CUDA, float32 elsewhere. tf32 is float32 whose products CUDA may round to TF32;
    float64 holds the weights in float64 too (for checks)."""

    FUSED_VALUES: ClassVar[Mapping[str, tuple[Any, ...]]] = {"architecture": ()}
    """Values of fields that the CPU's kernels do (`trm.kernels`); others go plain. Fields not named are done whatever they say."""

    @property
    def unfused(self) -> dict[str, Any]:
        """What of the network the CPU's kernels do not do: fields and their values; empty where they do all of it."""
        return {name: value for name, done in self.FUSED_VALUES.items() if (value := getattr(self, name)) not in done}

    @property
    def recursion(self) -> Recursion:
        """What one supervision step computes; of a network that says nothing else, one call."""
        return one_call()

    def layers_of(self, network: str) -> int:
        """Blocks in a network that the recursion calls."""
        return 1

    @property
    def effective_depth(self) -> int:
        """Blocks that a row passes in one supervision step (arXiv 2510.04871, section 4): H (L + 1) L_layers for trm."""
        return sum(self.layers_of(call.network) for call in self.recursion.calls)

    def shallowest(self) -> "ModelConfig":
        """The network with as little recursion as it can have: as wide, and soon timed."""
        return self

    @property
    def puzzle_ndim(self) -> int:
        """Values in a puzzle's embedding row, `puzzle_emb_ndim` resolved."""
        return self.hidden_size if self.puzzle_emb_ndim is None else self.puzzle_emb_ndim

    @property
    def puzzle_len(self) -> int:
        """Puzzle tokens in front (P), `puzzle_emb_len` resolved."""
        return self.puzzle_emb_len or -(-self.puzzle_ndim // self.hidden_size)

    def deciding_values(self) -> dict[str, Any]:
        """Fields as JSON, set alike where they make the same network: defaults resolved, what has no effect left out or zero."""
        resolved = {"puzzle_emb_ndim": self.puzzle_ndim, "puzzle_emb_len": self.puzzle_len}
        return self.model_dump(mode="json") | resolved

    @model_validator(mode="after")
    def _check_puzzle_tokens(self) -> "ModelConfig":
        if self.puzzle_ndim == 0 and self.puzzle_emb_len:
            raise ValueError(f"puzzle_emb_ndim 0 goes with puzzle_emb_len 0, not {self.puzzle_emb_len}; set both to 0")
        if self.puzzle_len * self.hidden_size < self.puzzle_ndim:
            raise ValueError(
                f"puzzle_emb_len * hidden_size must hold puzzle_emb_ndim: {self.puzzle_len} * {self.hidden_size} < "
                f"{self.puzzle_ndim}; try puzzle_emb_len {-(-self.puzzle_ndim // self.hidden_size)} or 0"
            )
        return self


class RecursiveConfig(ModelConfig):
    """Fields of the tiny recursive models (arXiv 2510.04871, section 4), whatever their recursion."""

    FUSED_VALUES: ClassVar[Mapping[str, tuple[Any, ...]]] = {"ffn": ("swiglu",), "activation": ("silu",)}

    H_cycles: int = Field(3, ge=1, le=64)
    """Answer updates a supervision step; all but the last run without gradient (T in the paper)."""
    L_cycles: int = Field(6, ge=1, le=64)
    """Latent updates before each answer update (n in the paper)."""
    L_layers: int = Field(2, ge=1, le=64)
    """Blocks in the one network."""
    num_heads: int = Field(8, ge=1, le=256)
    """Attention heads; without meaning when `mlp_t`."""
    expansion: float = Field(4.0, gt=0, le=64)
    """SwiGLU expansion; the width is rounded up to a multiple of 256."""
    mlp_t: bool = False
    """Mix positions with a SwiGLU across them in place of attention."""
    pos_encodings: Literal["rope", "rope2d", "learned", "none"] = "rope"
    """Position encodings; rope2d turns half the channels by a cell's row, half by its column; `none` is the rule with `mlp_t`."""
    rope_theta: float = Field(10000.0, gt=1)
    """Base of the rotary angles."""
    rms_norm_eps: float = Field(1e-5, gt=0, lt=1)
    """Added to the mean square in every norm."""
    ffn: Annotated[Literal["swiglu", "conv_swiglu", "normed_swiglu"], Later] = "swiglu"
    """swiglu: act(gate) * up. conv_swiglu: then a short convolution along the tokens and act again (arXiv 2512.14693, URM).
    normed_swiglu: sigmoid(gate) * norm(gate * up), for Muon (jvdillon/sic), across positions too where `mlp_t`."""
    activation: Annotated[Activation, Later] = "silu"
    """Activation of the gates (act); gelu by a hyperbolic tangent, relu2 the square of relu. A normed SwiGLU has silu's."""
    conv_kernel: Annotated[int, Field(ge=1, le=15), Later] = 2
    """Tokens that the convolution of conv_swiglu sees: 2 are a token and the one before, as published."""
    grid_width: Annotated[int | None, Field(ge=1, le=4096), Later] = None
    """Cells in a row of the puzzle, for rope2d; null: the puzzle is a square."""

    def layers_of(self, network: str) -> int:
        """Blocks in a network that the recursion calls."""
        return self.L_layers

    def shallowest(self) -> "ModelConfig":
        """The network with as little recursion as it can have: as wide, and soon timed."""
        return self.model_copy(update={"H_cycles": 1, "L_cycles": 1})

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
        return values

    @model_validator(mode="after")
    def _check_blocks(self) -> "RecursiveConfig":
        if not self.mlp_t:
            if self.hidden_size % self.num_heads:
                raise ValueError(
                    f"hidden_size must divide by num_heads: {self.hidden_size} by {self.num_heads}; "
                    f"try num_heads {math.gcd(self.hidden_size, self.num_heads)}"
                )
            head_size = self.hidden_size // self.num_heads
            if self.pos_encodings == "rope" and head_size % 2:
                raise ValueError(
                    f"rotary encodings need an even head size: hidden_size {self.hidden_size} / num_heads "
                    f"{self.num_heads} is {head_size}; halve num_heads or use pos_encodings learned"
                )
            if self.pos_encodings == "rope2d" and head_size % 4:
                raise ValueError(
                    f"pos_encodings rope2d needs a head size that divides by 4: hidden_size {self.hidden_size} / num_heads "
                    f"{self.num_heads} is {head_size}; take fewer heads or pos_encodings rope"
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


class TrmConfig(RecursiveConfig):
    """The Tiny Recursive Model: an answer and a latent (arXiv 2510.04871, Figure 3)."""

    architecture: Literal["trm"] = "trm"
    """The network family."""

    @property
    def recursion(self) -> Recursion:
        """What one supervision step computes."""
        return trm(self.H_cycles, self.L_cycles)


class SingleZConfig(RecursiveConfig):
    """One latent that is the answer too (an ablation of arXiv 2510.04871)."""

    architecture: Literal["single_z"] = "single_z"
    """The network family."""

    @property
    def recursion(self) -> Recursion:
        """What one supervision step computes."""
        return single_z(self.H_cycles, self.L_cycles)


class LatentsConfig(RecursiveConfig):
    """An answer and several latents that are updated in turn (an ablation of arXiv 2510.04871)."""

    architecture: Literal["latents"] = "latents"
    """The network family."""
    num_latents: int = Field(6, ge=1, le=32)
    """Latents beside the answer; latent l mod `num_latents` is updated at inner step l, and each counts in every sum."""

    @property
    def recursion(self) -> Recursion:
        """What one supervision step computes."""
        return several_latents(self.num_latents, self.H_cycles, self.L_cycles)


class ImportedNetwork(ModelConfig, Imported):
    """Base of networks in a person's own module: fields with bounds, `architecture` a literal, and what their contract asks."""

    TAG: ClassVar[str] = "architecture"
    METHODS: ClassVar[tuple[str, ...]] = ("build", "tensor_sizes", "row_cost")

    @classmethod
    def built_in(cls) -> tuple[Any, ...]:
        """The networks that need no import."""
        return TrmConfig, SingleZConfig, LatentsConfig

    def build(self, shape: DataShape, *, dtype: "torch.dtype", generator: "torch.Generator | None") -> "Network":
        """The network, its weights drawn from `generator` alone (without one: of seed 0); see `trm.models.network.Network`."""
        raise NotImplementedError

    def tensor_sizes(self, shape: DataShape) -> "TensorSizes":
        """Shape of every trained parameter and saved buffer, by arithmetic: the search asks before anything is built."""
        raise NotImplementedError

    def row_cost(self, shape: DataShape) -> "RowCost":
        """What one row costs in one supervision step, by arithmetic."""
        raise NotImplementedError


AnyNetwork = TrmConfig | SingleZConfig | LatentsConfig | ImportedNetwork
"""The network of a run."""
