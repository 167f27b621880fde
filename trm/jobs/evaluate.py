"""Trained weights from wherever they lie, scored on a whole split, shown and reported. No Ray is needed for it."""

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from trm.console.redaction import stored
from trm.console.streams import say
from trm.data.format.manifest import Manifest
from trm.errors import DatasetError
from trm.evaluation.answers import steps_of
from trm.evaluation.evaluate import Evaluation
from trm.files.atomic import write_text_atomic
from trm.files.fetched_weights import fetched_weights, is_url
from trm.files.weight_files import weights_digest
from trm.jobs.evaluate_folder import (
    ANSWERS,
    Done,
    clear_folder,
    curve_report,
    environment,
    puzzle_names,
    write_evaluation,
)
from trm.jobs.evaluate_front import Setting, front_lines, front_report, plain_settings, rolled_settings
from trm.jobs.evaluate_identifiers import ablation_lines, ablations, told_identifiers
from trm.jobs.evaluate_opened import opened
from trm.jobs.evaluate_options import EvaluateOptions, check_options
from trm.jobs.evaluate_pass import SplitPass, plan_of, recording, with_evaluation
from trm.jobs.evaluate_table import finite, table
from trm.jobs.evaluate_votes import vote_curve
from trm.models.cost import run_cost
from trm.tasks.choice import task_named
from trm.terminal.command_line import show
from trm.training.failures import memory_failures
from trm.training.process import training_device
from trm.training.weights import Weights, tensors_digest, trained_model


def run_evaluation(options: EvaluateOptions) -> int:
    """Score, show a table, write the report; the exit code. Raises InputError for what a person can mend."""
    if options.across:
        from trm.jobs.evaluate_across import run_across

        return run_across(options)
    if is_url(options.path):
        with fetched_weights(options.path, Path(options.storage)) as fetched:
            for name, digest in fetched.digests.items():
                say(f"fetched {name} of {fetched.url} (SHA-256 {digest})")
            return run_evaluation(replace(options, path=str(fetched.path), fetched=fetched))
    check_options(options)
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


def _done(options: EvaluateOptions) -> Done:
    device = training_device()
    with memory_failures():
        found = opened(options)
        weights, config, folder, manifest, split = found.weights, found.config, found.folder, found.manifest, found.split
        for note in weights.notes:
            say(f"{options.path}: {note}")
        trained = trained_model(weights, device)
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
        "path": options.origin,
        "files_digest": weights_digest(options.path),
        "weights_digest": tensors_digest(weights.tensors),
        "step": run.trained.step,
        "train_flops": run.trained.train_flops,
        "split": split,
        "data": {
            "name": manifest.name,
            "task": manifest.task,
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
