"""What is changed of Ray Tune while legs run: private names of Ray 2.60, each with a test that fails when the name goes."""

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any

import ray
from ray._private.runtime_env.constants import RAY_JOB_CONFIG_JSON_ENV_VAR
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.tune.execution import class_cache, tune_controller
from ray.tune.execution.tune_controller import TuneController

from trm.cluster.patches import replaced
from trm.cluster.places import Places, PlacesOfTune
from trm.console.redaction import is_secret_name


@contextlib.contextmanager
def hooked(places: Places) -> Iterator[None]:
    """All of it, for experiments of Tune that begin and end while this is entered, in these places."""
    with (
        taken_by_legs(places),
        legs_take_any_process(),
        every_death_is_a_trials(),
        finished_legs_are_forgotten(),
        waits_are_short(),
        idle_processes_end(places),
    ):
        yield


def finished_legs_are_forgotten() -> contextlib.AbstractContextManager[None]:
    """Have Tune let go of legs that are over; the journal has them.

    It looks through its list of all trials at every step, and at the end writes every trial's state and reads it again: at
    10,000 trials that took 27 ms a trial and most of 950 MB. What has not ended stays: Tune still works with it.
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

    return replaced(TuneController, "_mark_trial_to_checkpoint", forgetful)


def waits_are_short() -> contextlib.AbstractContextManager[None]:
    """Have Tune leave a process that does not end when it was asked to after `TUNE_FORCE_TRIAL_CLEANUP_S`, as that is called.

    It goes on to wait for 10 s from then on, in a loop of its own where nothing else happens.
    """
    begin = TuneController.__init__

    def impatient(self: Any, *given: Any, **named: Any) -> None:
        begin(self, *given, **named)
        self._actor_force_cleanup_timeout = self._actor_cleanup_timeout

    return replaced(TuneController, "__init__", impatient)


def idle_processes_end(places: Places) -> contextlib.AbstractContextManager[None]:
    """Have Tune end the process that it keeps for a next leg, while these places say that its place is wanted."""
    known = TuneController._cleanup_cached_actors

    def cleanup(self: Any, force_all: bool = False) -> None:
        known(self, force_all=force_all or places.ends_idle)

    return replaced(TuneController, "_cleanup_cached_actors", cleanup)


def every_death_is_a_trials() -> contextlib.AbstractContextManager[None]:
    """Have Tune take every way in which an actor can be lost for the failure of one trial.

    It knows two kinds and ends the whole experiment at any other: at a worker that Ray's memory monitor ended, for one.
    """
    known = RayActorManager._actor_task_failed

    def tolerant(self: Any, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, RayError) and not isinstance(exception, RayActorError | RayTaskError):
            exception = RayActorError(error_msg=f"{type(exception).__name__}: {exception}")
        known(self, tracked_actor_task, exception)

    return replaced(RayActorManager, "_actor_task_failed", tolerant)


def legs_take_any_process() -> contextlib.AbstractContextManager[None]:
    """Have Tune's trials run in the environment of the job, in processes that Ray has started for it already.

    It gives them one of their own, for which Ray starts other processes, a second of a core each; in it are the driver's AWS keys,
    which Ray writes into its logs. Workers of an embedded Ray inherit those anyway; on a cluster each node has its own, as Ray
    Data's readers have always needed. What a leg's process is to have of the driver's variables `connected` gives to the job.
    """

    def get(self: Any, trainable: type) -> Any:
        return self._cache.setdefault(trainable, ray.remote(trainable))

    return replaced(class_cache._ActorClassCache, "get", get)


def inherited_variables() -> dict[str, str]:
    """The driver's variables that Tune and Train would give to the processes of trials, without secrets and what the job gives."""
    given = json.loads(os.environ.get(RAY_JOB_CONFIG_JSON_ENV_VAR, "{}"))
    known = (given.get("runtime_env") or {}).get("env_vars") or {}
    wanted = sorted(name for name in class_cache.ENV_VARS_TO_PROPAGATE if not is_secret_name(name))
    return {name: os.environ[name] for name in wanted if name in os.environ and name not in known}


@contextlib.contextmanager
def taken_by_legs(places: Places) -> Iterator[None]:
    """While entered, experiments of Tune run in these places, and no process that is starting is dropped for one that is free.

    Tune lets a trial whose process is still starting have one that became free, and ends the one that starts: where legs are
    shorter than a start, all of them would run in one process.
    """
    reuse = TuneController._maybe_reuse_cached_actor

    def reuse_or_wait(self: Any, trial: Any) -> bool:
        own = self._trial_to_actor.get(trial)
        if own is not None and self._actor_manager.is_actor_started(own):
            return False
        return bool(reuse(self, trial))

    try:
        with (
            replaced(tune_controller, "PlacementGroupResourceManager", lambda: PlacesOfTune(places)),
            replaced(TuneController, "_maybe_reuse_cached_actor", reuse_or_wait),
        ):
            yield
    finally:
        places.close()
