"""Losses: what training makes small."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_serializer

from trm.config.base import Later, Written, either, only_where, unless
from trm.config.networks import HALTING, MANY_STEPS
from trm.config.unions import Imported, Tagged
from trm.console.redaction import stored

if TYPE_CHECKING:
    import torch

    from trm.config.run import RunConfig
    from trm.losses.loss import Loss


class LossConfig(Written):
    """Base of losses; one whose fields are all at their defaults is written as its tag alone."""

    type: str
    """Which loss it is."""

    @model_serializer(mode="wrap")
    def _tag_alone(self, values: Callable[[Any], Any]) -> Any:
        fields = type(self).model_fields
        is_plain = all(getattr(self, name) == field.default for name, field in fields.items())
        return self.type if is_plain else stored(values(self))


class SupervisionLoss(LossConfig):
    """Fields of the losses of deep supervision, whatever their cross entropy."""

    label_smoothing: Annotated[float, Later] = Field(0.0, ge=0, lt=1)
    """Share of each label that goes to all tokens of the vocabulary alike; what validation calls `loss` has none."""
    halt_loss_weight: Annotated[float, Later, HALTING] = Field(0.5, ge=0, le=100)
    """Weight of the halting loss, and of that of q_continue, against the answer loss (0.5 as published)."""
    answer_target: Annotated[Literal["plain", "difference"], Later, MANY_STEPS] = "plain"
    """What the answer loss is of: `plain`, the logits; `difference`, what they add to those read before, which are 0 at first."""
    intermediate_weight: Annotated[
        float,
        Later,
        either(only_where("has_inner_answers", "answers_after", "H_cycles"), unless("training.depth_schedule", None, "cgar")),
    ] = Field(0.0, ge=0, le=100)
    """Weight of the answer loss of each H cycle but the last, which is read for that; where such a cycle has no gradient the head
    alone learns from it."""
    step_weights: Annotated[float, Later] = Field(0.0, ge=-1, le=100)
    """a: the loss of a slot that has made t supervision steps on its puzzle, this one counted, weighs 1 + a t."""


class StablemaxLoss(SupervisionLoss):
    """Deep supervision with the stablemax cross entropy (arXiv 2501.04697, section 4.1), the paper's."""

    type: Literal["stablemax"] = "stablemax"
    """Which loss it is."""


class SoftmaxLoss(SupervisionLoss):
    """Deep supervision with the softmax cross entropy."""

    type: Literal["softmax"] = "softmax"
    """Which loss it is."""


class ImportedLoss(LossConfig, Imported):
    """Base of losses in a person's own module: fields with bounds, `type` a literal, and `build`."""

    @classmethod
    def built_in(cls) -> tuple[Any, ...]:
        """The losses that need no import."""
        return StablemaxLoss, SoftmaxLoss

    def build(self, config: "RunConfig", device: "torch.device") -> "Loss":
        """The loss of a run on `device`; see `trm.losses.loss.Loss`."""
        raise NotImplementedError


AnyLoss = Annotated[StablemaxLoss | SoftmaxLoss | ImportedLoss, Tagged("type", default="stablemax", is_short=True)]
"""The loss of a run: `stablemax`, or `{type: stablemax, ...}` with its fields."""
