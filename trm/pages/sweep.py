"""A sweep's page: sections that are functions of its one state, as every other view is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

from trm.pages.page import Page, Section
from trm.pages.sweep_trials import board_rows, shared_data
from trm.search.findings.audit import audit_notes, audit_report
from trm.search.findings.confirmed import confirmation_notes, confirmed_statistics, confirmed_values
from trm.search.findings.importance import DERIVED, Importance, importance, sentence
from trm.search.findings.ledger import ledger
from trm.search.findings.more_search import MoreSearch, more_search
from trm.search.findings.status import OpenLeg, SweepStatus, sweep_status
from trm.search.findings.tables import front_rows, outcome_words
from trm.search.findings.timeline import timeline
from trm.search.findings.transfer import Transfer, transfers
from trm.search.replicates import replicate_rows, replicate_words
from trm.search.state import SweepState
from trm.search.test_time import notes as test_time_notes
from trm.search.test_time import sentence as test_time_sentence
from trm.search.test_time import tried
from trm.terminal.display import amount_text, duration, flops
from trm.tracking.outbox import cause_of

REPORT = "report.html"


@dataclass(frozen=True)
class Around:
    """What a sweep's page says besides its state."""

    now: float
    """Unix seconds."""
    is_driven: bool
    """Whether a living driver has the sweep."""
    commands: Sequence[tuple[str, str]] = ()
    """(what for, command): what may be typed next."""
    curves: Mapping[int, Mapping[str, Sequence[float | None]]] = field(default_factory=dict)
    """Trial -> its training curve, in columns."""
    data: Sequence[Mapping[str, Any]] = ()
    """Of each data set what a reader wants to know; JSON."""
    comparisons: Sequence[str] = ()
    """The winner's puzzles against those of others, in words."""
    importance: Importance | None = None
    """What mattered, where it is known already; null: it is found out."""
    more: MoreSearch | None = None
    """What more search would bring, likewise."""
    puzzles: Sequence[Section] = ()
    """Of the winner: some that it solved and some that it did not."""


def sweep_page(state: SweepState, around: Around) -> Page:
    """The page of a sweep as it stands."""
    status = sweep_status(state, around.now, is_driven=around.is_driven)
    spent = f"{flops(status.spent.train_flops)}, {duration(status.spent.wall_clock_seconds)} of drivers' time"
    about = f"{status.state}; {len(state.searched)} trials, {spent}"
    return Page(f"Sweep {state.name}", "sweep", sections_of(state, status, around), about=about, shared=shared_data(state))


def sections_of(state: SweepState, status: SweepStatus, around: Around) -> list[Section]:
    """Every section that such a sweep has, in order; of one that could not be made it says why."""
    mattered = cache(lambda: around.importance or importance(state))
    more = cache(lambda: around.more or more_search(state))
    makers: list[tuple[str, str, Callable[[], Any], bool]] = [
        ("summary", "In short", lambda: _summary(state, status, around, mattered, more), False),
        ("legs", "Running now" if status.is_running else "Legs that were cut short", lambda: _legs(status, around.now), False),
        ("leaderboard", "Leaderboard", lambda: _leaderboard(state, around), False),
        ("curves", "Learning curves", dict, True),
        ("training", "Training curves", lambda: _training(around), True),
        ("parallel", "Knobs together", dict, False),
        ("slices", "Knobs one by one", lambda: {"telling": mattered().telling}, True),
        ("pairs", "Any two knobs", lambda: _pairs(state, mattered()), True),
        ("importance", "What mattered", lambda: _importance(mattered()), True),
        ("depth_map", "Depth map", lambda: _depth_map(mattered()), True),
        ("front", "Pareto front", lambda: _front(state), True),
        ("test_time", "At test time", lambda: _test_time(state), True),
        ("confirmation", "Fresh seeds", lambda: _confirmation(state, around), True),
        ("replicates", "Replicates", lambda: _replicates(state), False),
        ("audit", "Audit of early stopping", lambda: _audit(state), False),
        ("transfer", "Earlier sweeps", lambda: _transfers(state), True),
        ("more_search", "What more search would bring", lambda: _more(more()), False),
        ("ledger", "Where the compute went", lambda: ledger(state).values, True),
        ("timeline", "When what ran", lambda: None if (found := timeline(state)) is None else found.values, True),
        ("about", "Space, seeds, versions", lambda: _about(state, around), False),
    ]
    found = [(name, title, _made(make), needs_charts) for name, title, make, needs_charts in makers]
    sections = [
        Section(name if "failed" not in data else "values", title, data, needs_charts=needs_charts)
        for name, title, data, needs_charts in found
        if data is not None
    ]
    after = next((place for place, section in enumerate(sections, 1) if section.title == "Leaderboard"), len(sections))
    return [*sections[:after], *around.puzzles, *sections[after:]]


def _made(make: Callable[[], Any]) -> Any:
    """A section's data; null where there is nothing to show."""
    try:
        return make()
    except Exception as error:  # the edge: one figure that cannot be made costs the page that figure
        return {"failed": True, "lines": [f"could not be made: {cause_of(error)}"]}


