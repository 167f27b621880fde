"""A sweep whose input was found right and whose folder is ours: what it is, who follows it, how it is left."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from trm.console.streams import say
from trm.errors import InterruptedRun, TerminatedRun, TRMError
from trm.search.confirmation import candidates_of
from trm.search.decisions import set_aside
from trm.search.findings.status import larger_budget
from trm.search.findings.tables import LEADERBOARD
from trm.search.journal.lease import Lease
from trm.search.journal.priors import Prior
from trm.search.log import SweepLog
from trm.search.space.space import SearchSpace
from trm.search.state import SweepState
from trm.sweeps.commands import Invocation
from trm.sweeps.data_sets import DataSets
from trm.sweeps.extras import Extras
from trm.sweeps.mirror import Mirror
from trm.sweeps.results import leader_rows
from trm.sweeps.steady_clock import steady_now
from trm.terminal.display import SweepDisplay
from trm.tracking.handle import MlflowWriter
from trm.tracking.places import Target


@dataclass(frozen=True)
class Sweep:
    """One sweep, under its lease."""

    space: SearchSpace
    invocation: Invocation
    sets: DataSets
    """Its data, and where they lie."""
    lease: Lease
    uri: str | None
    """MLflow's tracking store; null: none."""
    priors: Sequence[Prior] = ()
    """Earlier sweeps that it starts from, where it begins now."""
    mirror: Mirror | None = None
    """Its journal as objects; null: it lies in its folder alone."""

    @property
    def folder(self) -> Path:
        """The sweep's."""
        return self.invocation.folder

    def check(self) -> None:
        """SweepError when another driver has the sweep."""
        self.lease.check()
        if self.mirror is not None:
            self.mirror.check()

    def publish(self) -> None:
        """Have the journal among the objects, where it is mirrored; errors as `Mirror.publish`, with the command that goes on."""
        if self.mirror is None:
            return
        try:
            self.mirror.publish()
        except TerminatedRun:  # who leaves in order says so
            raise
        except InterruptedRun as error:
            raise InterruptedRun(f"{error}. {self.whole}") from error

    @property
    def whole(self) -> str:
        """What a person who finds the sweep interrupted is told."""
        return f"{self.folder} is whole; go on with `{self.invocation.resume}`"

    def paused(self, full: str) -> InterruptedRun:
        """What a full disk means, in a leg or outside of them."""
        return InterruptedRun(f"{full}. Nothing is lost; make room, then go on with `{self.invocation.resume}`")

    def abandon(self) -> None:
        """Say that it is interrupted and give the lease back, where its process is about to end."""
        say(f"interrupted: {self.whole}")
        self.lease.release()

    @contextlib.contextmanager
    def left_in_order(self, log: SweepLog, what_was_lost: Callable[[], str | None]) -> Iterator[None]:
        """Ctrl-C, SIGTERM and SIGHUP before the first leg and after the last one are journaled too, and say how to go on."""
        try:
            yield
        except (KeyboardInterrupt, TerminatedRun) as error:
            if log.search.state.ended is None:
                log.stop(steady_now(), what_was_lost() or (str(error) if isinstance(error, TerminatedRun) else "SIGINT"))
            raise InterruptedRun(self.whole) from error

    @contextlib.contextmanager
    def writer_started(self) -> Iterator[MlflowWriter | None]:
        """MLflow's writer, as its process imports what it needs: beside the start of Ray. None: the sweep is not tracked."""
        target = self._target()
        writer = None
        if target is not None:
            writer = Extras(say).make("MLflow's writer", lambda: MlflowWriter(target, is_early=True))
        try:
            yield writer
        finally:
            if writer is not None:
                writer.give_up()

    @contextlib.contextmanager
    def tracked(self, writer: MlflowWriter | None, display: SweepDisplay) -> Iterator[None]:
        """While entered, MLflow's writer follows the journal; at the end, within bounds, it sends the rest."""
        if writer is None:
            yield
            return
        extras = Extras(say)
        writer.begin()
        try:
            yield
        except BaseException:
            writer.close(timeout_seconds=1.0)
            raise
        if (left := writer.close(tell=display.message)) is not None:
            extras.make("progress", lambda: display.message(left))

    def _target(self) -> Target | None:
        if self.uri is None:
            return None
        tracking, storage = self.space.tracking, str(self.invocation.storage)
        experiment, place = tracking.experiment or self.space.name, tracking.artifact_location
        return Target(self.uri, str(self.folder), storage, experiment, artifact_location=place)

    def summarize(self, display: SweepDisplay, state: SweepState, findings: list[str]) -> None:
        """Show what it came to, and what may be done next."""
        extras = Extras(say)
        extras.make("summary", lambda: display.summary(leader_rows(state), findings, self._next_steps(state)))
        if extras.lines:
            say(f"the leaderboard is {self.folder / LEADERBOARD}")

    def _next_steps(self, state: SweepState) -> list[tuple[str, str]]:
        is_confirmed = bool(state.confirmations) or not candidates_of(state, 1)
        return self.invocation.next_steps(larger_budget(state), self.uri, is_confirmed=is_confirmed)

    def check_end(self, state: SweepState, unreported: str | None) -> None:
        """TRMError when no trial came to a score, some were set aside, or the winner is `unreported`, for that reason."""
        if state.is_hopeless:
            raise TRMError(f"no trial of {self.folder} came to a score: {state.first_failure}")
        if not state.trials:
            raise TRMError(f"no trial of {self.folder} could be tried: {state.ended.reason if state.ended else 'it has no end'}")
        problems = [unreported] if unreported is not None else []
        if aside := set_aside(state.trials):
            problems.append(f"{'; '.join(aside)}; `{self.invocation.resume}` tries again")
        if problems:
            raise TRMError("; ".join(problems))
