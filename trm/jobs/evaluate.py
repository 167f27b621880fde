"""Trained weights from wherever they lie, scored on a whole split, shown and reported. No Ray is needed for it."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from trm.config.files import apply_overrides, load_run_config, validated
from trm.config.run import RunConfig
from trm.config.training import EvaluationConfig
from trm.console.redaction import stored
from trm.console.streams import say
from trm.data.format.manifest import Manifest, SplitName, read_manifest
from trm.errors import CheckpointError, ConfigError, DatasetError
from trm.evaluation.answers import steps_of
from trm.evaluation.evaluate import Evaluation
from trm.evaluation.identifiers import Way
from trm.files.atomic import write_text_atomic
from trm.files.weight_files import META
from trm.jobs.evaluate_data import DataAsked, on_data
from trm.jobs.evaluate_folder import (
    ANSWERS,
    Done,
    check_folder,
    check_report,
    clear_folder,
    curve_report,
    environment,
    puzzle_names,
    write_evaluation,
)
from trm.jobs.evaluate_front import Setting, front_lines, front_report, plain_settings, rolled_settings
from trm.jobs.evaluate_identifiers import ablation_lines, ablations, told_identifiers
from trm.jobs.evaluate_pass import SplitPass, plan_of, recording, with_evaluation
from trm.jobs.evaluate_table import finite, table
from trm.jobs.evaluate_votes import vote_curve
from trm.models.cost import run_cost
from trm.tasks.choice import task_named
from trm.tasks.ensure import DataSummary, ensure_dataset, summary_of, task_of_data
from trm.tasks.places import data_beside, names_data, refuse_remote
from trm.terminal.command_line import show
from trm.training.failures import memory_failures
from trm.training.process import training_device
from trm.training.weights import Weights, is_export, read_foreign_weights, read_weights, tensors_digest, trained_model

MAY_CHANGE = {"data", "evaluation", "start"}
"""Sections of a checkpoint's configuration that scoring may replace, or that mean nothing to it."""
MOST_RESAMPLES = 1000
A_FRONT = "--front 0.1 0.3 1 --set evaluation.rollouts=16 --set evaluation.steps=16"


@dataclass(frozen=True)
class EvaluateOptions:
    """What the command line says."""

    path: str
    split: SplitName | None
    """Which puzzles; null: test, or where the data set has none, validation, or else what was trained on."""
    overrides: tuple[str, ...]
    config: str | None
    votes: int | None
    out: str | None
    storage: str
    stops_halted: bool = False
    """Whether puzzles stop at their first halt."""
    trained_on: str | None = None
    """What the weights were trained on, where they do not say it: a data set, arrays, or names of identifiers."""
    has_curve: bool = False
    """Whether every supervision step is reported."""
    folder: str | None = None
    """Where the files of the evaluation go."""
    has_submission: bool = False
    """Whether the answers that would be handed in are among them."""
    identifiers: tuple[Way, ...] = ()
    """Which other identifiers the network is told, a pass each."""
    is_raw: bool = False
    """Whether a checkpoint's weights are scored as they were trained, in place of their average."""
    resamples: int = 0
    """Other choices of augmentations that are tried for each number of them."""
    front: tuple[float, ...] = ()
    """Noises with which depth, breadth and selector are tried, a pass each."""


def run_evaluation(options: EvaluateOptions) -> int:
    """Score, show a table, write the report; the exit code. Raises InputError for what a person can mend."""
    _check(options)
    started = time.monotonic()
    done = _done(options)
    report = done.report | {"seconds": time.monotonic() - started, "environment": environment()}
    front = front_lines(report["front"]) if "front" in report else []
    show("\n".join([table(report), *ablation_lines(report.get("identifiers", [])), *front]))
    if options.folder is not None:
        write_evaluation(Path(options.folder), replace(done, report=report))
        say(f"{options.folder} has {', '.join(sorted(path.name for path in Path(options.folder).iterdir()))}")
    if options.out is not None:
        write_text_atomic(options.out, json.dumps(stored(report), indent=1, allow_nan=False) + "\n")
    return 0


