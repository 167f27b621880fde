"""The metrics that an evaluation reports: each declared once, with its name, what it can be, and how a row is judged. No torch.

A metric of all puzzles is a line of `METRICS`, here or in a module of `imports`; one of a single puzzle stands with the puzzle
(`Task.metrics`). What the network's own outputs are needed for is computed in `evaluate.py`; everything else is a `column` here.
"""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Num, UInt8

from trm.config.figures import Figure
from trm.config.imports import members_of_door
from trm.config.unions import Added, added_to
from trm.data.batches.plan import EvaluationBatch
from trm.errors import ConfigError

Direction = Literal["max", "min"]


@dataclass(frozen=True, eq=False)
class Answered:
    """A batch of rows and what was answered."""

    predictions: UInt8[np.ndarray, "batch cells"]
    batch: EvaluationBatch
    grid: tuple[int, int]
    """Height and width of the canvas."""


@dataclass(frozen=True)
class Metric(Added):
    """One figure of an evaluation."""

    name: str
    """As journal, tables and MLflow have it."""
    kind: Literal["mean", "share", "count"] = "mean"
    """A mean over puzzles with its standard error; a share of puzzles with its interval (`_low`, `_high`); how much was scored."""
    direction: Direction | None = "max"
    """Whether more or less is better; None: it does not say how good."""
    least: float = 0.0
    """The least that it can be."""
    most: float = 1.0
    """The most that it can be."""
    column: Callable[[Answered], Num[np.ndarray, " batch"]] | None = None
    """What a row is worth; None: whoever scores says."""
    is_of_answer: bool = True
    """Whether the answers at each row's first halt have a figure of their own, `NAME_halted`."""
    counts_puzzles: bool = False
    """Whether every puzzle counts once, however many of its rows are scored; else every row does."""
    numbers: tuple[int, int] | None = None
    """The least and the most number that its figures have, `pass_at_5`, which are computed where they are asked for
    (`NumberedScorer`); None: it is one figure."""

    @classmethod
    def require_usable(cls, member: Any, where: str) -> None:
        """ConfigError for a metric of all puzzles that nobody could compute, or whose name is taken."""
        require_declared(member, where)
        if member.column is None or member.kind == "count":
            raise ConfigError(f"{where} must be a mean or a share with a column", remedy="give column: a value a row")
        if any(other != member and other.name == member.name for other in added_to(Metric)):
            raise ConfigError(f"{where} is another module's too", remedy="choose another name")


def count(name: str) -> Metric:
    """How much was scored, alike for every network."""
    return Metric(name, "count", direction=None, least=-math.inf, most=math.inf, is_of_answer=False)


