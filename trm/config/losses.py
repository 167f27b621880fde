"""Losses: what training makes small."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import model_serializer

from trm.config.base import Written
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


class StablemaxLoss(LossConfig):
    """Deep supervision with the stablemax cross entropy (arXiv 2501.04697, section 4.1), the paper's."""

    type: Literal["stablemax"] = "stablemax"
    """Which loss it is."""


class SoftmaxLoss(LossConfig):
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
