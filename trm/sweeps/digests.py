"""What a sweep may not change, as digests: the journal keeps them, so that `sweep.yaml` and the space cannot be edited alike."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from trm.config.base import RECORDED, without_later
from trm.config.data import DataConfig
from trm.errors import SweepError
from trm.search.journal.events import DriverStarted, Event, SweepStarted
from trm.search.schedulers.choice import SchedulerChoice
from trm.search.schedulers.scheduler import SchedulerSettings
from trm.search.settings import Objective, Storage
from trm.search.space.space import MAY_CHANGE

DATA = "the data set"
CAME_LATER = ("imports", "starts", "storage", "base_point")
"""Sections that a space of before has not, and that count where something is in them."""
SCHEDULER: TypeAdapter[SchedulerSettings] = TypeAdapter(SchedulerChoice)
PARTED = ("base", "search")
"""Sections whose parts have a digest each."""


def digests_of(space: Mapping[str, Any], dataset: Mapping[str, Any]) -> dict[str, str]:
    """A digest of each section of a space that may not change, as sweep.yaml holds it, and that of the data set's content."""
    frozen = _frozen(space, dataset)
    parts = {f"{name}.{part}": value for name in PARTED for part, value in (frozen.pop(name, None) or {}).items()}
    sets = {f"{DATA} {one.get('data')}": str(one.get("content_hash")) for one in dataset.get("sets", ())}
    return {name: _digest(value)[:12] for name, value in sorted((frozen | parts).items())} | {
        DATA: str(dataset.get("content_hash")),
        **sets,
    }


def check_recorded(source: Path, space: Mapping[str, Any], dataset: Mapping[str, Any], events: Iterable[Event]) -> None:
    """SweepError when what `source`, a sweep.yaml, says is not what any of the sweep's drivers began with; it names what differs.

    A journal of before drivers recorded it has one digest of all, which its first line holds.
    """
    told = list(events)
    recorded = [event.space for event in told if isinstance(event, DriverStarted) and event.space]
    now = digests_of(space, dataset)
    if recorded:
        if now in recorded:
            return
        last = recorded[-1]
        changed = ", ".join(name for name in {**last, **now} if last.get(name) != now.get(name))
    else:
        began = next((event.space_digest for event in told if isinstance(event, SweepStarted)), None)
        if began is None or began == _digest(_frozen(space, dataset))[:16]:
            return
        changed = f"its digest was {began}"
    raise SweepError(
        f"{source} does not say what the sweep began with: it was changed since ({changed})",
        remedy="restore it from a copy; only budget, resources, tracking, keep, confirm, audit, test_time may change, in the space",
    )


def _frozen(space: Mapping[str, Any], dataset: Mapping[str, Any]) -> dict[str, Any]:
    """What may not change, as `SearchSpace.frozen` has it, with the order of the training rows as the sweep resolved it."""
    fixed = {name: value for name, value in space.items() if name not in MAY_CHANGE}
    frozen = {name: value for name, value in fixed.items() if name not in CAME_LATER or _is_said(name, value)}
    if isinstance(data := frozen.get("data"), dict):
        data = without_later(DataConfig.model_validate(data, context=RECORDED), data)
        frozen["data"] = {**data, "mode": dataset.get("mode", "resident")} if "mode" in data else data
    if isinstance(objective := frozen.get("objective"), dict):
        frozen["objective"] = without_later(Objective.model_validate(objective, context=RECORDED), objective)
    if isinstance(scheduler := frozen.get("scheduler"), dict):
        frozen["scheduler"] = without_later(SCHEDULER.validate_python(scheduler, context=RECORDED), scheduler)
    if isinstance(search := frozen.get("search"), dict):
        frozen["search"] = {path: _without_prior(knob) if isinstance(knob, dict) else knob for path, knob in search.items()}
    return frozen


def _without_prior(knob: Mapping[str, Any]) -> dict[str, Any]:
    """A knob as before any had a prior, where it has none."""
    return {name: value for name, value in knob.items() if name != "prior" or value is not None}


def _is_said(name: str, value: Any) -> bool:
    return bool(Storage.model_validate(value) != Storage()) if name == "storage" else bool(value)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
