"""From columns of one value a row to an evaluation: its metrics, figures beyond them, curves, and every setting of a pass."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trm.config.figures import Figure
from trm.data.batches.split import Split
from trm.data.format.manifest import Manifest
from trm.evaluation.metrics import HALTED_FLOPS_SAVED, METRICS, ORACLE, Metric, Metrics, named, numbered_of
from trm.evaluation.pooled import VOTE
from trm.evaluation.rollouts import breadth_points
from trm.evaluation.rows import EXACT_AT, HALTED, columns_by_step, halted_by
from trm.evaluation.scores import (
    BreadthPoint,
    Columns,
    CurvePoint,
    Evaluation,
    Measured,
    NumberedScorer,
    TaskScorer,
    means,
    of_puzzles,
    proportion,
)
from trm.stats.intervals import Z95, mean_of, standard_error, wilson


@dataclass(frozen=True)
class Scoring:
    """Makes metrics of columns; of those that are not there, none."""

    split: Split
    manifest: Manifest
    scorers: Sequence[TaskScorer]

    def of(self, columns: Columns, steps: int) -> Evaluation:
        """All metrics: after all steps, where they were made, and at each row's halt, where that was asked for."""
        groups, clusters = self.split.groups[columns["row"]], self.split.clusters[columns["row"]]
        halted = {name.removeprefix(HALTED): column for name, column in columns.items() if name.startswith(HALTED)}
        plain = {name: column for name, column in columns.items() if not name.startswith(HALTED)}
        found, is_first = Evaluation({}), _is_first(groups, clusters)
        own_metrics = [metric for scorer in self.scorers for metric in scorer.metrics]
        for own, rename in ((plain, str), (halted, Metrics(own_metrics).halted_name)):
            if "is_exact" in own:
                shared = {name: plain[name] for name in ("row", "mean_halting_step") if name in plain}
                own = own | shared
                parts = _part_scores(own, groups, clusters, self.manifest)
                each = {name: column[is_first] for name, column in own.items()}
                scored = _general_scores(each, clusters[is_first]) | parts
                for scorer in self.scorers:
                    scored |= scorer.scores(each, clusters[is_first])
                found |= scored.renamed(rename)
        if halted:
            found |= Evaluation({HALTED_FLOPS_SAVED: 1 - mean_of(plain["mean_halting_step"].astype(np.float64)) / steps})
        return found

    def figure(self, figure: Figure, columns: Columns, steps: int) -> Evaluation:
        """One figure beyond those of every evaluation, of the columns after its steps: its value, interval and standard error.

        Empty where no row has it. Of a part it has no scores by puzzle, which are a table of all of them.
        """
        name, scored = figure.metric, self._with_numbered(figure.metric, columns, steps)
        if figure.part is not None and f"{name}/{figure.part}" in scored.metrics:
            name = f"{name}/{figure.part}"
        elif figure.part is not None:
            is_here = self._is_in(figure.part, columns)
            if not is_here.any():
                return Evaluation()
            scored = self._with_numbered(name, {key: column[is_here] for key, column in columns.items()}, steps)
        ends = {f"{name}{end}": f"{figure.name}{end}" for end in ("", "_low", "_high")}
        metrics = {ends[key]: value for key, value in scored.metrics.items() if key in ends}
        errors = {ends[key]: value for key, value in scored.standard_errors.items() if key in ends}
        puzzles = {ends[key]: column for key, column in scored.puzzles.items() if key in ends and figure.part is None}
        return Evaluation(metrics, errors, puzzles)

    def _is_in(self, part: str, columns: Columns) -> np.ndarray:
        """Which rows are of a part of a mixture."""
        groups = self.split.groups[columns["row"]]
        is_here = np.zeros(len(groups), dtype=bool)
        for one in self.manifest.parts:
            if one.name == part:
                is_here |= (groups >= one.groups[0]) & (groups < one.groups[1])
        return is_here

    def _with_numbered(self, metric: str, columns: Columns, steps: int) -> Evaluation:
        """All metrics, and that one if it is one with a number that is computed where it is asked for."""
        scored, numbered = self.of(columns, steps), numbered_of(metric)
        if metric in scored.metrics or numbered is None:
            return scored
        groups, clusters = self.split.groups[columns["row"]], self.split.clusters[columns["row"]]
        is_first = _is_first(groups, clusters)
        each = {name: column[is_first] for name, column in columns.items() if not name.startswith(HALTED)}
        for scorer in self.scorers:
            if isinstance(scorer, NumberedScorer):
                scored |= scorer.numbered(*numbered, each, clusters[is_first])
        return scored

    def puzzle_rows(self, columns: Columns) -> np.ndarray:
        """How many scored rows each puzzle has, in the order of puzzles."""
        groups, clusters = self.split.groups[columns["row"]], self.split.clusters[columns["row"]]
        return np.unique(clusters[_is_first(groups, clusters)], return_counts=True)[1]

    def columns_of(self, figure: Figure) -> frozenset[str]:
        """The columns that `measured` needs of answers, besides exactness."""
        metric = self._declared(figure.metric)
        is_by_votes = metric is None or (metric.column is None and metric not in METRICS)
        return frozenset({VOTE, "halting_probability"} if is_by_votes else {_column_of(figure.metric)})

    def measured(self, figure: Figure, columns: Columns) -> Measured:
        """A figure, whichever steps it is of, from the columns after them, puzzle by puzzle; of a part its puzzles alone."""
        own = {name: column for name, column in columns.items() if not name.startswith(HALTED)}
        if figure.part is not None:
            is_here = self._is_in(figure.part, own)
            own = {name: column[is_here] for name, column in own.items()}
        groups, clusters = self.split.groups[own["row"]], self.split.clusters[own["row"]]
        is_first = _is_first(groups, clusters)
        clusters, each = clusters[is_first], {name: column[is_first] for name, column in own.items()}
        metric = self._declared(figure.metric)
        if metric is not None and (metric.column is not None or metric in METRICS):
            values = each[_column_of(metric.name)].astype(np.float64)
            puzzles, weights = of_puzzles(values, clusters), np.unique(clusters, return_counts=True)[1].astype(np.float64)
            value, error = mean_of(values), standard_error(values, clusters)
            interval = wilson(min(1.0, value), len(puzzles)) if metric.kind == "share" else None
            ends = (value - Z95 * error, value + Z95 * error) if interval is None else (interval.low, interval.high)
            return Measured(value, *ends, puzzles, weights)
        scored = self._voted(figure.metric, each, clusters)
        puzzles, name = scored.puzzles[figure.metric], figure.metric
        ends = scored.metrics[f"{name}_low"], scored.metrics[f"{name}_high"]
        return Measured(scored.metrics[name], *ends, puzzles, np.ones(len(puzzles)))

    def _declared(self, name: str) -> Metric | None:
        """The metric of that name; None of one with a number in it that is computed where it is asked for."""
        known = [*METRICS, *(metric for scorer in self.scorers for metric in scorer.metrics)]
        return next((metric for metric in known if metric.name == name), None)

    def _voted(self, name: str, each: Columns, clusters: np.ndarray) -> Evaluation:
        """What the scorer that rows vote in makes of a metric of its own."""
        numbered = numbered_of(name)
        for scorer in self.scorers:
            if any(metric.name == name for metric in scorer.metrics):
                return scorer.scores(each, clusters)
            if numbered is not None and isinstance(scorer, NumberedScorer):
                return scorer.numbered(*numbered, each, clusters)
        raise AssertionError(f"who begins asks for figures that there are, {name} is none")

    def breadth(self, columns: Columns, most: int, measure: Figure) -> tuple[BreadthPoint, ...]:
        """Exactness, and a figure, of every depth up to `most`, breadth and selector of a pass that has them."""
        groups, clusters = self.split.groups[columns["row"]], self.split.clusters[columns["row"]]
        is_first, found = _is_first(groups, clusters), []
        for (steps, count, rollouts, select), own in breadth_points(columns).items():
            if steps > most:
                continue
            puzzles = of_puzzles(own["is_exact"][is_first].astype(np.float64), clusters[is_first])
            measured = self.measured(measure, {**own, "row": columns["row"], "identifier": columns["identifier"]})
            found.append(BreadthPoint(steps, count, rollouts, select, puzzles, measured))
        return tuple(found)

    def curve(self, columns: Columns, answer: int, most: int, measure: Figure) -> tuple[CurvePoint, ...]:
        """The metrics after each step up to `answer` of a pass of `most` steps with a curve."""
        groups, clusters = self.split.groups[columns["row"]], self.split.clusters[columns["row"]]
        is_first = _is_first(groups, clusters)
        return tuple(
            CurvePoint(
                step,
                self.of(own, step),
                mean_of(halted_by(columns, step, most)[is_first].astype(np.float64)),
                self.measured(measure, own),
            )
            for step, own in columns_by_step(columns, range(1, answer + 1))
        )


