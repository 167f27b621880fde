"""Networks that call blocks: the tiny recursive models and their ablations, HRM, transformers."""

import functools
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from trm.config.base import Later, only_with, unless
from trm.config.blocks import RecursiveConfig
from trm.config.halting import LOCKSTEP, Halting, act
from trm.config.networks import CARRYING, MayLearnContinue
from trm.config.recursion import HIGH, LOW, Gradient, Recursion, hrm, one_call, several_latents, single_z, trm


class TinyConfig(RecursiveConfig, MayLearnContinue):
    """Fields of the tiny recursive models and their ablations (arXiv 2510.04871, section 5)."""

    H_cycles: int = Field(3, ge=1, le=64)
    """Answer updates a supervision step; all but the last run without gradient (T in the paper)."""
    L_cycles: int = Field(6, ge=1, le=64)
    """Latent updates before each answer update (n in the paper)."""
    L_layers: int = Field(2, ge=1, le=64)
    """Blocks in the one network, or in each of two."""
    networks: Annotated[Literal["shared", "separate"], Later] = "shared"
    """One network for latents and answer, or two, one that updates the answer at the end of a cycle and one for the other
    calls (82.4 against 87.4 %, arXiv 2510.04871, table 1)."""
    gradient: Annotated[Gradient, Later, unless("optim.trained", "heads"), only_with("model.answers_after", "last_cycle")] = (
        "last_cycle"
    )
    """Calls that are differentiated: `last_call`; `one_step`, the last update of each latent; `last_cycle`; a number, so many
    last cycles (all, where there are fewer); `all`."""
    answers_after: Annotated[Literal["last_cycle", "every_cycle"], Later] = "last_cycle"
    """When the head is read. every_cycle: after each H cycle, which has a gradient of its own; then there is no halting head."""

    @property
    def halting(self) -> Halting:
        """When its slots halt, and what of its halting pair is learned."""
        return LOCKSTEP if self.answers_after == "every_cycle" else super().halting

    @property
    def has_inner_answers(self) -> bool:
        """Whether an answer can be read after an H cycle that is not the last, beside that after the last."""
        return super().has_inner_answers and self.answers_after == "last_cycle"

    @property
    def own_recursion(self) -> Recursion:
        """The published recursion, the last H cycle differentiated."""
        raise NotImplementedError

    @property
    def recursion(self) -> Recursion:
        """What one supervision step computes."""
        return _recursion(self)

    def layers_of(self, network: str) -> int:
        """Blocks in a network that the recursion calls."""
        return self.L_layers

    def deciding_values(self) -> dict[str, Any]:
        """Fields as JSON, set alike where they make the same network: several `gradient` differentiate the same calls."""
        values = super().deciding_values()
        if self.recursion.differentiated_calls == len(self.recursion.cycle):
            values.pop("gradient")
        else:
            values["gradient"] = self.recursion.differentiated_calls
        return values

    @model_validator(mode="after")
    def _check_answers(self) -> "TinyConfig":
        if isinstance(self.gradient, int) and self.gradient < 1:
            raise ValueError(
                f"gradient must be at least 1 cycle, got {self.gradient}; set gradient: 1, or gradient: last_call for "
                "less than a cycle"
            )
        if self.answers_after == "every_cycle":
            if self.gradient != "last_cycle":
                raise ValueError(
                    f"answers_after every_cycle gives each cycle a gradient of its own, and gradient {self.gradient} means nothing "
                    f"there; set gradient: last_cycle or answers_after: last_cycle"
                )
            if not self.no_ACT_continue:
                raise ValueError(
                    "answers_after every_cycle has no halting head, and no_ACT_continue false means nothing there; set "
                    "no_ACT_continue: true or answers_after: last_cycle"
                )
        return self


@functools.lru_cache(maxsize=32)
def _recursion(model: TinyConfig) -> Recursion:
    """Asked for a dozen times where a configuration's cost is worked out, as a search does with every candidate."""
    recursion = model.own_recursion
    if model.networks == "separate":
        recursion = recursion.with_networks(LOW, HIGH)
    if model.answers_after == "every_cycle":
        return recursion.answering_every_cycle()
    return recursion.differentiating(model.gradient)


class TrmConfig(TinyConfig):
    """The Tiny Recursive Model: an answer and a latent (arXiv 2510.04871, Figure 3)."""

    architecture: Literal["trm"] = "trm"
    """The network family."""

    @property
    def own_recursion(self) -> Recursion:
        """The published recursion, the last H cycle differentiated."""
        return trm(self.H_cycles, self.L_cycles)


