"""What training reports of supervision steps: sums over rows, by name, and what each is a mean over."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

from trm.losses.loss import ROWS
from trm.losses.objective import Losses

ROW_SUMS = ("loss", "lm_loss", "q_halt_loss", "q_continue_loss")
"""The parts of `Losses` by their names in reports, curves and checkpoints."""
HALTED = "halted"
"""Rows that halted at a step, and have a label."""
HALTED_SUMS = ("cell_accuracy", "exact_accuracy", "q_halt_accuracy", "mean_halting_step")
"""What is told of them."""
INTERMEDIATE = "intermediate_loss"
"""The answer loss of earlier cycles, of a run that learns from them."""
METRICS = {**dict.fromkeys(ROW_SUMS, ROWS), **dict.fromkeys(HALTED_SUMS, HALTED)}
"""Name of each sum -> what it is a mean over."""


@torch.no_grad()
def sums_of(losses: Losses, q_halt: Tensor, halted: Bool[Tensor, " batch"], steps: Tensor) -> dict[str, Tensor]:
    """What training reports of one supervision step, each a sum over rows, by name; nothing waits for the device."""
    is_counted = (halted & (losses.labelled_cells > 0)).double()
    each = torch.stack(
        (
            torch.ones_like(is_counted),
            losses.correct_cells.double() / losses.labelled_cells.clamp(min=1),
            losses.is_exact.double(),
            ((q_halt >= 0) == losses.is_exact).double(),
            steps.double(),
        )
    )
    going_on = torch.zeros_like(losses.answer_loss) if losses.continue_loss is None else losses.continue_loss
    parts = (losses.loss.detach(), losses.answer_loss, losses.halting_loss, going_on)
    found = dict(zip((*ROW_SUMS, HALTED, *HALTED_SUMS), (*parts, *(each @ is_counted).unbind()), strict=True))
    return found if losses.intermediate_loss is None else {**found, INTERMEDIATE: losses.intermediate_loss}


def added(sums: Sequence[Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
    """Sums of several passes; of one they are as they are."""
    return sums[0] if len(sums) == 1 else {name: torch.stack([one[name] for one in sums]).sum(0) for name in sums[0]}
