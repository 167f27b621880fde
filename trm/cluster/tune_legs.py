"""Ray Tune as a runner of legs: each Tune trial is one leg, and Tune decides nothing.

A searcher hands out what the leg source says, when a slot is free; results go back to it. All of Tune's own ways of
remembering, logging and retrying are off, because the journal is the truth (DESIGN decision 6).
"""

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ray import tune
from ray.tune import PlacementGroupFactory, Stopper
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.search import Searcher

from trm.cluster.places import Places
from trm.cluster.scratch import Detached, NotRestored
from trm.cluster.tune_hooks import hooked
from trm.training.leg import LegResult, LegTask

LEG = "leg"
"""Key of a leg in a Tune trial's configuration: one JSON string, so that Tune has nothing to flatten."""
OUTCOME = "outcome"
"""Key of the leg's result in its only Tune report: one JSON string."""
WARM_UP = "warm-up"
"""The leg that only imports everything."""
TICK_SECONDS = 0.5
"""Where Tune's loop stands, the source is ticked so often."""
IDLE_SECONDS = 10.0
"""After so long without a leg for them, places that stand empty are given back."""
MOST_LEGS = 100_000
"""More than can run side by side."""

TUNE_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_WARN_THRESHOLD_S": "60",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_FORCE_TRIAL_CLEANUP_S": "2",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_V2_ENABLED": "1",
}


@runtime_checkable
class LegSource(Protocol):
    """Who knows which leg is next; the sweep's driver."""

    def next_leg(self) -> LegTask | None:
        """The next leg, or None while there is nothing to run."""

    def leg_returned(self, task: LegTask, result: LegResult | None, error: str | None) -> None:
        """A leg ended with a result, or its process died, of which Ray says `error`."""

    def leg_over(self, task: LegTask) -> None:
        """The process of a leg that returned a result has come back too, or died, and its slot is free."""

    def tick(self) -> None:
        """Called several times a second while legs run."""

    @property
    def wants(self) -> int:
        """Legs that it would run side by side, if there were places for them."""

    @property
    def slots(self) -> int:
        """Legs that may run side by side now; nodes join and leave."""

    @property
    def is_over(self) -> bool:
        """Whether no leg will ever follow."""

    @property
    def is_stopping(self) -> bool:
        """Whether running legs are to be ended now."""


@dataclass(frozen=True)
class LegRunner:
    """How legs run: the function that Tune calls, what it asks of the cluster, and how many run side by side."""

    function: Callable[[dict[str, Any]], None]
    places: Places
    """Each with a bundle for the process that Tune starts, then those of what that one starts."""
    slots: int
    """Of them at the start."""


