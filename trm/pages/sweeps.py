"""Several sweeps on one page: what each bought, their winners beside each other, and what the data support of them in words."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from trm.config.training import EvaluationConfig
from trm.errors import ConfigError
from trm.pages.page import Page, Section
from trm.pages.run import flat
from trm.search.findings.confirmed import Winner, winner
from trm.search.findings.ledger import ledger
from trm.search.findings.tables import interval_95
from trm.search.journal.trial import Trial
from trm.search.state import SweepState
from trm.stats.intervals import t_quantile_975
from trm.terminal.display import amount_text, duration, flops

NOT_SET = "not set: the default"
ASKING = "evaluation"
"""The section of a run's configuration that says how its answers are asked for and scored."""
CHANGE_NO_SCORE = frozenset(f"{ASKING}.{name}" for name in ("batch_size", "metrics", "reports_halted", "split"))
"""Of it what decides none: in what pieces it is computed, what is reported besides; a sweep ranks by validation alone."""


@dataclass(frozen=True)
class Side:
    """One of the sweeps."""

    letter: str
    name: str
    state: SweepState
    data: tuple[tuple[str, str], ...]
    """(name, content hash) of each of its data sets."""
    seconds: Mapping[tuple[int, int], float]
    """(trial, rung) -> drivers' time when that leg had ended."""

    @property
    def winner(self) -> Winner | None:
        """Its best trial, as every view names it."""
        return winner(self.state)

    @property
    def metric(self) -> str:
        """What it makes large or small."""
        return self.state.space.objective.metric


def sweeps_page(sides: Sequence[Side]) -> Page:
    """The page; ConfigError where no two sweeps have a score."""
    if sum(side.winner is not None for side in sides) < 2:
        without = ", ".join(side.name for side in sides if side.winner is None)
        raise ConfigError(f"sweeps are compared by their winners, and {without} has no score yet", remedy="wait for a first score")
    sections = [
        Section("values", "In short", {"lines": list(sentences(sides))}),
        Section("values", "The sweeps", {"rows": [_facts(side) for side in sides]}),
        *_progress(sides),
        Section("values", "Winners", {"rows": [_winner_row(side) for side in sides], "lines": [_WINNERS]}),
        Section("values", "Where the winners' configurations differ", _differences(sides, _configuration, "settings", NOT_SET)),
        Section("values", "Where the spaces differ", _differences(sides, _knobs, "knobs", "not searched")),
        Section("values", "Where the compute went", {"rows": [row for side in sides for row in _ledger_rows(side)]}),
    ]
    about = "; ".join(f"{side.letter}: {side.name}" for side in sides)
    return Page(" against ".join(side.name for side in sides), "sweeps", sections, about=about)


_WINNERS = (
    "An interval over puzzles is what other puzzles would give the same weights; over seeds, what other trainings of the same "
    "configuration would give. A search chose its winner by its own score, which is therefore too good, and where several were "
    "confirmed, by their fresh seeds, which are so too, by less."
)


# What may be said ---------------------------------------------------------------------------------------------------------


def sentences(sides: Sequence[Side]) -> Iterator[str]:
    """What the data support of each two sweeps, and what they do not."""
    for first, second in combinations([side for side in sides if side.winner is not None], 2):
        names = f"{first.letter} ({first.name}) and {second.letter} ({second.name})"
        if reasons := why_not_comparable(first, second):
            yield f"The scores of {names} cannot be compared: {'; '.join(reasons)}."
        else:
            yield f"{names}: {_verdict(first, second)}."
        if (there := first.state.budget.per_trial) != (here := second.state.budget.per_trial):
            lengths = f"{amount_text(there, first.state.space.fidelity)} and {amount_text(here, second.state.space.fidelity)}"
            yield f"Full trainings of {first.letter} and {second.letter} are not equally long: {lengths}."


def why_not_comparable(first: Side, second: Side) -> list[str]:
    """What makes two sweeps' scores answers to different questions; empty: nothing that is known."""
    found = []
    if {digest for _, digest in first.data} != {digest for _, digest in second.data}:
        named = [", ".join(f"{name} ({digest[:8]})" for name, digest in side.data) for side in (first, second)]
        found.append(f"different data sets, {named[0]} and {named[1]}")
    objectives = [side.state.space.objective for side in (first, second)]
    if (objectives[0].metric, objectives[0].mode) != (objectives[1].metric, objectives[1].mode):
        found.append(
            f"different metrics, {objectives[0].metric} ({objectives[0].mode}) and {objectives[1].metric} ({objectives[1].mode})"
        )
    usual = EvaluationConfig().model_dump(mode="json")
    asked = [flat(usual | dict(side.state.space.base.get(ASKING) or {}), f"{ASKING}.") for side in (first, second)]
    for path in sorted((asked[0].keys() | asked[1].keys()) - CHANGE_NO_SCORE):
        values = [one.get(path, NOT_SET) for one in asked]
        if not _are_equal(values):
            texts = _texts(values)
            what = "another validation subset" if path == "evaluation.max_examples" else "other questions"
            found.append(f"{what}, {path} {texts[0]} and {texts[1]}")
    searched = {path for side in (first, second) for path in side.state.space.search if path.split(".")[0] == ASKING}
    for path in sorted(searched - CHANGE_NO_SCORE):
        found.append(f"{path} is searched, so that trials of one sweep are not asked alike")
    return found


