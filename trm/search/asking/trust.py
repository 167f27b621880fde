"""Which configurations of earlier sweeps are tried here, and when: an earlier sweep is believed as far as it proves right.

Its scores tell in which order the trials here should stand at their first rung (`RankPrediction`). It is believed while that is
right for at least two thirds of the pairs among the newest trials, not before four were scored, and while what was tried on its
word stands in the better half. Then

- of one about the same question the best configuration is tried, and its trials are shown to the sampler, which chooses with
  them something that was not tried there;
- one about something else (`Prior.differences`) is only tried: its best configurations, every fourth trial, a few in all.

Nothing is spent on finding out, so a wrong one costs about nothing.

The sampler `carried` tries nothing else: the best, and some spread over the rest of the ranking, so that the rank correlation
between the two sweeps can be told (`transfer.py`).
"""

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trm.search.journal.priors import Prior, PriorTrial
from trm.search.journal.trial import Trial
from trm.search.knobs.knobs import ChoiceKnob, Knob
from trm.search.knobs.places import along
from trm.search.order import Order
from trm.search.schedulers.rung import Rung
from trm.search.space.space import SearchSpace

FEWEST_SCORED, NEWEST_SCORED = 4, 40
"""Scored trials before anything is believed, and how many of the newest are looked at."""
RIGHT_PAIRS_SHARE = 2 / 3
"""Of the pairs whose order must have been told."""
MOST_CARRIED, MARKED_MOST = 1, 3
"""Configurations of an earlier sweep that are tried again beside a sampler's; of one about something else."""
MARKED_EVERY = 4
"""Trials from one of those to the next, where it was about something else."""
NEAREST_TRIALS = 3


@dataclass(frozen=True)
class Suggestion:
    """What an earlier sweep suggests for the next trial."""

    configurations: Sequence[tuple[int, Mapping[str, Any]]]
    """(the earlier sweep's place in the journal, parameters): the first that is new here is tried."""
    suggested_by: int | None = None
    """When none is new, the sampler chooses with what this earlier sweep knows; null: with nothing."""
    advice: Sequence[PriorTrial] = ()
    """Trials of the earlier sweep that advises, shown to the sampler; empty without trust in it."""


@dataclass(frozen=True)
class Past:
    """What a sweep has seen of its trials."""

    trials: Sequence[Trial]
    rung_of: Callable[[int, int], Rung]
    """(trial, rung) -> the scores among which the trial is ranked at that rung."""
    share_of: Callable[[int], float]
    """Rung -> share of a whole trial."""


