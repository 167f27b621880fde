"""Failures told apart, without a cluster: who stands still, what a death means, what a gang's answers come to."""

import errno
import inspect
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
import ray.exceptions
from ray.actor import ActorHandle
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.tune.execution import tune_controller
from ray.tune.execution.tune_controller import TuneController
from safetensors import SafetensorError

from trm.cluster import processes, tune_hooks
from trm.cluster.leg_in_gang import gang_answer, is_usable
from trm.cluster.leg_in_place import _status_of
from trm.cluster.leg_watch import LegWatch, whom_to_end
from trm.cluster.places import Groups, Places, PlacesOfTune
from trm.cluster.processes import Death, WorkerProcess, death_of
from trm.cluster.progress_board import GangProcesses, ProgressBoard, RunningLegs
from trm.cluster.worker_group import Told, visible_gpus
from trm.errors import CheckpointError, DivergedError, InterruptedRun, OutOfMemoryError, TrialError
from trm.files.disk import is_disk_full
from trm.search.search import Search
from trm.sweeps.watchdog import AWAY_SECONDS, Pace, Watchdog
from trm.training.leg import Leg, LegProgress, LegResult

LEG: Leg = (3, 1, 0)
QUICK = Pace(0.1, 1.0, 0)
PROCESS = WorkerProcess("node", "host", 12, "34", oom_kills=5)
OTHER = WorkerProcess("node", "host", 13, "35", oom_kills=5)
OTHER_NODE = WorkerProcess("other", "second", 12, "34", oom_kills=5)


def progress(step: int, *, evaluated: int = 0, speed: float = 10.0) -> LegProgress:
    return LegProgress(step, 100, 1e9, 1.0, speed, 0.5, 1e-3, trial=3, rung=1, attempt=0, at=0.0, evaluated=evaluated)


def watched(pace: Pace = QUICK, floor: float = 60.0) -> Watchdog:
    dog = Watchdog(floor)
    dog.add(LEG, pace)
    return dog


def silence(dog: Watchdog, said: LegProgress | None, *, start: float = 0.0) -> float:
    """Seconds of silence after which the leg is called stalled, by a driver that looks every second."""
    for second in range(100_000):
        if found := dog.stalled(start + second, {LEG: said}):
            assert set(found) == {LEG}
            return float(second)
    raise AssertionError("it was never called stalled")


@pytest.mark.parametrize(
    ("pace", "said", "allowed"),
    [
        (Pace(0.1, 1.0, 0), progress(5), 60),  # the floor
        (Pace(30.0, 1.0, 0), progress(5), 300),  # ten expected steps
        (Pace(0.0, 1.0, 0), progress(5, speed=0.05), 200),  # ten observed steps
        (Pace(30.0, 4.0, 0), progress(5), 1200),  # a batch of its evaluation takes four
        (Pace(0.1, 1.0, 2_000_000_000), progress(5), 160),  # a slow disk takes 100 s for its checkpoint
        (Pace(0.1, 1.0, 0), None, 180),  # before its first step three times as long
        (Pace(0.1, 1.0, 0), progress(100, evaluated=2), 60),
    ],
)
def test_a_leg_is_stalled_when_it_is_silent_for_several_times_what_it_should_take(
    pace: Pace, said: LegProgress | None, allowed: float
) -> None:
    assert silence(watched(pace), said) == allowed + 1


def test_every_step_and_every_batch_of_the_evaluation_is_a_sign_of_life() -> None:
    dog = watched(floor=60.0)
    says = [progress(1), progress(2), progress(2, evaluated=1), progress(2, evaluated=2)]
    for turn, said in enumerate(says):
        for second in range(0, 50, 5):
            assert not dog.stalled(turn * 50.0 + second, {LEG: said})
    found = [text for second in range(195, 216, 5) for text in dog.stalled(float(second), {LEG: says[-1]}).values()]
    assert found == ["no step for 65 s, in the evaluation at step 2; 60 s are allowed"]


def test_a_leg_without_a_process_waits_and_one_that_ended_is_forgotten() -> None:
    dog = watched()
    assert not any(dog.stalled(float(second), {}) for second in range(0, 10_000, 5))
    assert silence(dog, progress(1), start=10_000.0) == 61
    dog.remove(LEG)
    assert not any(dog.stalled(20_000.0 + second, {LEG: progress(1)}) for second in range(1000))


def test_a_leg_that_an_idle_process_does_not_begin_stands_still() -> None:
    dog = watched(floor=60.0)
    for second in range(0, 100, 5):
        assert not dog.stalled(float(second), {}, is_process_idle=False)
    for second in range(100, 160, 5):
        assert not dog.stalled(float(second), {}, is_process_idle=True)
    assert dog.stalled(165.0, {}, is_process_idle=True) == {LEG: "not begun for 70 s by an idle process"}
    assert not dog.stalled(500.0, {}, is_process_idle=True), "the driver itself stood still"