def _verdict(first: Side, second: Side) -> str:
    """Which winner is better, if fresh seeds of both support it."""
    scores = [_fresh(side) for side in (first, second)]
    if min(map(len, scores)) < 2:
        few = " and ".join(side.letter for side, some in zip((first, second), scores, strict=True) if len(some) < 2)
        why = f"fewer than two fresh seeds of {few} (--resume --confirm 3 brings them)"
        return f"which winner is better is not supported: {why}"
    difference, half = welch(*scores)
    if difference and all(min(some) == max(some) for some in scores):
        return (
            f"which winner is better is not supported: fresh seeds of {first.letter} all score {_score(scores[0][0])}, those of "
            f"{second.letter} {_score(scores[1][0])}, and of scores that do not scatter no interval follows (more seeds may)"
        )
    counts = f"{len(scores[0])} and {len(scores[1])} fresh seeds"
    interval = f"95 % interval {_score(difference - half)} to {_score(difference + half)}, {counts}"
    told = f"{first.metric} of {first.letter}'s winner less {second.letter}'s is {_score(difference)} ({interval})"
    if abs(difference) <= half:
        return f"no difference between the winners is supported; {told}"
    is_first = (difference > 0) == (first.state.space.objective.mode == "max")
    return f"{first.letter if is_first else second.letter}'s winner is better; {told}"