METRICS: list[Metric] = [
    Metric("exact_accuracy", "share"),
    Metric("cell_accuracy"),
    Metric("loss", direction="min", most=math.inf),
    Metric("q_halt_accuracy"),
    Metric("mean_halting_step", direction="min", least=1.0, most=math.inf, is_of_answer=False),
    count("examples"),
    count("predictions"),
]
"""Those of every puzzle, in the order of a report."""
HALTED_FLOPS_SAVED = "halted_flops_saved"
"""Share of an evaluation's FLOPs that are saved by rows that stop at their first halt."""
ORACLE = Metric("oracle_accuracy", "share", is_of_answer=False)
"""Share of puzzles that some rollout solves, whichever is chosen: the most that a selector could reach."""
RESERVED = frozenset(
    (
        *("row", "identifier", "puzzle", "is_exact", "halting_probability", "vote"),  # columns of an evaluation
        *("answer", "number", "residual"),  # those of one of several answers
        *("step", "train_flops", "split", "label", "at", "is_best"),  # beside the scores of a run
        *("params", "inference_flops", "latency_seconds"),  # what a trial costs
    )
)
"""What a metric of one's own cannot be called, besides the metrics above."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_NUMBER = re.compile(r"(?P<name>.+)(?:@|_at_)(?P<number>[1-9][0-9]*)")


def imported_metrics() -> tuple[Metric, ...]:
    """Metrics of every puzzle that imported modules declare, as `METRICS`; ConfigError for what cannot be one."""
    return members_of_door(Metric)


def named(metrics: Iterable[Metric], kind: Literal["mean", "share", "count"]) -> tuple[str, ...]:
    """The names of the metrics of one kind, in order."""
    return tuple(metric.name for metric in metrics if metric.kind == kind)


def require_declared(metric: Metric, where: str) -> None:
    """ConfigError unless a metric of somebody's own has a name that is free, and bounds that can be."""
    name = metric.name
    if not _NAME.fullmatch(name) or name.endswith(("_low", "_high", "_halted")):
        raise ConfigError(
            f"{where} must have a name of a-z, 0-9 and _, at most 64, without _low, _high or _halted at its end, got {name!r}",
            remedy="rename it",
        )
    if name in RESERVED or Metrics(()).find(name) not in (None, metric):
        raise ConfigError(f"{where} must have a name of its own, {name} is taken", remedy="choose another")
    known = (("mean", "share", "count"), ("max", "min", None))
    if metric.kind not in known[0] or metric.direction not in known[1]:
        raise ConfigError(
            f"{where} must be one of mean, share, count and good when max, min or None, got {metric.kind!r}, {metric.direction!r}",
            remedy="choose of these",
        )
    if not metric.least < metric.most or (metric.kind == "share" and (metric.least, metric.most) != (0.0, 1.0)):
        raise ConfigError(
            f"{where} must lie between bounds, a share between 0 and 1, got {metric.least} and {metric.most}",
            remedy="give least and most",
        )


def is_scored_early(step: int, steps: int) -> bool:
    """Whether exactness is reported after `step` of `steps` supervision steps, as `exact_accuracy_at_STEP`."""
    return step < steps and step.bit_count() == 1


def numbered_of(metric: str) -> tuple[str, int] | None:
    """Name and number of a metric such as `pass_at_5`; None of one without."""
    found = _NUMBER.fullmatch(metric)
    return None if found is None else (found["name"], int(found["number"]))


def without_bound(name: str) -> str:
    """The metric of an end of its interval; a metric stays as it is."""
    return name.removesuffix("_low").removesuffix("_high")