def _check(options: EvaluateOptions) -> None:
    """What can be refused before anything is loaded."""
    path = Path(options.path)
    if not path.exists():
        raise CheckpointError(
            f"{path} does not exist", remedy="give the folder of a run, a sweep or a checkpoint, or a file of weights"
        )
    if _is_foreign(path) and options.config is None:
        raise CheckpointError(
            f"{path} is a file, and other programs' files do not say what they were trained as", remedy="give --config CONFIG.yaml"
        )
    if _is_foreign(path) and options.is_raw:
        raise ConfigError(f"--weights raw is of a checkpoint, which has both, and {path} has one kind", remedy="leave it out")
    if options.votes is not None and options.votes < 1:
        raise ConfigError(f"--votes must be >= 1, got {options.votes}", remedy="use 1 to score without augmentation")
    if not 0 <= options.resamples <= MOST_RESAMPLES:
        raise ConfigError(f"--resample must be 0 to {MOST_RESAMPLES}, got {options.resamples}", remedy="use 20")
    if options.out is not None:
        check_report(Path(options.out))
    if options.folder is not None:
        check_folder(Path(options.folder))
    elif options.has_submission:
        raise ConfigError("--submission writes submission.json into the folder of the evaluation", remedy="give --folder DIR")
    if options.has_submission and options.stops_halted:
        raise ConfigError("a submission is of answers after all steps, --stop-halted leaves them out", remedy="leave one out")
    if options.resamples and options.stops_halted:
        raise ConfigError("--resample is of votes after all steps, --stop-halted leaves them out", remedy="leave one out")
    if (options.has_curve or options.front) and options.stops_halted:
        raise ConfigError(
            "--curve and --front need every supervision step of every puzzle, and --stop-halted leaves them out",
            remedy="leave out --stop-halted: a curve tells what stopping at each row's halt scores and saves",
        )
    apply_overrides({}, options.overrides)
    _check_front(options.front)


def _check_front(noises: tuple[float, ...]) -> None:
    """Each is an `evaluation.noise`, and none is no noise."""
    for noise in noises:
        validated(EvaluationConfig, {"noise": noise}, "--front, of which each is an evaluation.noise")
    if noises and min(noises) <= 0:
        told = ", ".join(f"{one:g}" for one in noises)
        raise ConfigError(
            f"--front is of noises above 0, got {told}", remedy=f"leave 0 out, it is scored beside them; for instance {A_FRONT}"
        )


def _is_foreign(path: Path) -> bool:
    """Whether it is a file of another program; those of ours say what they are."""
    return path.is_file() and not (path.parent / META).exists() and not is_export(path)


def _done(options: EvaluateOptions) -> Done:
    device = training_device()
    with memory_failures():
        weights, config, folder, split = _opened(options)
        for note in weights.notes:
            say(f"{options.path}: {note}")
        trained, manifest = trained_model(weights, device), read_manifest(folder)
        plan = plan_of(folder, manifest, split, config, options.overrides, options.votes)
        names = _names(options, folder, manifest)
        run = SplitPass(trained, config, manifest, plan, options.stops_halted)
        told = told_identifiers(options.identifiers, trained.table, plan.split, manifest)
        # what a front is compared with is one answer without noise
        plain = replace(run, config=with_evaluation(config, rollouts=1, noise=0.0, starts="own")) if options.front else run
        if options.folder is not None:
            clear_folder(Path(options.folder))
        with recording(None if options.folder is None else Path(options.folder) / ANSWERS, plan, names) as record:
            evaluation = plain(trained.table, record, has_curve=options.has_curve or bool(options.front))
        ablated = ablations(told, evaluation, trained.table, plan, partial(plain, told=", other identifiers"))
        settings = _settings(options, run, evaluation)
    report = {"weights": "raw" if options.is_raw else "average", **_report(options, weights, plain, folder, evaluation)}
    ballot = None
    if evaluation.rows is not None and not options.stops_halted:
        ballot = task_named(manifest.task).ballot(plan.split, evaluation.rows, plan.examples)
    if ballot is not None:
        curve = vote_curve(task_named(manifest.task), plan, evaluation.rows or {}, options.resamples)
        report["votes"] = ballot.figures() | {"curve": curve}
    if settings:
        report["front"] = front_report(settings, trained.config.model.halt_max_steps, split)
    if ablated:
        report["identifiers"] = [arm.report() for arm in ablated]
    return Done(report, evaluation, names, ballot, options.has_submission, ablated)


def _names(options: EvaluateOptions, folder: str, manifest: Manifest) -> Sequence[str] | None:
    """What the puzzles are called; DatasetError where a submission would have no names."""
    names = puzzle_names(folder, manifest)
    if options.has_submission and names is None:
        raise DatasetError(
            "a submission names its tasks, and those of this data set have no names", remedy="build it from ARC's files"
        )
    return names


def _report(options: EvaluateOptions, weights: Weights, run: SplitPass, folder: str, evaluation: Evaluation) -> dict[str, Any]:
    """What every evaluation says, as JSON."""
    config, manifest, split = run.config, run.manifest, run.plan.split.name
    flops = run_cost(config, run.trained.shape).inference_flops
    report: dict[str, Any] = {
        "path": str(Path(options.path).absolute()),
        "weights_digest": tensors_digest(weights.tensors),
        "step": run.trained.step,
        "train_flops": run.trained.train_flops,
        "split": split,
        "data": {
            "name": manifest.name,
            "folder": folder,
            "content_hash": manifest.content_hash,
            "split_sha256": next(info for name, info in manifest.splits.items() if name == split).content_sha256,
        },
        "supervision_steps": steps_of(config),
        "inference_flops": flops,
        "stops_halted": options.stops_halted,
        "notes": list(weights.notes),
        "counts": {"puzzles": len(evaluation.puzzles["puzzle"])} if evaluation.puzzles else {},
        "metrics": finite(evaluation.metrics),
        "standard_errors": evaluation.standard_errors,
        "config": config.model_dump(mode="json"),
    }
    if evaluation.curve:
        report["curve"] = curve_report(evaluation, flops / steps_of(config))
    return report