class Trust:
    """How far the earlier sweeps of one space are trusted: a function of what was scored."""

    def __init__(self, space: SearchSpace, priors: Sequence[Prior]) -> None:
        self._space, self._priors = space, priors
        self._predictions: dict[tuple[int, float], RankPrediction] = {}

    def suggestion(self, past: Past) -> Suggestion | None:
        """What earlier sweeps suggest for the next trial; None: nothing, the sampler chooses."""
        sampler = self._space.sampler
        if sampler.tries == "earlier":
            return Suggestion(
                [(place, one.params) for place, prior in enumerate(self._priors) for one in sampler.from_earlier(prior)]
            )
        for place, prior in enumerate(self._priors):
            if not self.is_believed(place, past):
                continue
            best = self._best(place, past)
            learns = sampler.learns_from_earlier and not self._space.objective.against
            if learns and not prior.differences:
                return Suggestion(best, place, prior.trials)
            if best:
                return Suggestion(best)
        return None

    def _best(self, place: int, past: Past) -> list[tuple[int, Mapping[str, Any]]]:
        """Its best configurations, when it is their turn."""
        prior, carried = self._priors[place], [trial.asked.source == "carried" for trial in past.trials]
        most, turn = (MARKED_MOST, MARKED_EVERY) if prior.differences else (MOST_CARRIED, 1)
        tried = sum(trial.asked.prior == place and trial.asked.source == "carried" for trial in past.trials)
        if tried >= most or any(carried[max(0, len(carried) - turn + 1) :]):
            return []
        return [(place, one.params) for one in prior.trials[:most]]

    def is_believed(self, place: int, past: Past) -> bool:
        """Whether an earlier sweep told the order of enough of the newest trials here."""
        scored = [trial for trial in past.trials if trial.results][-NEWEST_SCORED:]
        if len(scored) < FEWEST_SCORED:
            return False
        right = pairs = 0
        for one, other in itertools.combinations(scored, 2):
            rung = min(one.results)
            scores = past.rung_of(one.number, rung)
            if min(other.results) != rung or past.rung_of(other.number, rung) is not scores:
                continue
            prediction = self._prediction(place, past.share_of(rung))
            ahead = prediction.place(other.asked.params) - prediction.place(one.asked.params)
            if ahead:
                pairs += 1
                right += (ahead > 0) == (scores.rank(one.number) < scores.rank(other.number))
        return (
            pairs > 0
            and right >= RIGHT_PAIRS_SHARE * pairs
            and _stand_well([one for one in past.trials if one.asked.prior == place], past)
        )

    def _prediction(self, place: int, share: float) -> "RankPrediction":
        if (place, share) not in self._predictions:
            self._predictions[place, share] = RankPrediction(self._space.search, self._priors[place], share)
        return self._predictions[place, share]


class RankPrediction:
    """Where an earlier sweep would place a configuration: between the places of those that it tried nearest to it."""

    def __init__(self, knobs: Mapping[str, Knob], prior: Prior, share: float) -> None:
        """Places by the scores at `share` of a whole trial, or at the share nearest to that."""
        self._knobs = knobs
        cost = Order(prior.mode).cost
        scores = [min(one.scores, key=lambda score: abs(math.log(score.share / share))) for one in prior.trials]
        keys = [(cost(score.objective), math.inf if score.loss is None else score.loss) for score in scores]
        order = sorted(keys)
        self._points = [(self._point(one.params), order.index(key)) for one, key in zip(prior.trials, keys, strict=True)]
        self._known: dict[str, float] = {}

    def place(self, params: Mapping[str, Any]) -> float:
        """From 0, the best; of an untried configuration a mean, weighted by nearness, over the three nearest."""
        key = json.dumps(params, sort_keys=True)
        if key not in self._known:
            point = self._point(params)
            away = sorted((_distance(point, other), place) for other, place in self._points)[:NEAREST_TRIALS]
            weights = [1 / (distance + 1e-6) for distance, _ in away]
            self._known[key] = sum(w * place for w, (_, place) in zip(weights, away, strict=True)) / sum(weights)
        return self._known[key]

    def _point(self, params: Mapping[str, Any]) -> list[float | str | None]:
        """Numbers by how far they are along their knob; a choice that is none keeps its name."""
        return [
            None if path not in params else repr(params[path]) if _is_name(knob) else along(knob, params[path])
            for path, knob in self._knobs.items()
        ]


def _stand_well(trials: Sequence[Trial], past: Past) -> bool:
    """Whether trials stand in the better half of their first rung, all in all."""
    ahead = rivals = 0
    for trial in trials:
        scores = past.rung_of(trial.number, min(trial.results, default=0))
        if trial.results:
            ahead += scores.rank(trial.number)
            rivals += len(scores) - 1
        elif trial.is_troubled:
            ahead += len(scores)
            rivals += len(scores)
    return 2 * ahead <= rivals


def _is_name(knob: Knob) -> bool:
    return isinstance(knob, ChoiceKnob) and knob.numbers is None


def _distance(one: Sequence[float | str | None], other: Sequence[float | str | None]) -> float:
    return sum(
        (a - b) ** 2 if isinstance(a, float) and isinstance(b, float) else float(a != b) for a, b in zip(one, other, strict=True)
    )
