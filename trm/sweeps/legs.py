"""The legs of a sweep: what each is told, where it goes on from, and what its result means for the journal."""

import time
from dataclasses import asdict, replace
from pathlib import Path

from trm.console.redaction import reason_of
from trm.errors import CheckpointError, SweepError
from trm.files.contained import relative_path
from trm.files.json_files import read_json
from trm.files.objects import Objects
from trm.search.journal.events import LegEnded, LegStarted
from trm.search.objective import reported
from trm.search.search import Search
from trm.search.settings import Objective
from trm.sweeps.checkpoint_stores import objects_url, whole_among
from trm.sweeps.steady_clock import steady_now
from trm.sweeps.trial_files import CHECKPOINT_MARK, curve_file, puzzles_file, trial_folder
from trm.training.curve import CurveFile
from trm.training.leg import Beginning, LegResult, LegTask, in_order, outcome_beside, step_of
from trm.training.leg_files import bring_outcome

SAME = (
    *("metrics", "steps", "train_flops", "train_seconds", "eval_seconds", "overhead_seconds"),
    *("checkpoint", "peak_memory_bytes", "started_at", "ended_at", "process", "torn"),
)
"""What a leg returns under the name that the journal has for it."""


def leg_task(search: Search, folder: Path, leg: LegStarted, *, threads: int, gpus: float) -> LegTask:
    """What the process of `leg` is told, in a sweep whose folder is `folder`."""
    trial, is_of_population = search.state.trials[leg.trial], bool(search.state.trials[leg.trial].adoptions)
    if (objects := objects_url(search.state.space, search.state.name)) is not None:
        folder, given = Path(), leg.from_checkpoint
        begins = [] if given is None else [Beginning(given)]
    else:
        begins = beginnings(folder, leg, is_of_population=is_of_population)
    return LegTask(
        config=search.run_config(leg),
        max_steps=trial.asked.max_steps,
        until_steps=leg.until_steps,
        trial=leg.trial,
        rung=leg.rung,
        attempt=leg.attempt,
        begins=begins,
        objects=objects,
        is_of_population=is_of_population,
        folder=str(trial_folder(folder, leg.trial)),
        puzzles_to=str(puzzles_file(folder, leg.trial)) if trial.asked.confirms is not None else None,
        curve=CurveFile(str(curve_file(folder, leg.trial)), leg.trial),
        threads=threads,
        gpus=gpus,
    )


def beginnings(sweep_folder: Path, leg: LegStarted, *, is_of_population: bool = False) -> list[Beginning]:
    """Where `leg` may go on from, in the order in which that is tried, of a sweep whose checkpoints lie in its folder."""
    given = sweep_folder / leg.from_checkpoint if leg.from_checkpoint is not None else None
    own = trial_folder(sweep_folder, leg.trial)
    whole = [path.parent for path in own.glob(f"step-*-attempt-*/{CHECKPOINT_MARK}")]
    is_there = given is not None and (given / CHECKPOINT_MARK).is_file()
    return in_order(whole, own, given, leg.until_steps, is_of_population=is_of_population, is_there=is_there)


def found(task: LegTask) -> tuple[LegTask, LegResult | None]:
    """The task with all that it may go on from, as objects are now, and what the leg came to if it was completed before.

    Where they cannot be looked at the leg is lost: that is not its configuration's fault.
    """
    try:
        return _with_beginnings(task), saved_outcome(task)
    except CheckpointError as error:
        return task, LegResult(status="lost", error=reason_of(error)).ended_here(time.time(), [])


def _with_beginnings(task: LegTask) -> LegTask:
    if task.objects is None or task.folder is None:
        return task
    whole = [Path(name) for name in whole_among(Objects(task.objects).sizes(task.folder))]
    given = Path(task.begins[0].checkpoint) if task.begins else None
    own, until, of_population = Path(task.folder), task.until_steps, task.is_of_population
    return replace(task, begins=in_order(whole, own, given, until, is_of_population=of_population, is_there=given in whole))


def saved_outcome(task: LegTask) -> LegResult | None:
    """What the leg came to if it was completed before, by any attempt."""
    for checkpoint in _at_its_end(task):
        try:
            result = LegResult(**read_json(outcome_beside(checkpoint), dict, error=SweepError, remedy="run the leg again"))
            relative_path(result.checkpoint or "")
            return result
        except (OSError, ValueError, TypeError):
            continue
    return None


def _at_its_end(task: LegTask) -> list[Path]:
    """Whole checkpoints of the leg's last step, as paths here, by any attempt."""
    if task.objects is None:
        marks = Path(str(task.folder)).glob(f"step-{task.until_steps:08d}-attempt-*/{CHECKPOINT_MARK}")
        return [mark.parent for mark in sorted(marks)]
    objects, own = Objects(task.objects), str(task.folder)
    whole = [name for name in whole_among(objects.sizes(own)) if step_of(Path(name)) == task.until_steps]
    return [bring_outcome(objects, name) for name in whole]


def leg_ended(task: LegTask, result: LegResult, objective: Objective) -> LegEnded:
    """The journal's line on a leg; one that does not report what the objective names has failed."""
    metric = objective.metric
    value = result.metrics.get(metric)
    status, problem = result.status, result.error
    assert status not in ("interrupted", "disk_full"), "such a leg goes on as if it had never been begun"
    missing = next((name for name in (metric, *reported(objective)) if name not in result.metrics), None)
    if status == "completed" and missing is not None:
        known = ", ".join(sorted(name for name in result.metrics if not name.startswith("train/")))
        what = "objective.metric" if missing == metric else "objective.against"
        status, problem = "failed", f"{what} {missing!r} is not reported; the evaluation reports {known}"
    same = {name: value for name, value in asdict(result).items() if name in SAME}
    return LegEnded(
        trial=task.trial,
        rung=task.rung,
        attempt=task.attempt,
        status=status,
        objective=value,
        standard_error=result.standard_errors.get(metric),
        loss=result.metrics.get("loss"),
        error=problem,
        at=steady_now(),
        **same,
    )
