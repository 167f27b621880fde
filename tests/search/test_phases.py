"""A trial's phase follows from its events alone, one value at a time, in sweeps of every scheduler, killed and taken up again."""

from pathlib import Path

from search_simulator import KilledError, Simulator
from sweep_cases import events_of, space, troubled

from tests.search.test_schedulers import demo
from tests.search.test_schedulers import each as each_scheduler
from trm.search.journal.events import Decided, DriverStarted, LegEnded, LegStarted
from trm.search.journal.trial import ACTIVE, ENDED, Ended, Paused, Reopened, Running, Stopped, Undecided, Waiting
from trm.search.space.space import SearchSpace
from trm.search.state import SweepState


def followed(made: SearchSpace, folder: Path) -> set[type]:
    """Looks at every trial after every event; the phases that were seen."""
    state, seen = SweepState(made), set[type]()
    for event in events_of(folder):
        before = [trial.phase for trial in state.trials]
        state.apply(event)
        phases = [trial.phase for trial in state.trials]
        seen |= set(map(type, phases))
        changed = [number for number, phase in enumerate(before) if phase != phases[number]]
        match event:
            case DriverStarted():
                assert not any(isinstance(phase, Running) for phase in phases)
            case LegStarted():
                assert phases[event.trial] == Running(event)
            case LegEnded():
                is_scored = event.status == "completed" and event.objective is not None
                assert phases[event.trial] == Undecided(None if is_scored else event.rung)
            case Decided():
                assert state.trials[event.trial].status == event.status
            case _:
                pass
        assert isinstance(event, DriverStarted) or set(changed) <= {getattr(event, "trial", None)}
        assert [trial.number for trial in state.trials if trial.leg is not None] == [leg.trial for leg in state.open_legs]
        on_their_way = [trial for trial in state.trials if isinstance(trial.phase, ACTIVE) and trial.is_ranked]
        targets = {trial.number: trial.target_rung for trial in on_their_way if trial.target_rung is not None}
        assert state.context.targets == targets
        assert state.running == {leg.trial for leg in state.open_legs}
        assert state.context.paused == {number for number, phase in enumerate(phases) if phase == Paused()}
        assert all((trial.status in ENDED) == isinstance(trial.phase, Ended | Stopped | Reopened) for trial in state.trials)
        assert all(trial.is_waiting for trial in state.waiting)
    return seen


@each_scheduler
def test_every_phase_follows_from_its_event(tmp_path: Path, name: str) -> None:
    outcome = troubled("failed", lambda leg: leg.trial == 1 and leg.attempt == 0)
    first = Simulator(demo(name, trials=8), tmp_path, outcome=outcome, kill_after=14)
    try:
        first.run()
    except KilledError:
        Simulator(demo(name, trials=8), tmp_path, outcome=outcome, now=first.now + 5).run()
    assert followed(demo(name, trials=8), tmp_path) >= {Waiting, Running, Undecided, Ended}


def test_a_sweep_that_ended_on_its_clock_is_taken_up_where_its_trials_were_cut_short(tmp_path: Path) -> None:
    short = space({"budget": {"trials": 6, "wall_clock_seconds": 2000.0}})
    Simulator(short, tmp_path, slots=2).run()
    stopped = [trial.phase for trial in replay_of(short, tmp_path).trials if isinstance(trial.phase, Stopped)]
    assert any(phase.target is not None for phase in stopped)
    longer = space({"budget": {"trials": 6, "wall_clock_seconds": 1e9}})
    Simulator(longer, tmp_path, slots=2, now=1e6).run()
    assert followed(longer, tmp_path) >= {Waiting, Running, Undecided, Paused, Stopped, Reopened, Ended}


def replay_of(made: SearchSpace, folder: Path) -> SweepState:
    state = SweepState(made)
    for event in events_of(folder):
        state.apply(event)
    return state
