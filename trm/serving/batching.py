"""Requests that come at once share a batch: rows join it between two supervision steps and leave as soon as they are done."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from trm.console.redaction import reason_of
from trm.errors import TRMError
from trm.serving.answers import Answer
from trm.serving.measures import Measures
from trm.serving.questions import Question
from trm.serving.slots import Attempt
from trm.serving.solver import Solver
from trm.training.failures import memory_failures

QUEUE_ROWS = 1024
"""Rows that may wait for a place in the batch."""


class Busy(TRMError):
    """More waits than may: ask again in so many seconds."""

    def __init__(self, problem: str, seconds: int) -> None:
        super().__init__(f"{problem}; ask again in {seconds} s")
        self.problem, self.seconds = problem, seconds

    def __reduce__(self) -> tuple[object, ...]:
        return (Busy, (self.problem, self.seconds))


@dataclass(eq=False)
class _Job:
    """The rows of one request."""

    attempts: list[Attempt]
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[None]"
    waiting: deque[Attempt] = field(default_factory=deque)
    left: int = 0

    def __post_init__(self) -> None:
        self.waiting, self.left = deque(self.attempts), len(self.attempts)

    def settle(self, error: Exception | None = None) -> None:
        """Tells who asked, from any thread."""
        try:
            self.loop.call_soon_threadsafe(self._settle, error)
        except RuntimeError:  # nobody is there any more
            return

    def _settle(self, error: Exception | None) -> None:
        if self.future.done():
            return
        if error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(error)


class Batcher:
    """One batch, stepped by a thread of its own for as long as there are rows."""

    def __init__(self, solver: Solver, measures: Measures, *, queue_rows: int = QUEUE_ROWS, batch_rows: int | None = None) -> None:
        self.solver, self._measures = solver, measures
        self._most_waiting, self._most_rows = queue_rows, batch_rows or solver.batch_rows
        self._slots = solver.slots()
        self._jobs: deque[_Job] = deque()
        self._owners: dict[int, _Job] = {}
        self._wake = threading.Condition()
        self._is_closing = False
        self._row_seconds = 0.0
        self._thread = threading.Thread(target=self._run, name="supervision steps", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether anybody steps the batch."""
        return self._thread.is_alive() and not self._is_closing

    @property
    def waiting_rows(self) -> int:
        """Rows that have no place yet."""
        return sum(len(job.waiting) for job in tuple(self._jobs))

    @property
    def batched_rows(self) -> int:
        """Rows that are in the batch."""
        return len(self._slots.rows)

    async def ask(self, questions: Sequence[Question]) -> list[Answer]:
        """The answers; who stops waiting takes the rows with them. Raises Busy where too many wait, and QuestionError."""
        started = time.monotonic()
        attempts = [self.solver.attempts(question) for question in questions]
        loop = asyncio.get_running_loop()
        job = _Job([one for some in attempts for one in some], loop, loop.create_future())
        self._put(job)
        try:
            await job.future
        except BaseException:
            for one in job.attempts:
                one.is_cancelled = True
            raise
        seconds = time.monotonic() - started
        return [self.solver.answer(question, some, seconds) for question, some in zip(questions, attempts, strict=True)]

    def close(self, seconds: float = 5.0) -> None:
        """No rows are taken any more, and the thread ends."""
        with self._wake:
            self._is_closing = True
            self._wake.notify()
        self._thread.join(seconds)

    def _put(self, job: _Job) -> None:
        with self._wake:
            waiting = self.waiting_rows
            if self._is_closing or not self._thread.is_alive():
                raise Busy("this server ends", 5)
            if waiting and waiting + job.left > self._most_waiting:
                seconds = max(1, round(waiting * self.solver.config.answer_steps * self._row_seconds))
                raise Busy(f"{self._most_waiting} rows may wait, {waiting} do and {job.left} more were asked", min(seconds, 600))
            self._jobs.append(job)
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._jobs and not self._slots.rows and not self._is_closing:
                    self._wake.wait()
                if self._is_closing:
                    break
                joining = self._joining(self._most_rows - len(self._slots.rows))
            try:
                with memory_failures():
                    self._step(joining)
            except Exception as error:
                self._fail(joining, error)
        self._fail([], Busy("this server ends", 5))

    def _joining(self, free: int) -> list[Attempt]:
        """Rows that get a place: one a request in turn, so that no request waits for all of a larger one."""
        found: list[Attempt] = []
        while self._jobs and len(found) < free:
            job = self._jobs.popleft()
            while job.waiting and job.waiting[0].is_cancelled:
                job.waiting.popleft()
            if not job.waiting:
                continue
            one = job.waiting.popleft()
            self._owners[id(one)] = job
            found.append(one)
            if job.waiting:
                self._jobs.append(job)
        return found

    def _step(self, joining: Sequence[Attempt]) -> None:
        self._slots.admit(joining)
        rows, started = len(self._slots.rows), time.perf_counter()
        done = self._slots.step()
        seconds = time.perf_counter() - started
        if rows:
            self._measures.stepped(rows, seconds)
            self._row_seconds += 0.05 * (seconds / rows - self._row_seconds)
        for one in done:
            job = self._owners.pop(id(one))
            job.left -= 1
            if not job.left:
                job.settle()

    def _fail(self, joining: Sequence[Attempt], error: Exception) -> None:
        """Everybody whose rows were in the batch is told; the next ones begin afresh."""
        told = error if isinstance(error, TRMError) else TRMError(f"the network could not be asked: {reason_of(error)}")
        with self._wake:
            jobs = {id(job): job for job in self._owners.values()}
            if self._is_closing:
                jobs |= {id(job): job for job in self._jobs}
            self._owners.clear()
            self._slots.clear()
            self._jobs = deque(job for job in self._jobs if id(job) not in jobs)
        for job in jobs.values():
            job.settle(told)
