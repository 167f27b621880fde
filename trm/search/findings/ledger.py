"""Where a sweep's compute and time went, by what became of trials, and what early stopping saved: every FLOP once."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from trm.search.journal.trial import Trial
from trm.search.state import SweepState

ENTRIES = ("finished", "stopped", "paused", "running", "diverged", "out_of_memory", "failed", "audit", "confirmation")
"""`audit`: what controls took beyond the rung at which they had been stopped; the rest of them counts as stopped."""
DECIDED = ("finished", "stopped")
"""Statuses of trials that a sweep without early stopping would have trained to the end; paused ones may yet go on until it ends."""


@dataclass(frozen=True)
class Entry:
    """What trials of one kind took."""

    what: str
    trials: int
    train_flops: float
    """Of all their legs, failed attempts included."""
    train_seconds: float
    eval_seconds: float
    overhead_seconds: float


@dataclass(frozen=True)
class Ledger:
    """Where compute and time went."""

    entries: tuple[Entry, ...]
    """Those that are not empty, in the order of `ENTRIES`."""
    train_flops: float
    """What the sweep has spent: the sum over entries."""
    full_flops: float
    """What the trials that are decided, and were not in trouble, would have taken, had each been trained to the last rung."""
    saved_flops: float
    """Of that, what they did not take."""

    @property
    def sentence(self) -> str:
        """What early stopping saved, in words."""
        if self.full_flops <= 0:
            return "what early stopping saves is known when trials have come to their end"
        return f"early stopping saved {self.saved_flops / self.full_flops:.0%} of what training every trial to the end takes"

    @property
    def values(self) -> dict[str, Any]:
        """JSON."""
        return asdict(self) | {"sentence": self.sentence}


def ledger(state: SweepState) -> Ledger:
    """Where the compute and the time of the legs that ended went."""
    parts = [part for trial in state.trials for part in _parts(state, trial)]
    entries = [_entry(what, [part for part in parts if part.what == what]) for what in ENTRIES]
    decided = DECIDED if state.ended is None else (*DECIDED, "paused")
    would_run = [trial for trial in state.searched if trial.status in decided and not trial.is_control]
    full = sum(trial.asked.step_flops * trial.asked.max_steps for trial in would_run)
    spent = sum(trial.spent_flops for trial in would_run)
    return Ledger(
        tuple(entry for entry in entries if entry.trials),
        sum(entry.train_flops for entry in entries),
        max(full, spent),
        max(0.0, full - spent),
    )


def _parts(state: SweepState, trial: Trial) -> Iterable[Entry]:
    """What a trial took: one part, or two of a control."""
    whole = (trial.spent_flops, trial.train_seconds, trial.eval_seconds, trial.overhead_seconds)
    if trial.is_confirmation:
        yield Entry("confirmation", 1, *whole)
    elif trial.control_from is None or trial.control_from not in trial.results:
        yield Entry(trial.status, 1, *whole)
    else:
        until = [result for rung, result in trial.results.items() if rung <= trial.control_from]
        before = (
            trial.results[trial.control_from].train_flops,
            sum(result.train_seconds for result in until),
            sum(result.eval_seconds for result in until),
            sum(result.overhead_seconds for result in until),
        )
        yield Entry("stopped", 1, *before)
        yield Entry("audit", 1, *(all_of_it - early for all_of_it, early in zip(whole, before, strict=True)))


def _entry(what: str, parts: Iterable[Entry]) -> Entry:
    found = list(parts)
    return Entry(
        what,
        len(found),
        sum(part.train_flops for part in found),
        sum(part.train_seconds for part in found),
        sum(part.eval_seconds for part in found),
        sum(part.overhead_seconds for part in found),
    )
