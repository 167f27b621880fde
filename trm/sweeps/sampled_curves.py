"""Training curves of a sweep's trials with few points each, as a page draws them; a file is read again only when it has changed."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from trm.sweeps.trial_files import curve_file
from trm.training.curve import read_curve

COLUMNS = ("train_flops", "loss", "exact_accuracy")
MOST_POINTS = 60
"""Of a trial, evenly spread, the last one among them."""
Columns = Mapping[str, Sequence[float | None]]


class SampledCurves:
    """The curves in a sweep's folder."""

    def __init__(self, folder: Path) -> None:
        """Nothing is read yet."""
        self._folder = folder
        self._known: dict[int, tuple[tuple[int, int], Columns]] = {}

    def of(self, trials: Iterable[int]) -> dict[int, Columns]:
        """Trial -> columns, of those that have a curve."""
        return {trial: columns for trial in trials if (columns := self._one(trial))}

    def _one(self, trial: int) -> Columns:
        path = curve_file(self._folder, trial)
        try:
            found = path.stat()
        except OSError:
            return {}
        mark = found.st_mtime_ns, found.st_size
        if trial not in self._known or self._known[trial][0] != mark:
            self._known[trial] = mark, _sampled(path)
        return self._known[trial][1]


def _sampled(path: Path) -> Columns:
    table = read_curve(path)
    if table is None or not len(table):
        return {}
    count = min(MOST_POINTS, len(table))
    rows = sorted({round((place + 1) * len(table) / count) - 1 for place in range(count)})
    taken = table.take(rows)
    return {name: [_short(value) for value in taken[name].to_pylist()] for name in COLUMNS if name in taken.column_names}


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")