class SingleZConfig(TinyConfig):
    """One latent that is the answer too (an ablation of arXiv 2510.04871)."""

    architecture: Literal["single_z"] = "single_z"
    """The network family."""

    @property
    def own_recursion(self) -> Recursion:
        """The published recursion, the last H cycle differentiated."""
        return single_z(self.H_cycles, self.L_cycles)


class LatentsConfig(TinyConfig):
    """An answer and several latents that are updated in turn (an ablation of arXiv 2510.04871)."""

    architecture: Literal["latents"] = "latents"
    """The network family."""
    num_latents: int = Field(6, ge=1, le=32)
    """Latents beside the answer; latent l mod `num_latents` is updated at inner step l, and each counts in every sum."""

    @property
    def own_recursion(self) -> Recursion:
        """The published recursion, the last H cycle differentiated."""
        return several_latents(self.num_latents, self.H_cycles, self.L_cycles)


class HrmConfig(RecursiveConfig):
    """The Hierarchical Reasoning Model: a low network and a high one, one step of each differentiated (arXiv 2506.21734)."""

    architecture: Literal["hrm"] = "hrm"
    """The network family."""
    puzzle_emb_len: int = Field(0, ge=0, le=1024)
    """Puzzle tokens in front (P); 0, as published: as many as `puzzle_emb_ndim` values need."""
    H_cycles: int = Field(2, ge=1, le=64)
    """Updates of the high latent, which is the answer, a supervision step (N in the paper)."""
    L_cycles: int = Field(2, ge=1, le=64)
    """Updates of the low latent before each of the high one (T in the paper)."""
    H_layers: int = Field(4, ge=1, le=64)
    """Blocks in the high network."""
    L_layers: int = Field(4, ge=1, le=64)
    """Blocks in the low network."""

    @property
    def halting(self) -> Halting:
        """By the pair, q_continue always learned; with a single step there is nothing to go on to, and nothing of it to learn."""
        return act(compares=True, learns_continue=self.halt_max_steps > 1)

    @property
    def recursion(self) -> Recursion:
        """What one supervision step computes."""
        return hrm(self.H_cycles, self.L_cycles)

    def layers_of(self, network: str) -> int:
        """Blocks in a network that the recursion calls."""
        return self.H_layers if network == HIGH else self.L_layers


class TransformerConfig(RecursiveConfig):
    """A transformer that is called once a supervision step (the baseline of arXiv 2510.04871's code)."""

    HEADS_DIVIDE: ClassVar[bool] = False

    architecture: Literal["transformer"] = "transformer"
    """The network family."""
    puzzle_emb_len: int = Field(0, ge=0, le=1024)
    """Puzzle tokens in front (P); 0, as published: as many as `puzzle_emb_ndim` values need."""
    H_layers: int = Field(8, ge=1, le=64)
    """Blocks in the network."""
    act_enabled: bool = True
    """Whether slots halt in training, when q_halt > q_continue; q_continue is never trained."""
    act_inference: bool = False
    """Whether an evaluation takes each row's answer when q_halt > q_continue."""

    @property
    def halting(self) -> Halting:
        """By the pair, of which q_halt alone is learned."""
        return Halting("q_halt > q_continue", stops_training=self.act_enabled, stops_evaluation=self.act_inference)

    @property
    def recursion(self) -> Recursion:
        """What one supervision step computes."""
        return one_call(HIGH)

    def layers_of(self, network: str) -> int:
        """Blocks in a network that the recursion calls."""
        return self.H_layers


class DirectConfig(RecursiveConfig):
    """A transformer that is called once on a puzzle (a baseline)."""

    CARRIES_LATENTS: ClassVar[bool] = False

    architecture: Literal["direct"] = "direct"
    """The network family."""
    layers: int = Field(3, ge=1, le=64)
    """Blocks in the network."""
    halt_max_steps: Annotated[int, CARRYING] = Field(1, ge=1, le=1024)
    """Supervision steps of a puzzle: one, since it is called once."""

    @property
    def halting(self) -> Halting:
        """Never before `halt_max_steps`."""
        return LOCKSTEP

    @property
    def recursion(self) -> Recursion:
        """What one supervision step computes."""
        return one_call()

    def layers_of(self, network: str) -> int:
        """Blocks in the network."""
        return self.layers
