"""What the folder of a run of train.py means for a tracking store, as plain values: what it is, its evaluations, its end."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trm.config.files import load_yaml
from trm.errors import InputError
from trm.files.contained import inside
from trm.tracking.folder_facts import run_inputs
from trm.tracking.sweep_params import flat_params
from trm.tracking.values import SWEEP, Point, RunStatus, RunUpdate, at_gflops
from trm.training.run_record import RunRecord

STATUSES: dict[str, RunStatus] = {
    "running": "KILLED",  # nobody runs it any more, and it had no time to say so
    "finished": "FINISHED",
    "interrupted": "KILLED",
    "diverged": "FAILED",
    "out_of_memory": "FAILED",
    "failed": "FAILED",
}
SECONDS = {"training": "train_seconds", "evaluation": "eval_seconds", "other": "overhead_seconds"}
"""Where time goes, by the names that a sweep's trials have."""


class TrainTranslator:
    """Turns what a run's files say into updates of its one run in the store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.record: RunRecord | None = None

    def begun(self, record: RunRecord) -> RunUpdate:
        """What the run is: its configuration as parameters, and what it takes."""
        costs = dict(record.costs)
        params = dict(flat_params(_configuration(self._folder)))
        if (steps := costs.pop("max_steps", None)) is not None:
            params["max_steps"] = f"{steps:.0f}"
        points = [Point(name, value, 0, record.started_at) for name, value in costs.items()]
        tags = {f"trm.version.{name}": version for name, version in record.versions.items()}
        tags |= {"trm.kind": "train", "trm.status": "running"}
        inputs = run_inputs(self._folder)
        return RunUpdate(SWEEP, record.started_at, record.started_at, params, points, tags, status="RUNNING", inputs=inputs)

    def evaluated(self, row: Mapping[str, Any]) -> RunUpdate:
        """An evaluation: scores by split, means of the training before it, where its time went.

        Those of validation by the names that a sweep's trials have too, so that one page shows both.
        """
        at, step = float(row["at"]), int(row["step"])
        values = {f"{split}/{name}": value for split in ("validation", "test") for name, value in row[split].items()}
        values |= {f"train/{name}": value for name, value in row["training"].items()}
        values |= row["validation"]
        values |= {SECONDS.get(name, f"{name}_seconds"): value for name, value in row["seconds"].items()}
        values["train_flops"] = row["train_flops"]
        points = [Point(name, float(value), step, at) for name, value in values.items()]
        for name in ("exact_accuracy", "loss"):
            points += at_gflops(f"validation_{name}", row["validation"].get(name), row["train_flops"], at)
        tags = {"trm.label": str(row["label"])}
        if row["is_best"]:
            tags["trm.best_step"] = str(step)
        return RunUpdate(SWEEP, at, at, points=points, tags=tags)

    def driven(self, at: float) -> list[RunUpdate]:
        """What is true when a run goes on."""
        return [RunUpdate(SWEEP, at, at, tags={"trm.status": "running"}, status="RUNNING")]

    def interrupted(self, at: float) -> list[RunUpdate]:
        """What is true when nobody drives the run any more: how it ended, or that it was ended."""
        if self.record is None:
            return []
        status = self.record.status
        word = "interrupted" if status == "running" else status
        tags = {"trm.status": word} | ({"trm.reason": self.record.reason} if self.record.reason else {})
        since = at if status == "running" else self.record.at
        return [RunUpdate(SWEEP, self.record.started_at, since, tags=tags, status=STATUSES[status])]


def evaluations(folder: Path) -> list[dict[str, Any]]:
    """The whole lines of the run's `metrics.jsonl`, as far as they can be understood."""
    rows: list[dict[str, Any]] = []
    try:
        lines = inside(folder, "metrics.jsonl").read_bytes().split(b"\n")[:-1]
        for line in lines:
            row = json.loads(line)
            rows.append({"validation": {}, "test": {}, "at": 0.0, "label": "validation", **row})
    except (OSError, ValueError, TypeError):
        return rows
    return rows


def _configuration(folder: Path) -> Mapping[str, Any]:
    try:
        return load_yaml(inside(folder, "config.yaml"))
    except InputError:
        return {}
