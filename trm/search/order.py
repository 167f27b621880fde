"""Which of two scores is better: the one place that knows more from less, what breaks ties, and which scores show nothing yet.

Scores are compared by their objective; where that is equal, by the validation loss, or where trials have losses of several kinds,
by the share of wrong cells, which all of them share; at last by a digest of the configuration, never by arrival. A score of zero,
where more is better, shows nothing yet: a recursive model's accuracy rises late and suddenly, and until then the loss tells.

Whoever breaks an outcome constraint ranks behind all that keep them, by how far it is off (`Score.violation`).

With several objectives scores stand in Pareto fronts. A trial counts with its last score, at whatever rung: what was stopped early
is a model too, and the rung stands beside it.

Sweeps of the rules before (`rules.RULES`) go on by them: always the loss (1); of equal last scores at any rungs, the one that
took less compute before the digest (1 and 2).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from trm.config.leaves import written_tags
from trm.search.journal.events import LegEnded
from trm.search.knobs.knobs import Knob, Scalar
from trm.stats.pareto import Fronts, Point

RISEN = 0.05
"""Above so much a score is no accident any more: one puzzle in twenty, of a share."""
Place = tuple[float, float]
"""A score's cost and what breaks ties, less being better; trials of the same place are equally good."""
Group = tuple[float, bool]
"""Scores of a later one rank behind all of an earlier one, whatever else they have."""
Key = tuple[float, float, float, float, str, int]
"""Sorts trials best first, whatever their order was; a trial's number is its last part."""


@dataclass(frozen=True)
class Score:
    """What a trial reached at a rung."""

    trial: int
    objective: float
    standard_error: float
    loss: float
    """Validation loss, or what breaks ties in its place; infinite when unknown."""
    digest: str
    """Of the configuration: breaks the last ties, and does not depend on time."""
    others: tuple[float, ...] = ()
    """What the objective is weighed against (`objective.measures`): less is better, infinite when unknown."""
    train_flops: float = 0.0
    """Spent until then."""
    violation: float = 0.0
    """By how much it breaks the outcome constraints; 0: it keeps them, or there are none."""

    @property
    def tie(self) -> float | None:
        """What breaks ties; null: unknown."""
        return self.loss if math.isfinite(self.loss) else None


@dataclass(frozen=True)
class Order:
    """The order of scores whose objective is to be large (`max`) or small (`min`)."""

    mode: Literal["max", "min"]
    breaks_by_cells: bool = False
    """Whether the share of wrong cells breaks ties instead of the loss."""
    breaks_by_compute: bool = False
    """Whether compute breaks ties between last scores before the digest does."""

    @staticmethod
    def of(mode: Literal["max", "min"], loss_kinds: Sequence[Scalar], rules: int) -> "Order":
        """The order of a sweep that began by `rules`, whose trials have losses of these kinds."""
        return Order(mode, breaks_by_cells=rules >= 2 and len(loss_kinds) > 1, breaks_by_compute=rules < 3)

    def cost(self, value: float | None) -> float:
        """The objective as a number of which less is better; infinite when unknown."""
        if value is None or math.isnan(value):
            return math.inf
        return -value if self.mode == "max" else value

    def objective(self, cost: float) -> float:
        """The objective that has a cost."""
        return -cost if self.mode == "max" else cost

    def is_better(self, one: float, other: float) -> bool:
        """Whether objective `one` is better than `other`."""
        return self.cost(one) < self.cost(other)

    def best(self, objectives: Iterable[float]) -> float:
        """The best of some objectives, the first of equals."""
        return min(objectives, key=self.cost)

    def is_scoreless(self, objective: float) -> bool:
        """Whether an objective shows nothing yet: it is not above zero, where more is better."""
        return self.mode == "max" and not objective > 0

    def has_risen(self, objective: float) -> bool:
        """Whether an objective shows more than a few puzzles that happened to come right; always, where less is better."""
        return self.mode == "min" or objective > RISEN

    def score(self, result: LegEnded, digest: str, others: tuple[float, ...] = (), violation: float = 0.0) -> Score:
        """The score of a leg that completed with an objective."""
        assert result.objective is not None, "a completed leg has an objective"
        tie = self.tie(result)
        return Score(
            result.trial,
            result.objective,
            result.standard_error or 0.0,
            math.inf if tie is None else tie,
            digest,
            others,
            result.train_flops,
            violation,
        )

    def tie(self, result: LegEnded) -> float | None:
        """What breaks ties of a result, less being better; null: it does not say."""
        return wrong_cells(result) if self.breaks_by_cells else result.loss

    def place(self, score: Score) -> Place:
        """Where a score stands among those that break outcome constraints alike, before what says nothing of how good it is."""
        return self.cost(score.objective), score.loss

    def key(self, score: Score) -> Key:
        """Sorts scores of one rung."""
        return (score.violation, *self.place(score), 0.0, score.digest, score.trial)

    def last_key(self, score: Score) -> Key:
        """Sorts last scores of trials, at whatever rung: those of one rung as `key` does, but for the rules before."""
        compute = score.train_flops if self.breaks_by_compute else 0.0
        return (score.violation, *self.place(score), compute, score.digest, score.trial)

    def group(self, score: Score) -> Group:
        """Which scores are compared by Pareto dominance at all: by how far they break outcome constraints, and show nothing."""
        return score.violation, self.is_scoreless(score.objective)

    def point(self, score: Score, *, better_by: float = 0.0) -> Point:
        """A score among several objectives, less being better, its objective better by so much.

        The loss stands in for the objective of one that is scoreless: those are compared with each other alone.
        """
        first = score.loss if self.is_scoreless(score.objective) else self.cost(score.objective) - better_by
        return tuple(math.inf if math.isnan(value) else value for value in (first, *score.others))

    def fronts(self, scores: Sequence[Score]) -> list[list[int]]:
        """Trials of some scores, front by front, group by group; in each in the order in which they are given."""
        groups: dict[Group, list[tuple[Point, int]]] = {}
        for index, score in enumerate(scores):
            groups.setdefault(self.group(score), []).append((self.point(score), index))
        return [[scores[index].trial for index in front] for _, group in sorted(groups.items()) for front in sorted_fronts(group)]


def sorted_fronts(points: Sequence[tuple[Point, int]]) -> list[list[int]]:
    """Indices, front by front and in each in their order; of (point, index)."""
    found = Fronts[int]()
    for point, index in sorted(points):  # nobody who comes later dominates, so that adding pushes nobody down
        found.add(index, point)
    return [sorted(found[level]) for level in range(len(found))]


def loss_kinds(search: Mapping[str, Knob], base: Mapping[str, Any]) -> list[Scalar]:
    """The kinds of loss that trials of a space have, which searches some knobs of a base: losses of two kinds are two scales."""
    knob = search.get("training.loss")
    if knob is not None:
        return knob.values_in_order
    return [written_tags(base)["training.loss"]]


def wrong_cells(result: LegEnded) -> float | None:
    """Share of the cells that a trial got wrong; null: it does not say."""
    right = result.metrics.get("cell_accuracy")
    return None if right is None else 1.0 - right
