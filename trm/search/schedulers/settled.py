"""Halving within a group: when a rung is settled, who goes on from it, and who is left behind."""

from trm.search.schedulers.scheduler import Standing


def is_settled(standing: Standing, group: int, rung: int, members: range) -> bool:
    """Whether no further trial of `members`, the numbers of the group, can reach `rung`."""
    if standing.asked < members.stop and not standing.is_asking_over:
        return False
    if any(heading <= rung and trial in members for trial, heading in standing.headings.items()):
        return False
    return all(board.resting_survivor() is None for board in standing.boards.get(group, ())[:rung])


def left_behind_in(standing: Standing, group: int, members: range) -> list[tuple[int, str]]:
    """Paused trials of the group that are no survivors of their rung, which is settled; with the reason."""
    stops: list[tuple[int, str]] = []
    for rung, board in enumerate(standing.boards.get(group, ())[:-1]):
        if not is_settled(standing, group, rung, members):
            break
        survivors = board.survivors()
        for trial in board.resting:
            if trial not in survivors and trial in standing.paused:
                stops.append((trial, f"{place(standing, group, trial, rung)}, {len(survivors)} go on"))
    return stops


def place(standing: Standing, group: int, trial: int, rung: int) -> str:
    """A trial's place at a rung, in words."""
    board = standing.boards[group][rung]
    return f"rank {board.rank(trial) + 1} of {len(board)} at rung {rung}"
