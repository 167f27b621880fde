"""The metrics of all puzzles, for who must know a figure by its name alone."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Integer

from trm.config.figures import MOST_STEPS, Figure
from trm.config.messages import nearest
from trm.config.run import RunConfig
from trm.data.format.manifest import TaskName
from trm.errors import ConfigError
from trm.evaluation.metrics import ORACLE, Direction, Metrics, without_bound
from trm.tasks.choice import every_task, task_named

_STEPS = re.compile(r"(?:@|_at_)([0-9]+)$")


def _every() -> Metrics:
    tasks = every_task().values()
    return Metrics([one for task in tasks for one in task.metrics], [one for task in tasks for one in task.numbered])


def is_share(metric: str) -> bool:
    """Whether the metric lies between 0 and 1."""
    return _every().is_share(metric)


def is_count(metric: str) -> bool:
    """Whether the metric counts what was scored, and says nothing of how well."""
    return _every().is_count(metric)


def direction(metric: str) -> Direction | None:
    """Whether the metric is good when it is large or small; None of a name that no evaluation reports, and of a count."""
    return _every().direction(metric)


def weights_of(metric: str, rows: Integer[np.ndarray, " puzzles"]) -> Float64[np.ndarray, " puzzles"]:
    """What each puzzle weighs in the metric: its scored rows, or 1 where every puzzle counts once."""
    found = _every().find(metric)
    is_once = found is not None and found.counts_puzzles
    return np.ones(len(rows)) if is_once else rows.astype(np.float64)


def bounds(metric: str) -> tuple[float, float]:
    """The least and the most that the metric can be."""
    return _every().bounds(metric)


def reported_name(metric: str) -> str:
    """The name under which a figure is reported, which may be written with `@`: `pass_at_2`, `exact_accuracy_at_64`.

    A name that no evaluation reports stays as it is.
    """
    figure = _every().figure(metric)
    return metric if figure is None else figure.name


def figure_named(metric: str) -> Figure:
    """The figure that a name says, which some evaluation reports; of an end of an interval what the interval is of."""
    figure = _every().figure(metric)
    assert figure is not None, metric
    return Figure(without_bound(figure.metric), figure.part, figure.steps)


def unusual(metrics: Iterable[str]) -> list[str]:
    """Of some figures those that an evaluation reports only where they are asked for, as `evaluation.metrics` has them."""
    every = _every()
    figures = [every.figure(metric) for metric in metrics]
    return list(dict.fromkeys(one.text for one in figures if one is not None and not every.is_usual(one)))


def plain_metric(metric: str) -> str:
    """The metric of a figure: `loss` of `loss_at_8`."""
    figure = _every().figure(metric)
    return metric if figure is None else figure.metric


def steps_of_figure(metric: str) -> int | None:
    """Supervision steps that a figure's name says; None: it says none."""
    figure = _every().figure(metric)
    return None if figure is None else figure.steps


def figures_of(task: TaskName) -> Metrics:
    """What an evaluation of a task's puzzles can report."""
    own = task_named(task)
    return Metrics(own.metrics, own.numbered)


def metric_names(task: str, steps: int, *, has_halted: bool = False, has_rollouts: bool = False) -> list[str]:
    """Every metric of an evaluation of a task's puzzles with `steps` supervision steps.

    `has_halted`: with those of answers at each row's halt; `has_rollouts`: with those of several rollouts.
    """
    return figures_of(task).names(steps, has_halted=has_halted, has_rollouts=has_rollouts)


def require_figures(config: RunConfig, task: TaskName, parts: Sequence[str]) -> None:
    """ConfigError for an `evaluation.metrics` that no evaluation of such a run reports; `parts`: of a mixture, those to score."""
    can = Reportable.of(config, task, parts)
    for figure in config.evaluation.figures:
        can.require("evaluation.metrics", figure.text)


