"""What every network has, and what a network must know of a data set."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from trm.config.base import Written, only_where
from trm.config.halting import Halting, act
from trm.config.recursion import Recursion, one_call

WIDEST = 16384
"""Channels, at most."""


CARRYING = only_where("CARRIES_LATENTS")
MANY_STEPS = only_where("has_many_steps", "architecture", "halt_max_steps")
HALTING = only_where("halting.learns_halt", "answers_after")
"""Marks what is of a halting head."""


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


class ModelConfig(Written):
    """What every network has: its width, its puzzle tokens, halting, and the type it computes in."""

    HAS_MATRICES: ClassVar[bool] = True
    """Whether its blocks have weights of two axes, which Muon updates."""
    HAS_EMBEDDINGS: ClassVar[bool] = True
    """Whether it has a table of tokens that an optimizer of embeddings updates."""
    HAS_BLOCKS: ClassVar[bool] = False
    """Whether blocks update its latents, so that several may compete (`training.hypotheses`)."""
    CARRIES_LATENTS: ClassVar[bool] = True
    """Whether a supervision step goes on from what the one before left; else a second step would be the first again, and there is
    only one."""

    architecture: str
    """The network family."""
    hidden_size: int = Field(512, ge=8, le=WIDEST)
    """Channels of a token (D)."""
    puzzle_emb_ndim: int | None = Field(None, ge=0, le=1 << 20)
    """Values in a puzzle's own embedding row; null: `hidden_size`; 0: no puzzle embedding."""
    puzzle_emb_len: int = Field(16, ge=0, le=1024)
    """Puzzle tokens in front (P); 0: as many as `puzzle_emb_ndim` values need."""
    halt_max_steps: Annotated[int, CARRYING] = Field(16, ge=1, le=1024)
    """Supervision steps that a puzzle may stay in its slot."""
    halt_exploration_prob: Annotated[float, only_where("halting.stops_training", "answers_after", "act_enabled"), MANY_STEPS] = (
        Field(0.1, ge=0, le=1)
    )
    """Chance, a slot and step, that a minimum number of steps is demanded before halting."""
    forward_dtype: Literal["auto", "float32", "tf32", "bfloat16", "float64"] = "auto"
    """Type of activations; auto: bfloat16 on CUDA, float32 elsewhere. tf32 is float32 whose products CUDA may round to TF32;
    float64 holds the weights in float64 too (for checks)."""

    FUSED_VALUES: ClassVar[Mapping[str, tuple[Any, ...]]] = {"architecture": ()}
    """Values of fields that the CPU's kernels do (`trm.kernels`); others go plain. Fields not named are done whatever they say."""

    @property
    def unfused(self) -> dict[str, Any]:
        """What of the network the CPU's kernels do not do: paths of fields and their values; empty where they do all of it."""
        return {f"model.{name}": value for name, done in self.FUSED_VALUES.items() if (value := getattr(self, name)) not in done}

    @property
    def halting(self) -> Halting:
        """When its slots halt, and what of its halting pair is learned; of a network that says nothing else, by q_halt alone."""
        return act(compares=False)

    @property
    def has_many_steps(self) -> bool:
        """Whether a puzzle may stay for more than one supervision step."""
        return self.halt_max_steps > 1

    @property
    def has_inner_answers(self) -> bool:
        """Whether an answer can be read after an H cycle that is not the last, beside that after the last."""
        return self.cycles is not None and self.cycles[0] > 1

    @property
    def has_biases(self) -> bool:
        """Whether it has weights of one axis."""
        return True

    @property
    def repeats_differ(self) -> bool:
        """Whether a second step on the same slots, before an update, can bring another gradient than the first."""
        return self.has_many_steps or self.draws_in_training

    @property
    def draws_in_training(self) -> bool:
        """Whether the network draws in a training step: if so, it is handed `trm.models.network.Draws`."""
        return False

    @property
    def draws_in_evaluation(self) -> bool:
        """Whether the network draws where it is evaluated."""
        return False

    @property
    def draws_starts(self) -> bool:
        """Whether the latents that a puzzle starts from are drawn for it."""
        return False

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
    def cycles(self) -> tuple[int, int] | None:
        """H_cycles and L_cycles; None of a network that has none."""
        found = getattr(self, "H_cycles", None), getattr(self, "L_cycles", None)
        return None if found[0] is None or found[1] is None else (found[0], found[1])

    def with_cycles(self, H_cycles: int, L_cycles: int) -> "ModelConfig":
        """The network with other cycles, its weights the same; pydantic's ValidationError where its other fields forbid that."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self).model_validate({**values, "H_cycles": H_cycles, "L_cycles": L_cycles})

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
        unexplored = {} if self.halting.stops_training else {"halt_exploration_prob": 0}
        return self.model_dump(mode="json") | resolved | unexplored

    @model_validator(mode="after")
    def _check_steps(self) -> "ModelConfig":
        if not self.CARRIES_LATENTS and self.halt_max_steps > 1:
            raise ValueError(
                f"{self.architecture} carries nothing from one supervision step to the next, so that a puzzle has one, got "
                f"halt_max_steps {self.halt_max_steps}; leave it out or set halt_max_steps: 1 (in a space whose other networks "
                f"have more: make it a knob with `when: {{model.architecture: [...]}}`)"
            )
        return self

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


class MayLearnContinue(ModelConfig):
    """A network that halts by q_halt alone or by the pair, as one chooses."""

    no_ACT_continue: bool = True
    """True: halt when q_halt > 0. False: halt when q_halt > q_continue, and learn q_continue (one more forward)."""

    @property
    def halting(self) -> Halting:
        """When its slots halt, and what of its halting pair is learned."""
        return act(compares=not self.no_ACT_continue)
