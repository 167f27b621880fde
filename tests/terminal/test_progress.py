"""What a person sees of a sweep: counts, rungs, best, compute, time, from the journal's events alone."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import ConsoleDimensions

from tests.tracking.test_updates import asked, decided, leg, started, state_of, sweep_space, whole_sweep
from trm.console.lines import _Form
from trm.search.journal.events import Decided, DriverStarted, Event, LegEnded, LegStarted, SlotsChanged
from trm.search.resources.speeds import Speeds
from trm.search.state import SweepState
from trm.terminal import display, progress
from trm.terminal.display import LeaderRow, SweepDisplay, count_text, duration, event_line, flops, params_text
from trm.terminal.progress import RunningLeg, Snapshot, SweepProgress

RUNGS = [50 * 2e9, 100 * 2e9]
STEP_SECONDS = 3.0 / 50


@dataclass(frozen=True)
class Leg:
    trial: int
    rung: int
    step: int
    until_steps: int
    loss: float = 0.5
    steps_per_second: float = 4.0
    evaluated: int = 0


def folded(events: list[Event], trials: int | None = 9, mode: str = "max", **budget: float) -> SweepState:
    return state_of(events, sweep_space(trials, mode, **budget))


def snapshot(state: SweepState, now: float, legs: Sequence[Leg] = ()) -> Snapshot:
    return SweepProgress(state).snapshot(now, legs)


def driver(at: float) -> DriverStarted:
    return DriverStarted(driver="h:1", fence=1, slots=2, at=at)


def test_a_whole_sweep_is_counted() -> None:
    seen = snapshot(folded(whole_sweep()), 200.0)
    assert dict(seen.statuses) == {"stopped": 1, "finished": 1}
    assert [(rung.running, rung.completed, rung.best) for rung in seen.rungs] == [(0, 2, 0.75), (0, 1, 0.9)]
    assert seen.best is not None
    assert (seen.best.trial, seen.best.rung, seen.best.objective, seen.best.params["optim.lr"]) == (1, 1, 0.9, 0.002)
    assert seen.flops_spent == (50 + 100) * 2e9


def test_running_legs_count_from_where_they_are() -> None:
    events = [started(), driver(100.0), asked(0), *leg(0, 0, 0.5), decided(0, 0, "paused"), leg(0, 1, 0.6)[0]]
    seen = snapshot(folded(events), 170.0, [Leg(0, 1, 75, 100)])
    assert seen.flops_spent == 75 * 2e9
    assert (seen.rungs[1].running, seen.statuses["running"]) == (1, 1)
    assert seen.elapsed_seconds == 60.0
    assert 9 * RUNGS[0] + 4 * (RUNGS[1] - RUNGS[0]) <= (seen.flops_expected or 0) < 9 * RUNGS[0] + 8 * (RUNGS[1] - RUNGS[0])
    assert left_in(8 * 50 + 4 * 50 - 25, 8 * 50 + 8 * 50, seen)


def test_what_a_leg_had_trained_when_it_yielded_counts_once() -> None:
    events = [started(), driver(100.0), asked(0), *leg(0, 0, 0.5), decided(0, 0, "paused"), leg(0, 1, 0.6)[0]]
    yielded = {"trial": 0, "rung": 1, "status": "yielded", "steps": 80, "train_flops": 80 * 2e9, "at": 112.0}
    begun = events[-1].model_copy(update={"attempt": 1, "at": 112.0})
    state = folded([*events, LegEnded(**yielded, attempt=0), begun])
    assert snapshot(state, 120.0, [Leg(0, 1, 90, 100)]).flops_spent == 90 * 2e9
    assert snapshot(state, 120.0, [Leg(0, 1, 51, 100)]).flops_spent == 80 * 2e9, "it began before it"


@pytest.mark.parametrize("budget", [{}, {"train_flops": 1e13}, {"gpu_hours": 3.0}])
def test_while_no_leg_can_run_only_the_clock_says_what_time_is_left(budget: dict[str, float]) -> None:
    before = [started(), driver(100.0).model_copy(update={"gpus": 1.0}), asked(0), *leg(0, 0, 0.5), decided(0, 0, "paused")]
    seen = snapshot(folded(before, **budget), 170.0)
    gone = snapshot(folded([*before, SlotsChanged(slots=0, at=165.0)], **budget), 170.0)
    assert (seen.left_seconds or 1e9) < 1e5
    assert gone.left_seconds == 1e6 - 70, "the clock's own limit is all that is known"
    assert (gone.flops_expected or 0) >= (seen.flops_expected or 0) > 0


def left_in(least: int, most: int, seen: Snapshot, step_seconds: float = STEP_SECONDS, slots: int = 2) -> bool:
    """Whether so many steps are left, in slots side by side of which some may wait for the last leg."""
    return (least - 1e-6) * step_seconds / slots <= (seen.left_seconds or 0) <= most * step_seconds / slots


@pytest.mark.parametrize(
    ("budget", "left"),
    [
        ({"wall_clock_seconds": 77.0}, 7.0),
        ({"train_flops": 5e11}, 200 * STEP_SECONDS / 2),
        ({"gpu_hours": 9.5 / 3600}, 9.0 / 2),
    ],
)
def test_the_limit_that_is_reached_first_says_how_long_is_left(budget: dict[str, float], left: float) -> None:
    events = [started(), driver(100.0).model_copy(update={"gpus": 1.0}), asked(0), *leg(0, 0, 0.5), decided(0, 0, "paused")]
    assert snapshot(folded(events, 9, "max", **budget), 170.0).left_seconds == pytest.approx(left)


def test_without_a_number_of_trials_the_other_limits_tell_the_time() -> None:
    events = [started(), driver(100.0), asked(0), *leg(0, 0, 0.5), decided(0, 0, "paused")]
    state = folded(events, trials=None, train_flops=5e11)
    assert snapshot(state, 170.0).left_seconds == pytest.approx(200 * STEP_SECONDS / 2)
    assert snapshot(state, 170.0).flops_expected is None
    assert snapshot(folded(events, trials=None), 170.0).left_seconds == pytest.approx(1e6 - 70.0)


def test_trials_that_ended_badly_and_a_longer_budget_are_counted() -> None:
    bad = LegEnded(trial=1, rung=0, attempt=0, status="diverged", at=120.0)
    events = [started(), driver(100.0), asked(0), *leg(0, 0, 0.5), asked(1), leg(1, 0, 0.5)[0], bad, decided(1, 0, "diverged")]
    state = folded(events)
    assert left_in((7 + 4) * 50, (7 + 8) * 50, snapshot(state, 170.0))
    longer = sweep_space(trials=20, per_trial=4e11).budget
    state.apply(driver(200.0).model_copy(update={"budget": longer, "slots": 4}))
    seen = snapshot(state, 200.0)
    assert [rung.amount for rung in seen.rungs] == [1e11, 2e11, 4e11]
    assert left_in(18 * 50 + 10 * 50 + 5 * 100, 18 * 50 + 16 * 50 + 13 * 100, seen, slots=4)


def test_confirmations_are_counted_by_themselves() -> None:
    state = folded(whole_sweep())
    before = snapshot(state, 300.0)
    confirm(state)
    last = snapshot(state, 304.0)
    assert (before.asked, sum(before.confirmations.values())) == (last.asked, 0)
    assert last.confirmations == {"finished": 1, "running": 1}
    assert [rung.completed for rung in last.rungs] == [rung.completed for rung in before.rungs]
    assert last.flops_spent == before.flops_spent + 7e11
    assert before.best is not None
    assert last.best is not None
    assert (before.best.objective, before.best.seeds) == (0.9, None)
    assert (last.best.trial, last.best.objective, last.best.seeds) == (1, 0.8, 1), "the mean over fresh seeds"


def confirm(state: SweepState) -> None:
    for trial in (2, 3):
        again = {"trial": trial, "source": "confirmation", "confirms": 1, "step_flops": 1e9, "at": 301.0}
        state.apply(asked(1).model_copy(update=again))
        state.apply(LegStarted(trial=trial, rung=1, attempt=0, until_steps=700, from_checkpoint=None, at=302.0))
    state.apply(LegEnded(trial=2, rung=1, attempt=0, status="completed", objective=0.8, steps=700, train_flops=7e11, at=303.0))
    state.apply(Decided(trial=2, rung=1, status="finished", reason="", at=303.0))


def test_before_a_leg_has_ended_the_running_ones_tell_the_speed() -> None:
    state = folded([started(), driver(100.0), asked(0), leg(0, 0, 0.5)[0]])
    assert snapshot(state, 111.0).left_seconds == pytest.approx(1e6 - 11.0), "only the clock's limit is known"
    seen = snapshot(state, 111.0, [Leg(0, 0, 25, 50, steps_per_second=10.0)])
    assert left_in(9 * 50 + 4 * 50 - 25, 9 * 50 + 8 * 50, seen, step_seconds=0.1)


def test_a_resume_forgets_the_legs_that_ran_and_learns_another_host_s_speed() -> None:
    events = [started(), driver(100.0), asked(0), *leg(0, 0, 0.5), asked(1), leg(1, 0, 0.5)[0], driver(1000.0)]
    state = folded(events)
    assert snapshot(state, 1001.0, [Leg(1, 0, 25, 50)]).flops_spent == RUNGS[0]
    assert snapshot(state, 1001.0).rungs[0].running == 0
    assert left_in((8 + 4) * 50 - 34, (8 + 8) * 50, snapshot(state, 1001.0))
    state.apply(driver(1000.0).model_copy(update={"driver": "other:1"}))
    assert snapshot(state, 1001.0).left_seconds == pytest.approx(1e6, rel=1e-3)
    state.apply(leg(1, 0, 0.5)[0].model_copy(update={"at": 1010.0, "attempt": 1}))
    assert snapshot(state, 1030.0).elapsed_seconds == 20.0


def test_the_best_has_a_number_and_follows_the_mode() -> None:
    nan = leg(2, 0, 0.1)[1].model_copy(update={"objective": None})
    events = [started(), driver(1.0), asked(0), asked(1), asked(2), *leg(0, 0, 0.2), *leg(1, 0, 0.4), leg(2, 0, 0.1)[0], nan]
    high, low = snapshot(folded(events), 200.0).best, snapshot(folded(events, mode="min"), 200.0).best
    assert high is not None
    assert low is not None
    assert (high.trial, low.trial) == (1, 0)
    assert snapshot(folded([started()], trials=None), 1.0).best is None
    assert snapshot(folded([started()], trials=None), 1.0).flops_expected is None


def test_equal_objectives_are_told_apart_by_loss() -> None:
    worse = leg(0, 0, 0.5)
    better = [worse[0].model_copy(update={"trial": 1}), worse[1].model_copy(update={"trial": 1, "loss": 0.3})]
    best = snapshot(folded([started(), asked(0), asked(1), *worse, *better]), 200.0).best
    assert best is not None
    assert best.trial == 1


@given(st.integers(0, len(whole_sweep())))
def test_spent_never_shrinks_and_stays_within_the_expected(cut: int) -> None:
    before, after = snapshot(folded(whole_sweep()[:cut]), 300.0), snapshot(folded(whole_sweep()), 300.0)
    assert before.flops_spent <= after.flops_spent
    assert after.flops_expected is not None
    assert after.flops_spent <= after.flops_expected


def shown(file: Path, is_live: bool) -> str:
    state = folded([])
    progress = SweepProgress(state)
    with file.open("w") as stream, SweepDisplay("s-1", "exact_accuracy", trials=9, stream=stream, is_live=is_live) as terminal:
        for event in whole_sweep():
            state.apply(event)
            terminal.event(event)
        assert terminal.is_due
        terminal.show(progress.snapshot(190.0, [Leg(1, 1, 75, 100)]))
        assert not terminal.is_due
        terminal.show(progress.snapshot(190.0, [Leg(1, 1, 76, 100)]))
        terminal.message("MLflow does not answer")
        terminal.summary(
            [LeaderRow(1, 1, "finished", 0.9, 0.85, 0.94, 0.89, {"model.H_cycles": 2, "optim.lr": 1e-3}, 2e11, 125378)],
            ["audit: nothing was lost"],
            [("Go on", "python ray_jobs/sweep.py space.yaml --name s-1 --resume")],
        )
    return file.read_text()


def test_a_log_has_a_line_an_event_and_no_escapes(tmp_path: Path) -> None:
    text = shown(tmp_path / "log", is_live=False)
    lines = [line.strip().split("  ", 1)[1] for line in text.splitlines()[:9]]
    assert "\x1b" not in text
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d 0:0\d  ", line) for line in text.splitlines()[:9])
    assert "trial 0 reached rung 0: exact_accuracy 0.2500 ± 0.0100, loss 1.5, step 50, 3.0 s" in lines
    assert "trial 0 stopped at rung 0: why" in lines
    assert not any("paused" in line for line in lines if line.startswith("trial"))
    status = next(line for line in lines if line.startswith("2 of 9 trials"))
    assert "1 finished, 1 stopped" in status
    assert "trial 1: 75/100, loss 0.5, 4.0 steps/s" in status
    assert "76/100" not in text
    assert "MLflow does not answer" in text
    assert "0.850 to 0.940" in text
    assert text.endswith("Go on:\n  python ray_jobs/sweep.py space.yaml --name s-1 --resume\n")


def test_a_machine_reads_objects_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Form, "is_json", True)
    told = [json.loads(line) for line in shown(tmp_path / "log", is_live=True).splitlines()]
    assert {"time", "message", "sweep"} <= set.intersection(*map(set, told))
    reached = next(one for one in told if one.get("event") == "leg_ended")
    assert (reached["trial"], reached["rung"], reached["objective"]) == (0, 0, 0.25)
    status = next(one for one in told if one.get("event") == "status")
    assert (status["trials"], status["best"]["trial"]) == ({"finished": 1, "stopped": 1}, 1)
    assert told[-1]["leaderboard"][0]["params"] == {"model.H_cycles": 2, "optim.lr": 1e-3}
    assert told[-1]["next"] == ["python ray_jobs/sweep.py space.yaml --name s-1 --resume"]


def test_a_terminal_gets_a_live_picture(tmp_path: Path) -> None:
    text = shown(tmp_path / "log", is_live=True)
    assert "\x1b" in text
    assert "75/100" in text
    assert "Leaderboard" in text


def test_a_trial_that_failed_says_why() -> None:
    lost = LegEnded(trial=4, rung=0, attempt=0, status="out_of_memory", steps=3, error="1.2 GB were asked for", at=1.0)
    assert event_line(lost, "exact_accuracy") == "trial 4 out of memory at step 3: 1.2 GB were asked for"


def test_a_log_hears_of_the_whole_only_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: clock[0])
    with (tmp_path / "log").open("w") as stream:
        terminal = SweepDisplay("s", "loss", trials=None, stream=stream, is_live=False)
        for second in range(95):
            clock[0] = float(second)
            terminal.show(snapshot(folded(whole_sweep(), trials=None), 1.0))
    assert len((tmp_path / "log").read_text().splitlines()) == 4


@pytest.mark.parametrize("is_live", [False, True])
def test_of_many_legs_some_are_shown_and_the_others_counted(tmp_path: Path, *, is_live: bool) -> None:
    events = [started(), driver(100.0), *(one for trial in range(30) for one in (asked(trial), leg(trial, 0, 0.5)[0]))]
    seen = snapshot(folded(events, trials=30), 170.0, [Leg(trial, 0, 5, 100) for trial in range(30)])
    with (tmp_path / "log").open("w") as stream, SweepDisplay("s", "loss", trials=30, stream=stream, is_live=is_live) as terminal:
        terminal._console.size = ConsoleDimensions(160, 99)
        terminal.show(seen)
        said = (tmp_path / "log").read_text()
    assert "trial 23" in said
    assert "trial 24" not in said
    assert "6 legs more" in said


def test_what_takes_long_to_foresee_is_foreseen_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether speeds are known or running legs tell them: work is done on a core's clock that the sweep's own does not wait for."""
    core, wall, played = [0.0], [0.0], list[float]()
    monkeypatch.setattr(progress.time, "process_time", lambda: core[0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: wall[0])
    plays = SweepProgress._ahead_of

    def slow(self: SweepProgress, speeds: Speeds, legs: Sequence[RunningLeg]) -> progress._Ahead:
        core[0] += 2.0
        played.append(wall[0])
        return plays(self, speeds, legs)

    monkeypatch.setattr(SweepProgress, "_ahead_of", slow)
    shown = SweepProgress(folded([started(), driver(100.0), asked(0), leg(0, 0, 0.5)[0]]))
    for second in range(0, 401, 10):
        wall[0] = float(second)
        shown.snapshot(170.0 + second, [Leg(0, 0, 5, 100)])
    assert played == [0.0, 2.0 / progress.SHARE, 4.0 / progress.SHARE]


@pytest.mark.parametrize(
    ("got", "wanted"),
    [
        (duration(59.6), "1:00"),
        (duration(3723), "1:02:03"),
        (duration(-1), "0:00"),
        (flops(1.6e12), "1.6 TFLOP"),
        (flops(999.9e9), "1 TFLOP"),
        (flops(533.3e9), "533 GFLOP"),
        (flops(12.0), "12 FLOP"),
        (count_text(125378), "125k"),
        (count_text(5_020_000), "5.02M"),
        (count_text(7), "7"),
    ],
)
def test_figures_are_short(got: str, wanted: str) -> None:
    assert got == wanted


def test_a_knob_is_named_so_that_one_knows_which_and_null_as_it_is_written() -> None:
    params = {"model.H_cycles": 2, "optim.type": "muon", "start.from": None, "data.train": 200, "training.loss": "softmax"}
    assert params_text(params) == "H_cycles 2, optim_type muon, start_from null, data_train 200, loss softmax"
