"""The folder of one run: its checkpoints, a line an evaluation, and the best weights.

config.yaml                 the complete run configuration
start.txt                   what it began with and what of that was not taken, where it began with weights of another
metrics.jsonl               a line an evaluation, in order of steps
evaluations.parquet         the same as a table, a row an evaluation
curves.parquet              the training curve, a row a point (`trm.training.curve`)
examples.json               a few puzzles that the best evaluation solved and a few that it did not (`trm.tasks.examples`)
checkpoints/step-00001234/  the last `KEPT` checkpoints, and that of the best evaluation, or all (`training.keep_checkpoints`)
best/                       config.yaml, model.safetensors, report.json: the best evaluation's weights
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from trm.config.files import dump_yaml
from trm.config.run import RunConfig
from trm.errors import CheckpointError
from trm.files.atomic import fsync_folder, make_folders, write_bytes_atomic, write_text_atomic
from trm.files.contained import inside, regular, remove
from trm.files.weight_files import checkpoints_in
from trm.tasks.examples import EXAMPLES_FILE
from trm.training.checkpoint import newest_whole
from trm.training.reporting import RunReport
from trm.training.weights import CONFIG_FILE

KEPT = 2
"""Newest checkpoints that stay: should the last turn out unreadable, there is one before it."""
METRICS_FILE = "metrics.jsonl"
EVALUATIONS_FILE = "evaluations.parquet"
CURVE_FILE = "curves.parquet"
REPORT_FILE = "report.json"
START_FILE = "start.txt"


class RunFolder:
    """Reads and writes the folder; one process at a time, the leader of the run."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.best = self.path / "best"
        self.curve = self.path / CURVE_FILE
        self.evaluations = self.path / EVALUATIONS_FILE
        self.examples = self.path / EXAMPLES_FILE
        self._metrics = self.path / METRICS_FILE

    def checkpoint(self, step: int) -> Path:
        """Where the checkpoint of `step` lies."""
        return self.path / "checkpoints" / f"step-{step:08d}"

    def checkpoints(self) -> list[Path]:
        """All checkpoints, the newest last."""
        return checkpoints_in(self.path / "checkpoints")

    def newest(self) -> Path:
        """The newest checkpoint, whole or not; CheckpointError when there is none."""
        if not (found := self.checkpoints()):
            raise CheckpointError(f"a run is continued from a checkpoint, and {self.path} has none", remedy="start it anew")
        return found[-1]

    def newest_whole(self) -> tuple[Path | None, list[str]]:
        """The checkpoint to continue from, the newest that is whole, and what is wrong with those after it.

        None when none is whole, or the run ended before its first: it begins anew. CheckpointError when no run began here.
        """
        if not ((self.path / CONFIG_FILE).is_file() and (self.path / "checkpoints").is_dir()):  # an export has the first alone
            self.newest()
        return newest_whole(reversed(self.checkpoints()))

    def start(self, config: RunConfig, start_lines: Sequence[str] = ()) -> None:
        """A new run begins here, with weights as `start_lines` say; CheckpointError when one did already."""
        if self.checkpoints() or self._metrics.exists():
            raise CheckpointError(f"a run needs a folder of its own, and {self.path} holds one", remedy="resume it or name another")
        make_folders(self.path / "checkpoints")
        write_start(self.path, start_lines)
        dump_yaml(self.path / CONFIG_FILE, config.model_dump(mode="json"))

    def resume(self, step: int, config: RunConfig) -> None:
        """The run goes on from `step`: what was written later, and what a killed process left half done, goes."""
        for left in (self.path / "checkpoints").glob(".*"):
            remove(left)
        for later in self.checkpoints():
            if step_of(later) > step:
                remove(later)
        kept = [line for line in self.rows() if line["step"] <= step]
        write_bytes_atomic(self._metrics, b"".join(_line(row) for row in kept))
        dump_yaml(self.path / CONFIG_FILE, config.model_dump(mode="json"))

    def rows(self) -> list[dict[str, Any]]:
        """The evaluations so far; a last line that was cut off is none. CheckpointError when another line is no evaluation.

        The best one is there though its line was lost: best/ has it too.
        """
        rows, _ = self._lines()
        best = self._best_without_line(rows)
        return rows if best is None else sorted([*rows, best], key=lambda row: int(row["step"]))

    def losses(self) -> list[str]:
        """What the file of evaluations no longer tells as it was written, in words."""
        rows, rest = self._lines()
        lost = [f"not used: the last {rest} bytes of {self._metrics}, which are no whole line"] if rest else []
        if (best := self._best_without_line(rows)) is not None:
            what = f"{self._metrics} has lost the evaluation at step {best['step']}, the best so far"
            lost.append(f"{what}: it is taken from best/{REPORT_FILE}")
        return lost

    def _lines(self) -> tuple[list[dict[str, Any]], int]:
        """The evaluations that have a line, and how many bytes stand behind the last one."""
        try:
            with open(self._metrics, "rb", opener=regular) as file:
                *whole, rest = file.read().split(b"\n")
        except FileNotFoundError:
            return [], 0
        try:
            return [asdict(_REPORT.validate_json(line)) for line in whole], len(rest)
        except ValidationError as error:
            raise CheckpointError(
                f"{self._metrics} must hold a line an evaluation: {error.errors()[0]['msg']}", remedy="restore it from a copy"
            ) from error

    def _best_without_line(self, rows: list[dict[str, Any]]) -> dict[str, Any] | None:
        """The evaluation of best/ when it lies before the newest checkpoint and is none of these; else None."""
        try:
            with open(inside(self.best, REPORT_FILE), "rb", opener=regular) as file:
                best = asdict(_REPORT.validate_json(file.read()))
        except (OSError, ValueError):
            return None
        is_past = any(best["step"] <= step_of(checkpoint) for checkpoint in self.checkpoints()[-1:])
        return best if is_past and all(row["step"] != best["step"] for row in rows) else None

    def append(self, report: RunReport) -> None:
        """Adds an evaluation, durably."""
        is_new = not self._metrics.exists()
        with open(self._metrics, "ab", opener=regular) as file:
            file.write(_line(asdict(report)))
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            fsync_folder(self.path)

    def write_best(self, report: RunReport) -> None:
        """The report beside the exported best weights."""
        write_text_atomic(self.best / REPORT_FILE, json.dumps(asdict(report), indent=1))

    def prune(self, best_step: int) -> None:
        """Deletes all checkpoints but the newest and that of `best_step`."""
        for old in self.checkpoints()[:-KEPT]:
            if step_of(old) != best_step:
                remove(old)


def write_start(folder: Path, lines: Sequence[str]) -> None:
    """Notes in a run's or a trial's folder what it began with, where that was no draw."""
    if lines:
        make_folders(folder)
        write_text_atomic(folder / START_FILE, "".join(f"{line}\n" for line in lines))


_REPORT = TypeAdapter(RunReport)


def step_of(checkpoint: Path) -> int:
    """The step in a checkpoint folder's name."""
    return int(checkpoint.name.removeprefix("step-"))


def _line(row: dict[str, Any]) -> bytes:
    return (json.dumps(row) + "\n").encode()
