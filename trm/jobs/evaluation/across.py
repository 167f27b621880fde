"""`evaluate.py --across`: several networks answer the same puzzles, and their answers vote: an ensemble, and called one."""

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa

from trm.config.data import DataConfig
from trm.config.files import apply_overrides, validated
from trm.config.run import RunConfig
from trm.console.redaction import stored
from trm.console.streams import say
from trm.data.batches.split import Split, load_split
from trm.data.format.manifest import Manifest, read_manifest
from trm.errors import ConfigError
from trm.evaluation.answers_file import AnswerKey, cells_of
from trm.evaluation.ensembles import MOST_ANSWERS, ensemble_of, is_same_rows, stored_columns
from trm.evaluation.pooled import NUMBER
from trm.evaluation.rollouts import Select
from trm.evaluation.scores import Columns, Evaluation, with_imported
from trm.evaluation.scoring import Scoring
from trm.files.atomic import write_text_atomic
from trm.jobs.compare import AGAIN, Side, compared, read_side, require_same_puzzles
from trm.jobs.evaluation.data import require_there
from trm.jobs.evaluation.environment import environment
from trm.jobs.evaluation.folder import ANSWERS, NOT_A_METRIC, PUZZLES, REPORT, Done, clear_folder, puzzle_names, write_evaluation
from trm.jobs.evaluation.lock import held_folder
from trm.jobs.evaluation.options import EvaluateOptions, check_options
from trm.jobs.evaluation.table import finite, metric_lines
from trm.jobs.evaluation.votes import vote_lines
from trm.tasks.choice import task_named
from trm.tasks.metrics import shown
from trm.tasks.places import data_beside
from trm.tasks.task import CellsOf
from trm.terminal.command_line import duration, show

SELECTORS: tuple[Select, ...] = ("vote", "q")
"""By whom an answer is chosen of several networks; the others compare steps of one."""
OF_ENSEMBLE = {"evaluation.select", "data.folder"}
"""What `--set` may say of an ensemble itself."""
POOLING: Select = "vote"
"""By whom every answer to a row of an evaluation counts, where rows vote for their question."""


@dataclass(frozen=True, eq=False)
class Members:
    """The evaluations of an ensemble, and the data that they are of."""

    sides: Sequence[Side]
    manifest: Manifest
    split: Split
    names: Sequence[str] | None
    rows: Sequence[Columns]

    @property
    def networks(self) -> int:
        """How many different weights there are."""
        return len({side.report.get("weights_digest", side.folder) for side in self.sides})


def run_across(options: EvaluateOptions) -> int:
    """Vote, show a table, write the report; the exit code. Raises InputError for what a person can mend."""
    select = _select(options)
    started = time.monotonic()
    with ExitStack() as stack:
        stack.enter_context(held_folder(None if options.folder is None else Path(options.folder)))
        members = _members(options, [_evaluated(path, options, stack) for path in options.across])
        done = _done(options, members, select)
        report = done.report | {"seconds": time.monotonic() - started, "environment": environment()}
        if options.folder is not None:
            clear_folder(Path(options.folder))
            write_evaluation(Path(options.folder), replace(done, report=report))
    show("\n".join(_lines(report)))
    if options.folder is not None:
        say(f"{options.folder} has {', '.join(sorted(path.name for path in Path(options.folder).iterdir()))}")
    if options.out is not None:
        write_text_atomic(options.out, json.dumps(stored(report), indent=1, allow_nan=False) + "\n")
    return 0


def _select(options: EvaluateOptions) -> Select:
    """By whom an answer is chosen; refuses what an ensemble does not have."""
    check_options(options)
    asked = {
        "--curve": options.has_curve,
        "--front": options.front,
        "--identifiers": options.identifiers,
        "--resample": options.resamples,
        "--speed": options.has_speed,
    }
    if wrong := [name for name, is_asked in asked.items() if is_asked]:
        raise ConfigError(f"{wrong[0]} is of one network, --across of several", remedy="leave one out")
    if len(options.across) < 2:
        raise ConfigError(f"--across must name two evaluations or runs at least, got {len(options.across)}", remedy="name more")
    folders = [str(Path(path).resolve()) for path in options.across]
    if twice := [path for path, folder in zip(options.across, folders, strict=True) if folders.count(folder) > 1]:
        raise ConfigError(f"--across must name different evaluations, {twice[0]} is named twice", remedy="name it once")
    if options.folder is not None and str(Path(options.folder).resolve()) in folders:
        raise ConfigError(f"--folder must be another than those that vote, got {options.folder}", remedy="name a new folder")
    if all(_is_evaluation(path) for path in options.across):
        _refuse_settings(options)
    select = apply_overrides({}, options.overrides).get("evaluation", {}).get("select", "vote")
    if select not in SELECTORS:
        raise ConfigError(
            f"an ensemble's answers are chosen by {' or '.join(SELECTORS)}, got evaluation.select {select}", remedy="use vote"
        )
    return cast(Select, select)


