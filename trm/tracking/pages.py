"""Addresses of MLflow's pages for a sweep, and the view of its trials by rank that MLflow keeps for everybody."""

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from trm.search.space.space import SearchSpace
from trm.tracking.values import RANK

WORKFLOW = "workflowType=machine_learning"
"""Without it a fresh browser lands on MLflow 3's page for language models, which shows no run."""
VIEW_TAG = "mlflow.sharedViewState."
"""Begins the tag of an experiment that holds a view (MLflow 3)."""
MOST_COLUMNS = 10
"""Of searched parameters in the view."""


@dataclass(frozen=True)
class Pages:
    """Where a sweep's runs are in MLflow's pages; addresses begin at `#`, so that they hold wherever the pages are served."""

    experiment: str = ""
    """MLflow's number of the experiment."""
    view: str = ""
    """Key of the sweep's view there; empty: there is none."""
    runs: Mapping[int | None, str] = field(default_factory=dict)
    """MLflow's name of each run, by its trial."""

    def trials(self) -> str:
        """The table of the sweep's trials, best first, with what was searched; of a run's experiment, all of its runs."""
        state = f"&viewStateShareKey={self.view}" if self.view else ""
        return f"#/experiments/{self.experiment}/runs?{WORKFLOW}{state}"

    def run(self, trial: int | None) -> str | None:
        """One run; None where the store has not got it."""
        found = self.runs.get(trial)
        return None if found is None else f"#/experiments/{self.experiment}/runs/{found}?{WORKFLOW}"

    def compare(self, trials: Sequence[int]) -> str | None:
        """Several trials side by side; None where fewer than two of them are there."""
        found = [self.runs[trial] for trial in trials if trial in self.runs]
        if len(found) < 2:
            return None
        runs, experiments = (quote(json.dumps(ones, separators=(",", ":"))) for ones in (found, [self.experiment]))
        return f"#/compare-runs?runs={runs}&experiments={experiments}&{WORKFLOW}"


def view_tag(name: str, key: str, space: SearchSpace, at: float) -> str:
    """Value of the experiment's tag that makes a view: a sweep's trials by rank, with scores, status and what was searched."""
    columns = [f"metrics.`{metric}`" for metric in (RANK, "objective")]
    columns += ["tags.`trm.status`", "metrics.`rung`"]
    columns += [f"params.`{path}`" for path in list(space.search)[:MOST_COLUMNS]]
    columns += [f"metrics.`{metric}`" for metric in ("train_flops", "params_count")]
    state: dict[str, Any] = {
        "searchFilter": f"tags.trm.sweep = '{key}' and tags.trm.trial LIKE '%'",
        "orderByKey": f"metrics.`{RANK}`",
        "orderByAsc": True,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [*columns, "attributes.`Dataset`"],
        "columnOrder": [*columns, "attributes.`Dataset`"],
        "columnWidths": dict.fromkeys(columns, 105),
        "runsHiddenMode": "FIRST_10_RUNS",
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
    }
    packed = base64.b64encode(zlib.compress(json.dumps(state, separators=(",", ":")).encode(), 9)).decode()
    milliseconds = int(at * 1000)
    shown = {"name": f"{name}: trials by rank", "createdAt": milliseconds, "updatedAt": milliseconds, "state": f"deflate;{packed}"}
    return json.dumps(shown, separators=(",", ":"))


def view_key(key: str) -> str:
    """What a sweep's view is called in addresses; `key`: the sweep's own."""
    return f"trm{key}"
