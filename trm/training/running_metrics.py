"""Training metrics as sums that stay on the device until somebody wants to see them."""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Bool
from torch import Tensor

from trm.distributed import Gang
from trm.losses.supervision import Losses

ROW_SUMS = ("rows", "loss", "lm_loss", "q_halt_loss", "q_continue_loss", "grad_norm")
"""Summed over all rows of the batch (`grad_norm`: over steps, times the batch)."""
HALTED_SUMS = ("halted", "cell_accuracy", "exact_accuracy", "q_halt_accuracy", "mean_halting_step")
"""Summed over the rows that halted at their step (and have a label)."""
NAMES = ROW_SUMS + HALTED_SUMS


class RunningMetrics:
    """Sums since the last report, and since the last point of the curve.

    New ones wait on the device (the last place is the wish to stop), `flush` fetches them.
    """

    def __init__(self, device: torch.device) -> None:
        self.pending = torch.zeros(len(NAMES) + 1, dtype=torch.float64, device=device)
        self.totals = dict.fromkeys(NAMES, 0.0)
        self.window = dict.fromkeys(NAMES, 0.0)

    @torch.no_grad()
    def add(self, losses: Losses, q_halt: Tensor, halted: Bool[Tensor, " batch"], steps: Tensor, grad_norm: Tensor) -> None:
        """Counts one step of this worker's rows; nothing waits for the device."""
        rows = len(halted)
        continues = torch.zeros_like(losses.lm) if losses.q_continue is None else losses.q_continue
        batch = torch.stack(
            [part.detach().double() for part in (losses.total, losses.lm, losses.q_halt, continues, grad_norm * rows)]
        )
        each = torch.stack(
            (
                torch.ones_like(halted, dtype=torch.float64),
                losses.correct_cells.double() / losses.labelled_cells.clamp(min=1),
                losses.is_exact.double(),
                ((q_halt >= 0) == losses.is_exact).double(),
                steps.double(),
            )
        )
        self.pending[0] += rows
        self.pending[1 : len(ROW_SUMS)] += batch
        self.pending[len(ROW_SUMS) : -1] += each @ (halted & (losses.labelled_cells > 0)).double()

    def flush(self, gang: Gang, wants_stop: bool = False) -> tuple[float, bool]:
        """Moves what is pending on all workers into `totals` and `window`; every worker must call it at the same step.

        Gives the mean loss a row since the last flush, and whether any worker wants to stop: the same on all.
        """
        self.pending[-1] = wants_stop
        *sums, stops = gang.all_reduce_sum(self.pending).tolist()
        self.pending.zero_()
        loss = sums[1] / sums[0] if sums[0] else math.nan
        for name, value in zip(NAMES, sums, strict=True):
            self.totals[name] += value
            self.window[name] += value if math.isfinite(loss) else 0.0  # the curve of a run that diverges ends before
        return loss, stops > 0

    def take_report(self) -> dict[str, float]:
        """Means since the last report, over rows and over halted rows; the sums start anew. Call `flush` before."""
        totals, self.totals = self.totals, dict.fromkeys(NAMES, 0.0)
        return _means(totals)

    def take_point(self) -> dict[str, float]:
        """Means since the last point of the curve likewise, with the share of rows that halted. Call `flush` before."""
        window, self.window = self.window, dict.fromkeys(NAMES, 0.0)
        return _means(window) | {"halted_share": window["halted"] / window["rows"]}


def _means(sums: Mapping[str, float]) -> dict[str, float]:
    """Over all rows, and over those that halted; without what nothing was summed up for."""
    means = {name: sums[name] / sums["rows"] for name in ROW_SUMS[1:] if sums[name]}
    return means | {name: sums[name] / sums["halted"] for name in HALTED_SUMS[1:] if sums["halted"]}