def _refuse_settings(options: EvaluateOptions) -> None:
    """ConfigError for what would change how a network is scored: none is."""
    asked = {
        "--votes": options.votes is not None,
        "--config": options.config is not None,
        "--trained-on": options.trained_on is not None,
        "--stop-halted": options.stops_halted,
        "--weights raw": options.is_raw,
        "--steps all": options.has_all_steps,
        "--forward-dtype": options.forward_dtype is not None,
        "--quick": options.is_quick,
        "--workers": options.workers > 1,
    }
    names = [override.partition("=")[0].strip() for override in options.overrides]
    wrong = [name for name, is_asked in asked.items() if is_asked]
    if wrong := wrong + [f"--set {name}" for name in names if name not in OF_ENSEMBLE]:
        raise ConfigError(
            f"{wrong[0]} is of networks that are scored, and those of --across were: all are evaluations",
            remedy="leave it out, or name the runs",
        )


def _is_evaluation(path: str) -> bool:
    """Whether it is the folder of an evaluation, not a run that is to be evaluated first."""
    folder = Path(path)
    return (folder / REPORT).is_file() and ((folder / PUZZLES).is_file() or (folder / ANSWERS).is_file())


def _evaluated(path: str, options: EvaluateOptions, stack: ExitStack) -> str:
    """The folder of an evaluation: the one that is named, or a new one of the run that is."""
    if _is_evaluation(path):
        if not (Path(path) / ANSWERS).is_file():
            raise ConfigError(
                f"{path} must hold the answers that vote, and has no {ANSWERS}, as an ensemble has none",
                remedy="name the evaluations that it is of",
            )
        return path
    from trm.jobs.evaluate import run_evaluation

    place = Path(options.folder or tempfile.gettempdir()).absolute().parent
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="evaluation-", dir=place if place.is_dir() else None))
    run_evaluation(replace(options, path=path, across=(), folder=folder, out=None, has_submission=False))
    return folder


def _members(options: EvaluateOptions, folders: Sequence[str]) -> Members:
    """The evaluations, of one split of one data set, with the same rows."""
    sides = [replace(read_side(folder), folder=path) for path, folder in zip(options.across, folders, strict=True)]
    for other in sides[1:]:
        require_same_puzzles(sides[0], other, what="an ensemble")
    report = sides[0].report
    if options.split not in (None, report["split"]):
        raise ConfigError(
            f"the evaluations are of the {report['split']} split, --split says {options.split}", remedy="leave --split out"
        )
    validated(RunConfig, report.get("config", {}), f"the configuration of {options.across[0]}")  # imports what it names
    manifest, split = _data(options, report, Path(folders[0]))
    task = task_named(manifest.task)
    scorer = with_imported(task.scorer(manifest, split), manifest.grid)
    rows = []
    for path, folder, side in zip(options.across, folders, sides, strict=True):
        try:
            is_pooled = task.has_votes and side.report["config"]["evaluation"].get("select", POOLING) == POOLING
            file = Path(folder) / ANSWERS
            rows.append(stored_columns(file, split, scorer, has_votes=task.has_votes, is_pooled=is_pooled))
        except (OSError, ValueError, pa.ArrowException, KeyError) as error:
            raise ConfigError(f"{path} must have {ANSWERS} as it was written, got {error}", remedy=AGAIN) from None
    if not is_same_rows(rows):
        counts = ", ".join(f"{path} {len(own['row'])}" for path, own in zip(options.across, rows, strict=True))
        raise ConfigError(
            f"an ensemble votes on the same rows: answers of {counts}, not of the same ones",
            remedy="evaluate all with the same --votes, evaluation.max_examples and kind of steps",
        )
    located = [replace(side, folder=folder) for side, folder in zip(sides, folders, strict=True)]
    return Members(located, manifest, split, puzzle_names(_folder(options, report, Path(folders[0])), manifest), rows)


def _data(options: EvaluateOptions, report: Mapping[str, Any], beside: Path) -> tuple[Manifest, Split]:
    """The data set that the evaluations are of; ConfigError where another lies there."""
    folder = _folder(options, report, beside)
    require_there(DataConfig(folder=folder), options.across[0])
    manifest = read_manifest(folder)
    name = next((name for name in manifest.splits if name == report["split"]), None)
    if name is None or manifest.splits[name].content_sha256 != report["data"]["split_sha256"]:
        raise ConfigError(
            f"the evaluations are of {report['split']} of {report['data']['name']}, and {folder} holds other puzzles",
            remedy="say where theirs is: --set data.folder=FOLDER",
        )
    return manifest, load_split(folder, manifest, name)


