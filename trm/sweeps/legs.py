"""The legs of a sweep, for its driver: what each is told, where it goes on from, and what its result means for the journal."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from trm.search.journal.events import LegEnded, LegStarted
from trm.search.objective import reported
from trm.search.search import Search
from trm.search.settings import Objective
from trm.sweeps.checkpoint_stores import objects_url
from trm.sweeps.steady_clock import steady_now
from trm.sweeps.trial_files import CHECKPOINT_MARK, curve_file, puzzles_file, trial_folder
from trm.training.curve import CurveFile
from trm.training.leg import Beginning, LegResult, LegTask, in_order

SAME = (
    *("metrics", "steps", "train_flops", "train_seconds", "eval_seconds", "overhead_seconds"),
    *("checkpoint", "peak_memory_bytes", "started_at", "ended_at", "process", "torn"),
)
"""What a leg returns under the name that the journal has for it."""


def leg_task(search: Search, folder: Path, leg: LegStarted, *, threads: int, gpus: float, places: Sequence[str] = ()) -> LegTask:
    """What the process of `leg` is told, in a sweep whose folder is `folder`; `places`: of its workers, besides its own."""
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
        places=places,
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


def leg_ended(task: LegTask, result: LegResult, objective: Objective) -> LegEnded:
    """The journal's line on a leg; one that does not report what the objective names has failed, an interrupted one has yielded."""
    metric = objective.metric
    value = result.metrics.get(metric)
    status, problem = (result.status, result.error) if result.status != "interrupted" else ("yielded", None)
    assert status != "disk_full", "such a leg goes on as if it had never been begun"
    missing = next((name for name in (metric, *reported(objective)) if name not in result.metrics), None)
    if status == "completed" and missing is not None:
        known = ", ".join(sorted(name for name in result.metrics if not name.startswith("train/")))
        what = "objective.metric" if missing == metric else "the objective's"
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
