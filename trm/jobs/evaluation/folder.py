"""The folder of an evaluation: its report, what every puzzle scored, and its curve. `compare` reads two of them."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from trm.console.redaction import stored
from trm.data.format import shards
from trm.data.format.manifest import Manifest
from trm.errors import ConfigError
from trm.evaluation.answers_file import cells_of
from trm.evaluation.metrics import ORACLE
from trm.evaluation.puzzle_scores import write_puzzles
from trm.evaluation.scores import Columns, Evaluation
from trm.files.atomic import fsync_folder, is_unfinished, make_folders, why_unwritable, write_text_atomic
from trm.jobs.evaluation.front import front_text
from trm.jobs.evaluation.identifiers import Ablated
from trm.jobs.evaluation.lock import LOCK
from trm.jobs.evaluation.table import finite
from trm.pictures.forms import draw_forms
from trm.pictures.steps import draw_steps
from trm.pictures.test_time import draw_test_time
from trm.pictures.votes import draw_votes
from trm.stats.bootstrap import bands
from trm.tasks.metrics import weights_of
from trm.tasks.task import Ballot, CellsOf
from trm.training.weights import CONFIG_FILE

REPORT, PUZZLES, ANSWERS = "report.json", "puzzles.parquet", "answers.parquet"
CURVE_TABLE, CURVE_PICTURE = "curve.csv", "curve.png"
PAIRS, SUBMISSION, IDENTIFIERS = "pairs.parquet", "submission.json", "identifiers.parquet"
FRONT_TABLE, FRONT_PICTURE, VOTES_PICTURE, FORMS_PICTURE = "front.csv", "front.png", "votes.png", "forms.png"
FILES = {REPORT, PUZZLES, ANSWERS, CURVE_TABLE, CURVE_PICTURE, PAIRS, SUBMISSION, IDENTIFIERS, FRONT_TABLE, FRONT_PICTURE}
CLAIMS_TABLE, CLAIMS_PICTURE, TEXTS = "claims.csv", "claims.png", "texts.parquet"
PAGE = "report.html"
"""Written by view.py."""
FILES |= {PAGE, VOTES_PICTURE, FORMS_PICTURE, CLAIMS_TABLE, CLAIMS_PICTURE, TEXTS}
NOT_A_METRIC = ("puzzle", "name", "rows")
"""Columns of `puzzles.parquet` besides the metrics."""


@dataclass(frozen=True)
class Done:
    """An evaluation that is over."""

    report: dict[str, Any]
    evaluation: Evaluation
    names: Sequence[str] | None = None
    """What the data set's puzzles are called, by their numbers; None: nothing."""
    ballot: Ballot | None = None
    """The votes, where rows vote."""
    has_submission: bool = False
    """Whether what would be handed in is written."""
    ablated: Sequence[Ablated] = ()
    """The same puzzles under other identifiers."""
    cells_of: CellsOf | None = None
    """Where predicted cells are found; None: in the folder's answers."""


