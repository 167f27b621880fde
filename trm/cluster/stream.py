"""A training split that Ray Data reads while it is trained on: one actor, whose blocks all workers of a gang share.

The actor lies outside the trial's placement group, which would capture Ray Data's tasks and never start them, and asks for no
CPU. It enumerates one read task a row group, in the order that `trm.data.batches.stream` says, and gives out references to the
blocks; the workers of a node map a block without a copy. A read task waits in the actor until its row group is wanted: an
execution that is held back by Ray Data's own limits turns in circles on a whole core.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import pyarrow as pa
import ray
from ray.actor import ActorHandle
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from trm.cluster.reading import Piece, blocks_in_order
from trm.config.data import DataConfig
from trm.console.redaction import reason_of
from trm.data.batches.stream import Columns, RowGroup, StreamOrder
from trm.data.batches.stream_files import RowGroupFiles
from trm.data.format import shards
from trm.data.format.manifest import Manifest, read_manifest
from trm.errors import TrialError

TASKS = 256
"""Row groups of one Ray Data execution: it takes a process's first seconds, any other 0.1 s and 1 ms for each of its tasks."""
READS = 2
"""Row groups that are read at the same time."""
ANSWER_SECONDS = 600.0
"""A row group that takes longer ends the trial."""


@dataclass(frozen=True)
class StreamClient:
    """A `RowGroupReader` for one worker of a gang; all of them must begin at the same visit."""

    actor: ActorHandle
    rank: int

    def read(self, order: StreamOrder, first_visit: int) -> Iterator[Columns]:
        """Columns of the row groups from `first_visit` on, over blocks in the object store. TrialError when one does not come."""
        self._answer(self.actor.open.remote(order, first_visit))
        visit = first_visit
        while True:
            (block,) = self._answer(self.actor.take.remote(self.rank, visit))
            yield shards.decode_table(self._answer(block))
            visit += 1

    def _answer(self, reference: ray.ObjectRef) -> Any:
        try:
            return ray.get(reference, timeout=ANSWER_SECONDS)
        except GetTimeoutError as error:
            raise TrialError(f"the stream of training rows gave nothing for {ANSWER_SECONDS:.0f} s") from error
        except RayError as error:
            raise TrialError(f"the stream of training rows broke off: {reason_of(error)}") from error


@contextlib.contextmanager
def gang_stream(data: DataConfig, folder: str, *, workers: int) -> Iterator[ActorHandle | None]:
    """The actor that streams to a gang's workers; it ends with the block, or with this process. None when nothing streams."""
    if not data.is_streamed:
        yield None
        return
    actor = _started(folder, workers)
    try:
        yield actor
    finally:
        ray.kill(actor)


@contextlib.contextmanager
def leg_stream(data: DataConfig, folder: str, *, workers: int) -> Iterator[ActorHandle | None]:
    """The actor that streams to the workers of this process's legs; it rests after the block, and ends with the process."""
    if not data.is_streamed:
        yield None
        return
    actor = held_actor(folder, workers)
    try:
        ray.get(actor.close.remote(), timeout=ANSWER_SECONDS)
    except RayError:  # it died since the last leg
        held_actor.cache_clear()
        actor = held_actor(folder, workers)
    try:
        yield actor
    finally:
        actor.close.remote()


@lru_cache(maxsize=1)
def held_actor(folder: str, workers: int) -> ActorHandle:
    """This process's actor: a new one takes five seconds to its first block, one that is there a fraction of one."""
    return _started(folder, workers)


def _started(folder: str, workers: int) -> ActorHandle:
    options = {
        "num_cpus": 0,
        "max_restarts": 0,
        "max_concurrency": workers + READS + 2,
        "scheduling_strategy": PlacementGroupSchedulingStrategy(placement_group=None),
    }
    return ray.remote(StreamActor).options(**options).remote(folder, workers)


