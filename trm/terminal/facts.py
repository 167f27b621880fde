"""What a machine reads of a sweep's lines, where they are JSON objects (`sweep.py --log-json`)."""

from typing import Any

from trm.search.journal.events import Event
from trm.terminal.progress import Snapshot

EVENT_FACTS = (
    "trial",
    "rung",
    "status",
    "objective",
    "steps",
    "attempt",
    "reason",
    "error",
    "rank",
    "source",
    "confirms",
    "process",
)


def event_facts(event: Event) -> dict[str, Any]:
    """What a machine reads of an event's line: its kind, and of its fields those that people ask for."""
    return {"event": event.event, **{name: getattr(event, name) for name in EVENT_FACTS if getattr(event, name, None) is not None}}


def status_facts(snapshot: Snapshot) -> dict[str, Any]:
    """What a machine reads of the line on the whole sweep."""
    best = snapshot.best
    return {
        "event": "status",
        "asked": snapshot.asked,
        "trials": dict(snapshot.statuses),
        "train_flops": snapshot.flops_spent,
        "left_seconds": snapshot.left_seconds,
        "best": None if best is None else {"trial": best.trial, "rung": best.rung, "objective": best.objective},
    }
