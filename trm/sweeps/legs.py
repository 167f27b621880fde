"""The legs of a sweep: what each is told, where it goes on from, and what its result means for the journal."""

from dataclasses import asdict
from pathlib import Path

from trm.errors import SweepError
from trm.files.contained import relative_path
from trm.files.json_files import read_json
from trm.search.journal.events import LegEnded, LegStarted
from trm.search.objective import reported
from trm.search.search import Search
from trm.search.settings import Objective
from trm.sweeps.checkpoints import CHECKPOINT_MARK, curve_file, puzzles_file, step_of, trial_folder
from trm.sweeps.steady_clock import steady_now
from trm.training.curve import CurveFile
from trm.training.leg import Beginning, LegResult, LegTask, outcome_beside

SAME = (
    *("metrics", "steps", "train_flops", "train_seconds", "eval_seconds", "overhead_seconds"),
    *("checkpoint", "peak_memory_bytes", "started_at", "ended_at", "process", "torn"),
)
"""What a leg returns under the name that the journal has for it."""


def leg_task(search: Search, folder: Path, leg: LegStarted, *, threads: int, gpus: float) -> LegTask:
    """What the process of `leg` is told, in a sweep whose folder is `folder`."""
    trial = search.state.trials[leg.trial]
    return LegTask(
        config=search.run_config(leg),
        max_steps=trial.asked.max_steps,
        until_steps=leg.until_steps,
        trial=leg.trial,
        rung=leg.rung,
        attempt=leg.attempt,
        begins=beginnings(folder, leg, is_of_population=bool(trial.adoptions)),
        folder=str(trial_folder(folder, leg.trial)),
        puzzles_to=str(puzzles_file(folder, leg.trial)) if trial.asked.confirms is not None else None,
        curve=CurveFile(str(curve_file(folder, leg.trial)), leg.trial),
        threads=threads,
        gpus=gpus,
    )


def beginnings(sweep_folder: Path, leg: LegStarted, *, is_of_population: bool = False) -> list[Beginning]:
    """Where `leg` may go on from, in the order in which that is tried; after all of them comes the trial's start.

    First what an earlier attempt at it left on the way, beyond the checkpoint that it was given: a member of a population may have
    been given another's. Then the given one, which `keep` may have deleted; then what the trial itself left before: in a
    population, with the knobs that it had then.
    """
    given = sweep_folder / leg.from_checkpoint if leg.from_checkpoint is not None else None
    own = trial_folder(sweep_folder, leg.trial)
    whole = [path.parent for path in own.glob(f"step-*-attempt-*/{CHECKPOINT_MARK}")]
    ordered = sorted((path for path in whole if step_of(path) <= leg.until_steps), key=lambda path: (step_of(path), path.name))
    left = [path for path in reversed(ordered) if path != given]
    if given is None:
        return [Beginning(str(path)) for path in left]
    is_own = given.parent == own
    known_until = step_of(given) - is_own if is_of_population else -1
    beyond = [path for path in left if step_of(path) > step_of(given)]
    before = [path for path in left if step_of(path) <= step_of(given)]
    is_there = not is_own or (given / CHECKPOINT_MARK).is_file()
    return [
        *(Beginning(str(path)) for path in beyond),
        *([Beginning(str(given), is_adopted=not is_own)] if is_there else []),
        *(Beginning(str(path), is_adopted=step_of(path) <= known_until) for path in before),
    ]


def saved_outcome(task: LegTask) -> LegResult | None:
    """What the leg came to if it was completed before, by any attempt."""
    for mark in sorted(Path(str(task.folder)).glob(f"step-{task.until_steps:08d}-attempt-*/{CHECKPOINT_MARK}")):
        try:
            result = LegResult(**read_json(outcome_beside(mark.parent), dict, error=SweepError, remedy="run the leg again"))
            relative_path(result.checkpoint or "")
            return result
        except (OSError, ValueError, TypeError):
            continue
    return None


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
