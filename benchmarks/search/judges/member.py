"""An optimizer of the product's that trains nothing: its fields are the knobs of whatever judge is searched (docs/extending.md)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from trm.config.optimizers import ImportedOptimizer

if TYPE_CHECKING:
    import torch

Value = bool | int | float | str | None


class Judged(ImportedOptimizer):
    """The knobs of a judge by their places in its space; null: the judge has no such knob, or it is not active."""

    type: Literal["judged"] = "judged"
    """Which optimizer updates the backbone."""
    knob_0: Value = None
    """The judge's first knob."""
    knob_1: Value = None
    """The judge's second knob, and so on."""
    knob_2: Value = None
    knob_3: Value = None
    knob_4: Value = None
    knob_5: Value = None
    knob_6: Value = None
    knob_7: Value = None
    knob_8: Value = None
    knob_9: Value = None
    knob_10: Value = None
    knob_11: Value = None
    knob_12: Value = None
    knob_13: Value = None
    knob_14: Value = None
    knob_15: Value = None

    def build(self, parameters: "Mapping[str, torch.nn.Parameter]") -> "torch.optim.Optimizer":
        """Nobody trains by it."""
        raise NotImplementedError("a judge is looked up, not trained")