class _LegSearcher(NotRestored, Searcher):  # type: ignore[misc]  # ray has no types
    """Gives Tune one leg a free slot. A failure of the source ends the run and is raised by `run_legs`."""

    def __init__(self, source: LegSource, runner: LegRunner, scratch: Path) -> None:
        super().__init__()
        self._source, self.scratch = source, scratch
        self._legs: dict[str, LegTask | None] = {}
        """Tune trial -> its leg; None: it warms a process up."""
        self._answered: set[str] = set()
        """Tune trials whose outcome was taken, and that have not ended yet."""
        self._warm_ups, self._places = runner.slots, runner.places
        self._idle_since: float | None = None
        """Since when there is a place and no leg for it."""
        self._ticked_at = 0.0
        self.failure: BaseException | None = None

    def tick(self) -> None:
        """Let the source look at the clock, and ask for as many places as it has use for."""
        self._ticked_at = time.monotonic()
        self.guarded(self._source.tick)
        is_idle = self._idle_since is not None and time.monotonic() - self._idle_since > IDLE_SECONDS
        is_idle = is_idle and not self._places.is_kept
        own = max(1, len(self._legs)) + len(self._places.lent)
        self.guarded(lambda: self._places.want(own if is_idle else self._source.wants))

    def suggest(self, trial_id: str) -> Any:
        if time.monotonic() - self._ticked_at > TICK_SECONDS:
            self.tick()  # Tune stands in a loop of its own, and asks for a leg once a second
        if self.failure is not None or self._source.is_stopping:
            return Searcher.FINISHED
        self._places.look()
        if len(self._legs) >= min(self._source.slots, self._places.usable):
            return Searcher.FINISHED if self._is_over else None
        if self._warm_ups:
            self._warm_ups -= 1
            self._legs[trial_id] = None
            return {LEG: WARM_UP}
        task: LegTask | None = self.guarded(self._source.next_leg)
        if task is None:
            self._idle_since = self._idle_since or time.monotonic()
            return Searcher.FINISHED if self._is_over else None
        self._legs[trial_id], self._idle_since = task, None
        return {LEG: task.as_json()}

    @property
    def _is_over(self) -> bool:
        return not self._legs and self._source.is_over

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Take the outcome as soon as it is there: a process that has told it may die, or end itself."""
        task = self._legs.get(trial_id)
        if task is not None and trial_id not in self._answered and OUTCOME in result:
            self._answered.add(trial_id)
            self.guarded(lambda: self._source.leg_returned(task, LegResult(**json.loads(result[OUTCOME])), None))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if error:
            return  # `died` follows, and knows why
        if result:
            self.on_trial_result(trial_id, result)
        self.died(trial_id, "the leg ended without an outcome")

    def died(self, trial_id: str, reason: str) -> None:
        """Tune trial `trial_id` has ended; without an outcome its leg died, for what Ray says is the `reason`."""
        task = self._legs.pop(trial_id, None)
        if task is None:
            return
        if trial_id in self._answered:
            self._answered.remove(trial_id)
            self.guarded(lambda: self._source.leg_over(task))
        else:
            self.guarded(lambda: self._source.leg_returned(task, None, reason))

    def guarded(self, call: Callable[[], Any]) -> Any:
        """What `call` returns; what it raises ends the run."""
        # Tune turns what a searcher raises into a failed trial and goes on; a journal that cannot be written must end the run.
        try:
            return call()
        except BaseException as error:
            self.failure = self.failure or error
            return None

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the journal is the truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


class _SourceStopper(Detached, Stopper):  # type: ignore[misc]
    def __init__(self, source: LegSource, searcher: _LegSearcher) -> None:
        self._source, self._searcher = source, searcher

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._source.is_stopping or self._searcher.failure is not None


class _Ticker(Detached, TrialProgressCallback):  # type: ignore[misc]
    """Tune's hook for us, in the place of its own reporter, which keeps every trial that it was told of."""

    def __init__(self, searcher: _LegSearcher) -> None:
        self._searcher = searcher

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        trials[:] = [trial for trial in trials if not trial.is_finished()]
        self._searcher.tick()

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any) -> None:
        """The searcher hears of it."""

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The searcher hears of it."""

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        try:
            reason = Path(trial.error_file).read_text()
        except (OSError, TypeError):
            reason = ""
        self._searcher.died(trial.trial_id, reason)


def run_legs(source: LegSource, runner: LegRunner, scratch: Path) -> None:
    """Run legs until the source is over or stops; `scratch` is Tune's folder, which may be deleted afterwards.

    Raises what the source raised, if it did.
    """
    os.environ.update(TUNE_ENVIRONMENT)
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(MOST_LEGS)  # who hands out legs knows how many have a place
    for name in ("ray.tune", "ray.train", "ray.air"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    searcher = _LegSearcher(source, runner, scratch)
    tuner = tune.Tuner(
        tune.with_resources(runner.function, PlacementGroupFactory(runner.places.groups.bundles)),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            num_samples=-1,
            reuse_actors=True,
            trial_name_creator=lambda trial: f"leg-{trial.trial_id}",
            trial_dirname_creator=lambda trial: f"leg-{trial.trial_id}",
        ),
        run_config=tune.RunConfig(
            storage_path=str(scratch.parent),
            name=scratch.name,
            stop=_SourceStopper(source, searcher),
            callbacks=[_Ticker(searcher)],
            verbose=0,
        ),
    )
    with hooked(runner.places):
        runner.places.want(source.wants)
        try:
            tuner.fit()
        except Exception:
            # At its end Tune reads what it wrote of itself, which a full disk cut short; the source knows how the legs ended.
            if searcher.failure is None and not (source.is_stopping or source.is_over):
                raise
    if searcher.failure is not None:
        raise searcher.failure
