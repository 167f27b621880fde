"""What a sweep's confirmations came to: who is best now, whose weights stand for it, and whether the data support it."""

from dataclasses import dataclass
from typing import Any

from trm.search.journal.trial import Trial
from trm.search.leaderboard import Ranking
from trm.stats.best_of import Confirmed, Standings, standings


@dataclass(frozen=True)
class Winner:
    """The best configuration, and the run whose weights are exported."""

    trial: Trial
    """Its trial in the search."""
    run: Trial
    """Of its confirmations the one with the best score; without any, the trial itself."""
    confirmed: Confirmed | None
    """What fresh seeds say; null: it is not confirmed."""


def confirmed_standings(search: Ranking) -> Standings:
    """Trials with scores on fresh seeds, best mean first."""
    scores = {number: search.fresh_scores(number) for number in search.confirmations}
    certainty = search.confirm.certainty if search.confirm is not None else 0.95
    return standings(scores, search.space.objective.mode, search.space.seed, certainty=certainty)


def ranked(search: Ranking) -> list[tuple[Trial, Confirmed | None]]:
    """The search's trials that were scored, best first: confirmed ones by their mean, then the others by their last score."""
    rows = confirmed_standings(search).rows
    known = {row.trial for row in rows}
    others = [trial for trial in search.leaderboard() if trial.number not in known]
    return [*((search.trials[row.trial], row) for row in rows), *((trial, None) for trial in others)]


def winner(search: Ranking) -> Winner | None:
    """The best of all, confirmed where that was done; None while no trial was scored."""
    for trial, confirmed in ranked(search):
        run = trial if confirmed is None else best_run(search, trial.number)
        if run is not None:  # a candidate none of whose runs came to a score has no weights to give
            return Winner(trial, run, confirmed)
    return None


def best_run(search: Ranking, number: int) -> Trial | None:
    """Of a trial's confirmations the one with the best score so far."""
    scores = [run.score for run in fresh_runs(search, number) if run.score is not None]
    best = min(scores, key=lambda score: (search.score_order.cost(score.objective), score.trial), default=None)
    return search.trials[best.trial] if best is not None else None


def fresh_runs(search: Ranking, number: int) -> list[Trial]:
    """A trial's confirmations that were scored at the last rung."""
    return [run for run in search.confirmations.get(number, []) if run.rung == search.rungs.last]


def confirmation_notes(search: Ranking) -> dict[str, Any]:
    """Whether the data support the winner, and a sentence that says so; JSON."""
    found = confirmed_standings(search)
    if found.rows:
        return {"supported": found.is_supported, "sentence": found.sentence}
    best = next(iter(search.leaderboard()), None)
    if best is None:
        return {"supported": False, "sentence": "no trial has a score"}
    sentence = f"one seed: trial {best.number} is not confirmed"
    remedy = (
        "; go on with --resume --confirm 3, which trains the best three again on fresh seeds" if search.candidates_of(1) else ""
    )
    return {"supported": False, "sentence": sentence + remedy}


def confirmed_values(search: Ranking, row: Confirmed) -> dict[str, Any]:
    """What fresh seeds say of a trial; JSON."""
    return {
        "mean": row.mean,
        "interval_95": None if row.low is None or row.high is None else [row.low, row.high],
        "seeds": len(row.scores),
        "scores": list(row.scores),
        "failed": row.failed,
        "p_best": row.p_best,
        "runs": [run.number for run in fresh_runs(search, row.trial)],
    }
