"""What a sweep's confirmations came to: who is best now, whose weights stand for it, and whether the data support it."""

import math
from dataclasses import dataclass
from typing import Any

from trm.search.confirmation import candidates_of, fresh_scores, keeping, own_scores
from trm.search.journal.trial import Trial
from trm.search.space.rules import confirms_ahead
from trm.search.state import SweepState
from trm.stats.best_of import ConfirmationStatistics, Confirmed, confirmation_statistics


@dataclass(frozen=True)
class Winner:
    """The best configuration, and the run whose weights are exported."""

    trial: Trial
    """Its trial in the search."""
    run: Trial
    """See `best_run`; without confirmations, the trial itself."""
    confirmed: Confirmed | None
    """What fresh seeds say; null: it is not confirmed."""


def confirmed_statistics(state: SweepState) -> ConfirmationStatistics:
    """Trials with scores on fresh seeds, best mean first.

    Where slots that would idle confirm ahead, a candidate that was overtaken keeps the few seeds that it got: a lucky one would win
    by them. So only those count that have as many as every candidate gets first, or as the one with most has by now.
    """
    scores = {number: fresh_scores(state, number) for number in keeping(state, state.confirmations)}
    if state.confirm is not None and confirms_ahead(state.resolver.rules):
        least = min(state.confirm.seeds, max(map(len, scores.values()), default=0))
        scores = {number: found for number, found in scores.items() if len(found) >= least}
    certainty = state.confirm.certainty if state.confirm is not None else 0.95
    own = {number: own_scores(state, number) for number in scores}
    return confirmation_statistics(scores, state.space.objective.mode, state.space.seed, certainty=certainty, own=own)


def ranked(state: SweepState) -> list[tuple[Trial, Confirmed | None]]:
    """The search's trials that were scored, best first: confirmed ones by their mean over seeds, then the others.

    Those by the rank at which this driver reported on them, then by their last score. Where no fresh seed came to a score, there
    are no weights to give, and what is confirmed stands last.
    """
    rows = confirmed_statistics(state).rows
    known, ranks = {row.trial for row in rows}, _reported_ranks(state)
    rest = [trial for trial in state.leaderboard() if trial.number not in known]
    others = [(trial, None) for trial in sorted(rest, key=lambda trial: ranks.get(trial.number, math.inf))]
    confirmed = sorted(((state.trials[row.trial], row) for row in rows), key=lambda pair: best_run(state, pair[0].number) is None)
    has_weights = bool(rows) and best_run(state, confirmed[0][0].number) is not None
    return [*confirmed, *others] if has_weights else [*others, *confirmed]


def winner(state: SweepState) -> Winner | None:
    """The first of `ranked` that has weights; None while no trial was scored."""
    if not state.confirmations and not state.reports:
        leader = state.leader
        return None if leader is None else Winner(leader, leader, None)
    for trial, confirmed in ranked(state):
        run = trial if confirmed is None else best_run(state, trial.number)
        if run is not None:
            return Winner(trial, run, confirmed)
    return None


def _reported_ranks(state: SweepState) -> dict[int, int]:
    since = state.driver.at if state.driver is not None else 0.0
    return {number: report.rank for number, report in state.reports.items() if report.at >= since}


def best_run(state: SweepState, number: int) -> Trial | None:
    """Of a trial's confirmations the one with the best score so far; of the search's own winner, whose score counts, also itself.

    Of other trials `keep` may have deleted the checkpoint before anybody thought of confirming them.
    """
    fresh, trial = fresh_runs(state, number), state.trials[number]
    is_one = fresh and trial is state.leader and trial.rung == state.rungs.last and own_scores(state, number)
    scores = [run.score for run in ([*fresh, trial] if is_one else fresh) if run.score is not None]
    best = min(scores, key=lambda score: (score.violation, state.order.cost(score.objective), score.trial), default=None)
    return state.trials[best.trial] if best is not None else None


def fresh_runs(state: SweepState, number: int) -> list[Trial]:
    """A trial's confirmations that were scored at the last rung."""
    return [run for run in state.confirmations.get(number, []) if run.rung == state.rungs.last]


def confirmation_notes(state: SweepState) -> dict[str, Any]:
    """Whether the data support the winner, and a sentence that says so; JSON."""
    found = confirmed_statistics(state)
    if found.rows:
        return {"supported": found.is_supported, "sentence": found.sentence}
    best = state.leader
    if best is None:
        return {"supported": False, "sentence": "no trial has a score"}
    sentence = f"one seed: trial {best.number} is not confirmed"
    remedy = (
        "; go on with --resume --confirm 3, which trains the best three again on fresh seeds" if candidates_of(state, 1) else ""
    )
    return {"supported": False, "sentence": sentence + remedy}


def confirmed_values(state: SweepState, row: Confirmed) -> dict[str, Any]:
    """What fresh seeds say of a trial; JSON."""
    return {
        "mean": row.mean,
        "interval_95": None if row.low is None or row.high is None else [row.low, row.high],
        "seeds": row.seeds,
        "scores": list(row.scores),
        **({"own_scores": list(row.own)} if row.own else {}),
        "failed": row.failed,
        "p_best": row.p_best,
        "runs": [run.number for run in fresh_runs(state, row.trial)],
    }
