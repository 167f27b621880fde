"""What a person sees of a sweep: counts, rungs, best, compute, time, from the journal's events alone."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tracking.test_updates import asked, decided, leg, started, whole_sweep
from trm.search.journal.events import Asked, Decided, DriverStarted, Event, LegEnded, LegStarted
from trm.search.resources.spending import Spent
from trm.search.space.space import SearchSpace
from trm.terminal import display
from trm.terminal.display import Standing, SweepDisplay, count_text, duration, event_line, flops
from trm.terminal.progress import Snapshot, SweepProgress

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


def space(trials: int | None = 9, mode: str = "max", **budget: float) -> SearchSpace:
    return SearchSpace.model_validate(
        {
            "name": "s",
            "data": {"recipe": "datasets/sudoku4x4.yaml"},
            "search": {"optim.lr": {"type": "float", "low": 1e-4, "high": 1e-1}},
            "objective": {"metric": "exact_accuracy" if mode == "max" else "loss"},
            "budget": {"trials": trials, "per_trial": RUNGS[-1], "wall_clock_seconds": 1e6, **budget},
            "scheduler": {"type": "asha", "eta": 2, "rungs": 2},
            "resources": {"gpus": 1 if "gpu_hours" in budget else 0},
        }
    )


def folded(events: list[Event], trials: int | None = 9, mode: str = "max", **budget: float) -> SweepProgress:
    progress = SweepProgress(space(trials, mode, **budget))
    for event in events:
        progress.apply(event)
    return progress


def driver(at: float) -> DriverStarted:
    return DriverStarted(driver="h:1", fence=1, slots=2, at=at)


def test_a_whole_sweep_is_counted() -> None:
    seen = folded(whole_sweep()).snapshot(now=200.0)
    assert dict(seen.statuses) == {"stopped": 1, "finished": 1}
    assert [(rung.running, rung.completed, rung.best) for rung in seen.rungs] == [(0, 2, 0.75), (0, 1, 0.9)]
    assert seen.best is not None
    assert (seen.best.trial, seen.best.rung, seen.best.objective, seen.best.params["optim.lr"]) == (1, 1, 0.9, 0.002)
    assert seen.flops_spent == (50 + 100) * 2e9


def test_running_legs_count_from_where_they_are() -> None:
    events = [started(), driver(100.0), asked(0), *leg(0, 0, 0.5), decided(0, 0, "paused"), leg(0, 1, 0.6)[0]]
    progress = folded(events)
    seen = progress.snapshot(now=170.0, legs=[Leg(0, 1, 75, 100)])
    assert seen.flops_spent == 75 * 2e9
    assert (seen.rungs[1].running, seen.statuses["running"]) == (1, 1)
    assert seen.elapsed_seconds == 60.0
    assert seen.flops_expected == pytest.approx(9 * RUNGS[0] + 4 * (RUNGS[1] - RUNGS[0]))
    left = (8 * 50 + 4 * 50 - 25) * STEP_SECONDS / 2  # two side by side
    assert seen.left_seconds == pytest.approx(left)


def spent(flops: float = 0.0, gpu_hours: float = 0.0, seconds: float = 0.0) -> Spent:
    return Spent(flops, gpu_hours, seconds)


@pytest.mark.parametrize(
    ("budget", "left"),
    [
        ({}, 600 * STEP_SECONDS / 2),
        ({"wall_clock_seconds": 12.0}, 7.0),
        ({"train_flops": 5e11}, 100 * STEP_SECONDS),
        ({"gpu_hours": 2.5 / 3600}, 1.5 / 2),
    ],
)
def test_the_limit_that_is_reached_first_says_how_long_is_left(budget: dict[str, float], left: float) -> None:
    events = [started(), driver(100.0).model_copy(update={"gpus": 1.0}), asked(0), *leg(0, 0, 0.5), decided(0, 0, "paused")]
    seen = folded(events, **budget).snapshot(now=170.0, spent=spent(1e11, 1.0 / 3600, 5.0))
    assert seen.left_seconds == pytest.approx(left)


def test_without_a_number_of_trials_the_other_limits_tell_the_time() -> None:
    events = [started(), driver(100.0), asked(0), *leg(0, 0, 0.5), decided(0, 0, "paused")]
    progress = folded(events, trials=None, train_flops=5e11)
    assert progress.snapshot(170.0, spent=spent(1e11)).left_seconds == pytest.approx(200 * STEP_SECONDS / 2)
    assert progress.snapshot(170.0, spent=spent(1e11)).flops_expected is None
    assert folded(events, trials=None).snapshot(170.0).left_seconds is None


def test_trials_that_ended_badly_and_a_longer_budget_are_counted() -> None:
    bad = LegEnded(trial=1, rung=0, attempt=0, status="diverged", at=120.0)
    events = [started(), driver(100.0), asked(0), *leg(0, 0, 0.5), asked(1), leg(1, 0, 0.5)[0], bad, decided(1, 0, "diverged")]
    progress = folded(events)
    assert progress.snapshot(170.0).left_seconds == pytest.approx((7 + 4) * 50 * STEP_SECONDS / 2)
    longer = space(trials=20, per_trial=4e11).budget
    progress.apply(driver(200.0).model_copy(update={"budget": longer, "slots": 4}))
    seen = progress.snapshot(200.0)
    assert [rung.amount for rung in seen.rungs] == [1e11, 2e11, 4e11]
    assert seen.left_seconds == pytest.approx((18 * 50 + 10 * 50 + 5 * 100) * STEP_SECONDS / 4)


def test_confirmations_are_counted_by_themselves() -> None:
    progress = folded(whole_sweep())
    before = progress.snapshot(300.0)
    last = progress_of_confirmation(progress)
    assert (before.asked, sum(before.confirmations.values())) == (last.asked, 0)
    assert last.confirmations == {"finished": 1, "running": 1}
    assert [rung.completed for rung in last.rungs] == [rung.completed for rung in before.rungs]
    assert last.best == before.best, "it is no result of the search"
    assert last.flops_spent == before.flops_spent + 7e11


def progress_of_confirmation(progress: SweepProgress) -> Snapshot:
    asked = Asked(
        trial=100, params={}, source="sampler", digest="d", seed=1, max_steps=700, step_flops=1e9, params_count=1, at=301.0
    )
    for trial in (100, 101):
        progress.apply(asked.model_copy(update={"trial": trial, "source": "confirmation", "confirms": 1}))
        progress.apply(LegStarted(trial=trial, rung=1, attempt=0, until_steps=700, from_checkpoint=None, at=302.0))
    done = LegEnded(trial=100, rung=1, attempt=0, status="completed", objective=1.0, steps=700, train_flops=7e11, at=303.0)
    progress.apply(done)
    progress.apply(Decided(trial=100, rung=1, status="finished", reason="", at=303.0))
    return progress.snapshot(304.0)


def test_before_a_leg_has_ended_the_running_ones_tell_the_speed() -> None:
    progress = folded([started(), driver(100.0), asked(0), leg(0, 0, 0.5)[0]])
    assert progress.snapshot(101.0).left_seconds is None
    seen = progress.snapshot(110.0, [Leg(0, 0, 25, 50, steps_per_second=10.0)])
    assert seen.left_seconds == pytest.approx((9 * 50 + 4 * 50 - 25) * 0.1 / 2)


def test_a_resume_forgets_the_legs_that_ran_and_learns_another_host_s_speed() -> None:
    events = [started(), driver(100.0), asked(0), *leg(0, 0, 0.5), asked(1), leg(1, 0, 0.5)[0], driver(1000.0)]
    progress = folded(events)
    assert progress.snapshot(1001.0, [Leg(1, 0, 25, 50)]).flops_spent == RUNGS[0]
    assert progress.snapshot(1001.0).rungs[0].running == 0
    assert progress.snapshot(1001.0).left_seconds == pytest.approx((8 + 4) * 50 * STEP_SECONDS / 2)
    progress.apply(driver(1000.0).model_copy(update={"driver": "other:1"}))
    assert progress.snapshot(1001.0).left_seconds is None
    progress.apply(leg(1, 0, 0.5)[0].model_copy(update={"at": 1010.0}))
    assert progress.snapshot(1030.0).elapsed_seconds == 20.0


def test_the_best_has_a_number_and_follows_the_mode() -> None:
    nan = leg(2, 0, 0.1)[1].model_copy(update={"objective": float("nan")})
    events = [started(), driver(1.0), asked(0), asked(1), asked(2), *leg(0, 0, 0.2), *leg(1, 0, 0.4), nan]
    high, low = folded(events).snapshot(200.0).best, folded(events, mode="min").snapshot(200.0).best
    assert high is not None
    assert low is not None
    assert (high.trial, low.trial) == (1, 0)
    assert folded([started()], trials=None).snapshot(1.0).best is None
    assert folded([started()], trials=None).snapshot(1.0).flops_expected is None


def test_equal_objectives_are_told_apart_by_loss() -> None:
    worse = leg(0, 0, 0.5)
    better = [worse[0].model_copy(update={"trial": 1}), worse[1].model_copy(update={"trial": 1, "loss": 0.3})]
    best = folded([started(), asked(0), asked(1), *worse, *better]).snapshot(200.0).best
    assert best is not None
    assert best.trial == 1


@given(st.integers(0, len(whole_sweep())))
def test_spent_never_shrinks_and_stays_within_the_expected(cut: int) -> None:
    before = folded(whole_sweep()[:cut]).snapshot(300.0)
    after = folded(whole_sweep()).snapshot(300.0)
    assert before.flops_spent <= after.flops_spent
    assert after.flops_expected is not None
    assert after.flops_spent <= after.flops_expected


def shown(file: Path, is_live: bool) -> str:
    progress = SweepProgress(space())
    with file.open("w") as stream, SweepDisplay("s-1", "exact_accuracy", trials=9, stream=stream, is_live=is_live) as terminal:
        for event in whole_sweep():
            progress.apply(event)
            terminal.event(event)
        assert terminal.is_due
        terminal.show(progress.snapshot(190.0, [Leg(1, 1, 75, 100)]))
        assert not terminal.is_due
        terminal.show(progress.snapshot(190.0, [Leg(1, 1, 76, 100)]))
        terminal.message("MLflow does not answer")
        terminal.summary(
            [Standing(1, 1, "finished", 0.9, 0.85, 0.94, 0.89, {"model.H_cycles": 2, "optim.lr": 1e-3}, 2e11, 125378)],
            ["audit: nothing was lost"],
            [("Go on", "python ray_jobs/sweep.py space.yaml --name s-1 --resume")],
        )
    return file.read_text()


def test_a_log_has_a_line_an_event_and_no_escapes(tmp_path: Path) -> None:
    text = shown(tmp_path / "log", is_live=False)
    lines = [line.strip().split("  ", 1)[1] for line in text.splitlines()[:9]]
    assert "\x1b" not in text
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
            terminal.show(folded(whole_sweep(), trials=None).snapshot(1.0))
    assert len((tmp_path / "log").read_text().splitlines()) == 4


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
