"""What a resume may change of a space, and what it may not."""

from collections.abc import Sequence
from typing import Any

from trm.config.leaves import written_at
from trm.errors import SweepError
from trm.search.schedulers.growth import grown, is_same_length
from trm.search.space.space import SearchSpace


def diff_frozen(old: SearchSpace, new: SearchSpace) -> str | None:
    """The first difference in what may not change on resume, as `path: old -> new`; None when there is none."""
    return _first_difference(old.frozen(), new.frozen(), "")


def check_resumable(old: SearchSpace, new: SearchSpace) -> None:
    """SweepError that names the first difference, unless `new` may go on with the sweep of `old`."""
    difference = diff_frozen(old, new)
    if difference is not None:
        raise SweepError(
            f"the sweep was started with another search space: {difference}",
            remedy="start it under another --name; what may change is budget, resources, tracking, keep, confirm, audit, test_time",
        )


def _first_difference(old: Any, new: Any, path: str) -> str | None:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            found = _first_difference(old.get(key), new.get(key), f"{path}.{key}" if path else key)
            if found is not None:
                return found
        return None
    return None if old == new and type(old) is type(new) else f"{path}: {old!r} -> {new!r}"


def _decay(space: SearchSpace) -> str | None:
    """Why learning rates may hang on how long a trial is; None where they do not."""
    schedules, floors = _values(space, "optim.schedule", "cosine"), _values(space, "optim.lr_min_ratio", 1.0)
    if "linear" in schedules:
        return "optim.schedule is linear"
    return "optim.lr_min_ratio is not 1" if "cosine" in schedules and floors != [1.0] else None


def _values(space: SearchSpace, path: str, default: Any) -> list[Any]:
    """What the base or the knob may set at a path; of a range its ends."""
    knob = space.search.get(path)
    return [written_at(space.base, path, default)] if knob is None else list(knob.extremes)


def check_growth(old: Sequence[float], new: SearchSpace) -> None:
    """SweepError unless a sweep whose drivers had `budget.per_trial` of `old`, in order, may go on as `new` says."""
    if not old or is_same_length(old[-1], new.budget.per_trial):
        return
    if new.budget.per_trial < old[-1]:
        raise SweepError(
            f"budget.per_trial may only grow on a resume: {old[-1]:g} -> {new.budget.per_trial:g}",
            remedy="start the shorter sweep under another --name",
        )
    if why := _decay(new):
        raise SweepError(
            f"budget.per_trial cannot grow where the learning rate decays to a trial's own maximum ({why})",
            remedy="keep budget.per_trial, or start a sweep under another --name",
        )
    rungs = new.scheduler.rungs_up_to(old[0])
    for per_trial in (*old[1:], new.budget.per_trial):
        rungs = grown(new.scheduler, rungs, per_trial)