def test_a_process_that_does_not_come_back_from_its_answer_lingers() -> None:
    dog = watched(floor=60.0)
    dog.remove(LEG)
    dog.answered(LEG)
    for second in (*range(0, 65, 5), *range(500, 565, 5)):  # away between
        assert not dog.stalled(float(second), {})
        assert dog.lingering(float(second)) == []
    assert not dog.stalled(565.0, {})
    assert dog.lingering(565.0) == [LEG]
    dog.came_back(LEG)
    assert dog.lingering(1000.0) == []


def test_what_stood_still_with_the_driver_itself_is_no_stall() -> None:
    dog = watched()
    assert not dog.stalled(0.0, {LEG: progress(1)})
    assert not dog.stalled(3600.0, {LEG: progress(1)})
    assert not dog.stalled(3600.0 + AWAY_SECONDS / 2, {LEG: progress(1)})
    assert silence(dog, progress(1), start=3601.0 + AWAY_SECONDS / 2) == pytest.approx(60, abs=AWAY_SECONDS)


def test_the_board_knows_legs_by_their_attempt() -> None:
    board = ProgressBoard()
    board.begin(LEG, PROCESS)
    assert board.put(progress(1)) is False
    board.stop_all()
    assert board.put(progress(2)) is True
    assert board.running().progress == {LEG: progress(2)}
    assert board.running().processes == {LEG: [PROCESS]}
    board.begin_gang((9, 0, 0), OTHER, [])
    assert board.running().heard == {LEG: progress(2), (9, 0, 0): None}
    assert board.running().among([(9, 0, 0)]) == ({}, {}, {(9, 0, 0): (OTHER, [])}, [])
    board.ended((9, 0, 0))
    board.ended((3, 1, 1))
    assert board.running().progress
    board.ended(LEG)
    assert board.running() == ({}, {}, {}, [OTHER, PROCESS])


def test_processes_of_a_node_that_leaves_save_and_take_no_further_leg() -> None:
    board, elsewhere = ProgressBoard(), WorkerProcess("other", "host", 14, "36", oom_kills=5)
    assert board.begin(LEG, PROCESS)
    assert board.begin_gang((9, 0, 0), elsewhere, [])
    board.keep_off(["node"], [])
    assert not board.put(progress(1)), "what runs there runs on"
    assert not board.begin((4, 0, 0), OTHER)
    assert not board.begin_gang((5, 0, 0), elsewhere, [OTHER])
    assert [board.keeps(process) for process in (PROCESS, OTHER, elsewhere)] == [False, False, True]
    board.keep_off(["node"], ["node"])
    assert board.put(progress(2)), "what runs there saves and stops"
    board.keep_off([], [])
    assert not board.put(progress(3))
    assert board.keeps(PROCESS)


def test_the_board_knows_who_is_idle() -> None:
    board = ProgressBoard()
    for process in (PROCESS, PROCESS, OTHER):
        board.warm(process)
    board.begin(LEG, WorkerProcess("node", "host", 12, "34", oom_kills=6))
    assert board.running().idle == [OTHER]
    board.ended(LEG)
    assert board.running().idle == [OTHER, PROCESS]
    board.gone(OTHER)
    assert board.running().idle == [PROCESS]
    board.begin_gang((9, 0, 0), PROCESS, [OTHER])
    assert board.running().idle == []
    board.begin((9, 0, 0), OTHER)
    board.ended((9, 0, 0))
    assert board.running().idle == [PROCESS], "who holds a gang waits for the next leg"


def test_who_is_ended_with_a_leg_that_stands_still() -> None:
    """All of a gang, so that its bundles are free; a leg that a worker never began is not its configuration's fault."""

    def ended(begun: list[WorkerProcess], gang: GangProcesses | None, idle: list[WorkerProcess]) -> tuple[Any, ...]:
        says = RunningLegs({}, {LEG: begun} if begun else {}, {LEG: gang} if gang else {}, idle)
        return whom_to_end(LEG, says, "silent")

    third = WorkerProcess("node", "host", 14, "36", oom_kills=5)
    assert ended([PROCESS], None, [OTHER]) == ([PROCESS], True, "silent")
    assert ended([], None, [OTHER]) == ([OTHER], False, "silent")
    assert ended([], GangProcesses(PROCESS, []), [OTHER]) == ([PROCESS], False, "its gang did not start: silent")
    gang = GangProcesses(PROCESS, [OTHER, third])
    assert ended([third, OTHER], gang, []) == ([OTHER, third, PROCESS], True, "silent")
    assert ended([OTHER], gang, []) == ([OTHER, third, PROCESS], False, "host:14 did not begin: silent")