def _folder(options: EvaluateOptions, report: Mapping[str, Any], beside: Path) -> str:
    """Where the data set of the evaluations is."""
    asked = apply_overrides({}, options.overrides).get("data", {}).get("folder")
    data = report["data"]
    found = data_beside(DataConfig(folder=str(asked or data["folder"])), beside, data.get("content_hash", ""), say=say)
    return str(found.folder)


def _done(options: EvaluateOptions, members: Members, select: Select) -> Done:
    manifest, split, task = members.manifest, members.split, task_named(members.manifest.task)
    columns = ensemble_of(members.rows, select, has_votes=task.has_votes)
    scoring = Scoring(split, manifest, (with_imported(task.scorer(manifest, split), manifest.grid),))
    evaluation = scoring.of({name: column for name, column in columns.items() if name != NUMBER}, 1)
    evaluation = replace(evaluation, puzzle_rows=scoring.puzzle_rows(columns))
    answered = np.unique(columns["row"])
    ballot = task.ballot(split, columns, answered)
    if options.has_submission and (ballot is None or members.names is None):
        raise ConfigError("--submission is of ARC tasks that have names", remedy="leave it out")
    report = _report(options, members, evaluation, select)
    if ballot is not None:
        report["votes"] = ballot.figures() | {"curve": []}
    return Done(report, evaluation, members.names, ballot, options.has_submission, cells_of=_cells_of(members.sides))


def _cells_of(sides: Sequence[Side]) -> CellsOf:
    """The cells of answers, each told by row, identifier and whose it is."""

    def found(keys: Sequence[AnswerKey]) -> dict[AnswerKey, np.ndarray]:
        cells: dict[AnswerKey, np.ndarray] = {}
        for owner, side in enumerate(sides):
            wanted = [(*key[:2], key[2] % MOST_ANSWERS) for key in keys if key[2] // MOST_ANSWERS == owner]
            own = cells_of(Path(side.folder) / ANSWERS, wanted)
            cells |= {(row, identifier, owner * MOST_ANSWERS + number): one for (row, identifier, number), one in own.items()}
        return cells

    return found


def _report(options: EvaluateOptions, members: Members, evaluation: Evaluation, select: Select) -> dict[str, Any]:
    """JSON: the ensemble's figures, its members', and what it gains over each puzzle by puzzle."""
    first = members.sides[0].report
    own = Side("", first, evaluation.puzzles | {"rows": np.asarray(evaluation.puzzle_rows)})
    told = []
    for path, side in zip(options.across, members.sides, strict=True):
        names = [name for name in own.puzzles if name in side.puzzles and name not in NOT_A_METRIC]
        gains = {name: compared(name, own, side).figures() for name in names}
        keys = ("path", "weights_digest", "step", "train_flops", "inference_flops", "supervision_steps", "metrics")
        told.append({"evaluation": path} | {key: side.report.get(key) for key in keys} | {"ensemble_against_it": gains})
    return {
        "path": "ensemble",
        "networks": members.networks,
        "members": told,
        "select": select,
        "split": first["split"],
        "data": first["data"] | {"folder": _folder(options, first, Path(members.sides[0].folder))},
        "inference_flops": sum(one["inference_flops"] or 0.0 for one in told),
        "counts": {"puzzles": len(evaluation.puzzles["puzzle"])},
        "metrics": finite(evaluation.metrics),
        "standard_errors": evaluation.standard_errors,
    }


def _lines(report: Mapping[str, Any]) -> list[str]:
    members, networks = report["members"], report["networks"]
    of_networks = f"{networks} network{'s' if networks > 1 else ''}"
    of_networks += f" ({len(members)} evaluations)" if networks < len(members) else ""
    lines = [
        f"ensemble of {of_networks}, no network's own score: answers by {report['select']}, {report['inference_flops']:.3g} FLOPs",
        f"{report['split']} split of {report['data']['name']}: {report['counts']['puzzles']} puzzles, "
        f"{duration(report['seconds'])}",
        *metric_lines(report["metrics"], report["standard_errors"]),
        *vote_lines(report.get("votes")),
        "",
    ]
    told = [name for name in ("pass_at_1", "pass_at_2") if name in report["metrics"]] or ["exact_accuracy"]
    for one in members:
        for name in told:
            if name in one["ensemble_against_it"]:
                gain = one["ensemble_against_it"][name]
                low, high = (shown(name, bound) for bound in gain["interval_95"])
                lines.append(
                    f"  {one['evaluation']}: {name} {shown(name, one['metrics'][name])}, "
                    f"the ensemble {shown(name, gain['difference'])} more ({low} to {high}), "
                    f"{gain['higher']} puzzles better, {gain['lower']} worse"
                )
    return lines
