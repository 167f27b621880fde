"""The journal's way out to a tracking store: each run there says how far it has got, and what it has not got is sent."""

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from trm.console.redaction import redacted, shortened
from trm.errors import InputError
from trm.search.findings.files import tracked_files
from trm.search.journal.events import SweepStarted
from trm.search.journal.journal import Entry, read_events
from trm.search.space.recorded import recorded_space
from trm.search.space.space import SearchSpace
from trm.search.state import SweepState
from trm.tracking.curve_updates import CurveUpdates
from trm.tracking.folder_facts import FolderFacts
from trm.tracking.folder_files import FolderFiles
from trm.tracking.note import note_of
from trm.tracking.outbox_state import OutboxState
from trm.tracking.pages import Pages
from trm.tracking.standings import RANKS_AT_A_TIME, changed_ranks
from trm.tracking.store_door import Say, Store, Vanished
from trm.tracking.updates import driven, interrupted, updates_of, with_configuration
from trm.tracking.values import SWEEP, Held, RunUpdate, held_after, merged, new_points

EVENTS_AT_A_TIME = 2000
"""Are put together, so that a run that they are about gets them by one update."""
RUNS_AT_A_TIME = 20
"""Are sent before a deadline is looked at."""
LAST_TRY_SECONDS = 3.0
"""For a store that does not answer when the sweep ends; an exit does not wait for it."""
CURVES_SECONDS = 5.0
"""Training curves are looked at so often."""
STANDING_SECONDS = 10.0
"""Ranks and description are brought up to date so often, and a file of `EARLY_FILES` that changed is sent again every six times."""
STANDING_SHARE = 0.05
"""And at most so large a share of the time goes into that."""
RETRY_SECONDS = (2.0, 4.0, 8.0, 16.0, 30.0)