class _Session:
    """What is read from one position on."""

    def __init__(self, order: StreamOrder, first_visit: int, workers: int) -> None:
        self.order, self.first_visit = order, first_visit
        self.taken = [first_visit] * workers
        """For each worker the next visit that it has not taken."""
        self.asked = first_visit
        """The latest visit that a worker asked for: its rows of a batch may lie windows behind those of the slowest worker."""
        self.blocks: dict[int, ray.ObjectRef] = {}
        self.failure: BaseException | None = None

    def is_wanted(self, visit: int) -> bool:
        """Whether the visit is waited for, or near enough to the slowest worker to be read ahead."""
        return visit <= self.asked or visit < min(self.taken) + self.order.window_visits


class StreamActor:
    """Runs Ray Data from one position on, keeps a window of blocks ahead of the slowest worker."""

    def __init__(self, folder: str, workers: int) -> None:
        self._folder, self._workers = folder, workers
        self._session: _Session | None = None
        self._sessions = 0
        self._changed = threading.Condition()

    def open(self, order: StreamOrder, first_visit: int) -> None:
        """Start to read at a visit; the workers that come later only learn that it was done."""
        with self._changed:
            if self._session is not None:
                assert order.digest == self._session.order.digest, "a stream has one order"
                return
            self._sessions += 1
            self._session = _Session(order, first_visit, self._workers)
        this = ray.get_runtime_context().current_actor
        threading.Thread(target=self._run, args=(this, self._session, self._sessions), daemon=True).start()

    def close(self) -> None:
        """Forget what was read and what was to be read."""
        with self._changed:
            self._session = None
            self._changed.notify_all()

    def permit(self, session: int, visit: int) -> None:
        """Return when the visit's row group is to be read; TrialError when it is not wanted any more."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_open(session) or self._current().is_wanted(visit))
            if not self._is_open(session):
                raise TrialError("the stream was closed")

    def take(self, rank: int, visit: int) -> list[ray.ObjectRef]:
        """The block of the visit, alone in a list; it is forgotten when all workers have taken it."""
        with self._changed:
            session = self._current()
            assert visit == session.taken[rank], "a worker takes one block after the other"
            session.asked = max(session.asked, visit)
            self._changed.notify_all()
            self._changed.wait_for(lambda: visit in session.blocks or session.failure is not None or self._session is not session)
            if visit not in session.blocks:
                raise TrialError("the stream was closed" if session.failure is None else reason_of(session.failure))
            block = session.blocks[visit]
            session.taken[rank] = visit + 1
            for old in [key for key in session.blocks if key < min(session.taken)]:
                del session.blocks[old]
            self._changed.notify_all()
            return [block]

    def _is_open(self, session: int) -> bool:
        return self._session is not None and self._sessions == session

    def _current(self) -> _Session:
        assert self._session is not None, "a stream is opened before it is read"
        return self._session

    def _run(self, this: ActorHandle, session: _Session, number: int) -> None:
        visit = session.first_visit
        try:
            while self._is_open(number):
                permit = partial(_permit, this, number)
                visits = [(visit + k, session.order.group(visit + k)) for k in range(TASKS)]
                pieces = [Piece(partial(_read, self._folder, permit, each, group), group.rows) for each, group in visits]
                for block in blocks_in_order(pieces, at_once=READS):
                    with self._changed:
                        session.blocks[visit] = block
                        self._changed.notify_all()
                    visit += 1
        except Exception as error:  # whoever takes the next block raises it
            with self._changed:
                session.failure = error
                self._changed.notify_all()


def _permit(actor: ActorHandle, session: int, visit: int) -> None:
    ray.get(actor.permit.remote(session, visit))


def _read(folder: str, permit: Callable[[int], None], visit: int, group: RowGroup) -> pa.Table:
    permit(visit)
    return _files(folder).table(group)


@lru_cache(maxsize=1)
def _files(folder: str) -> RowGroupFiles:
    """Shards that this process has read from, for the next row group."""
    manifest: Manifest = read_manifest(folder)
    return RowGroupFiles(folder, manifest)
