"""Training curves on their way to a tracking store: each run there says up to which step it has its curve, the rest is sent."""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from trm.errors import FolderError
from trm.files.contained import inside
from trm.tracking.values import GFLOPS, Held, Point, RunUpdate
from trm.training.curve import COLUMNS, read_curve

SENT = tuple(name for name in COLUMNS if name not in ("step", "at"))
"""Columns that become metrics, called `curve/NAME`."""
SENT_AT_GFLOPS = ("loss", "exact_accuracy")
"""Of those the ones that become metrics against training GFLOPs too, called `at_gflops/curve_NAME`."""
POINTS_AT_A_TIME = 70
"""Of a curve: with all their metrics they fit into one call of MLflow, whose end says how far the run is."""


@dataclass(frozen=True)
class _Found:
    path: Path
    run: int | None
    mark: tuple[int, int]


class CurveUpdates:
    """Follows the curves in the folder of a sweep (`curves/NNNN.parquet`) or of a run (`curves.parquet`, where it is no sweep)."""

    def __init__(self, folder: Path, *, is_sweep: bool) -> None:
        self._folder, self._is_sweep = folder, is_sweep
        self._done: dict[Path, tuple[int, int]] = {}
        """Files that were sent as they were then."""
        self._waiting: deque[_Found] = deque()
        self._open: tuple[_Found, pa.Table] | None = None

    def look(self) -> bool:
        """Whether a file changed since all its points were sent."""
        found = [one for one in self._files() if self._done.get(one.path) != one.mark]
        self._waiting = deque(found)
        return bool(found)

    def next(self, held: Mapping[int | None, Held]) -> RunUpdate | None:
        """The next points to send to a run that the store has, `held` says how far; None: no more, until `look`."""
        while self._waiting:
            found = self._waiting[0]
            update = self._next_of(found, held[found.run]) if found.run in held else None
            if update is not None:
                return update
            self._waiting.popleft()
            self._open = None
            if found.run in held:
                self._done[found.path] = found.mark
        return None

    def _files(self) -> list[_Found]:
        paths: dict[int | None, Path] = {None: self._folder / "curves.parquet"}
        if self._is_sweep:
            parts = sorted((self._folder / "curves").glob("*.parquet"))
            paths = {int(path.stem): path for path in parts if path.stem.isdecimal()}
        found = []
        for run, path in paths.items():
            try:
                status = inside(self._folder, path.relative_to(self._folder).as_posix()).stat()
            except (OSError, FolderError):
                continue
            found.append(_Found(path, run, (status.st_size, status.st_mtime_ns)))
        return found

    def _next_of(self, found: _Found, held: Held) -> RunUpdate | None:
        if self._open is None or self._open[0] != found:
            table = read_curve(found.path)
            if table is None:
                return None
            self._open = found, table
        table = self._open[1]
        rows = table.filter(pc.greater(table["step"], held.told_curve)).slice(0, POINTS_AT_A_TIME).to_pylist()
        if not rows:
            return None
        points = [
            point
            for row in rows
            for name in SENT
            if row.get(name) is not None and math.isfinite(row[name])
            for point in _points(name, row, is_known=row["step"] <= held.curve)
        ]
        return RunUpdate(found.run, rows[0]["at"], rows[-1]["at"], points=points, curve_step=rows[-1]["step"])


def _points(name: str, row: Mapping[str, float], *, is_known: bool) -> list[Point]:
    """A value against steps, unless the run has that in an earlier form, and some also against GFLOPs."""
    value, at = row[name], row["at"]
    points = [] if is_known else [Point(f"curve/{name}", value, int(row["step"]), at)]
    flops = row.get("train_flops")
    if name in SENT_AT_GFLOPS and flops is not None and math.isfinite(flops):
        points.append(Point(f"{GFLOPS}curve_{name}", value, round(flops / 1e9), at))
    return points