def check_folder(folder: Path) -> None:
    """ConfigError where no files could be written to `folder`, or would not stay, or what lies there is no evaluation."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--folder must name a folder, {folder} is a file", remedy="name another")
    strange = (
        sorted(path.name for path in folder.iterdir() if path.name != LOCK and not _is_ours(path.name)) if folder.is_dir() else []
    )
    if strange:
        raise ConfigError(f"--folder must be new or of an evaluation, {folder} holds {strange[0]}", remedy="name a new folder")
    places = (folder.absolute(), *folder.absolute().parents)
    if any(place.name == "best" and (place / CONFIG_FILE).is_file() for place in places):
        raise ConfigError(
            f"--folder must be one that stays, and a sweep or run that goes on writes its best/ anew, got {folder}",
            remedy="name one beside it",
        )
    parent = next(place for place in places if place.is_dir())
    if (reason := why_unwritable(parent)) is not None:
        raise ConfigError(f"--folder must be one that can be written, got {folder} ({reason})", remedy="name another")


def check_report(path: Path, own: Path | None = None) -> None:
    """ConfigError where `--out` could not be written, or would replace what an evaluation wrote in a folder other than `own`."""
    folder = path.absolute().parent
    if path.is_dir() or not folder.is_dir():
        raise ConfigError(f"--out must name a file in a folder that exists, got {path}", remedy="make its folder")
    is_evaluation = (folder / REPORT).exists() and ((folder / PUZZLES).exists() or (folder / ANSWERS).exists())
    if path.name in FILES and is_evaluation and (own is None or own.absolute() != folder):
        raise ConfigError(f"--out must name a file of its own, and {path} is of the evaluation there", remedy="name another")
    if (reason := why_unwritable(folder)) is not None:
        raise ConfigError(f"--out must name a file that can be written, got {path} ({reason})", remedy="name another")


def clear_folder(folder: Path) -> None:
    """Removes the evaluation before, its report first, and what a killed one left: a folder holds what its report says."""
    if folder.is_dir():
        for path in sorted(filter(lambda path: _is_ours(path.name), folder.iterdir()), key=lambda path: path.name != REPORT):
            path.unlink(missing_ok=True)
            fsync_folder(folder)


def _is_ours(name: str) -> bool:
    """Whether a file of the name is of an evaluation, or of one that was killed while it wrote it."""
    return name in FILES or (is_unfinished(name) and any(name.startswith(f".{file}.") for file in FILES))


def write_evaluation(folder: Path, done: Done) -> None:
    """Writes the files, each whole or not at all; the report last."""
    make_folders(folder)
    evaluation, report = done.evaluation, done.report
    numbers = evaluation.puzzles.get("puzzle", np.zeros(0, dtype=np.int64))
    if evaluation.puzzles:
        named = _named(numbers, done.names)
        write_puzzles(folder / PUZZLES, {**evaluation.puzzles, **named, "rows": np.asarray(evaluation.puzzle_rows)})
    if done.ballot is not None:
        curve = report["votes"]["curve"]
        if len(curve) > 1:
            title = f"{report['split']} split of {report['data']['name']}: {report['votes']['tasks']} tasks"
            draw_votes(curve, folder / VOTES_PICTURE, title=title)
        pairs = done.ballot.by_pair()
        write_puzzles(folder / PAIRS, _named(pairs["puzzle"], done.names) | pairs)
        if done.has_submission:
            assert done.names is not None, "a submission names its tasks"
            made = done.ballot.submission(done.names, done.cells_of or partial(cells_of, folder / ANSWERS))
            write_text_atomic(folder / SUBMISSION, json.dumps(made) + "\n")
    if done.ablated:
        arms = [{**arm.evaluation.puzzles, "identifiers": np.full(len(numbers), arm.way)} for arm in done.ablated]
        joined = {name: np.concatenate([arm[name] for arm in arms]) for name in arms[0]}
        write_puzzles(folder / IDENTIFIERS, _named(joined["puzzle"], done.names) | joined)
    if "front" in report:
        front = report["front"]
        write_text_atomic(folder / FRONT_TABLE, front_text(front))
        title = f"{report['split']} split of {report['data']['name']}: {len(numbers)} puzzles, without training again"
        draw_test_time(front["points"], front["plain"], folder / FRONT_PICTURE, title=title)
    if "forms" in report:
        by = report["config"]["evaluation"]["select"]
        title = f"{report['split']} split of {report['data']['name']}: {len(numbers)} puzzles, chosen by {by}"
        draw_forms(report["forms"], folder / FORMS_PICTURE, title=title)
    if "curve" in report:
        write_text_atomic(folder / CURVE_TABLE, _curve_text(report["curve"]))
        title = f"{report['split']} split of {report['data']['name']}: {report['counts']['puzzles']} puzzles, step {report['step']}"
        draw_steps(report["curve"], folder / CURVE_PICTURE, title=title)
    write_text_atomic(folder / REPORT, json.dumps(stored(report), indent=1, allow_nan=False) + "\n")


def _named(numbers: np.ndarray, names: Sequence[str] | None) -> Columns:
    return {} if names is None else {"name": np.array([names[number] for number in numbers])}


def curve_report(evaluation: Evaluation, step_flops: float) -> list[dict[str, Any]]:
    """A curve over supervision steps as JSON, `step_flops` being FLOPs of a step of one row, in all its rollouts.

    Shares of puzzles have a bootstrap band over puzzles, drawn alike for all steps.
    """
    curve, rows = evaluation.curve, evaluation.puzzle_rows
    at_first = curve[0].evaluation.puzzles  # without figures after other steps, which the evaluation may have
    shares = [name for name in evaluation.puzzles if name in at_first and f"{name}_low" in evaluation.metrics]
    is_chosen = ORACLE.name in evaluation.metrics  # of rollouts; these do not stop at their halts
    drawn = {}
    for name in shares:
        weights = None if rows is None else weights_of(name, rows)
        drawn[name] = bands(np.array([point.evaluation.puzzles[name] for point in curve], dtype=np.float64), weights)
    return [
        {
            "step": point.step,
            "inference_flops": point.step * step_flops,
            "halted_share": point.halted_share,
            "halted_inference_flops": None if is_chosen else point.evaluation.metrics["mean_halting_step"] * step_flops,
            "metrics": finite(point.evaluation.metrics),
            "standard_errors": point.evaluation.standard_errors,
            "bands": {name: (float(low[number]), float(high[number])) for name, (low, high) in drawn.items()},
        }
        for number, point in enumerate(curve)
    ]


def _curve_text(curve: Sequence[Mapping[str, Any]]) -> str:
    """A row a step, for a spreadsheet."""
    costs = ["step", "inference_flops", "halted_share", "halted_inference_flops"]
    metrics, shares = list(curve[0]["metrics"]), list(curve[0]["bands"])
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([*costs, *metrics, *(f"{name}_band_{end}" for name in shares for end in ("low", "high"))])
    for point in curve:
        figures = [point["metrics"].get(name) for name in metrics]
        rows.writerow([*(point[name] for name in costs), *figures, *(bound for name in shares for bound in point["bands"][name])])
    return text.getvalue()


def puzzle_names(folder: str, manifest: Manifest) -> Sequence[str] | None:
    """What the puzzles of a data set are called, by their numbers; None where nobody named them."""
    identifiers = shards.read_identifiers(folder, manifest)
    return None if identifiers is None else identifiers.names
