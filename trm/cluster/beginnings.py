"""Where a leg goes on from: the newest checkpoint that is whole. A damaged one is treated as one that is missing, and named."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from trm.cluster.leg import LegTask
from trm.errors import CheckpointError
from trm.search.journal.events import LegStarted
from trm.sweeps.checkpoints import CHECKPOINT_MARK, step_of, trial_folder


def beginnings(sweep_folder: Path, leg: LegStarted) -> list[str]:
    """Where `leg` may go on from, absolute, in the order in which that is tried; after all of them comes the trial's start.

    First what an earlier attempt at it left on the way, beyond the checkpoint that it was given: a member of a population may have
    been given another's. Then the given one, which `keep` may have deleted; then what the trial itself left before.
    """
    given = sweep_folder / leg.from_checkpoint if leg.from_checkpoint is not None else None
    own = trial_folder(sweep_folder, leg.trial)
    whole = [path.parent for path in own.glob(f"step-*-attempt-*/{CHECKPOINT_MARK}")]
    ordered = sorted((path for path in whole if step_of(path) <= leg.until_steps), key=lambda path: (step_of(path), path.name))
    left = [path for path in reversed(ordered) if path != given]
    if given is None:
        return list(map(str, left))
    is_there = given.parent != own or (given / CHECKPOINT_MARK).is_file()
    beyond = [path for path in left if step_of(path) > step_of(given)]
    before = [path for path in left if step_of(path) <= step_of(given)]
    return [str(path) for path in (*beyond, *([given] if is_there else []), *before)]


def own_before(leg: LegStarted, sweep_folder: Path, *, is_of_population: bool) -> int | None:
    """Step up to which the trial's own checkpoints may have other knobs than `leg`, of a member of a population; None: none may."""
    if leg.from_checkpoint is None or not is_of_population:
        return None
    given = sweep_folder / leg.from_checkpoint
    return step_of(given) - (given.parent == trial_folder(sweep_folder, leg.trial))


def begun_whole(task: LegTask, gang: Any, device: Any) -> tuple[LegTask, list[str]]:
    """The task with the first of its beginnings that is whole, the same on all of a gang's workers; its leader hears of damage."""
    import torch

    places = [place for place in (task.from_checkpoint, *task.older) if place is not None]
    chosen, torn = _first_whole(places) if gang.is_leader else (0, [])
    chosen = int(gang.all_reduce_sum(torch.tensor(chosen, device=device)).item())
    return replace(task, from_checkpoint=places[chosen] if chosen < len(places) else None, older=()), torn


def _first_whole(places: Sequence[str]) -> tuple[int, list[str]]:
    """The place among `places` of the first that is not damaged, their number when all are; and what is damaged, in words."""
    from trm.training.checkpoint import newest_whole

    torn: list[str] = []
    for number, place in enumerate(places):
        try:
            found, problems = newest_whole([place])
        except CheckpointError:  # whole, and not to be used: loading it says why
            return number, torn
        torn += problems
        if found is not None:
            return number, torn
    return len(places), torn
