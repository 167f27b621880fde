"""Halving within a group: when a rung is complete, who goes on from it, and who stops there."""

from trm.search.schedulers.scheduler import SchedulerContext


def is_complete(context: SchedulerContext, group: int, rung: int, members: range) -> bool:
    """Whether no further trial of `members`, the numbers of the group, can reach `rung`."""
    if context.asked < members.stop and not context.is_asking_over:
        return False
    targets = context.targets
    if not (members.start == 0 and context.asked <= members.stop):
        targets = {trial: target for trial, target in targets.items() if trial in members}
    if targets and min(targets.values()) <= rung:  # asked after every event, of a thousand running trials too
        return False
    return all(below.resting_survivor() is None for below in context.rungs.get(group, ())[:rung])


def stops_in(context: SchedulerContext, group: int, members: range) -> list[tuple[int, str]]:
    """Paused trials of the group that are no survivors of their rung, which is complete; with the reason."""
    stops: list[tuple[int, str]] = []
    for index, rung in enumerate(context.rungs.get(group, ())[:-1]):
        if not is_complete(context, group, index, members):
            break
        survivors = rung.survivors()
        for trial in rung.paused:
            if trial not in survivors and trial in context.paused:
                stops.append((trial, f"{rank_text(context, group, trial, index)}, {len(survivors)} go on"))
    return stops


def rank_text(context: SchedulerContext, group: int, trial: int, rung: int) -> str:
    """A trial's rank at a rung, in words."""
    found = context.rungs[group][rung]
    return f"rank {found.rank(trial) + 1} of {len(found)} at rung {rung}"