class Metrics:
    """The metrics of all puzzles and those of some, by name."""

    def __init__(self, own: Sequence[Metric], numbered: Sequence[Metric] = ()) -> None:
        """With the puzzle's `own`, and those that have a number; ConfigError for one that is called as one of all puzzles."""
        everyones = (*METRICS, *imported_metrics())
        self._all = tuple(dict.fromkeys((*METRICS, *own, *everyones)))
        if taken := {metric.name for metric in everyones} & {metric.name for metric in own if metric not in everyones}:
            raise ConfigError(
                f"a metric of a puzzle must not be one of all puzzles, {', '.join(sorted(taken))} is both",
                remedy="leave in METRICS of the imported module what is for all puzzles",
            )
        plain = (*self._all, Metric(HALTED_FLOPS_SAVED, is_of_answer=False), ORACLE)
        self._by_name = {metric.name: metric for metric in plain}
        self._numbered = {metric.name: metric for metric in numbered}

    def find(self, name: str) -> Metric | None:
        """The metric whose figure, bound, or figure at each row's halt this is; None of a name that no evaluation reports.

        A figure after other steps, or of a part of a mixture, has its metric under the figure's name.
        """
        base = without_bound(name)
        if (plain := self._plain(name)) is not None:
            return plain
        figure = self.figure(base)
        found = None if figure is None else self._plain(figure.metric) or self._of_number(figure.metric)
        if found is None or found.kind == "count":
            return None
        return found if base == found.name else replace(found, name=base, is_of_answer=False)

    def figure(self, name: str) -> Figure | None:
        """What a name says, as figures are reported or with `@` before steps and numbers; None of a name that is none.

        So `loss@8`, `exact_accuracy_at_64`, `cell_accuracy/PART@4` or `cell_accuracy@4/PART`, and, of a metric with a number in it,
        `pass@2`, `pass@2/PART@4`.
        """
        metric, slash, part = name.partition("/")
        steps = None
        if slash and (found := _NUMBER.fullmatch(part)) is not None:
            part, steps = found["name"], int(found["number"])
        if steps is None and not self._is_known(metric) and (found := _NUMBER.fullmatch(metric)) is not None:
            metric, steps = found["name"], int(found["number"])
        if not self._is_known(metric) or (slash and not part):
            return None
        try:
            return Figure.of(Figure(metric.replace("@", "_at_"), part or None, steps).text)
        except ValueError:
            return None

    def is_usual(self, figure: Figure) -> bool:
        """Whether evaluations report it unasked, however many steps they have."""
        return figure.part is None and figure.steps is None and self._of_number(figure.metric) is None

    def _is_known(self, metric: str) -> bool:
        return (self._plain(metric) or self._plain(metric.replace("@", "_at_")) or self._of_number(metric)) is not None

    def _plain(self, name: str) -> Metric | None:
        base = without_bound(name).removesuffix("_halted")
        found = self._by_name.get(base)
        return None if found is not None and found.kind == "count" and base != name else found

    def _of_number(self, name: str) -> Metric | None:
        """The metric with that number in it, where it is not one that is reported unasked."""
        found = _NUMBER.fullmatch(name)
        family = None if found is None else self._numbered.get(found["name"])
        if found is None or family is None or family.numbers is None or self._plain(name.replace("@", "_at_")) is not None:
            return None
        least, most = family.numbers
        return family if least <= int(found["number"]) <= most else None

    def is_share(self, name: str) -> bool:
        """Whether it lies between 0 and 1."""
        found = self.find(name)
        return found is not None and (found.least, found.most) == (0.0, 1.0)

    def is_count(self, name: str) -> bool:
        """Whether it counts what was scored, and says nothing of how well."""
        found = self.find(name)
        return found is not None and found.kind == "count"

    def direction(self, name: str) -> Direction | None:
        """Whether it is good when it is large or small; None of a name that no evaluation reports, and of a count."""
        found = self.find(name)
        return None if found is None else found.direction

    def bounds(self, name: str) -> tuple[float, float]:
        """The least and the most that it can be."""
        found = self.find(name)
        return (-math.inf, math.inf) if found is None else (found.least, found.most)

    def halted_name(self, name: str) -> str:
        """Its name for the answers at each row's first halt; the same where these have no figure of their own."""
        base, end = next(((name.removesuffix(end), end) for end in ("_low", "_high") if name.endswith(end)), (name, ""))
        known = self._by_name.get(base)
        if name == "puzzle" or (known is not None and not known.is_of_answer):
            return name
        return f"{base}_halted{end}"

    def names(self, steps: int, *, has_halted: bool = False, has_rollouts: bool = False) -> list[str]:
        """Every metric of an evaluation with `steps` supervision steps.

        `has_halted`: with those of answers at each row's halt; `has_rollouts`: with those of several rollouts.
        """
        metrics = [*self._all, *([ORACLE] if has_rollouts else [])]
        shares = [f"{name}{end}" for name in named(metrics, "share") for end in ("", "_low", "_high")]
        early = [f"exact_accuracy_at_{step}" for step in range(1, steps) if is_scored_early(step, steps)]
        means = [*named(self._all, "mean"), *named(self._all, "count")]
        halted = [self.halted_name(name) for name in (*shares, *means) if self.halted_name(name) != name]
        return [*shares, *early, *means, *([*halted, HALTED_FLOPS_SAVED] if has_halted else [])]
