"""Who is best: the order of the trials, who of them is to be confirmed, and what fresh seeds said of those."""

import math

from trm.search.confirmation import next_to_confirm
from trm.search.journal.events import Event, LegEnded
from trm.search.journal.trial import Trial
from trm.search.state import Fold


class Ranking(Fold):
    """What the journal says of who is best."""

    _by_rung: list[Trial] | None = None
    """The leaderboard, the highest rungs first: kept until the next score, since a budget asks for its candidates at every step."""

    def apply(self, event: Event) -> None:
        """Takes an event in; SweepError when it cannot follow what came before."""
        super().apply(event)
        if isinstance(event, LegEnded) and not self.trials[event.trial].is_confirmation:
            self._by_rung = None

    @property
    def is_hopeless(self) -> bool:
        """Whether trials failed and none ever completed a leg: the job has failed, not only its trials."""
        return bool(self._failed) and self._best is None

    @property
    def first_failure(self) -> str | None:
        """Why the first trial that failed, or was lost again and again, did; null when none did."""
        trouble = self.trials[min(self._failed)].trouble if self._failed else None
        return trouble.error if trouble is not None else None

    def leaderboard(self) -> list[Trial]:
        """Trials of the search that were scored, best first by their last scores (`order.py`).

        With several objectives front by front, and so within each front: the first is the best by the objective's own metric.
        """
        if not self.space.objective.against:
            return self._by_metric()
        return [trial for front in self.fronts() for trial in front]

    def fronts(self) -> list[list[Trial]]:
        """Those trials by Pareto front of their last scores, the best first; with one objective, equals are a front."""
        scores = [trial.score for trial in self._by_metric() if trial.score is not None]
        return [[self.trials[number] for number in front] for front in self.score_order.fronts(scores)]

    def _by_metric(self) -> list[Trial]:
        keys = sorted(self.score_order.last_key(trial.score) for trial in self.searched if trial.score is not None)
        return [self.trials[key[-1]] for key in keys]

    def candidates(self) -> list[Trial]:
        """Trials to confirm, best first; none where nothing is to be confirmed."""
        return self.candidates_of(self.confirm.top) if self.confirm is not None else []

    def candidates_of(self, count: int) -> list[Trial]:
        """The best trials that could be confirmed: those scored at the highest rungs, each with another configuration.

        Of a configuration's replicates the one that was confirmed before; none of a population, whose members change theirs.
        """
        if self.space.scheduler.changes_knobs:
            return []
        if self._by_rung is None:
            self._by_rung = sorted(self.leaderboard(), key=lambda trial: -(trial.rung or 0))
        found: dict[str, Trial] = {}
        for trial in self._by_rung:
            if trial.status not in ("diverged", "out_of_memory", "failed"):
                found.setdefault(trial.asked.digest, trial)
            if len(found) == count:
                break
        known = {self.trials[number].asked.digest: self.trials[number] for number in self.confirmations}
        return [known.get(digest, trial) for digest, trial in found.items()]

    def next_to_confirm(self) -> int | None:
        """The candidate that gets the next fresh seed; None when enough is known."""
        if self.confirm is None:
            return None
        scores = {trial.number: self.fresh_scores(trial.number) for trial in self.candidates()}
        running = {number: self._running(number) for number in scores}
        return next_to_confirm(scores, running, self.confirm, self.space.objective.mode, self.space.seed)

    def given_seeds(self) -> dict[int, int]:
        """Candidate -> fresh seeds that it has got, those of runs that have not come out included."""
        numbers = [trial.number for trial in self.candidates()]
        return {number: len(self.fresh_scores(number)) + self._running(number) for number in numbers}

    def _running(self, number: int) -> int:
        return sum(not _has_come_out(trial) for trial in self.confirmations.get(number, []))

    def fresh_scores(self, number: int) -> list[float]:
        """Objectives of a trial's confirmations that came out, at the last rung; not a number where one came to no score.

        Those of a time when the last rung was another do not count, nor those that were cut short or set aside.
        """
        ended = [trial for trial in self.confirmations.get(number, []) if _has_come_out(trial)]
        there = [trial for trial in ended if _rung_of(trial) == self.rungs.last]
        scores = [trial.result.objective if trial.result is not None else None for trial in there]
        return [math.nan if score is None else score for score in scores]


def _rung_of(confirmation: Trial) -> int | None:
    """Where it was scored, or came to no score."""
    if confirmation.rung is None and confirmation.decided is not None:
        return confirmation.decided.rung
    return confirmation.rung


def _has_come_out(confirmation: Trial) -> bool:
    return bool(confirmation.results) or confirmation.status in ("diverged", "out_of_memory", "failed")