@dataclass(frozen=True)
class Reportable:
    """What evaluations of a data set can report."""

    task: TaskName
    parts: tuple[str, ...]
    """Of a mixture, those that have puzzles to score."""
    steps: int
    """Supervision steps of the answers."""
    has_halted: bool = False
    """Whether those at each row's halt are reported too."""
    has_rollouts: bool = False

    @staticmethod
    def of(config: RunConfig, task: TaskName, parts: Sequence[str], *, steps: int | None = None) -> "Reportable":
        """What evaluations as `config` says can report, `steps` supervision steps being those of the answers if not its own."""
        own = config.evaluation
        return Reportable(task, tuple(parts), steps or config.answer_steps, own.reports_halted, own.breadth > 1)

    def require(self, where: str, metric: str, others: Sequence[str] = ()) -> None:
        """ConfigError unless `metric` is among what is reported unasked, a figure that can be asked for, or one of `others`."""
        own, names = figures_of(self.task), self._names(has_halted=self.has_halted)
        figure = own.figure(metric)
        if metric in (*names, *others):
            return
        if figure is not None and "@" in metric and where.endswith("evaluation.metrics") and figure.text != metric:
            raise ConfigError(f"{where} has supervision steps after @, got {metric!r}", remedy=f"write {figure.text}")
        is_of_halts = figure is not None and figure.metric not in names and figure.metric in self._names(has_halted=True)
        is_there = figure is not None and (figure.metric in names or not own.is_usual(Figure(figure.metric)))
        if figure is None or not is_there or own.find(metric) is None or is_count(figure.metric):
            base = "" if where.startswith("evaluation.") else "base."
            what = "a cost or what the evaluation reports" if others else f"what an evaluation of {self.task} reports"
            remedy = f"set {base}evaluation.reports_halted: true" if is_of_halts else self._remedy(metric, [*others, *names])
            raise ConfigError(f"{where} must be {what}, got {metric!r}", remedy=remedy)
        if figure.part is not None and figure.part not in self.parts:
            near = nearest(figure.part, self.parts)
            told = f"did you mean {near}?" if near else f"its parts are {', '.join(self.parts)}"
            raise ConfigError(
                f"{where} {metric} is of a part of a mixture that has puzzles to score, and {figure.part} is none",
                remedy=told if self.parts else f"the data set is no mixture: take {figure.metric}",
            )

    def _names(self, *, has_halted: bool) -> list[str]:
        return figures_of(self.task).names(self.steps, has_halted=has_halted, has_rollouts=self.has_rollouts)

    def _remedy(self, metric: str, known: Sequence[str]) -> str:
        offered = [name for name in known if not is_count(name)]
        plain, slash, part = metric.partition("/")
        if ORACLE.name in (plain, _STEPS.sub("", plain)):
            return "set evaluation.rollouts or evaluation.forms above 1: it is the best of several answers"
        place = _STEPS.search(part) or _STEPS.search(plain)
        base = plain if _STEPS.search(part) else _STEPS.sub("", plain)
        for one in task_named(self.task).numbered:
            if base == one.name and one.numbers is not None:
                return f"{one.name}@N is there for N from {one.numbers[0]} to {one.numbers[1]}"
        own = figures_of(self.task)
        base_figure = own.figure(base)
        is_metric = base_figure is not None and (base_figure.metric in offered or not own.is_usual(base_figure))
        if place is not None and is_metric and base_figure is not None and base_figure.steps is None:
            return f"write {base}{'/PART' if slash else ''}@N with N from 1 to {MOST_STEPS}"
        near = nearest(metric if place is None else base, offered)
        if near:
            of = f"/{name}" if (name := _STEPS.sub("", part)) in self.parts else ""
            return f"did you mean {near}{of}{'' if place is None else f'@{place[1]}'}?"
        more = ["METRIC@STEPS after other supervision steps"]
        more += [f"{one.name}@N for other N" for one in task_named(self.task).numbered]
        more += [f"METRIC/PART of one of {', '.join(self.parts)}"] if self.parts else []
        return f"choose one of {', '.join(offered)}; or {', '.join(more)}"


def shown(name: str, value: float | None) -> str:
    """A metric's value with its unit."""
    if value is None:
        return "no number"
    if is_count(name):
        return f"{value:.0f}"
    return f"{100 * value:.2f} %" if is_share(name.partition("/")[0]) else f"{value:.4g}"
