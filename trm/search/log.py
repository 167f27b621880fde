"""A sweep being driven: the journal and the search that folds it, in step. What a driver talks to."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from trm.errors import TRMError
from trm.search.journal.events import (
    DriverStarted,
    DriverStopped,
    Event,
    LegEnded,
    LegStarted,
    LegWidened,
    PlaceAwaited,
    Reported,
    SlotsChanged,
    SpaceExhausted,
    Spare,
    SweepStarted,
    TestTimeChosen,
    TestTimePassed,
)
from trm.search.journal.journal import Journal
from trm.search.journal.priors import Prior
from trm.search.resources.memory import size_text
from trm.search.search import Search

FILE = "journal.jsonl"


class NoRoom(TRMError):  # it is what there is
    """The disk is too small for the checkpoints of any new trial: a sweep pauses then, it has not come to its end."""

    def __init__(self, needed_bytes: int) -> None:
        """`needed_bytes`: by the one that takes least."""
        self.needed_bytes = needed_bytes
        super().__init__(f"the checkpoints of a new trial need {size_text(needed_bytes)} and more")


class SweepLog:
    """Journals an event, then folds it: after a crash the fold of the journal is the same search.

    A driver's loop: `start`, then again and again `record` what legs report and start what `advance` returns, until
    `search.is_done(now)`; then `close`.
    """

    def __init__(
        self,
        folder: str | Path,
        search: Search,
        *,
        guard: Callable[[], None] | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Opens `folder`'s journal and folds what stands in it; `guard` is called around every write (`Lease.check`).

        `say` is told of what does not count there.
        """
        self.search = search
        self.on_event: Callable[[Event], None] = lambda event: None
        """Called with every event that was journaled and folded."""
        self.check: Callable[[], None] = guard or (lambda: None)
        """Raises when another driver has the folder by now; call it before anything else is written there."""
        self.publish: Callable[[], None] = lambda: None
        """Called when events were journaled, before anything follows from them; what it raises ends this driver."""
        self._begun: list[LegStarted] = []
        """Legs that were journaled as started and not handed out yet."""
        self._full_at = -1
        """Events in the journal when the disk was found too small for a new trial."""
        self.journal = Journal(Path(folder) / FILE, guard=guard, say=say)
        for event in self.journal.take_events():
            search.state.apply(event)

    @property
    def is_new(self) -> bool:
        """Whether no sweep was ever started here."""
        return self.search.state.started is None

    def append(self, *events: Event) -> None:
        """Journals, then folds, then tells: whatever becomes of the telling, the fold is that of the journal."""
        self.journal.append(*events)
        self.publish()
        for event in events:
            self.search.state.apply(event)
        self._begun += [event for event in events if isinstance(event, LegStarted)]
        for event in events:
            self.on_event(event)

    def start(
        self,
        now: float,
        *,
        driver: str,
        fence: int,
        slots: int,
        versions: dict[str, str],
        name: str | None = None,
        gpus: float = 0.0,
        device_bytes: int | None = None,
        disk_bytes: int | None = None,
        priors: Sequence[Prior] = (),
        digests: Mapping[str, str] | None = None,
    ) -> None:
        """A driver begins: the sweep's first line when there is none, then this driver's; legs open before are void.

        `priors`: earlier sweeps that a sweep knows of which begins now; at a resume the first line says it. `digests`: of what may
        not change from here on. The fence grows, even
        where the lease's file was lost and begins anew: it stands in every line, and those of older ones count for nothing.
        """
        space = self.search.state.space
        self.journal.fence = fence = max(fence, self.journal.fence + 1)
        if self.is_new:
            self.append(
                SweepStarted(
                    name=name or space.name,
                    seed=space.seed,
                    space_digest=space.frozen_digest(),
                    versions=versions,
                    rules=self.search.state.resolver.rules,
                    priors=list(priors),
                    at=now,
                )
            )
        self.append(
            DriverStarted(
                driver=driver,
                fence=fence,
                slots=slots,
                budget=space.budget,
                confirm=space.confirm,
                audit=space.audit,
                test_time=space.test_time,
                gpus=gpus,
                device_bytes=device_bytes,
                disk_bytes=disk_bytes,
                space=dict(digests or {}),
                versions=versions,
                at=now,
            )
        )

    def stop(self, now: float, reason: str) -> None:
        """A driver leaves before the sweep's end, in order."""
        self.append(DriverStopped(reason=reason, at=now))

    def change_slots(self, now: float, slots: int) -> None:
        """Nodes joined or left: so many legs run side by side from here on."""
        self.append(SlotsChanged(slots=slots, at=now))

    def await_place(self, now: float, what: str | None) -> None:
        """No leg runs, for want of `what`; null: legs can run again."""
        self.append(PlaceAwaited(what=what, at=now))

    def record(self, event: LegEnded) -> bool:
        """Journals the end of a leg; false, and nothing done, when that leg is void or ended before."""
        if not self.search.state.is_open(event):
            return False
        self.append(event)
        return True

    def advance(self, now: float, slots_free: int) -> list[LegStarted]:
        """Journals everything that follows from where the sweep stands; returns the legs to start, at most `slots_free`.

        Raised out of its middle (a full disk) and called again, it returns those too that it had journaled before. NoRoom when
        the disk is too small for every new trial, and nothing runs that could end and give room.
        """
        while self._full_at != self.journal.count and (events := self.search.next_events(now, slots_free - len(self._begun))):
            lacking = self.search.lacking_bytes
            if isinstance(events[0], SpaceExhausted) and lacking is not None:
                if not self.search.state.open_legs:
                    raise NoRoom(lacking)
                self._full_at = self.journal.count  # what runs is waited for, and nobody asks again until something is new
                break
            self.append(*events)
        started, self._begun = self._begun[:slots_free], self._begun[slots_free:]
        return started

    def widen(self, now: float, spare: Spare) -> LegWidened | None:
        """Journals that a leg is to have more of the slots that idle, and which; None: none is."""
        event = self.search.next_widening(now, spare)
        if event is not None:
            self.append(event)
        return event

    def report(self, event: Reported | TestTimePassed | TestTimeChosen) -> None:
        """Journals what is found of the best when the search is over."""
        self.append(event)

    def close(self, now: float) -> str:
        """Ends the sweep and returns why; legs that still run are void, and what ended legs mean is decided first."""
        if self.search.state.ended is None:
            self.advance(now, 0)
            self.append(*self.search.closing_events(now))
        assert self.search.state.ended is not None
        return self.search.state.ended.reason