DIED = "Failure # 1 (occurred at x)\nThe actor died unexpectedly before finishing this task.\n\tclass_name: ImplicitFunc\n\tpid: 12"


@pytest.mark.parametrize(
    ("text", "now", "death"),
    [
        (DIED, 5, Death("lost", "the leg's process ended without a word (killed, or its node was lost)")),
        (DIED, None, Death("lost", "the node of the leg's process does not answer: host", is_nodes=True)),
        (DIED, 6, Death("out_of_memory", "the kernel killed host:12 or a neighbour, because host ran out of memory")),
        (
            "OutOfMemoryError: Task was killed due to the node running low on memory.\nactual memory used=10.72GB, worker",
            5,
            Death("out_of_memory", "Ray ended the leg's process, because its node ran out of memory (it held 10.72GB)"),
        ),
        (
            "The actor died because its node has died. Node Id: ab",
            6,
            Death("lost", "the node of the leg's process was lost: The actor died because its node has died. Node Id: ab", True),
        ),
        ("\x1b[36mray::ImplicitFunc.train()\x1b[39m (pid=1)\n  File\nValueError: no", 6, Death("failed", "ValueError: no")),
    ],
)
def test_a_death_is_told_by_what_ray_says_and_the_kernel_counted(
    text: str, now: int | None, death: Death, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "oom_kills_at", lambda asked: [now for _ in asked])
    assert death_of(text, [PROCESS], set()) == death


def test_a_node_that_did_not_answer_is_not_asked_for_its_next_leg(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[WorkerProcess] = []

    def counts(processes: list[WorkerProcess]) -> list[int | None]:
        asked.extend(processes)
        return [None if process.node_id == "node" else process.oom_kills for process in processes]

    monkeypatch.setattr(processes, "oom_kills_at", counts)
    silent: set[str] = set()
    for process, is_nodes in ((PROCESS, True), (OTHER, True), (OTHER_NODE, False)):
        assert death_of(DIED, [process], silent).is_nodes is is_nodes
    assert asked == [PROCESS, OTHER_NODE]
    assert silent == {"node"}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InterruptedRun("stop"), "interrupted"),
        (OSError(errno.ENOSPC, "no"), "disk_full"),
        (OSError(errno.EDQUOT, "no"), "disk_full"),
        (SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"), "disk_full"),
        (OSError(errno.EIO, "no"), "failed"),
        (CheckpointError("torn", remedy="x"), "lost"),
        (ray.exceptions.ObjectLostError("ab", "", ""), "lost"),
        (RuntimeError("[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer"), "lost"),
        (RuntimeError("a shape is wrong"), "failed"),
        (DivergedError("nan"), "diverged"),
        (OutOfMemoryError("no"), "out_of_memory"),
        (TrialError("no"), "failed"),
    ],
)
def test_what_a_leg_raises_becomes_its_status(error: Exception, status: str) -> None:
    assert _status_of(error) == status


def test_the_cause_of_an_error_counts() -> None:
    broken = TrialError("the stream broke off")
    broken.__cause__ = ray.exceptions.ActorDiedError()
    assert _status_of(broken) == "lost"
    full = ValueError("cannot save")
    full.__cause__ = OSError(errno.ENOSPC, "no")
    assert is_disk_full(full)
    assert not is_disk_full(ValueError("no"))


def test_a_gangs_answer_is_the_trouble_of_the_worker_that_had_it() -> None:
    done = LegResult("completed", steps=9)
    gone = LegResult("lost", error="Connection closed by peer")
    own = LegResult("failed", error="ValueError: its own")
    assert gang_answer(Told([done, done], None), 2).steps == 9
    assert gang_answer(Told([done], None), 2).status == "lost", "one did not answer"
    assert gang_answer(Told([done], "a worker died"), 2).error == "a worker died"
    assert gang_answer(Told([gone], "a worker died"), 2).error == "a worker died"
    assert gang_answer(Told([gone, done], None), 2).error == "Connection closed by peer"
    assert gang_answer(Told([gone, own], "a worker died"), 2) == own
    assert gang_answer(Told([], None), 2).status == "lost"


