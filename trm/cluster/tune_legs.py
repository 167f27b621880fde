"""Ray Tune as a runner of legs: each Tune trial is one leg, and Tune decides nothing.

A searcher hands out what the leg source says, when a slot is free; results go back to it. All of Tune's own ways of
remembering, logging and retrying are off, because the journal is the truth (DESIGN decision 6).
"""

import contextlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ray import tune
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.tune import PlacementGroupFactory, Stopper
from ray.tune.execution import class_cache
from ray.tune.execution.tune_controller import TuneController
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.search import Searcher

from trm.console.redaction import is_secret_name
from trm.training.leg import LegResult, LegTask

LEG = "leg"
"""Key of a leg in a Tune trial's configuration: one JSON string, so that Tune has nothing to flatten."""
OUTCOME = "outcome"
"""Key of the leg's result in its only Tune report: one JSON string."""
WARM_UP = "warm-up"
"""The leg that only imports everything and waits for its neighbours, so that every slot has a process of its own."""

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
    bundles: list[dict[str, float]]
    """The first for the process that Tune starts, the others for what that one starts."""
    slots: int
    """Of them at the start."""


class _NoSource:
    """What a searcher restored by Tune itself finds: nothing new. The legs that were under way are run, and know their answers."""

    is_over = is_stopping = False
    slots = 0

    def next_leg(self) -> LegTask | None:
        return None

    def leg_returned(self, task: LegTask, result: LegResult | None, error: str | None) -> None:
        pass

    def leg_over(self, task: LegTask) -> None:
        pass

    def tick(self) -> None:
        pass


class _Detached:
    """Tune pickles what it is given; the live driver stays here."""

    def __getstate__(self) -> dict[str, Any]:
        source = _NoSource()
        source.is_over = True
        return {**self.__dict__, "_source": source}


class _LegSearcher(_Detached, Searcher):  # type: ignore[misc]  # ray has no types
    """Gives Tune one leg a free slot. A failure of the source ends the run and is raised by `run_legs`."""

    def __init__(self, source: LegSource, runner: LegRunner) -> None:
        super().__init__()
        self._source = source
        self._legs: dict[str, LegTask | None] = {}
        """Tune trial -> its leg; None: it warms a process up."""
        self._answered: set[str] = set()
        """Tune trials whose outcome was taken, and that have not ended yet."""
        self._warm_ups = runner.slots
        self.failure: BaseException | None = None

    def suggest(self, trial_id: str) -> Any:
        if self.failure is not None or self._source.is_stopping:
            return Searcher.FINISHED
        if len(self._legs) >= self._source.slots:
            return None
        if self._warm_ups:
            self._warm_ups -= 1
            self._legs[trial_id] = None
            return {LEG: WARM_UP}
        task: LegTask | None = self.guarded(self._source.next_leg)
        if task is None:
            return Searcher.FINISHED if self._source.is_over and not self._legs else None
        self._legs[trial_id] = task
        return {LEG: task.as_json()}

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


class _SourceStopper(_Detached, Stopper):  # type: ignore[misc]
    def __init__(self, source: LegSource, searcher: _LegSearcher) -> None:
        self._source, self._searcher = source, searcher

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._source.is_stopping or self._searcher.failure is not None


class _Ticker(_Detached, TrialProgressCallback):  # type: ignore[misc]
    """Tune's hook for us, in the place of its own reporter, which keeps every trial that it was told of."""

    def __init__(self, source: LegSource, searcher: _LegSearcher) -> None:
        self._source, self._searcher = source, searcher

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        trials[:] = [trial for trial in trials if not trial.is_finished()]
        self._searcher.guarded(self._source.tick)

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


@contextlib.contextmanager
def _finished_legs_are_forgotten() -> Iterator[None]:
    """Have Tune let go of legs that are over; the journal has them.

    It looks through its list of all trials at every step, and at the end writes every trial's state and reads it again: at
    10,000 trials that took 27 ms a trial and most of 950 MB. What has not ended stays, for who calls `Tuner.restore`.
    """
    known = TuneController._mark_trial_to_checkpoint

    def forgetful(self: Any, trial: Any) -> None:
        if not trial.is_finished():
            known(self, trial)
            return
        self._trials_to_cache.discard(trial)
        self._trial_metadata.pop(trial.trial_id, None)
        self._stopped_trials.discard(trial)
        self._failed_trials.discard(trial)

    TuneController._mark_trial_to_checkpoint = forgetful
    try:
        yield
    finally:
        TuneController._mark_trial_to_checkpoint = known


@contextlib.contextmanager
def _every_death_is_a_trials() -> Iterator[None]:
    """Have Tune take every way in which an actor can be lost for the failure of one trial.

    It knows two kinds and ends the whole experiment at any other: at a worker that Ray's memory monitor ended, for one.
    """
    known = RayActorManager._actor_task_failed

    def tolerant(self: Any, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, RayError) and not isinstance(exception, RayActorError | RayTaskError):
            exception = RayActorError(error_msg=f"{type(exception).__name__}: {exception}")
        known(self, tracked_actor_task, exception)

    RayActorManager._actor_task_failed = tolerant
    try:
        yield
    finally:
        RayActorManager._actor_task_failed = known


@contextlib.contextmanager
def _no_secrets_are_copied() -> Iterator[None]:
    """Have Tune leave the driver's AWS keys where they are.

    It copies them into the runtime environment of every trial, which Ray writes into its logs. Workers of an embedded Ray inherit
    them anyway; on a cluster each node has its own, as Ray Data's readers have always needed.
    """
    known = class_cache.ENV_VARS_TO_PROPAGATE
    class_cache.ENV_VARS_TO_PROPAGATE = {name for name in known if not is_secret_name(name)}
    try:
        yield
    finally:
        class_cache.ENV_VARS_TO_PROPAGATE = known


def run_legs(source: LegSource, runner: LegRunner, scratch: Path) -> None:
    """Run legs until the source is over or stops; `scratch` is Tune's folder, which may be deleted afterwards.

    Raises what the source raised, if it did.
    """
    os.environ.update(TUNE_ENVIRONMENT)
    # As many processes may start at once as legs run side by side: with one at a time Tune would drop a starting process
    # whenever another is free, and all legs would run in one (FACTS: `TUNE_MAX_PENDING_TRIALS_PG`).
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(runner.slots)
    for name in ("ray.tune", "ray.train", "ray.air"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    searcher = _LegSearcher(source, runner)
    tuner = tune.Tuner(
        tune.with_resources(runner.function, PlacementGroupFactory(runner.bundles)),
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
            callbacks=[_Ticker(source, searcher)],
            verbose=0,
        ),
    )
    with _no_secrets_are_copied(), _every_death_is_a_trials(), _finished_legs_are_forgotten():
        tuner.fit()
    if searcher.failure is not None:
        raise searcher.failure
