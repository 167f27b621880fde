"""Figures of an evaluation beyond those of every one: a metric after other supervision steps, or of one part of a mixture."""

import re
from dataclasses import dataclass

MOST_STEPS = 4096
_FIGURE = re.compile(r"(?P<metric>[a-z][a-z0-9_]*)(/(?P<part>[A-Za-z0-9][A-Za-z0-9._-]*))?(@(?P<steps>[1-9][0-9]{0,3}))?")

_OTHERWISE = re.compile(
    r"(?P<metric>[a-z][a-z0-9_]*)@(?P<number>[1-9][0-9]{0,3})(?P<part>/[A-Za-z0-9][A-Za-z0-9._-]*)?(@(?P<steps>[1-9][0-9]{0,3}))?"
)
"""Numbers that stand where names of metrics have them."""


@dataclass(frozen=True)
class Figure:
    """A metric, and what it is looked at on."""

    metric: str
    part: str | None = None
    """Name of the part of a mixture; None: all puzzles."""
    steps: int | None = None
    """Supervision steps of the answers; None: those of the evaluation."""

    @staticmethod
    def of(text: str) -> "Figure":
        """The figure that is written METRIC, METRIC/PART, METRIC@STEPS or METRIC/PART@STEPS; ValueError where it is none."""
        found = _FIGURE.fullmatch(text)
        steps = None if found is None or found["steps"] is None else int(found["steps"])
        if found is None or (steps or 1) > MOST_STEPS:
            raise ValueError(
                f"a figure is METRIC, METRIC/PART of a mixture, METRIC@STEPS or METRIC/PART@STEPS (at most {MOST_STEPS}), "
                f"got {text!r}; write {_example(text)}"
            )
        return Figure(found["metric"], found["part"], steps)

    @property
    def of_any_steps(self) -> "Figure":
        """The same of the evaluation's own answers."""
        return Figure(self.metric, self.part)

    @property
    def text(self) -> str:
        """As a configuration has it; `of` reads it."""
        return self._place + (f"@{self.steps}" if self.steps is not None else "")

    @property
    def name(self) -> str:
        """As journal, tables and MLflow have it: `exact_accuracy_at_64`."""
        return self._place + (f"_at_{self.steps}" if self.steps is not None else "")

    @property
    def _place(self) -> str:
        return self.metric + (f"/{self.part}" if self.part is not None else "")


def _example(text: str) -> str:
    """How a figure with numbers in other places is written, where that can be told."""
    other = _OTHERWISE.fullmatch(text)
    if other is None or not (other["part"] or other["steps"]):
        return "exact_accuracy@64"
    metric, number, part, steps = other["metric"], other["number"], other["part"] or "", other["steps"]
    numbered = f"{metric}_at_{number}{part}" + (f"@{steps}" if steps else "")
    return numbered if steps or not part else f"{metric}{part}@{number} (after {number} steps) or {numbered}"
