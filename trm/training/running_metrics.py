"""Training metrics as sums that stay on the device until somebody wants to see them."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from trm.distributed import Gang
from trm.losses.loss import ROWS

GRAD_NORM = "grad_norm"
"""Norm of the gradient before it is clipped, of any loss."""


class RunningMetrics:
    """Sums since the last report, and since the last point of the curve, by name.

    New ones wait on the device (the last place is the wish to stop), `flush` fetches them.
    """

    def __init__(self, means_over: Mapping[str, str], device: torch.device) -> None:
        """`means_over`: name of a metric -> the count that it is a mean over (`Loss.metrics`)."""
        by_row = {name: count for name, count in means_over.items() if count == ROWS} | {GRAD_NORM: ROWS}
        self._means_over = {**by_row, **means_over}
        self.counts = tuple(dict.fromkeys(count for count in means_over.values() if count != ROWS))
        """What is counted besides rows."""
        self.names = (ROWS, *by_row, *self.counts, *(name for name in means_over if name not in by_row))
        """Of the sums: those over rows (`grad_norm`: over steps, times the batch) come first."""
        self.pending = torch.zeros(len(self.names) + 1, dtype=torch.float64, device=device)
        self.totals = dict.fromkeys(self.names, 0.0)
        self.window = dict.fromkeys(self.names, 0.0)

    @torch.no_grad()
    def add(self, rows: int, sums: Mapping[str, Tensor], grad_norm: Tensor) -> None:
        """Counts one step of this worker's rows; nothing waits for the device."""
        known = {**sums, GRAD_NORM: grad_norm * rows}
        self.pending[0] += rows
        self.pending[1:-1] += torch.stack([known[name].double() for name in self.names[1:]])

    def flush(self, gang: Gang, wants_stop: bool = False) -> tuple[float, bool]:
        """Moves what is pending on all workers into `totals` and `window`; every worker must call it at the same step.

        Gives the mean loss a row since the last flush, and whether any worker wants to stop: the same on all.
        """
        self.pending[-1] = wants_stop
        *sums, stops = gang.all_reduce_sum(self.pending).tolist()
        self.pending.zero_()
        found = dict(zip(self.names, sums, strict=True))
        loss = found["loss"] / found[ROWS] if found[ROWS] else math.nan
        for name, value in found.items():
            self.totals[name] += value
            self.window[name] += value if math.isfinite(loss) else 0.0  # the curve of a run that diverges ends before
        return loss, stops > 0

    def take_report(self) -> dict[str, float]:
        """Means since the last report, over rows and over halted rows; the sums start anew. Call `flush` before."""
        totals, self.totals = self.totals, dict.fromkeys(self.names, 0.0)
        return self._means(totals)

    def take_point(self) -> dict[str, float]:
        """Means since the last point of the curve likewise, with the share of rows that halted. Call `flush` before."""
        window, self.window = self.window, dict.fromkeys(self.names, 0.0)
        return self._means(window) | {f"{count}_share": window[count] / window[ROWS] for count in self.counts}

    def _means(self, sums: Mapping[str, float]) -> dict[str, float]:
        """Each over its count; without what nothing was summed up for."""
        return {
            name: sums[name] / sums[count]
            for name, count in self._means_over.items()
            if (sums[name] if count == ROWS else sums[count])
        }
