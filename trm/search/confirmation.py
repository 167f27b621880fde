"""Which of the best trials is really the best: seeds that the search never saw, and what they prove.

A search's own score of its winner was selected for being high, so it says too much of it (the winner's curse). Yet among a few
candidates, all of them selected so, it tells which is better as a fresh one does: it counts beside those of fresh seeds (sweeps of
the rules before go by fresh ones alone). `scores` are those of fresh seeds, by candidate: the trial whose configuration they
repeat. A run that came to no score counts as the worst one (`math.nan`).
"""

import math
from collections.abc import Iterable, Mapping, Sequence

from trm.search.journal.trial import Ended, Trial
from trm.search.settings import Confirm
from trm.search.space.rules import confirms_ahead, counts_own_scores
from trm.search.state import SweepState
from trm.stats.best_of import Mode, p_best, together

NO_CANDIDATE = ("diverged", "out_of_memory", "failed")
"""Statuses of trials that are not confirmed, whatever they scored before."""


def next_to_confirm(
    scores: Mapping[int, Sequence[float]],
    running: Mapping[int, int],
    confirm: Confirm,
    mode: Mode,
    seed: int,
    *,
    own: Mapping[int, Sequence[float]] | None = None,
) -> int | None:
    """The candidate that gets the next fresh seed; None: none for now, and when nothing runs, none any more.

    Every candidate gets `confirm.seeds` first, the one with the fewest before the others. Then the likeliest winner and those
    that could still win, one run of each at a time, the one with the fewest seeds first, until one is the best with
    `confirm.certainty` or all of them have `confirm.most_seeds`. All candidates are keys of `scores`, with no scores at first.
    `own`: the search's scores, where they count.
    """
    given = {trial: len(found) + running.get(trial, 0) for trial, found in scores.items()}
    if short := [trial for trial, count in given.items() if count < confirm.seeds]:
        return min(short, key=lambda trial: given[trial])
    if len(scores) < 2 or any(len(found) < confirm.seeds for found in scores.values()):
        return None
    likely = p_best(together(own or {}, scores), mode, seed)
    if max(likely.values()) >= confirm.certainty:
        return None
    could_win = [trial for trial, p in likely.items() if p >= (1 - confirm.certainty) / len(likely)]
    open_ones = [trial for trial in could_win if given[trial] < confirm.most_seeds and not running.get(trial)]
    return min(open_ones, key=lambda trial: (given[trial], -likely[trial]), default=None)


def candidates(state: SweepState) -> list[Trial]:
    """Trials to confirm, best first; none where nothing is to be confirmed."""
    return candidates_of(state, state.confirm.top) if state.confirm is not None else []


def candidates_of(state: SweepState, count: int) -> list[Trial]:
    """The best trials that could be confirmed: those scored at the highest rungs, each with another configuration.

    Of a configuration's replicates the one that was confirmed before; none of a population, whose members change theirs.
    """
    if state.space.scheduler.changes_knobs:
        return []
    some_keep = state.leader is not None and keeps_outcomes(state.leader)

    def is_wanted(trial: Trial) -> bool:
        return trial.status not in NO_CANDIDATE and (keeps_outcomes(trial) or not some_keep)

    best = state.best_of_each(count, is_wanted)
    known = {state.trials[number].asked.digest: state.trials[number] for number in state.confirmations}
    return [known.get(trial.asked.digest, trial) for trial in best]


def keeps_outcomes(trial: Trial) -> bool:
    """Whether its last score breaks no outcome constraint."""
    return trial.score is None or trial.score.violation == 0


def keeping(state: SweepState, numbers: Iterable[int]) -> list[int]:
    """Of some candidates those all of whose runs keep the outcome constraints; all candidates where none is so."""
    candidates = list(numbers)
    runs = {number: [state.trials[number], *state.confirmations.get(number, [])] for number in candidates}
    kept = [number for number in candidates if all(map(keeps_outcomes, runs[number]))]
    return kept or candidates