def _summary(
    state: SweepState,
    status: SweepStatus,
    around: Around,
    mattered: Callable[[], Importance],
    more: Callable[[], MoreSearch | None],
) -> dict[str, Any]:
    best, objective, spent = status.best, state.space.objective, status.spent
    audited = audit_report(state)
    told: list[tuple[str, Callable[[], str | None]]] = [
        ("more search", lambda: None if (found := more()) is None else found.sentence),
        ("test time", lambda: test_time_sentence(state)),
        ("audit", lambda: None if audited is None else audited.sentence),
        ("importance", lambda: sentence(mattered())),
        ("ledger", lambda: ledger(state).sentence),
    ]
    said = [_made(make) for _, make in told]
    lines = [*around.comparisons, *replicate_words(state), *outcome_words(state)]
    lines += [text for text in said if isinstance(text, str)]
    lines += [transfer.text for transfer in transfers(state)]
    budget = status.budget
    return {
        "sentence": confirmation_notes(state)["sentence"],
        "supported": confirmation_notes(state)["supported"],
        "best": None if best is None else asdict(best) | {"metric": objective.metric, "mode": objective.mode},
        "state": status.state,
        "statuses": dict(status.statuses),
        "asked": status.asked,
        "trials": budget.trials,
        "spent": asdict(spent) | {"flops_budget": budget.train_flops, "seconds_budget": budget.wall_clock_seconds},
        "findings": lines,
        "commands": [{"for": why, "command": command} for why, command in around.commands],
    }


def _legs(status: SweepStatus, now: float) -> dict[str, Any] | None:
    if not status.legs:
        return None
    return {"is_running": status.is_running, "now": now, "legs": [leg_values(leg) for leg in status.legs]}


def leg_values(leg: OpenLeg) -> dict[str, Any]:
    """A running leg as the page shows it; JSON."""
    return asdict(leg) | {"first_step": leg.steps[0], "last_step": leg.steps[1]}


def _leaderboard(state: SweepState, around: Around) -> dict[str, Any]:
    return {"rows": board_rows(state), "commands": [{"for": why, "command": command} for why, command in around.commands]}


def _training(around: Around) -> dict[str, Any] | None:
    return {"curves": {str(trial): columns for trial, columns in around.curves.items()}} if around.curves else None


def _importance(found: Importance) -> dict[str, Any]:
    rungs = [asdict(one) | {"map": None, "amount_text": amount_text(one.amount, found.fidelity)} for one in found.rungs]
    return {"telling": found.telling, "rungs": rungs, "sentence": sentence(found), "derived": dict(DERIVED)}


def _pairs(state: SweepState, found: Importance) -> dict[str, Any] | None:
    """The two knobs that mattered most, at the rung that tells most, to begin with."""
    if len(state.space.search) < 2:
        return None
    told = next((one for one in found.rungs if one.rung == found.telling), None)
    axes = sorted(told.axes if told else (), key=lambda axis: -axis.importance)
    return {"telling": found.telling, "knobs": [axis.name for axis in axes if axis.kind == "knob"][:2]}


def _depth_map(found: Importance) -> dict[str, Any] | None:
    rungs = [
        {"rung": one.rung, "amount_text": amount_text(one.amount, found.fidelity), "cells": [asdict(cell) for cell in one.map]}
        for one in found.rungs
        if one.map
    ]
    return {"telling": found.telling, "rungs": rungs, "metric": found.metric, "mode": found.mode} if rungs else None


def _front(state: SweepState) -> dict[str, Any] | None:
    if not state.space.objective.against:
        return None
    members = front_rows(state)
    others = [
        {"trial": trial.number, "objective": trial.result.objective, "against": state.figures(trial, trial.result), "front": place}
        for place, trials in enumerate(state.fronts(), start=1)
        for trial in trials
        if place > 1 and trial.result is not None
    ]
    return {"members": members, "others": others}


def _test_time(state: SweepState) -> dict[str, Any] | None:
    found = test_time_notes(state)
    if not found:
        return None
    checkpoint = str(state.trials[found[0]["trial"]].checkpoint)
    return {"notes": found, "points": tried(state, checkpoint), "sentence": test_time_sentence(state)}


def _confirmation(state: SweepState, around: Around) -> dict[str, Any] | None:
    found = confirmed_statistics(state)
    if not found.rows:
        return None
    rows = [{"trial": row.trial, **confirmed_values(state, row)} for row in found.rows]
    return {"sentence": found.sentence, "supported": found.is_supported, "rows": rows, "comparisons": list(around.comparisons)}


def _replicates(state: SweepState) -> dict[str, Any] | None:
    return {"rows": replicate_rows(state), "lines": replicate_words(state)} if state.space.replicates > 1 else None


def _audit(state: SweepState) -> dict[str, Any] | None:
    report = audit_report(state)
    return None if report is None else asdict(report) | {"sentence": report.sentence, "notes": audit_notes(state)}


def _transfers(state: SweepState) -> dict[str, Any] | None:
    if not state.priors:
        return None
    return {"earlier": [_transfer(one) for one in transfers(state)]}


def _transfer(found: Transfer) -> dict[str, Any]:
    main = found.main
    return {"name": found.prior.name, "text": found.text, "points": [] if main is None else found.points(main.rung)}


def _more(found: MoreSearch | None) -> dict[str, Any] | None:
    return None if found is None else found.values


def _about(state: SweepState, around: Around) -> dict[str, Any]:
    started, space = state.started, state.space
    return {
        "knobs": [{"path": path, **knob.model_dump(mode="json", exclude_defaults=True)} for path, knob in space.search.items()],
        "space": space.model_dump(mode="json", exclude_defaults=True),
        "seed": space.seed,
        "rungs": [amount_text(amount, space.fidelity) for amount in state.rungs.amounts],
        "versions": dict(started.versions) if started is not None else {},
        "driver": state.driver.driver if state.driver is not None else None,
        "data": list(around.data),
        "events": state.events,
    }
