"""Every view of a journal, cut after every event, names the same best trial and the same spent FLOPs: the law of one state."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from journal_cases import RECORDED, recorded_folder, recorded_search
from search_simulator import KilledError, LegOrder, Simulator, curve
from sweep_cases import events_of

from tests.search.test_schedulers import SCHEDULERS, demo
from trm.jobs.inspect import status_lines
from trm.pages.sweep_trials import board_rows, shared_data
from trm.pictures import curves
from trm.search.findings.confirmed import winner
from trm.search.findings.ledger import ledger
from trm.search.findings.status import sweep_status
from trm.search.findings.tables import leaderboard_rows
from trm.search.journal.events import Decided, DriverStarted, Event, LegEnded
from trm.search.settings import Audit, Confirm, Objective
from trm.search.space.space import SearchSpace
from trm.search.state import SweepState
from trm.sweeps.results import leader_rows
from trm.terminal.display import best_text
from trm.terminal.progress import SweepProgress
from trm.tracking.note import note_of
from trm.tracking.pages import Pages
from trm.tracking.standings import ranks_of
from trm.tracking.updates import updates_of
from trm.tracking.values import SWEEP


@dataclass
class Told:
    """What MLflow's run of the sweep holds."""

    best: int | None = None
    flops: float = 0.0

    def hear(self, state: SweepState, event: Event) -> None:
        for update in updates_of(state, event):
            if update.trial is SWEEP:
                self.best = int(update.tags.get("trm.best_trial", -1 if self.best is None else self.best))
                self.best = None if self.best < 0 else self.best
                self.flops = max([self.flops, *(point.value for point in update.points if point.key == "sweep.train_flops")])


def check_views(space: SearchSpace, events: list[Event], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> set[int]:
    """Looks at every view after every event; the trials that were best at some time."""
    state, told, best = SweepState(space), Told(), set[int]()
    drawn: list[int | None] = []
    monkeypatch.setattr(curves, "picture", lambda *_, **__: nullcontext(MagicMock()))
    monkeypatch.setattr(curves, "_draw_lines", lambda axes, trials, one, metric: drawn.append(one))
    monkeypatch.setattr(curves, "_draw_scatter", lambda axes, trials, one, path: drawn.append(one))
    for event in events:
        state.apply(event)
        told.hear(state, event)
        drawn.clear()
        curves.draw_curves(state, tmp_path / "curves.png", title="s")
        status, seen = sweep_status(state, event.at, is_driven=False), SweepProgress(state).snapshot(event.at)
        assert {status.spent.train_flops, seen.flops_spent, told.flops} == {state.spending.train_flops}
        assert state.spending.train_flops == pytest.approx(sum(trial.spent_flops for trial in state.trials))
        page = shared_data(state)
        assert ledger(state).train_flops == pytest.approx(state.spending.train_flops, rel=1e-9)
        found = winner(state)
        if found is None:
            assert page["best"] is None
            assert (status.best, seen.best, told.best, set(drawn)) == (None, None, None, {None})
            continue
        number = found.trial.number
        best.add(number)
        assert status.best is not None
        assert seen.best is not None
        names = {status.best.trial, seen.best.trial, told.best, leaderboard_rows(state, 1)[0]["trial"], *drawn}
        names |= {page["best"], board_rows(state)[0]["trial"]}
        assert names == {number}
        assert leader_rows(state)[0].trial == number
        assert ranks_of(state)[number] == 1
        assert note_of(state, Pages()).startswith(f"**Best: trial {number}**")
        assert any(f"trial {number} at rung" in line for line in status_lines(status, "m", event.at))
        assert f"(trial {number}, rung" in best_text(seen.best, "m")
        assert found.run.number == number or found.run.asked.confirms == number
    return best


def troubled(leg: LegOrder) -> dict[str, Any]:
    """Equal scores, zeros, none at all; legs that fail half-way, are lost, run out of memory."""
    whole = curve(leg)
    half = {"steps": leg.until_steps // 2, "train_flops": 1e12 * (1 + leg.trial), "error": "bad luck"}
    troubles = {1: "failed", 2: "lost", 4: "out_of_memory"}
    if leg.trial in troubles and leg.attempt == 0:
        return {"status": troubles[leg.trial], **half}
    objective = max(0.0, round(3 * whole["objective"] - 0.4) / 3)
    is_missing = leg.trial % 6 == 5 and leg.rung > 0
    metrics = {"latency_seconds": 1.0 + leg.trial % 3}
    return {**whole, "objective": float("nan") if is_missing else objective, "loss": round(whole["loss"], 1), "metrics": metrics}


def killed(space: SearchSpace, folder: Path) -> list[Event]:
    """The journal of a sweep that a second driver took up."""
    first = Simulator(space, folder, outcome=troubled, slots=2, kill_after=17)
    with pytest.raises(KilledError):
        first.run()
    Simulator(space, folder, outcome=troubled, slots=3, now=first.now + 5).run()
    return events_of(folder)


def spaces() -> Iterator[tuple[str, SearchSpace]]:
    for name in SCHEDULERS:
        yield name, demo(name, trials=7)
    asha = demo("asha", trials=8)
    yield "least", asha.model_copy(update={"objective": Objective(metric="loss", mode="min")})
    yield "fronts", asha.model_copy(update={"objective": Objective.model_validate({"against": ["params", "latency_seconds"]})})
    confirm, audit = Confirm(top=2, seeds=2, most_seeds=3), Audit(share=0.5)
    yield "confirmed", asha.model_copy(update={"confirm": confirm, "audit": audit})


@pytest.mark.parametrize(("name", "space"), list(spaces()), ids=lambda one: one if isinstance(one, str) else "")
def test_every_view_of_a_sweep_agrees_after_every_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, space: SearchSpace
) -> None:
    events = killed(space, tmp_path)
    assert any(isinstance(event, LegEnded) and event.status == "failed" for event in events)
    assert sum(isinstance(event, DriverStarted) for event in events) == 2
    if name == "confirmed":
        assert any(isinstance(event, Decided) and event.is_early and event.status == "running" for event in events)
    assert check_views(space, events, monkeypatch, tmp_path)


@pytest.mark.parametrize("name", RECORDED)
def test_every_view_of_a_recorded_sweep_agrees_after_every_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    search, events = recorded_search(recorded_folder(name, tmp_path))
    assert check_views(search.state.space, events, monkeypatch, tmp_path)
