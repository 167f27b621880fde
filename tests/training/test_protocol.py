"""Runs on data sets without validation: trained on all that there is, scored once at the end; and what looks at test are called."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
import training_cases as cases
from safetensors.torch import load_file

from trm.config.training import EvaluationConfig
from trm.data.format.manifest import SplitName
from trm.errors import CheckpointError, ConfigError, InterruptedRun
from trm.training.protocol import NOTHING, Protocol, protocol_of
from trm.training.reporting import SILENT, Reporter, RunReport
from trm.training.run import RunOutcome, fit
from trm.training.run_folder import RunFolder
from trm.training.scoring import score

UNVALIDATED: tuple[SplitName, ...] = ("train", "test")
EVERY: tuple[SplitName, ...] = get_args(SplitName)


class StopWhileScoring(Reporter):
    """Stops in the first batch of an evaluation."""

    def on_evaluation(self, done: int, total: int) -> bool:
        return True


def run(
    folder: Path,
    splits: tuple[SplitName, ...] = UNVALIDATED,
    *,
    is_resumed: bool = False,
    reporter: Reporter = SILENT,
    evaluation: Mapping[str, Any] = {},
    **training: int,
) -> RunOutcome:
    """A run of 20 steps with a checkpoint at every fourth, on a data set of these splits."""
    config = cases.config_of(training={"eval_every_steps": 4, **training}, evaluation=dict(evaluation))
    present = {name: split for name, split in cases.SPLITS.items() if name in splits}
    return fit(config, present, cases.manifest(*splits), folder=folder, is_resumed=is_resumed, reporter=reporter)  # type: ignore[arg-type]


def rows(folder: Path) -> list[RunReport]:
    return [RunReport(**row) for row in RunFolder(folder).rows()]


def test_a_run_without_validation_is_scored_once_whole_and_exports_its_last_weights(tmp_path: Path) -> None:
    outcome = run(tmp_path / "run", evaluation={"max_examples": 3})
    (report,) = rows(tmp_path / "run")
    assert (report.step, report.validation, report.split) == (cases.STEPS, {}, "test")
    assert report.label == "test, once, after the last step"
    assert report.scores["examples"] == len(cases.SPLITS["test"])
    assert outcome.best == outcome.last
    state = cases.begin_at(cases.config_of(), UNVALIDATED, RunFolder(tmp_path / "run").checkpoint(cases.STEPS))
    assert report.test == score(state, cases.SPLITS["test"], cases.manifest()).evaluation.metrics
    exported = load_file(tmp_path / "run" / "best" / "model.safetensors")
    average = load_file(RunFolder(tmp_path / "run").newest() / "average.safetensors")
    assert all(torch.equal(exported[name], value) for name, value in average.items())
    assert json.loads((tmp_path / "run" / "best" / "report.json").read_text())["label"] == report.label


def test_the_weights_are_those_of_a_run_that_is_scored_on_the_way(tmp_path: Path) -> None:
    """Scoring changes no weight, and neither does leaving it out."""
    run(tmp_path / "scored", EVERY)
    run(tmp_path / "not", EVERY, evaluation={"split": "none"})
    one, other = (load_file(RunFolder(tmp_path / name).newest() / "model.safetensors") for name in ("scored", "not"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_without_validation_keeps_its_newest_checkpoints_and_goes_on_from_them(tmp_path: Path) -> None:
    with pytest.raises(InterruptedRun):
        run(tmp_path / "stopped", reporter=cases.StopAt(10))
    steps = [path.name for path in RunFolder(tmp_path / "stopped").checkpoints()]
    assert steps == ["step-00000008", "step-00000010"]
    run(tmp_path / "stopped", is_resumed=True)
    run(tmp_path / "whole")
    assert rows(tmp_path / "stopped")[0].test == rows(tmp_path / "whole")[0].test


def test_what_was_trained_is_safe_before_the_last_scoring_begins(tmp_path: Path) -> None:
    with pytest.raises(InterruptedRun):
        run(tmp_path / "stopped", reporter=StopWhileScoring())
    assert rows(tmp_path / "stopped") == []
    assert RunFolder(tmp_path / "stopped").newest().name == "step-00000020"
    run(tmp_path / "stopped", is_resumed=True)
    run(tmp_path / "whole")
    (one,), (other,) = rows(tmp_path / "stopped"), rows(tmp_path / "whole")
    assert (one.test, one.training["loss"]) == (other.test, other.training["loss"])


def test_every_look_at_test_is_counted(tmp_path: Path) -> None:
    outcome = run(tmp_path / "run", evaluation={"split": "test"})
    labels = [report.label for report in rows(tmp_path / "run")]
    assert labels == ["test, on the way", *(f"test, looked at {looks} times: no clean estimate" for looks in (2, 3, 4, 5))]
    assert outcome.best.scores["exact_accuracy"] == max(report.test["exact_accuracy"] for report in rows(tmp_path / "run"))
    assert all(report.validation == {} for report in rows(tmp_path / "run"))


def test_a_longer_run_says_that_it_looked_at_test_before(tmp_path: Path) -> None:
    run(tmp_path / "run", steps=12)
    run(tmp_path / "run", is_resumed=True)
    assert [report.label for report in rows(tmp_path / "run")] == [
        "test, once, after the last step",
        "test, looked at 2 times: no clean estimate",
    ]
    assert json.loads((tmp_path / "run" / "best" / "report.json").read_text())["step"] == cases.STEPS


def test_a_run_on_training_puzzles_alone_exports_its_last_weights(tmp_path: Path) -> None:
    run(tmp_path / "run", ("train",))
    (report,) = rows(tmp_path / "run")
    assert (report.step, report.split, report.label) == (cases.STEPS, None, NOTHING)
    assert (tmp_path / "run" / "best" / "model.safetensors").is_file()


def test_scores_of_two_splits_are_not_compared(tmp_path: Path) -> None:
    run(tmp_path / "run", EVERY, steps=8)
    with pytest.raises(CheckpointError, match=r"on validation so far, evaluation.split asks for test; set evaluation.split"):
        run(tmp_path / "run", EVERY, is_resumed=True, evaluation={"split": "test"})


def test_reports_of_earlier_releases_are_of_validation() -> None:
    known = {"step": 1, "total_steps": 2, "train_flops": 1.0, "training": {}, "seconds": {}, "seconds_left": 0.0, "is_best": True}
    report = RunReport(**known, validation={"exact_accuracy": 0.5})  # type: ignore[arg-type]
    assert (report.split, report.scores, report.label) == ("validation", {"exact_accuracy": 0.5}, "validation")


@pytest.mark.parametrize(
    ("asked", "has", "expected"),
    [
        ("auto", EVERY, Protocol("validation", None)),
        ("auto", UNVALIDATED, Protocol(None, "test")),
        ("auto", ("train", "validation"), Protocol("validation", None)),
        ("auto", ("train",), Protocol(None, None)),
        ("validation", EVERY, Protocol("validation", None)),
        ("test", EVERY, Protocol("test", None)),
        ("none", EVERY, Protocol(None, "test")),
        ("none", ("train", "validation"), Protocol(None, "validation")),
    ],
)
def test_what_is_scored_follows_from_what_is_asked_and_what_there_is(asked: str, has: Any, expected: Protocol) -> None:
    evaluation = EvaluationConfig.model_validate({"split": asked})
    assert protocol_of(evaluation, has, "x", to_hold_out="hold some out") == expected


@pytest.mark.parametrize(("asked", "has"), [("validation", UNVALIDATED), ("test", ("train", "validation"))])
def test_a_split_that_is_not_there_is_asked_for_in_vain(asked: str, has: Any) -> None:
    evaluation = EvaluationConfig.model_validate({"split": asked})
    with pytest.raises(ConfigError, match=rf"evaluation.split {asked} needs {asked} puzzles, and set.yaml has only train, "):
        protocol_of(evaluation, has, "set.yaml", to_hold_out="hold some out")


def test_which_split_is_scored_is_no_part_of_what_a_run_is() -> None:
    digests = {cases.config_of(evaluation={"split": split}).network_digest() for split in ("auto", "validation", "test", "none")}
    assert len(digests) == 1
