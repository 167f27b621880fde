"""Which nodes legs are lost on: a node is blamed before a trial, rests for a while, and is set aside when it loses everything."""

from dataclasses import dataclass, field

REST_SECONDS = 30.0
"""After a loss its node rests for so long while others can run legs, and twice as long after each further one in a row."""
ALONE_SECONDS = 5.0
"""As long from the second loss in a row on, where no other node can."""
LONGEST_SECONDS = 600.0
LONGEST_ALONE_SECONDS = 60.0
ASIDE_LOSSES = 4
"""So many losses in a row, of more than one trial, and none of its legs came to an end: the node is set aside."""


@dataclass
class _Streak:
    losses: int = 0
    trials: set[int] = field(default_factory=set)
    rests_until: float = 0.0
    is_aside: bool = False


class Blame:
    """What legs lost in a row say of the nodes they ran on. Its clock is monotonic seconds."""

    def __init__(self) -> None:
        """Nothing is known against any node."""
        self._streaks: dict[str, _Streak] = {}

    def lost(self, node: str, trial: int, now: float, *, is_alone: bool) -> str | None:
        """A leg of `trial` was lost on `node`; what becomes of the node, in words, null where it goes on at once.

        `is_alone`: no other node can run legs; it is never set aside then.
        """
        streak = self._streaks.setdefault(node, _Streak())
        streak.losses += 1
        streak.trials.add(trial)
        if is_alone:
            seconds = min(LONGEST_ALONE_SECONDS, ALONE_SECONDS * 2 ** (streak.losses - 2)) if streak.losses > 1 else 0.0
        elif streak.losses >= ASIDE_LOSSES and len(streak.trials) > 1:
            streak.is_aside = True
            return f"is set aside: it lost {streak.losses} legs in a row, of {len(streak.trials)} trials"
        else:
            seconds = min(LONGEST_SECONDS, REST_SECONDS * 2 ** (streak.losses - 1))
        streak.rests_until = now + seconds
        if not seconds:
            return None
        if streak.losses == 1:
            return f"lost a leg and takes none for {seconds:.0f} s"
        return f"lost {streak.losses} legs in a row and takes none for {seconds:.0f} s"

    def ended(self, node: str) -> None:
        """A leg came to an end of its own there: the node works."""
        streak = self._streaks.get(node)
        if streak is not None and not streak.is_aside:
            del self._streaks[node]

    def left(self, node: str) -> None:
        """The node is gone."""
        self._streaks.pop(node, None)

    def is_off(self, node: str, now: float) -> bool:
        """Whether it may take no legs now."""
        streak = self._streaks.get(node)
        return streak is not None and (streak.is_aside or now < streak.rests_until)
