"""Which checkpoints stay: over whole simulated sweeps, and one case at a time."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from search_simulator import cost_of

from trm.cluster.keep import Keeper, folder_bytes, trial_folder
from trm.search.events import Decided, LegEnded, LegStarted
from trm.search.search import Search
from trm.search.space import SearchSpace
from trm.search.sweep_log import SweepLog
from trm.search.trial import ENDED

CHECKPOINT_BYTES = 1000


def space_of(**keep: Any) -> SearchSpace:
    return SearchSpace.model_validate(
        {
            "name": "keep",
            "data": {"folder": "data"},
            "base": {"optim": {"lr_warmup_steps": 0}, "model": {"halt_max_steps": 2}},
            "search": {"optim.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}},
            "budget": {"trials": 6, "per_trial": 1e16},
            "sampler": {"type": "random"},
            "scheduler": {"type": "asha", "eta": 2, "rungs": 2},
            "keep": keep,
        }
    )


class Sweep:
    """A sweep whose legs write checkpoints of 1,000 bytes and score what their trial's number says."""

    def __init__(self, folder: Path, **keep: Any) -> None:
        self.folder, self.now = folder, 1.0
        self.search = Search(space_of(**keep), cost_of, folder="data")
        self.log = SweepLog(folder, self.search)
        self.keeper = Keeper(self.search, folder)
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
        for trial in self.search.trials:
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
    assert sweep.standing == {trial.checkpoint for trial in sweep.search.leaderboard()[:count]}
    assert folder_bytes(sweep.folder / "trials") == count * (CHECKPOINT_BYTES + len("{}"))


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
    assert sweep.standing == {str(sweep.search.trials[0].checkpoint)}
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