def next_candidate(state: SweepState) -> int | None:
    """The candidate that gets the next fresh seed; None when enough is known."""
    if state.confirm is None:
        return None
    scores = {number: fresh_scores(state, number) for number in keeping(state, [trial.number for trial in candidates(state)])}
    running = {number: _running(state, number) for number in scores}
    own = {number: own_scores(state, number) for number in scores}
    return next_to_confirm(scores, running, state.confirm, state.order.mode, state.space.seed, own=own)


def next_ahead(state: SweepState) -> int | None:
    """The candidate that gets a fresh seed while the search's last trials still run; None: none of them needs one.

    Candidates come from the last rung and the one before it, for the search is not over. None where compute is limited: what a
    trial takes that does not stay a candidate would be missed elsewhere.
    """
    confirm, last, budget = state.confirm, state.rungs.last, state.budget
    is_limited = budget.train_flops is not None or budget.gpu_hours is not None
    if confirm is None or is_limited or not state.has_asked_all or not confirms_ahead(state.resolver.rules):
        return None
    count = confirm.ahead
    if count is None:
        count = confirm.top if state.slots > confirm.top * confirm.seeds else 0
    found = [trial for trial in candidates_of(state, count) if trial.rung is not None and trial.rung >= last - 1] if count else []
    given = {trial.number: len(fresh_scores(state, trial.number)) + _running(state, trial.number) for trial in found}
    short = [number for number, seeds in given.items() if seeds < confirm.seeds]
    return min(short, key=lambda number: given[number], default=None)


def unneeded(state: SweepState) -> frozenset[int]:
    """Confirmations that run though another trial has taken their candidate's place; empty while the search's trials run."""
    if not confirms_ahead(state.resolver.rules) or not all(state.trials[number].is_confirmation for number in state.running):
        return frozenset()
    running = [*(state.trials[leg.trial] for leg in state.open_legs), *state.waiting]
    if not all(trial.is_confirmation for trial in running):
        return frozenset()
    wanted = {trial.number for trial in candidates(state)}
    return frozenset(trial.number for trial in running if trial.asked.confirms not in wanted)


def given_seeds(state: SweepState) -> dict[int, int]:
    """Candidate -> fresh seeds that it has got, those of runs that have not come out included."""
    numbers = [trial.number for trial in candidates(state)]
    return {number: len(fresh_scores(state, number)) + _running(state, number) for number in numbers}


def fresh_scores(state: SweepState, number: int) -> list[float]:
    """Objectives of a trial's confirmations that came out, at the last rung; not a number where one came to no score.

    Those of a time when the last rung was another do not count, nor those that were cut short or set aside.
    """
    ended = [trial for trial in state.confirmations.get(number, []) if _has_come_out(trial)]
    there = [trial for trial in ended if _rung_of(trial) == state.rungs.last]
    return [trial.score.objective if trial.score is not None else math.nan for trial in there]


def own_scores(state: SweepState, number: int) -> list[float]:
    """The search's objectives of a candidate's configuration at the last rung, where they count; of all its replicates."""
    if not counts_own_scores(state.resolver.rules):
        return []
    digest, last = state.trials[number].asked.digest, state.rungs.last
    alike = [trial for trial in state.searched if trial.asked.digest == digest]
    return [trial.scores[last].objective for trial in alike if last in trial.scores]


def _running(state: SweepState, number: int) -> int:
    over = Ended("stopped")  # nobody needed it any more
    return sum(not _has_come_out(trial) and trial.phase != over for trial in state.confirmations.get(number, []))


def _rung_of(confirmation: Trial) -> int | None:
    """Where it was scored, or came to no score."""
    if confirmation.rung is None and confirmation.decided is not None:
        return confirmation.decided.rung
    return confirmation.rung


def _has_come_out(confirmation: Trial) -> bool:
    return bool(confirmation.results) or confirmation.status in NO_CANDIDATE
