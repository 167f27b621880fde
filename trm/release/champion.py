"""Which version of a registered model is its champion. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

ALIAS = "champion"


@dataclass(frozen=True)
class Standing:
    """What is compared of a version."""

    version: str
    data: str
    """Content hash of its data."""
    metric: str
    mode: str
    score: float | None
    """On all validation puzzles; null: it has none, because they were trained on."""
    interval: tuple[float, float] | None = None
    """Of 95 %, over puzzles; null: unknown."""

    @classmethod
    def of(cls, version: str, tags: Mapping[str, str]) -> "Standing":
        """As a version's tags tell it."""
        score, low, high = (_number(tags, f"trm.validation{end}") for end in ("", "_low", "_high"))
        interval = None if low is None or high is None else (low, high)
        return cls(version, tags.get("trm.data", ""), tags.get("trm.metric", ""), tags.get("trm.mode", "max"), score, interval)

    @property
    def words(self) -> str:
        """The score with its interval."""
        interval = "" if self.interval is None else f" ({self.interval[0]:.4f} to {self.interval[1]:.4f})"
        return f"{self.score:.4f}{interval}"


def _number(tags: Mapping[str, str], name: str) -> float | None:
    try:
        return float(tags[name])
    except (KeyError, ValueError):
        return None


def choice(mine: Standing, holder: Standing | None, *, is_asked: bool) -> tuple[bool, str]:
    """Whether the alias goes to `mine` from `holder`, and why, in words."""
    if holder is None:
        return True, f"version {mine.version} is {ALIAS}: no other was"
    if holder.version == mine.version:
        return False, f"version {mine.version} is {ALIAS}, as before"
    if is_asked:
        return True, f"version {mine.version} is {ALIAS} in place of {holder.version}, as asked"
    if why := _incomparable(mine, holder):
        return False, f"version {holder.version} stays {ALIAS}: {why}; --champion moves the alias"
    assert mine.score is not None
    assert holder.score is not None
    is_better = mine.score > holder.score if mine.mode == "max" else mine.score < holder.score
    told = f"{mine.metric} {mine.words} on validation against {holder.words}"
    if is_better:
        luck = "; the intervals overlap, so the lead may be luck" if _overlap(mine.interval, holder.interval) else ""
        return True, f"version {mine.version} is {ALIAS} in place of {holder.version}: {told} on the same data{luck}"
    return False, f"version {holder.version} stays {ALIAS}: {told}, which is not better; --champion moves the alias"


def _overlap(one: tuple[float, float] | None, other: tuple[float, float] | None) -> bool:
    return one is not None and other is not None and max(one[0], other[0]) <= min(one[1], other[1])


def _incomparable(mine: Standing, holder: Standing) -> str | None:
    if mine.data != holder.data:
        return f"it is of other data ({holder.data[:12]}, not {mine.data[:12]})"
    if (mine.metric, mine.mode) != (holder.metric, holder.mode):
        return f"it is judged by {holder.metric} ({holder.mode}), not {mine.metric} ({mine.mode})"
    if mine.score is None or holder.score is None:
        one = mine if mine.score is None else holder
        return f"version {one.version} has no validation score"
    return None
