"""What every worker of an evaluation does: it gets ready, scores its batches with the others, and the first one reports."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trm.config.run import RunConfig
from trm.data.batches.plan import EvaluationPlan
from trm.data.batches.row_storage import scored_rows
from trm.data.format.manifest import Manifest
from trm.distributed import Gang
from trm.errors import DatasetError
from trm.evaluation.answers import steps_of
from trm.evaluation.evaluate import Evaluation
from trm.evaluation.test_time import Setting, plain_settings, rolled_settings
from trm.files.weight_files import weights_digest
from trm.jobs.evaluation.environment import environment
from trm.jobs.evaluation.folder import ANSWERS, Done, clear_folder, curve_report, puzzle_names, write_evaluation
from trm.jobs.evaluation.forms import forms_curve
from trm.jobs.evaluation.front import front_report
from trm.jobs.evaluation.identifiers import Told, ablations, told_identifiers
from trm.jobs.evaluation.one_pass import SplitPass, recording, require_batches, with_evaluation
from trm.jobs.evaluation.opened import Opened, opened
from trm.jobs.evaluation.options import EvaluateOptions
from trm.jobs.evaluation.room import require_room
from trm.jobs.evaluation.speed import BATCH_ROWS, measured_speed
from trm.jobs.evaluation.table import finite
from trm.jobs.evaluation.votes import vote_curve
from trm.models.cost import run_cost
from trm.models.precision import forward_dtype
from trm.tasks.augment import augmenter_for
from trm.tasks.choice import task_named
from trm.training.failures import memory_failures
from trm.training.process import training_device
from trm.training.scoring import SUBSET_SEED
from trm.training.weights import tensors_digest, trained_model


@dataclass(frozen=True, eq=False)
class Ready:
    """All that an evaluation needs, found sound."""

    found: Opened
    run: SplitPass
    """The pass as it is asked for."""
    whole: EvaluationPlan
    """All batches, of which `--quick` scores one."""
    names: Sequence[str] | None
    """What the puzzles are called, by their numbers."""
    told: Told


def get_ready(options: EvaluateOptions, gang: Gang, say: Callable[[str], None]) -> Ready:
    """Opens everything; raises InputError for what a person can mend, before anything is scored."""
    found = opened(options, say)
    config, manifest = _computing(found.config, options), found.manifest
    for note in found.weights.notes:
        say(f"{options.path}: {note}")
    weights = found.weights
    trained = trained_model(replace(weights, config=_computing(weights.config, options)), training_device())
    plan = _plan(found, options, say)
    require_batches(plan, manifest.name, options.workers)
    run = SplitPass(trained, config, manifest, plan.first_batch() if options.is_quick else plan, options.stops_halted, gang, say)
    require_room(run, options)
    names = _names(options, found.folder, manifest)
    return Ready(found, run, plan, names, told_identifiers(options.identifiers, trained.table, plan.split, manifest))


def _computing(config: RunConfig, options: EvaluateOptions) -> RunConfig:
    """The configuration with the numbers to compute in."""
    if options.forward_dtype is None:
        return config
    return config.model_copy(update={"model": config.model.model_copy(update={"forward_dtype": options.forward_dtype})})


def _plan(found: Opened, options: EvaluateOptions, say: Callable[[str], None]) -> EvaluationPlan:
    """The batches of a whole split; a subset of examples or votes only where options ask for it."""
    config, manifest = found.config, found.manifest
    asked = {override.partition("=")[0].strip() for override in options.overrides}
    split, why = scored_rows(config.data, found.folder, manifest, found.split, options.workers)
    if why:
        say(f"rows of {found.split} are read as they are needed: {why}")
    return EvaluationPlan(
        split,
        manifest,
        augmenter_for,
        batch_size=config.evaluation.batch_size or config.training.global_batch_size,
        max_examples=config.evaluation.max_examples if "evaluation.max_examples" in asked else None,
        seed=SUBSET_SEED,
        max_augmentations=options.votes or (config.evaluation.most_votes if "evaluation.votes" in asked else None),
    )


def evaluated(options: EvaluateOptions, gang: Gang, say: Callable[[str], None]) -> dict[str, Any]:
    """The report, when its folder is written; every worker calls it, and all but the first get an empty one.

    Raises InputError for what a person can mend.
    """
    started = time.monotonic()
    with memory_failures():
        ready = get_ready(options, gang, say)
        folder = None if options.folder is None else Path(options.folder)
        if folder is not None and gang.is_leader:
            clear_folder(folder)
        gang.barrier()
        done = _scored(options, ready, folder)
    peaks = environment(gang, ready.run.device)
    if done is None:
        return {}
    report = done.report | {"seconds": time.monotonic() - started, "environment": peaks}
    if folder is not None:
        write_evaluation(folder, replace(done, report=report))
    return report


def _scored(options: EvaluateOptions, ready: Ready, folder: Path | None) -> Done | None:
    """All passes, and what they come to; None for all workers but the first."""
    run, plan, gang = ready.run, ready.run.plan, ready.run.gang
    task, trained = task_named(run.manifest.task), run.trained
    # what a front is compared with is one answer without noise
    plain = replace(run, config=with_evaluation(run.config, rollouts=1, noise=0.0, starts="own", forms=1)) if options.front else run
    with recording(None if folder is None else folder / ANSWERS, plan, ready.names, gang) as record:
        evaluation = plain(
            trained.table, record, has_curve=options.has_curve or bool(options.front), records_steps=options.has_all_steps
        )
    ablated = ablations(ready.told, evaluation, plain)
    settings = _settings(options, run, evaluation)
    speed = measured_speed(run, ready.whole.in_batches_of(BATCH_ROWS)) if options.has_speed else None
    if not gang.is_leader:
        return None
    report = {"weights": "raw" if options.is_raw else "average", **_report(options, ready, plain, evaluation)}
    report |= {} if speed is None else {"speed": speed}
    ballot = None
    if evaluation.rows is not None and not options.stops_halted:
        ballot = task.ballot(plan.split, evaluation.rows, plan.examples)
    if ballot is not None:
        curve = vote_curve(task, plan, evaluation.rows or {}, options.resamples)
        report["votes"] = ballot.figures() | {"curve": curve}
    if run.config.evaluation.forms > 1 and not options.front:
        report["forms"] = forms_curve(evaluation, report["inference_flops"] / run.config.evaluation.forms)
    if settings:
        report["front"] = front_report(settings, trained.config.model.halt_max_steps, plan.split.name)
    if ablated:
        report["identifiers"] = [arm.report() for arm in ablated]
    return Done(report, evaluation, ready.names, ballot, options.has_submission, ablated)


def _names(options: EvaluateOptions, folder: str, manifest: Manifest) -> Sequence[str] | None:
    """What the puzzles are called; DatasetError where a submission would have no names."""
    names = puzzle_names(folder, manifest)
    if options.has_submission and names is None:
        raise DatasetError(
            "a submission names its tasks, and those of this data set have no names", remedy="build it from ARC's files"
        )
    return names


def _report(options: EvaluateOptions, ready: Ready, run: SplitPass, evaluation: Evaluation) -> dict[str, Any]:
    """What every evaluation says, as JSON."""
    weights, folder = ready.found.weights, ready.found.folder
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
        "forward_dtype": str(forward_dtype(config.model, run.device)).removeprefix("torch."),
        "stops_halted": options.stops_halted,
        "is_quick": options.is_quick,
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
    if run.config.evaluation.forms > 1:
        still = replace(run, config=with_evaluation(run.config, rollouts=1, noise=0.0, starts="own"))
        rolled = still(run.trained.table, None, has_breadth=True, told=", symmetric forms")
        found += [one for one in rolled_settings(rolled, 0.0, "own", flops) if one.forms > 1]
    for noise in dict.fromkeys(options.front):
        noisy = replace(run, config=with_evaluation(run.config, noise=noise, metrics=()))
        rolled = noisy(run.trained.table, None, has_breadth=True, told=f", noise {noise:g}")
        found += rolled_settings(rolled, noise, starts, flops)
    return found
