"""Every metric that judges a row keeps the contract of its door; one of a person's own is scored beside ours."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from own_members import forgotten

from trm.config.imports import VARIABLE, honour
from trm.contracts.metrics import CHECKS
from trm.errors import ConfigError
from trm.evaluation.metrics import Answered, Metric, imported_metrics
from trm.evaluation.scores import ColumnScorer, with_imported
from trm.tasks.choice import TASKS
from trm.tasks.metrics import bounds, direction, metric_names

JUDGING = {one.name: one for name, task in TASKS.items() for one in task.metrics if one.column is not None and name != "maze"}
"""Those of mazes judge paths, which the contract's rows have none of."""
HEAD = "from trm.evaluation.metrics import Metric\n"
OWN = """
from trm.evaluation.metrics import Metric

def wrong_cells(answered):
    return ((answered.predictions != answered.batch.batch.labels) & (answered.batch.batch.labels != -100)).sum(1)

METRICS = (Metric("wrong_cells", direction="min", most=900, column=wrong_cells),)
"""


@pytest.mark.parametrize("name", JUDGING)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_every_metric_keeps_the_contract(check: Callable[[Metric], None], name: str) -> None:
    check(JUDGING[name])


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv(VARIABLE, "")
    with forgotten():
        yield tmp_path
    sys.modules.pop("my_metrics", None)


def test_a_metric_of_ones_own_is_known_and_scored(lab: Path) -> None:
    (lab / "my_metrics.py").write_text(OWN)
    assert direction("wrong_cells") is None
    scorer = ColumnScorer((), (2, 2))
    assert with_imported(scorer, (2, 2)) is scorer, "nothing is in the way where there is none"
    honour(["my_metrics"])
    assert (direction("wrong_cells"), bounds("wrong_cells")) == ("min", (0.0, 900.0))
    assert "wrong_cells" in metric_names("sudoku", 4)
    joined = with_imported(scorer, (2, 2))
    assert [metric.name for metric in joined.metrics] == ["wrong_cells"]
    found = joined.scores({"wrong_cells": np.array([0, 3, 1])}, np.arange(3))
    assert found.metrics["wrong_cells"] == pytest.approx(4 / 3)
    for check in CHECKS:
        check(imported_metrics()[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("METRICS = (3,)", "my_metrics.METRICS must be a tuple of metrics, got .3,."),
        (
            "from trm.evaluation.metrics import Metric\nMETRICS = (Metric('a'),)",
            "METRICS: a must be a mean or a share with a column",
        ),
        (
            "from trm.evaluation.metrics import Metric\nMETRICS = (Metric('loss', column=len),)",
            "must have a name of its own, loss is taken",
        ),
    ],
)
def test_what_is_no_metric_is_refused(lab: Path, text: str, message: str) -> None:
    (lab / "my_metrics.py").write_text(text)
    with pytest.raises(ConfigError, match=message):
        honour(["my_metrics"])


def test_what_breaks_the_contract_is_told_by_rule() -> None:
    def ranked(answered: Answered) -> np.ndarray:
        return np.arange(len(answered.predictions))

    with pytest.raises(ValueError, match="ranked must be from 0 to 1, got 0 to 7"):
        CHECKS[0](Metric("ranked", column=ranked))
    with pytest.raises(ValueError, match="ranked of a row must see nothing of the others"):
        CHECKS[1](Metric("ranked", column=ranked))
