"""Which checkpoints stay: over whole simulated sweeps, and one case at a time."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from search_simulator import cost_of

from trm.search.confirmation import candidates
from trm.search.findings.confirmed import best_run, winner
from trm.search.journal.events import Decided, LegEnded, LegStarted, Reported
from trm.search.journal.trial import ENDED
from trm.search.log import SweepLog
from trm.search.search import Search
from trm.search.space.space import SearchSpace
from trm.sweeps.checkpoints import CheckpointRetention
from trm.sweeps.trial_files import folder_bytes, trial_folder

CHECKPOINT_BYTES = 1000


ASHA = {"type": "asha", "eta": 2, "rungs": 2}


def space_of(scheduler: dict[str, Any], keep: dict[str, Any], confirm: dict[str, Any] | None) -> SearchSpace:
    return SearchSpace.model_validate(
        {
            "name": "keep",
            "data": {"folder": "data"},
            "base": {"optim": {"lr_warmup_steps": 0}, "model": {"halt_max_steps": 2}},
            "search": {"optim.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}},
            "budget": {"trials": 6, "per_trial": 1e16},
            "sampler": {"type": "random"},
            "scheduler": scheduler,
            "keep": keep,
            "confirm": confirm,
        }
    )


class Sweep:
    """A sweep whose legs write checkpoints of 1,000 bytes and score what their trial's number says."""

    def __init__(self, folder: Path, scheduler: dict[str, Any] = ASHA, confirm: dict[str, Any] | None = None, **keep: Any) -> None:
        self.folder, self.now = folder, 1.0
        self.search = Search(space_of(scheduler, keep, confirm), cost_of, folder="data")
        self.log = SweepLog(folder, self.search)
        self.keeper = CheckpointRetention(self.search.state, folder)
        self.log.on_event = lambda event: self.keeper.note(event.trial) if isinstance(event, LegEnded | Decided) else None
        self.log.start(self.now, driver="here:1", fence=1, slots=1, versions={})

    def start(self) -> LegStarted:
        return self.log.advance(self.now, 1)[0]

    def write(self, trial: int, step: int, attempt: int = 0) -> Path:
        path = trial_folder(self.folder, trial) / f"step-{step:08d}-attempt-{attempt}"
        path.mkdir(parents=True)
        (path / "meta.json").write_bytes(bytes(CHECKPOINT_BYTES))
        path.with_name(f"{path.name}.json").write_text("{}")
        return path

    def end(self, leg: LegStarted, status: str = "completed") -> None:
        path = self.write(leg.trial, leg.until_steps, leg.attempt) if status == "completed" else None
        values: dict[str, Any] = {} if path is None else {"objective": 0.5 + leg.trial / 100, "loss": 1.0, "steps": leg.until_steps}
        checkpoint = None if path is None else path.relative_to(self.folder).as_posix()
        self.log.record(
            LegEnded(
                trial=leg.trial, rung=leg.rung, attempt=leg.attempt, status=status, checkpoint=checkpoint, at=self.now, **values
            )
        )
        self.log.advance(self.now, 0)

    def finish(self) -> None:
        while self.search.is_done(self.now) is None:
            self.end(self.start())
            self.keeper.prune()
            self.assert_needed_ones_stand()

    def assert_needed_ones_stand(self) -> None:
        for trial in self.search.state.trials:
            if trial.status not in ENDED and trial.checkpoint is not None:
                assert (self.folder / trial.checkpoint / "meta.json").is_file()

    @property
    def standing(self) -> set[str]:
        return {path.relative_to(self.folder).as_posix() for path in (self.folder / "trials").glob("*/*") if path.is_dir()}


Begun = Callable[..., Sweep]


@pytest.fixture
def begun(tmp_path: Path) -> Iterator[Begun]:
    """Starts the test's sweep."""
    sweeps: list[Sweep] = []

    def begin(**keep: Any) -> Sweep:
        sweeps.append(Sweep(tmp_path, **keep))
        return sweeps[-1]

    yield begin
    for sweep in sweeps:
        sweep.log.journal.close()


