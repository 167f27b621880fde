"""What a leg's process finds of it before it begins: where it may go on from, and what it came to if it was done before.

Nothing of the search: every process of a leg imports this.
"""

import time
from dataclasses import replace
from pathlib import Path

from trm.console.redaction import reason_of
from trm.errors import CheckpointError, SweepError
from trm.files.contained import relative_path
from trm.files.json_files import read_json
from trm.files.objects import Objects
from trm.sweeps.trial_files import CHECKPOINT_MARK, whole_among
from trm.training.leg import LegResult, LegTask, in_order, outcome_beside, step_of
from trm.training.leg_files import bring_outcome


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
