"""What fits a device: the arithmetic prediction, corrected by what legs met."""

from collections import deque

NEAREST = 5
"""So many measurements of the most alike predictions correct one."""
WINDOW = 64


class MemoryLimit:
    """Which predictions fit the memory that a worker may use; a pure fold."""

    def __init__(self) -> None:
        self._device_bytes: int | None = None
        self._largest_done = 0
        self._ran_out: set[int] = set()
        self._measured: deque[tuple[int, int]] = deque(maxlen=WINDOW)
        """(predicted, measured) bytes."""

    def device(self, device_bytes: int | None) -> None:
        """Workers may use so much from here on; None: nobody knows."""
        if device_bytes != self._device_bytes:  # what others could hold says nothing of these
            self._ran_out.clear()
            self._largest_done = 0
        self._device_bytes = device_bytes

    def completed(self, predicted_bytes: int, peak_bytes: int | None) -> None:
        """A leg so predicted completed, and held `peak_bytes` at most, if that was measured."""
        self._largest_done = max(self._largest_done, predicted_bytes)
        if peak_bytes and predicted_bytes:
            self._measured.append((predicted_bytes, peak_bytes))

    def ran_out(self, predicted_bytes: int) -> None:
        """A leg so predicted ran out of memory."""
        self._ran_out.add(predicted_bytes)

    def corrected(self, predicted_bytes: int) -> float:
        """The prediction, moved as the measurements of those most alike say, the largest of them.

        A measurement above its prediction may come from a constant or from a factor. The smaller of both is taken: one that is
        wrongly tried teaches something, one that is wrongly rejected nothing.
        """

        def apart(one: tuple[int, int]) -> float:
            return max(one[0], predicted_bytes) / max(1, min(one[0], predicted_bytes))

        def moved(predicted: int, peak: int) -> float:
            if predicted < min(peak, predicted_bytes):
                return predicted_bytes + peak - predicted
            return predicted_bytes * peak / predicted

        alike = sorted(self._measured, key=apart)[:NEAREST]
        return max((moved(*one) for one in alike), default=float(predicted_bytes))

    def allows(self, predicted_bytes: int) -> bool:
        """Whether a run so predicted may be tried; what is unknown (0) may."""
        return not self.why(predicted_bytes)

    def why(self, predicted_bytes: int) -> str:
        """The rule that the prediction breaks; empty when it breaks none.

        At or above one that ran out of memory nothing is tried, unless something as large completed, which tells more.
        """
        if predicted_bytes <= self._largest_done:
            return ""
        out = min((one for one in self._ran_out if one > self._largest_done), default=None)
        if out is not None and predicted_bytes >= out:
            return f"predicted memory < {size_text(out)}, at which a configuration ran out of it"
        if self._device_bytes is not None and self.corrected(predicted_bytes) > self._device_bytes:
            return f"predicted memory <= {size_text(self._device_bytes)}, what a worker may use"
        return ""


def size_text(count: float) -> str:
    """Bytes as a person says them: 8 GB."""
    for power, unit in ((12, "TB"), (9, "GB"), (6, "MB"), (3, "kB")):
        if count >= 10**power * 0.9995:
            return f"{count / 10**power:.3g} {unit}"
    return f"{count:.0f} B"
