"""What a run is scored on: along its way, and at its end; and what may then be said of the figures."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from trm.config.training import EvaluationConfig
from trm.data.format.manifest import Manifest, SplitName
from trm.errors import ConfigError

ScoredSplit = Literal["validation", "test"]
NOTHING = "nothing to score: the data set has training puzzles only"


@dataclass(frozen=True)
class Protocol:
    """The split that is scored at every evaluation of a run, or the one that is scored once, whole, after the last step."""

    on_the_way: ScoredSplit | None
    """Scored every so many steps, the last one included; None: nothing is."""
    at_end: ScoredSplit | None
    """Scored once, where nothing is on the way; None: the data set has only training puzzles, or `on_the_way` says it all."""

    @property
    def split(self) -> ScoredSplit | None:
        """The one split that the run scores."""
        return self.on_the_way or self.at_end

    def label(self, looks: int) -> str:
        """What was scored, and after how many looks at it, the last one included: stands beside every figure."""
        if self.split is None:
            return NOTHING
        if self.split == "test" and looks > 1:
            return f"test, looked at {looks} times: no clean estimate"
        if self.on_the_way == "test":
            return "test, on the way"
        return f"{self.at_end}, once, after the last step" if self.on_the_way is None else "validation"


def protocol_of(evaluation: EvaluationConfig, has: Collection[SplitName], source: str, *, to_hold_out: str) -> Protocol:
    """The protocol that `evaluation.split` means for a data set, `source`, that has these splits.

    ConfigError when the named split is not among them; `to_hold_out` is how the data set gets validation puzzles.
    """
    wanted = evaluation.split
    if wanted in ("validation", "test") and wanted not in has:
        remedy = f"{to_hold_out}, or leave evaluation.split out" if wanted == "validation" else "leave evaluation.split out"
        raise ConfigError(
            f"evaluation.split {wanted} needs {wanted} puzzles, and {source} has only {', '.join(has)}", remedy=remedy
        )
    if wanted == "test":
        return Protocol("test", None)
    if wanted == "validation" or (wanted == "auto" and "validation" in has):
        return Protocol("validation", None)
    return Protocol(None, "test" if "test" in has else "validation" if "validation" in has else None)


def splits_in(manifest: Manifest) -> tuple[SplitName, ...]:
    """The splits of a built data set that have puzzles."""
    return tuple(name for name, split in manifest.splits.items() if split.rows)