def _settings(options: EvaluateOptions, run: SplitPass, plain: Evaluation) -> list[Setting]:
    """Every depth, breadth and selector with the noises that were asked for, and without."""
    if not options.front:
        return []
    starts, flops = run.config.evaluation.starts, run_cost(run.config, run.trained.shape).forward_flops_row
    found = plain_settings(plain, flops)
    for noise in options.front:
        noisy = replace(run, config=with_evaluation(run.config, noise=noise))
        rolled = noisy(run.trained.table, None, has_breadth=True, told=f", noise {noise:g}")
        found += rolled_settings(rolled, noise, starts, flops)
    return found


def _opened(options: EvaluateOptions) -> tuple[Weights, RunConfig, str, SplitName]:
    """The weights for the data set's identifiers, what to score them as, the data set's folder, and which of its splits."""
    path, root = Path(options.path), str(Path(options.storage) / "data")
    own = None if _is_foreign(path) else read_weights(path, is_raw=options.is_raw)
    config = _asked(options, {} if own is None else own.config.model_dump(mode="json"))
    if own is not None:
        _require_same_network(path, own.config, config)
    _require_rollouts(options, config)
    is_chosen = own is None or config.data != own.config.data
    if own is not None and options.config is None and not names_data(options.overrides):
        refuse_remote(config.data, path)
        config = config.model_copy(update={"data": data_beside(config.data, path, own.data_hash, say=say)})
    split = options.split or _first_there(summary_of(config.data), chooses=bool(options.front))
    task = task_of_data(config.data, split)
    _require_votes(options, task, config)
    folder = ensure_dataset(config.data, root, say)
    manifest = read_manifest(folder)
    weights = read_foreign_weights(path, config, manifest.shape) if own is None else own
    return on_data(weights, DataAsked(folder, manifest, is_chosen, options.trained_on)), config, folder, split


def _require_votes(options: EvaluateOptions, task: str, config: RunConfig) -> None:
    """ConfigError where votes, or what is made of them, are asked of puzzles that have none."""
    wanted = {"--submission": options.has_submission, "--resample": options.resamples, "--votes": options.votes is not None}
    asked = [name for name, is_asked in wanted.items() if is_asked]
    if asked and not task_named(task).has_votes:
        raise ConfigError(
            f"{asked[0]} is of ARC tasks, of which answers vote, {config.data.folder or config.data.recipe} holds {task} puzzles",
            remedy=f"leave out {' and '.join(asked)}",
        )


def _require_rollouts(options: EvaluateOptions, config: RunConfig) -> None:
    """ConfigError for a front of one rollout, or for several that would have to stop."""
    count = config.evaluation.rollouts
    if options.front and count < 2:
        raise ConfigError(
            f"--front is of several rollouts, got evaluation.rollouts {count}",
            remedy=f"add --set evaluation.rollouts=16, for instance {A_FRONT}",
        )
    if count > 1 and options.stops_halted:
        raise ConfigError(
            f"--stop-halted is of one answer a puzzle, got {count} rollouts",
            remedy="leave it out; evaluation.select=first_halt chooses who wants to halt first",
        )


def _first_there(data: DataSummary, *, chooses: bool = False) -> SplitName:
    """The split that is scored where none is asked for; says so when it is not test. What chooses looks at validation first."""
    wanted: tuple[SplitName, ...] = ("validation", "test", "train") if chooses else ("test", "validation", "train")
    split = next(name for name in wanted if name in data.splits)
    if split != wanted[0]:
        say(f"{data.source} has no {wanted[0]} puzzles: {split} is scored{', which was trained on' if split == 'train' else ''}")
    return split


def _asked(options: EvaluateOptions, values: dict[str, Any]) -> RunConfig:
    """The configuration to score by: that of `--config`, or else `values`, with what `--set` replaces.

    Of a front it has the first noise, with which its rollouts differ.
    """
    overrides = (*options.overrides, *(f"evaluation.noise={noise}" for noise in options.front[:1]))
    if options.config is not None:
        return load_run_config(options.config, overrides)
    return validated(RunConfig, apply_overrides(values, overrides), f"the configuration of {options.path}")


def _require_same_network(path: Path, there: RunConfig, asked: RunConfig) -> None:
    """CheckpointError that names the first value in which the checkpoint is of another configuration."""
    one, other = (_flat(config.model_dump(mode="json", exclude=MAY_CHANGE)) for config in (there, asked))
    for key, value in one.items():
        if other[key] != value:
            raise CheckpointError(
                f"a checkpoint is scored as what it was trained as: {path} has {key} {value!r}, {other[key]!r} is asked for",
                remedy="change evaluation.* and data.* only; evaluation.steps gives it more or fewer supervision steps",
            )


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
