"""A small sweep without a cluster for the tests of several rooms, and what they look at of one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from search_simulator import KilledError, Simulator, curve

from trm.config.files import merged
from trm.search.journal.events import Event
from trm.search.journal.journal import read_events
from trm.search.log import FILE
from trm.search.search import LegOrder, Search
from trm.search.space.space import SearchSpace

SPACE: dict[str, Any] = {
    "name": "demo",
    "data": {"recipe": "x.yaml"},
    "base": {"model": {"puzzle_emb_len": 1, "pos_encodings": "none", "mlp_t": True, "hidden_size": 64}},
    "search": {
        "model.H_cycles": {"type": "int", "low": 1, "high": 3},
        "optim.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
    },
    "budget": {"trials": 9, "per_trial": 2.7e13},
    "scheduler": {"type": "asha", "eta": 3, "rungs": 3},
    "sampler": {"type": "random"},
}


def space(changes: dict[str, Any] | None = None) -> SearchSpace:
    return SearchSpace.model_validate(merged(SPACE, changes or {}))


def events_of(folder: Path) -> list[Event]:
    return [entry.event for entry in read_events(folder / FILE)]


def of(events: list[Event], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def sharp(order: LegOrder) -> dict[str, Any]:
    return {**curve(order), "standard_error": 0.0}


def outline(search: Search) -> list[tuple[Any, ...]]:
    """What a sweep came to, without times and attempts."""
    return [(one.params, one.status, {rung: result.objective for rung, result in one.results.items()}) for one in search.trials]


def survive(demo: SearchSpace, folder: Path, lives: Callable[[], int], outcome: Any = curve, slots: int = 1) -> tuple[Search, int]:
    kills, now = 0, 1000.0
    while True:
        simulator = Simulator(demo, folder, outcome=outcome, slots=slots, kill_after=lives(), now=now)
        try:
            return simulator.run().search, kills
        except KilledError:
            kills, now = kills + 1, simulator.now + 5


def troubled(status: str, when: Callable[[LegOrder], bool]) -> Callable[[LegOrder], dict[str, Any]]:
    def outcome(order: LegOrder) -> dict[str, Any]:
        return {"status": status, "error": f"{status} at {order.rung}"} if when(order) else curve(order)

    return outcome