def welch(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """(difference of means, half its 95 % interval) of two samples of two or more, their spreads apart (Welch 1947)."""
    means = [math.fsum(some) / len(some) for some in (first, second)]
    parts = [
        math.fsum((value - mean) ** 2 for value in some) / (len(some) - 1) / len(some)
        for some, mean in zip((first, second), means, strict=True)
    ]
    variance = sum(parts)
    if variance == 0:
        return means[0] - means[1], 0.0
    freedom = variance**2 / sum(part**2 / (len(some) - 1) for part, some in zip(parts, (first, second), strict=True))
    return means[0] - means[1], t_quantile_975(max(1.0, round(freedom, 1))) * math.sqrt(variance)


def _fresh(side: Side) -> tuple[float, ...]:
    found = side.winner
    return () if found is None or found.confirmed is None else found.confirmed.scores


# What each bought ---------------------------------------------------------------------------------------------------------


def _progress(sides: Sequence[Side]) -> list[Section]:
    """The best score so far on compute and on the clock; sweeps whose scores cannot be compared have charts of their own."""
    groups: list[list[Side]] = []
    for side in sides:
        group = next((some for some in groups if not why_not_comparable(some[0], side)), None)
        if group is None:
            groups.append([side])
        else:
            group.append(side)
    plots = []
    for group in groups:
        found = {f"{side.letter}: {side.name}": best_so_far(side) for side in group}
        longest = max((point["seconds"] for points in found.values() for point in points), default=0.0)
        unit, size = ("hours", 3600) if longest > 7200 else ("minutes", 60) if longest > 120 else ("seconds", 1)
        axes = (("flops", "training FLOPs of the sweep's search", 1), ("seconds", f"{unit} of the drivers' time", size))
        for key, axis, divisor in axes:
            series = [
                {
                    "name": name,
                    "x": [point[key] / divisor for point in points],
                    "y": [point["best"] for point in points],
                    "step": True,
                }
                for name, points in found.items()
            ]
            names = " and ".join(side.letter for side in group)
            label = f"Best {group[0].metric} so far of {names}, at whichever rung, against {axis}"
            plots.append({"x": axis, "y": group[0].metric, "label": label, "series": series})
    return [Section("lines", "Best so far", {"plots": plots}, needs_charts=True)]


def best_so_far(side: Side) -> list[dict[str, float]]:
    """After each leg of the search that was scored: FLOPs, seconds of drivers' time, and the best score; fresh seeds apart."""
    state = side.state
    legs = sorted(
        ((leg, trial, rung) for trial in state.searched for rung, leg in trial.results.items() if leg.objective is not None),
        key=lambda one: one[0].at,
    )
    sign = 1 if state.space.objective.mode == "max" else -1
    spent, best, told, found = 0.0, -math.inf, dict[int, float](), list[dict[str, float]]()
    for leg, trial, rung in legs:
        spent += max(0.0, leg.train_flops - told.get(trial.number, 0.0))
        told[trial.number] = leg.train_flops
        if trial.scores[rung].violation == 0 and leg.objective is not None:
            best = max(best, sign * leg.objective)
        if math.isfinite(best):
            found.append({"flops": spent, "seconds": side.seconds.get((trial.number, rung), 0.0), "best": sign * best})
    return found


# Rows ---------------------------------------------------------------------------------------------------------------------


def _facts(side: Side) -> dict[str, Any]:
    state, spent = side.state, side.state.spending
    space = state.space
    return {
        "sweep": side.letter,
        "name": side.name,
        "data": ", ".join(f"{name} ({digest[:8]})" for name, digest in side.data),
        "metric": f"{side.metric} ({space.objective.mode})",
        "trials": len(state.searched),
        "finished": sum(trial.status == "finished" for trial in state.searched),
        "compute": flops(spent.train_flops),
        "time": duration(spent.clock.elapsed(spent.clock.latest)),
        "rungs": ", ".join(amount_text(amount, space.fidelity) for amount in state.rungs.amounts),
        "sampler": space.sampler.type,
        "scheduler": space.scheduler.type,
        "seed": space.seed,
    }


def _winner_row(side: Side) -> dict[str, Any]:
    found = side.winner
    if found is None:
        return {"sweep": side.letter, "trial": "no score yet"}
    trial, confirmed, result = found.trial, found.confirmed, found.trial.result
    assert result is not None
    seeds = (
        None if confirmed is None else f"{_score(confirmed.mean)}{_between(confirmed.low, confirmed.high)}, {confirmed.seeds} seeds"
    )
    report = side.state.reports.get(found.run.number)
    return {
        "sweep": side.letter,
        "trial": trial.number,
        "metric": side.metric,
        "own score": _score(result.objective),
        "95 % over puzzles": _between(*(interval_95(side.metric, result) or (None, None))).strip(" ()"),
        "mean of seeds (95 %)": seeds or "one seed",
        "all of validation": None if report is None else _score(report.validation.get(side.metric)),
        "test": None if report is None else _score(report.test.get(side.metric)),
        "rung": trial.rung,
        "trained for": flops(result.train_flops),
        "weights": trial.asked.params_count,
    }


def _between(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" ({_score(low)} to {_score(high)})"


def _ledger_rows(side: Side) -> list[dict[str, Any]]:
    found = ledger(side.state)
    return [
        {
            "sweep": side.letter,
            "what": entry.what.replace("_", " "),
            "trials": entry.trials,
            "compute": flops(entry.train_flops),
            "share": f"{100 * entry.train_flops / found.train_flops:.1f} %" if found.train_flops else "",
            "workers' time": duration(entry.train_seconds + entry.eval_seconds + entry.overhead_seconds),
        }
        for entry in found.entries
    ]


def _differences(sides: Sequence[Side], told: Callable[[Side], Mapping[str, Any]], what: str, missing: str) -> dict[str, Any]:
    """A row a path at which not all sweeps say the same."""
    values = {side.letter: told(side) for side in sides}
    paths = list(dict.fromkeys(path for one in values.values() for path in one))
    every = {path: [one.get(path, missing) for one in values.values()] for path in paths}
    different = {path: own for path, own in every.items() if not _are_equal(own)}
    rows = [{"path": path} | dict(zip(values, _texts(own), strict=True)) for path, own in different.items()]
    return {"rows": rows, "lines": [f"{len(rows)} of {len(paths)} {what} differ."]}


def _are_equal(values: Sequence[Any]) -> bool:
    """Whether values are one; True is no 1."""
    return all((isinstance(one, bool), one) == (isinstance(values[0], bool), values[0]) for one in values)


def _texts(values: Sequence[Any]) -> list[str]:
    """Values that differ, in words that differ too."""
    texts = [_text(value) for value in values]
    return texts if len(set(texts)) == len({str(value) for value in values}) else [repr(value) for value in values]


def _configuration(side: Side) -> Mapping[str, Any]:
    """The winner's settings: what the space's base says, and its knobs over that."""
    found = side.winner
    if found is None:
        return {}
    trial: Trial = found.trial
    return flat(side.state.space.base) | dict(trial.asked.params)


def _knobs(side: Side) -> Mapping[str, Any]:
    return {path: _range(knob.model_dump(mode="json", exclude_defaults=True)) for path, knob in side.state.space.search.items()}


def _range(knob: Mapping[str, Any]) -> str:
    """All of a knob, in words: two that differ are not to look alike."""
    ends = f"{knob['low']} to {knob['high']}" if "low" in knob else ", ".join(map(_text, knob["values"]))
    more = [f"in steps of {knob['step']}"] if "step" in knob else []
    more += ["log"] if knob.get("log") else []
    more += [f"when {path} is {_text(value)}" for path, value in knob.get("when", {}).items()]
    if (prior := knob.get("prior")) is not None:
        more.append(f"believed near {_text(prior['at'])}" + (f" ({prior['confidence']})" if "confidence" in prior else ""))
    return ", ".join([ends, *more]) + ("" if knob["type"] == "choice" else f" ({knob['type']})")


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}" if abs(value) < 100 else f"{value:.5g}"


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