def _is_first(groups: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Which rows are of the first group of their cluster that was scored: a puzzle under several numbers counts once."""
    numbers, places = np.unique(clusters, return_inverse=True)
    least = np.full(len(numbers), np.iinfo(np.int64).max)
    np.minimum.at(least, places, groups)
    return np.asarray(groups == least[places])


def _column_of(metric: str) -> str:
    """The column whose mean a metric is."""
    return "is_exact" if metric == "exact_accuracy" else metric


def _general_scores(columns: Columns, clusters: np.ndarray) -> Evaluation:
    puzzles, is_exact = np.unique(clusters), columns["is_exact"].astype(np.float64)
    exact = proportion("exact_accuracy", mean_of(is_exact), len(puzzles))
    earlier = {
        f"exact_accuracy_at_{name.removeprefix(EXACT_AT)}": mean_of(column.astype(np.float64))
        for name, column in columns.items()
        if name.startswith(EXACT_AT)
    }
    if ORACLE.name in columns:
        exact |= proportion(ORACLE.name, mean_of(columns[ORACLE.name].astype(np.float64)), len(puzzles))
    counts = {"examples": float(len(np.unique(columns["row"]))), "predictions": float(len(columns["row"]))}
    own = [name for name in named([metric for metric in METRICS if metric.column is None], "mean") if name in columns]
    by_puzzle = {"puzzle": puzzles, "exact_accuracy": of_puzzles(is_exact, clusters)}
    return exact | means(columns, own, clusters) | Evaluation(earlier | counts, puzzles=by_puzzle)


def _part_scores(columns: Columns, groups: np.ndarray, clusters: np.ndarray, manifest: Manifest) -> Evaluation:
    """Exactness in each part of a mixture that has rows in the split."""
    found = Evaluation({})
    for part in manifest.parts:
        is_here = (groups >= part.groups[0]) & (groups < part.groups[1])
        if is_here.any():
            share = mean_of(columns["is_exact"][is_here].astype(np.float64))
            found |= proportion(f"exact_accuracy/{part.name}", share, len(np.unique(clusters[is_here])))
    return found