def cause_of(error: BaseException) -> str:
    """The error at the bottom of a chain, on one line of bearable length and without secrets."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return shortened(redacted(f"{type(error).__name__}: {error}"), 300)


class Outbox:
    """Follows the journal of one sweep folder and gives a store what its runs have not got, in order; curves after that."""

    files: tuple[str, ...] = tracked_files()
    """What of the folder is uploaded."""
    is_sweep = True

    def __init__(
        self,
        folder: Path,
        store: Store,
        state: OutboxState,
        say: Say,
        *,
        is_driven: bool,
        has_last_word: bool = True,
        keeps_note: bool = True,
    ) -> None:
        """`is_driven`: a driver has just taken the sweep up. `has_last_word`: nobody drives it any more when `finish` ends.

        `keeps_note`: whether what was sent is written down in the folder; not by one who may only read it.
        """
        self._folder, self._store, self._state, self._say = folder, store, state, say
        self._keeps_note = keeps_note
        self._journal = folder / "journal.jsonl"
        self._is_driven, self._has_last_word = is_driven, has_last_word
        self._failures = 0
        self._next_try = 0.0
        self._files, self._files_left = FolderFiles(folder, self.files), list[str]()
        self._curves_due = 0.0
        self._sent_before = state.sent
        self._space: SearchSpace | None = None
        self._facts: FolderFacts | None = None
        self._standing_due = self._files_due = 0.0
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Nothing is known of the store, and the journal is read from its start: its sums over all events are needed."""
        self._held: dict[int | None, Held] | None = None
        self._sweep_state: SweepState | None = None
        self._last: Entry | int = 0
        self._is_corrupt = False
        self._sweep: SweepStarted | None = None
        self._waiting: list[tuple[int, list[RunUpdate]]] = []
        self._parts: deque[list[RunUpdate]] = deque()
        """What the first `_in_parts` of those that wait come to, some runs a part, as far as it is not sent."""
        self._in_parts = 0
        self._is_sure = False
        """Whether nothing was sent since the store was asked how far it is."""
        self._count = 0
        self._curves = CurveUpdates(self._folder, is_sweep=self.is_sweep)
        self._are_curves_sent = True
        self._described = -1
        """Events up to which the description went out."""

    @property
    def waiting(self) -> int:
        """Events that were read and not yet taken by the store."""
        return len(self._waiting)

    @property
    def left(self) -> str:
        """What the store has not got, in words."""
        if self._waiting or self._held is None:
            return f"{self.waiting or self._count} journal events wait"
        if self._files_left:
            return f"files of the sweep wait: {', '.join(self._files_left)}"
        if self._ranks_left():
            return "ranks of trials wait"
        return "the last word on its runs waits" if self._are_curves_sent else "points of training curves wait"

    def forward(self, deadline: float = math.inf) -> bool:
        """Send what is new until time.monotonic() is `deadline`, a little in any case; True when nothing is left to send.

        After a failure, nothing is tried until a pause has passed.
        """
        self._read_new()
        if self._sweep is None:
            return True
        while time.monotonic() >= self._next_try and (self._held is None or self._waiting or self._is_driven):
            self._attempt(self._step)
            if time.monotonic() >= deadline:
                break
        return self._held is not None and not self._waiting

    def forward_curves(self, deadline: float, *, is_due: bool = False) -> bool:
        """Send what training curves have got since, when it is time or `is_due`, until time.monotonic() is `deadline`.

        True when nothing is left to send. The first try is made in any case.
        """
        if self._sweep is None or self._held is None or self._waiting or time.monotonic() < self._next_try:
            return False
        if not is_due and self._are_curves_sent and time.monotonic() < self._curves_due:
            return True
        self._curves_due = time.monotonic() + CURVES_SECONDS
        self._are_curves_sent = not self._curves.look()
        while self._held is not None and (update := self._curves.next(self._held)) is not None:
            if not self._attempt(lambda update=update: self._send_points(update)) or time.monotonic() >= deadline:  # type: ignore[misc]
                return False
        self._are_curves_sent = self._held is not None
        return self._are_curves_sent

    def _send_points(self, update: RunUpdate) -> None:
        self._send([update])
        self._say("sent", f"training curves, run {'of the sweep' if update.trial is None else update.trial}")

    def _step(self) -> None:
        """One thing that is next: look at the store, say that the sweep is driven, send some events."""
        if self._held is None:
            self._look()
        elif self._is_driven:
            # The last writer may have called the sweep interrupted after it had sent this driver's first events.
            known = [update for update in self._driven() if update.trial in self._held]
            if known:
                self._send(known)
            self._is_driven = False
        else:
            self._step_events()

    def _step_events(self) -> None:
        """Send the events that wait longest, some runs of theirs."""
        if not self._parts:
            self._in_parts = min(len(self._waiting), EVENTS_AT_A_TIME)
            updates = self._together(self._in_parts)
            self._parts.extend(updates[start : start + RUNS_AT_A_TIME] for start in range(0, len(updates), RUNS_AT_A_TIME))
        self._send(self._parts[0])
        self._parts.popleft()
        if not self._parts:
            last = self._waiting[self._in_parts - 1][0]
            del self._waiting[: self._in_parts]
            self._note(last)
        rest = f", and of the next {self._in_parts} all but {len(self._parts)} parts" if self._parts else ""
        self._say("sent", f"{self._count - self.waiting} of {self._count} journal events{rest}")

    def _together(self, count: int) -> list[RunUpdate]:
        """What so many events come to, one update a run; with a run's last ones goes its rank, with its first its configuration."""
        updates = merged(update for _, updates in self._waiting[:count] for update in updates)
        if (state := self._sweep_state) is None:
            return updates
        later = {update.trial for _, updates in self._waiting[count:] for update in updates}
        ranks = changed_ranks(state, self._held or {}, {update.trial for update in updates} - later)
        return [self._configured(update, state) for update in merged([*updates, *ranks])]

    def _configured(self, update: RunUpdate, state: SweepState) -> RunUpdate:
        try:
            return update if self._facts is None else with_configuration(update, state, self._facts)
        except Exception as error:  # one that cannot be made keeps nothing else back
            self._say("refused", f"configuration of trial {update.trial}: {cause_of(error)}")
            return update

    def _driven(self) -> list[RunUpdate]:
        """What is true when a driver has just taken it up."""
        return driven(self._sweep_state, time.time()) if self._sweep_state is not None else []

    def _interrupted(self) -> list[RunUpdate]:
        """What is true when nobody drives it any more."""
        return interrupted(self._sweep_state, time.time()) if self._sweep_state is not None else []

    def _look(self) -> None:
        """Ask the store how far it is, and let only what it has not got wait."""
        assert self._sweep is not None
        held = self._held = self._store.held(self._sweep)
        self._is_sure = True
        sent = (update for n, updates in self._waiting if n <= self._sent_before for update in updates)
        if gone := {update.trial for update in sent} - set(held):
            self._say("again", f"{len(gone)} runs that were sent before are not there: what the journal has of them goes out again")
        self._sent_before = 0
        lacking = ((n, self._missing(updates)) for n, updates in self._waiting)
        self._waiting = [(n, updates) for n, updates in lacking if updates]
        self._note(self._waiting[0][0] - 1 if self._waiting else self._count)

    def _note(self, sent: int) -> None:
        if self._state.sent != sent:
            self._state.sent = sent
            self._save()

    def _save(self) -> None:
        if self._keeps_note:
            with contextlib.suppress(OSError):  # a full disk; the store itself is asked how far it is
                self._state.save(self._folder)

    def _missing(self, updates: list[RunUpdate]) -> list[RunUpdate]:
        lacking = []
        for update in updates:
            held = (self._held or {}).get(update.trial, Held())
            if held.told < update.events <= held.events:  # it was told of in an earlier form
                lacking.append(replace(update, points=new_points(update.points)))
            elif update.events > held.events:
                lacking.append(update)
        return lacking

    def _read_new(self) -> None:
        if self._is_corrupt or not self._journal.exists():
            return
        try:
            for entry in read_events(self._journal, self._last):
                if self._sweep is None and isinstance(entry.event, SweepStarted):
                    self._sweep = entry.event
                self._count = entry.n + 1
                updates = [replace(update, events=self._count) for update in self._translated(entry)]
                if updates:
                    self._waiting.append((self._count, updates))
                self._last = entry
        except InputError as error:  # the driver says the same and stops
            self._is_corrupt = True
            self._say("problem", str(error))

    def _translated(self, entry: Entry) -> list[RunUpdate]:
        if self._sweep_state is None:
            self._space = self._space or recorded_space(self._folder)
            self._facts = self._facts or FolderFacts(self._folder, self._space)
            self._sweep_state = SweepState(self._space)
        try:
            self._sweep_state.apply(entry.event)
            return updates_of(self._sweep_state, entry.event, self._facts)
        except InputError:
            raise
        except Exception as error:  # one event that cannot be put into words keeps no other one back
            self._say("refused", f"journal event {entry.n}: {cause_of(error)}")
            return []

    def finish(self, deadline: float) -> bool:
        """Send all there is, the last word on the runs and the sweep's files; False when time.monotonic() reached `deadline`."""
        if self._failures:
            deadline, self._next_try = min(deadline, time.monotonic() + LAST_TRY_SECONDS), 0.0
        while not self._finish_once(deadline):
            if time.monotonic() >= deadline:
                return False
        return True

    def _finish_once(self, deadline: float) -> bool:
        self._is_sure = False
        for is_second in (False, True):
            if is_second and self._is_sure:
                break
            if is_second and not self._until_done(self._look_again, deadline):
                return False
            while not self.forward(deadline):
                if time.monotonic() >= deadline:
                    return False
                time.sleep(min(0.2, max(0.0, self._next_try - time.monotonic())))
            if self._sweep is None:
                return True
        last_words = self._interrupted() if self._has_last_word else []
        jobs: list[Callable[[], None]] = [lambda: self._send(last_words)] if last_words else []
        is_done = all(self._until_done(job, deadline) for job in jobs) and self._stand(deadline)
        is_done = is_done and self._until_done(self._find_files, deadline) and self._upload_all(deadline)
        return is_done and self.forward_curves(deadline, is_due=True)

    def _look_again(self) -> None:
        """Ask the store whether it has all that was sent; where it has not, begin anew."""
        assert self._sweep is not None
        if self._store.held(self._sweep) == self._held:
            self._is_sure = True
        else:
            self._begin_anew()
            self._read_new()

    def _until_done(self, job: Callable[[], None], deadline: float) -> bool:
        while not self._attempt(job):
            if time.monotonic() >= deadline or self._held is None:
                return False
            time.sleep(max(0.0, min(self._next_try, deadline) - time.monotonic()))
        return True

    def _send(self, updates: list[RunUpdate]) -> None:
        assert self._sweep is not None
        self._is_sure = False
        self._store.send(self._sweep, merged(updates))
        if self._held is not None:
            for update in updates:
                self._held[update.trial] = held_after(self._held.get(update.trial, Held()), update)

    def _attempt(self, job: Callable[[], None]) -> bool:
        try:
            job()
        except Exception as error:  # the edge: whatever a store raises, the sweep goes on
            if isinstance(error, Vanished):
                self._sent_before = self._state.sent
                self._begin_anew()
                self._read_new()
            elif self._failures == 0:
                self._say("problem", cause_of(error))
            self._next_try = time.monotonic() + RETRY_SECONDS[min(self._failures, len(RETRY_SECONDS) - 1)]
            self._failures += 1
            return False
        if self._failures:
            self._say("recovered", f"after {self._failures} failures")
        self._failures, self._next_try = 0, 0.0
        return True

    # Where the sweep stands ------------------------------------------------------------------------------------------

    def forward_standing(self) -> None:
        """Bring ranks, the best first, and the description up to date, and the page of the report, when it is time."""
        if self._held is None or self._waiting or time.monotonic() < max(self._next_try, self._standing_due):
            return
        start = time.monotonic()
        if ranks := self._ranks_left()[:RANKS_AT_A_TIME]:
            self._attempt(lambda: self._send(ranks))
        self._attempt(self._describe)
        if start >= self._files_due and self._failures == 0:
            self._files_due = start + 6 * STANDING_SECONDS
            for name in self._files.changed_early(self._state.artifacts):
                self._attempt(lambda name=name: self._upload(name))  # type: ignore[misc]
        seconds = time.monotonic() - start
        self._standing_due = time.monotonic() + max(STANDING_SECONDS, seconds / STANDING_SHARE)

    def _ranks_left(self) -> list[RunUpdate]:
        if self._sweep_state is None or self._held is None:
            return []
        return changed_ranks(self._sweep_state, self._held)

    def _stand(self, deadline: float) -> bool:
        """All that `forward_standing` sends but files, until it is there; not later than `deadline`, once begun."""
        ranks = self._ranks_left()
        for start in range(0, len(ranks), RUNS_AT_A_TIME):
            if not self._until_done(partial(self._send, ranks[start : start + RUNS_AT_A_TIME]), deadline):
                return False
            self._say("sent", "ranks of trials")
        return self._until_done(self._describe, deadline)

    def _describe(self) -> None:
        if self._sweep is None or self._described == self._count or SWEEP not in (self._held or {}):
            return
        if (state := self._sweep_state) is not None:
            resume = self._facts.resume if self._facts is not None else ""
            self._store.describe(self._sweep, note_of(state, self._store.pages(self._sweep), resume), state.space)
        self._described = self._count
        self._know_pages(self._store.pages(self._sweep))

    def _know_pages(self, pages: Pages) -> None:
        known = replace(self._state, experiment_id=pages.experiment, run_id=pages.runs.get(SWEEP, ""), view=pages.view)
        if known != self._state:
            self._state.experiment_id, self._state.run_id, self._state.view = known.experiment_id, known.run_id, known.view
            self._save()

    # Files ----------------------------------------------------------------------------------------------------------

    def _find_files(self) -> None:
        """Which files the store has not got as they are now: by what it has, and by what was uploaded."""
        assert self._sweep is not None
        try:
            there = self._store.files(self._sweep)
        except Vanished:
            raise
        except Exception:  # a store that is away takes no file either; one that may not be looked at gets them all
            there = {}
        self._files_left = self._files.lacking(self._state.artifacts, there)

    def _upload_all(self, deadline: float) -> bool:
        while self._files_left:
            name = self._files_left[0]
            if not self._until_done(lambda name=name: self._upload(name), deadline):  # type: ignore[misc]
                return False
            del self._files_left[0]
            self._say("sent", f"{name}, {len(self._files_left)} files to go")
        return True

    def _upload(self, name: str) -> None:
        assert self._sweep is not None
        if not self._files.is_own(name):  # deleted meanwhile, or replaced by a link
            return
        mark = self._files.mark(name)
        size = self._store.upload(self._sweep, self._folder / name, name.rpartition("/")[0])
        self._state.artifacts[name] = [*mark, size]
        self._save()
