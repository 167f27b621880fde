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

    @classmethod
    def of(cls, version: str, tags: Mapping[str, str]) -> "Standing":
        """As a version's tags tell it."""
        try:
            score = float(tags["trm.validation"])
        except (KeyError, ValueError):
            score = None
        return cls(version, tags.get("trm.data", ""), tags.get("trm.metric", ""), tags.get("trm.mode", "max"), score)


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
    told = f"{mine.metric} {mine.score:.4f} on validation against {holder.score:.4f}"
    if is_better:
        return True, f"version {mine.version} is {ALIAS} in place of {holder.version}: {told} on the same data"
    return False, f"version {holder.version} stays {ALIAS}: {told}, which is not better; --champion moves the alias"


def _incomparable(mine: Standing, holder: Standing) -> str | None:
    if mine.data != holder.data:
        return f"it is of other data ({holder.data[:12]}, not {mine.data[:12]})"
    if (mine.metric, mine.mode) != (holder.metric, holder.mode):
        return f"it is judged by {holder.metric} ({holder.mode}), not {mine.metric} ({mine.mode})"
    if mine.score is None or holder.score is None:
        one = mine if mine.score is None else holder
        return f"version {one.version} has no validation score"
    return None