@pytest.mark.parametrize(("failed", "blamed"), [(OTHER_NODE, ["other"]), (PROCESS, ["node"]), (None, ["node", "other"])])
def test_of_a_gang_the_node_of_the_first_that_died_is_meant(
    monkeypatch: pytest.MonkeyPatch, failed: WorkerProcess | None, blamed: list[str]
) -> None:
    monkeypatch.setattr("trm.cluster.processes.oom_kills_at", lambda processes: [process.oom_kills for process in processes])
    search = MagicMock(spec=Search, state=MagicMock())
    search.state.space.resources.stall_seconds = 60.0
    watch = LegWatch(search, MagicMock(spec=ActorHandle), lambda text: None)
    watch._says = RunningLegs({LEG: progress(7)}, {LEG: [PROCESS, OTHER_NODE]}, {}, [])
    answer = gang_answer(Told([LegResult("lost", error="Connection closed by peer")], "a worker died", failed), 2)
    meant = watch.meant(LEG, answer, None, is_told_to_stop=False)
    assert (meant.result.status, meant.nodes, meant.is_nodes) == ("lost", blamed, False)
    assert (meant.result.steps, meant.result.train_flops) == (7, progress(7).train_flops), "which it took, though it is lost"


@pytest.mark.parametrize(
    ("statuses", "failure", "goes_on"),
    [
        (["completed", "completed"], None, True),
        (["diverged", "diverged"], None, True),
        (["interrupted", "interrupted"], None, True),
        (["completed"], None, False),  # the other may hang in a collective
        (["diverged", "completed"], None, False),
        (["out_of_memory", "out_of_memory"], None, False),
        (["failed", "failed"], None, False),
        (["completed", "completed"], "a worker died", False),
    ],
)
def test_a_gang_goes_on_only_where_all_its_workers_stopped_at_one_place(
    statuses: list[Any], failure: str | None, goes_on: bool
) -> None:
    assert is_usable(Told([LegResult(status) for status in statuses], failure), 2) is goes_on


def test_every_worker_of_a_node_sees_its_neighbours_gpus_in_one_order() -> None:
    assert visible_gpus([["10"], ["2"], ["9"]]) == ["2", "9", "10"]
    assert visible_gpus([["0"], ["0"]]) == ["0"], "two workers share one"
    assert visible_gpus([[], []]) == []


def test_tune_takes_a_worker_without_memory_for_one_trials_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tune's own answer to an error that is neither an actor's nor a task's is to end the experiment."""
    seen: list[Exception] = []
    monkeypatch.setattr(RayActorManager, "_actor_task_failed", lambda self, task, exception: seen.append(exception))
    known = RayActorManager._actor_task_failed
    with tune_hooks.every_death_is_a_trials():
        RayActorManager._actor_task_failed(None, None, ray.exceptions.OutOfMemoryError("low on memory"))
        RayActorManager._actor_task_failed(None, None, ray.exceptions.ActorDiedError())
    assert RayActorManager._actor_task_failed is known
    assert [type(error) for error in seen] == [ray.exceptions.RayActorError, ray.exceptions.ActorDiedError]
    assert death_of(str(seen[0]), [], set()).status == "out_of_memory"


def test_tune_lets_go_of_a_leg_that_is_over() -> None:
    """Should a release of Ray rename what this hangs on, memory would grow again with every leg, silently."""
    controller = SimpleNamespace(_trials_to_cache=set(), _trial_metadata={}, _stopped_trials=set(), _failed_trials=set())
    source = inspect.getsource(TuneController)
    assert [name for name in vars(controller) if f"self.{name}" not in source] == []

    class Over:
        is_over = False

        def is_finished(self) -> bool:
            return self.is_over

    leg = Over()
    with tune_hooks.finished_legs_are_forgotten():
        TuneController._mark_trial_to_checkpoint(controller, leg)
        assert controller._trials_to_cache == {leg}
        controller._stopped_trials.add(leg)
        leg.is_over = True
        leg.trial_id = "leg"  # type: ignore[attr-defined]
        controller._trial_metadata["leg"] = "its state"
        TuneController._mark_trial_to_checkpoint(controller, leg)
    assert not any(vars(controller).values())


def test_tune_starts_its_processes_in_places_of_the_sweep_and_drops_none_that_starts() -> None:
    """Names of Ray that this hangs on."""
    places = Places(Groups([]))
    reuse = TuneController._maybe_reuse_cached_actor
    controller = SimpleNamespace(
        _trial_to_actor={"starting": 1, "waiting": 2},
        _actor_manager=SimpleNamespace(is_actor_started=lambda actor: actor == 1),
        _resetting_trials={"waiting"},
    )
    source = inspect.getsource(TuneController)
    assert [name for name in vars(controller) if f"self.{name}" not in source] == []
    assert RayActorManager.is_actor_started
    with tune_hooks.taken_by_legs(places):
        assert isinstance(tune_controller.PlacementGroupResourceManager(), PlacesOfTune)
        assert TuneController._maybe_reuse_cached_actor(controller, "waiting"), "it is given one that is free"
        assert not TuneController._maybe_reuse_cached_actor(controller, "starting")
    assert TuneController._maybe_reuse_cached_actor is reuse
    assert "PlacementGroupResourceManager()" in source
    assert "_actor_force_cleanup_timeout" in source
