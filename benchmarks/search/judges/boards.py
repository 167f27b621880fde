"""Means of every tool on every judge, and paired bootstraps over sweep seeds and judges."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.search.judges.traces import Trace

RESAMPLES = 1000
Interval = tuple[float, float, float]
"""Value, and the ends of its 95 % interval."""
Statistic = Callable[[np.ndarray], np.ndarray]
"""Means at a judge, tools by values -> a figure of each tool; axes before them are resamples."""


@dataclass(frozen=True)
class Board:
    """What every tool came to on every judge that all of them ran."""

    tools: tuple[str, ...]
    families: Mapping[str, tuple[str, ...]]
    """Family -> its judges."""
    values: Mapping[tuple[str, str], np.ndarray]
    """Judge, tool -> values, a row a sweep, by seed."""

    @property
    def judges(self) -> list[str]:
        """All of them."""
        return [judge for judges in self.families.values() for judge in judges]

    def figure(self, statistic: Statistic) -> dict[str, Interval]:
        """Of each tool the mean over families of the mean over judges, with its interval."""
        plain = [np.mean([statistic(self.means(judge)) for judge in judges], axis=0) for judges in self.families.values()]
        drawn = [self._drawn(judges, statistic) for judges in self.families.values()]
        value, (low, high) = np.mean(plain, axis=0), np.percentile(np.mean(drawn, axis=0), [2.5, 97.5], axis=0)
        return {tool: (float(value[at]), float(low[at]), float(high[at])) for at, tool in enumerate(self.tools)}

    def means(self, judge: str) -> np.ndarray:
        """Of each tool on a judge; tools by values."""
        return np.stack([self.values[judge, tool].mean(axis=0) for tool in self.tools])

    def _drawn(self, judges: Sequence[str], statistic: Statistic) -> np.ndarray:
        """The family's figure in each resample; resamples by tools."""
        draw = np.random.default_rng(0)
        each = np.stack([statistic(self._resampled(judge, draw)) for judge in judges], axis=1)
        chosen = draw.integers(0, len(judges), (RESAMPLES, len(judges)))
        return np.take_along_axis(each, chosen[:, :, None], axis=1).mean(axis=1)

    def _resampled(self, judge: str, draw: np.random.Generator) -> np.ndarray:
        """Means over seeds that are drawn anew, the same of all tools as far as each has them; resamples by tools by values."""
        places = draw.random((RESAMPLES, max(len(self.values[judge, tool]) for tool in self.tools)))
        means = []
        for tool in self.tools:
            values = self.values[judge, tool]
            weights = np.zeros((RESAMPLES, len(values)))
            at = (places[:, : len(values)] * len(values)).astype(int)
            np.add.at(weights, (np.arange(RESAMPLES)[:, None], at), 1 / len(values))
            means.append(weights @ values)
        return np.stack(means, axis=1)


def board(traces: Sequence[Trace], value: Callable[[Trace], Sequence[float]]) -> Board:
    """Values of all sweeps; judges that not every tool ran are left out."""
    tools, families = tuple(dict.fromkeys(trace.tool for trace in traces)), dict[str, set[str]]()
    found: dict[tuple[str, str], dict[int, Sequence[float]]] = {}
    for trace in traces:
        found.setdefault((trace.judge, trace.tool), {})[trace.seed] = value(trace)
        families.setdefault(trace.family, set()).add(trace.judge)
    whole = {
        family: tuple(judge for judge in sorted(judges) if all((judge, tool) in found for tool in tools))
        for family, judges in sorted(families.items())
    }
    values = {key: np.array([row for _, row in sorted(sweeps.items())], dtype=float) for key, sweeps in found.items()}
    return Board(tools, {family: judges for family, judges in whole.items() if judges}, values)


def first(means: np.ndarray) -> np.ndarray:
    """The means themselves, of a board with one value a sweep."""
    return means[..., 0]


def ranks(means: np.ndarray) -> np.ndarray:
    """Place of each tool by its mean, 1 the least; equals share theirs."""
    here, others = means[..., 0][..., :, None], means[..., 0][..., None, :]
    return (here > others).sum(axis=-1) + ((here == others).sum(axis=-1) + 1) / 2


def less_than(ours: int) -> Statistic:
    """The mean of tool number `ours` less each one's."""
    return lambda means: means[..., [ours], 0] - means[..., 0]


def to_best(tools: Sequence[int]) -> Statistic:
    """Each mean as a multiple of the least of the others among `tools`, its own where there is none; below 1 counts as 1."""

    def statistic(means: np.ndarray) -> np.ndarray:
        floored = np.maximum(means[..., 0], 1.0)
        others = [floored[..., [tool for tool in tools if tool != at] or [at]].min(axis=-1) for at in range(means.shape[-2])]
        return floored / np.stack(others, axis=-1)

    return statistic


def to_one(tool: int) -> Statistic:
    """Each mean as a share of that of tool number `tool`."""
    return lambda means: means[..., 0] / means[..., [tool], 0]


def catches(tool: int, grid: np.ndarray) -> Statistic:
    """Of boards with a curve a sweep: share of the grid's end at which each mean comes to the last one of tool number `tool`."""

    def statistic(means: np.ndarray) -> np.ndarray:
        is_there = means <= means[..., [tool], -1:]
        return np.where(is_there.any(axis=-1), grid[is_there.argmax(axis=-1)], grid[-1]) / grid[-1]

    return statistic