@pytest.mark.parametrize(
    ("keep", "count"),
    [({}, 6), ({"best": 2}, 2), ({"best": 1}, 1), ({"bytes": 3100}, 3), ({"bytes": 10}, 1), ({"best": 4, "bytes": 2100}, 2)],
)
def test_the_best_trials_keep_their_last_checkpoint_and_no_other(begun: Begun, keep: dict[str, Any], count: int) -> None:
    sweep = begun(**keep)
    sweep.finish()
    sweep.keeper.prune()
    assert sweep.standing == {trial.checkpoint for trial in sweep.search.state.leaderboard()[:count]}
    assert folder_bytes(sweep.folder / "trials") == count * (CHECKPOINT_BYTES + len("{}"))


def test_the_best_run_of_every_confirmed_trial_stays_for_more_seeds_may_make_it_win(begun: Begun) -> None:
    sweep = begun(best=1, confirm={"top": 2, "seeds": 2, "most_seeds": 2})
    sweep.finish()
    search = sweep.search
    runs = [best_run(search.state, trial.number) for trial in candidates(search.state)]
    assert len(search.state.trials) == 6 + 4
    assert {str(run.checkpoint) for run in runs if run} < sweep.standing
    assert len(sweep.standing) == 3, "those, and the best of the search"
    found = winner(search.state)
    assert found is not None
    sweep.log.report(Reported(trial=found.run.number, rank=1, validation={}, test={}, at=sweep.now))
    for trial in search.state.trials:
        sweep.keeper.note(trial.number)
    sweep.keeper.prune()
    assert {str(run.checkpoint) for run in runs if run} < sweep.standing


def test_a_running_leg_keeps_what_it_came_from_and_what_it_writes(begun: Begun) -> None:
    sweep = begun(bytes=10)
    first = sweep.start()
    own = sweep.write(first.trial, 5)
    sweep.keeper.prune()
    assert own.is_dir()
    sweep.end(first)
    sweep.write(first.trial, first.until_steps, attempt=7)
    hidden = own.with_name(f".{own.name}.1.tmp")
    hidden.mkdir()
    assert sweep.keeper.prune() == 2 * (CHECKPOINT_BYTES)
    assert sweep.standing == {str(sweep.search.state.trials[0].checkpoint)}
    assert not hidden.exists()


def test_what_an_interrupted_leg_left_stays_and_what_a_failed_trial_left_goes(begun: Begun) -> None:
    sweep = begun()
    leg = sweep.start()
    left = sweep.write(leg.trial, 5)
    sweep.end(leg, "lost")
    sweep.keeper.prune()
    assert left.is_dir()
    sweep.end(sweep.start(), "diverged")
    assert sweep.keeper.prune() == CHECKPOINT_BYTES
    assert not trial_folder(sweep.folder, leg.trial).exists()


def cut_short(sweep: Sweep) -> None:
    """Something ends the sweep now, its folder is tidied up, and another driver goes on."""
    sweep.log.append(*sweep.search.closing_events(sweep.now))
    CheckpointRetention(sweep.search.state, sweep.folder).prune()
    sweep.log.start(sweep.now, driver="here:2", fence=2, slots=1, versions={})
    sweep.keeper = CheckpointRetention(sweep.search.state, sweep.folder)
    sweep.keeper.prune()


def test_what_a_member_adopted_outlives_its_lender_and_the_sweeps_end(begun: Begun) -> None:
    sweep = begun(scheduler={"type": "pbt", "population": 2, "generations": 3, "quantile": 0.5})
    for _ in range(2):
        sweep.end(sweep.start())
    adopter, lender = sweep.start(), sweep.start()
    assert (adopter.trial, lender.trial) == (0, 1)
    assert adopter.from_checkpoint == sweep.search.state.trials[1].checkpoint
    sweep.end(lender)
    cut_short(sweep)
    again = sweep.start()
    assert (again.trial, again.from_checkpoint) == (0, adopter.from_checkpoint)
    assert str(again.from_checkpoint) in sweep.standing


def test_trials_that_were_cut_short_on_their_way_keep_what_they_go_on_from(begun: Begun) -> None:
    sweep = begun(best=1)
    for _ in range(4):
        sweep.end(sweep.start())
    promoted, fresh = sweep.start(), sweep.start()
    assert promoted.from_checkpoint is not None
    left = sweep.write(fresh.trial, 5)
    cut_short(sweep)
    assert promoted.from_checkpoint in sweep.standing
    assert left.is_dir()
