"""What a run's slots answered, puzzle by puzzle: counts that stay on the device until a window of steps is planned from them."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Int, Int64
from torch import Tensor

from trm.config.run import RunConfig
from trm.data.batches.difficulty import group_weights, window_steps
from trm.data.format.manifest import SplitInfo
from trm.distributed import Gang

COUNTS, SLOTS, STARTS, SNAPSHOT = "tally.counts", "tally.slots", "tally.starts", "tally.window."


class Tally:
    """How often each group was answered when a slot halted, and how often rightly; this worker's part since the start or resume."""

    def __init__(self, config: RunConfig, train: SplitInfo, gang: Gang, device: torch.device) -> None:
        """Nothing answered yet of the groups of a training split."""
        batch = config.training.global_batch_size
        self.steps = window_steps(train.epoch_rows(is_streamed=False), batch)
        """Of a window that is planned from the same answers."""
        self.starts: dict[int, int] = {}
        """Window -> the visit that it begins with."""
        self._difficulty, self._gang = config.data.difficulty, gang
        self._counts = torch.zeros(2, train.groups, dtype=torch.int64, device=device)
        """Answers and right ones of each group."""
        self._slots = torch.zeros(batch // gang.world_size, dtype=torch.int64, device=device)
        """Group that each slot holds a puzzle of."""
        self.is_told = False
        """Whether the loss said anything."""
        self._snapshots: dict[int, _Snapshot] = {}
        """Window -> the answers of all workers that it is planned from."""

    @torch.no_grad()
    def add(
        self,
        groups: Int[Tensor, " batch"],
        refilled: Bool[Tensor, " batch"],
        halted: Bool[Tensor, " batch"],
        is_right: Bool[Tensor, " batch"],
    ) -> None:
        """Counts a supervision step: slots that took a puzzle of `groups` before it, and those that halted after it."""
        self.is_told = True
        self._slots.copy_(torch.where(refilled, groups.long(), self._slots))
        answered = torch.stack((halted, halted & is_right)).long()
        self._counts.index_add_(1, self._slots, answered)

    def turn(self, step: int) -> None:
        """Before `step`: where a window begins, keep what the next one is planned from. Every worker calls it at each step."""
        window, within = divmod(step, self.steps)
        if within == 0 and window + 1 not in self._snapshots:
            self._snapshots = {at: one for at, one in self._snapshots.items() if at >= window}
            self.starts = {at: visit for at, visit in self.starts.items() if at >= window}
            self._snapshots[window + 1] = _Snapshot(self._total())

    def weights(self, window: int) -> Int64[np.ndarray, "groups"]:
        """Of each group for the visits of a window; equal ones in the first."""
        if window == 0:
            nothing = np.zeros(self._counts.shape[1], dtype=np.int64)
            return group_weights(nothing, nothing, self._difficulty)
        seen, right = self._snapshots[window].on_host().numpy()
        return group_weights(seen, right, self._difficulty)

    def saved(self) -> dict[str, Tensor | None]:
        """Its tensors by name, those of all workers together; every worker calls it."""
        starts = torch.tensor(sorted(self.starts.items()), dtype=torch.int64).reshape(-1, 2)
        snapshots = {f"{SNAPSHOT}{window}": one.on_host() for window, one in self._snapshots.items()}
        return {COUNTS: self._total(), SLOTS: self._gang.gather(self._slots), STARTS: starts, **snapshots}

    def restore(self, saved: Mapping[str, Tensor]) -> None:
        """As `saved` left it, on any number of workers: what all counted is the leader's."""
        self._counts.copy_(saved[COUNTS] if self._gang.is_leader else torch.zeros_like(self._counts))
        self._slots.copy_(saved[SLOTS][self._gang.share(len(saved[SLOTS]))])
        self.starts = {int(window): int(visit) for window, visit in saved[STARTS].tolist()}
        windows = {int(name.removeprefix(SNAPSHOT)): value for name, value in saved.items() if name.startswith(SNAPSHOT)}
        self._snapshots = {window: _Snapshot(value) for window, value in windows.items()}

    def _total(self) -> Tensor:
        return self._gang.all_reduce_sum(self._counts.clone())


class _Snapshot:
    """Counts on their way to the host, which waits only when it needs them."""

    def __init__(self, counts: Tensor) -> None:
        self._event: torch.cuda.Event | None = None
        self._counts = counts
        if counts.device.type == "cuda":
            self._counts = torch.empty(counts.shape, dtype=counts.dtype, pin_memory=True)
            self._counts.copy_(counts, non_blocking=True)
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._event.record()

    def on_host(self) -> Tensor:
        """The counts, when they are there."""
        if self._event is not None:
            self._event.synchronize()
        return self._counts
