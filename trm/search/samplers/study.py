"""Optuna's study as a view of the journal, followed from ask to ask.

| a trial that is | is shown as | because |
| --- | --- | --- |
| finished | COMPLETE with its objective | it is one |
| stopped, paused | PRUNED with a value a rung | samplers rank it by its rung, below every finished one |
| running, scored at a rung already | PRUNED likewise | as RUNNING it would count as bad, though it was good enough to go on |
| running, not scored yet | RUNNING | counts as bad until it is scored, so that trials side by side spread |
| stopped before it was scored, or set aside | FAIL, of which samplers learn nothing | it is not known how good it is |
| stalled, lost, to be tried again | RUNNING, or PRUNED once scored | it is the node's fault, not the configuration's |
| diverged, out of memory, failed | PRUNED, a constraint broken | ranks behind all others, and no made-up value spoils the scale |
| a member that adopted weights | PRUNED, as asked and scored before that | later scores are not the merit of what was asked |
| rejected before it was asked | not at all | no slot was taken, and the next draw keeps the rule |

The Gaussian process and NSGA-II look at COMPLETE alone, and early stopping leaves few of those: to them every scored trial is
COMPLETE, its value the normal score of its place among all, which are ordered as above; what diverged comes last. Where none was
stopped early they are shown what was scored. Sweeps of rules 1 to 4 show them finished trials alone.

TPE ranks by the rung first, so that the first few that finished are its best, whatever they scored. To the sampler `surrogate` its
rows say of every scored trial what that is worth across rungs (`standing.py`).

With several objectives `study_fronts.py` has the study and the table.

A value is the objective, ties broken by validation loss: where all score zero, the loss teaches.

TPE and the Gaussian process look at every trial at every ask, so that an ask would cost more and more: they are shown at most
`most_shown` trials (`sampler.py`), the best tenth of those and the latest. `tests/search/test_sampler.py` holds what samplers make
of each row.
"""

import itertools
import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from trm.search.journal.priors import PriorTrial
from trm.search.journal.trial import Trial
from trm.search.knobs.knobs import Knob
from trm.search.order import Order
from trm.search.samplers.distributions import distribution
from trm.search.samplers.study_changes import Changes
from trm.search.samplers.study_rows import StudyRows
from trm.search.samplers.study_storage import NAME, HistoryStorage
from trm.search.schedulers.rungs import Rungs

MOST_ADVISED = 200
"""Trials of an earlier sweep that a sampler is shown, evenly spread over its ranking."""
DIRECTIONS = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}
SCORED = (TrialState.COMPLETE, TrialState.PRUNED)
LOSS_WEIGHT = 1e-7
"""Below one example in a million, above the rounding of a float."""

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True)
class Shown:
    """What Optuna is shown of a trial."""

    state: Literal["complete", "pruned", "running", "impossible", "unknown"]
    values: tuple[tuple[int, float], ...]
    """(rung, value), growing."""


def shown(trial: Trial, order: Order, *, with_loss: bool = True) -> Shown:
    """The row of the table above that `trial` is in."""
    own = [rung for rung in sorted(trial.results) if not trial.adoptions or rung <= trial.adoptions[0].rung]
    scores = [(rung, trial.scores[rung]) for rung in own]
    values = tuple((rung, _value(one.objective, one.tie if with_loss else None, order)) for rung, one in scores)
    if trial.is_troubled:
        return Shown("impossible", ())
    if trial.status == "finished" and not trial.adoptions:
        return Shown("complete", values)
    if values:
        return Shown("pruned", values)
    return Shown("running" if trial.status == "running" else "unknown", ())


class StudyView:
    """Builds studies; keeps what it built of a trial for as long as what is shown of it stays the same."""

    def __init__(
        self,
        knobs: Mapping[str, Knob],
        order: Order,
        *,
        most: int | None = None,
        as_finished: bool = False,
        by_standing: bool = False,
    ) -> None:
        """A view for trials whose parameters come from `knobs`; a study holds at most the best and latest `most` of them.

        `as_finished`: to a sampler that looks at finished trials alone, all scored ones are shown so, by their places.
        `by_standing`: what TPE reads of a scored trial is what that is worth across rungs.
        """
        self._as_finished, self._by_standing = as_finished, by_standing
        self._distributions = {path: distribution(knob) for path, knob in knobs.items()}
        self._order = order
        self._most = most
        self._direction = DIRECTIONS[order.mode]
        self._changes = Changes()
        self._forget()

    def _forget(self) -> None:
        self._built: list[_Built] = []
        self._places: list[_Place] = []
        """Of all trials, sorted."""
        self._rows = StudyRows(self._distributions, [self._direction])

    def study(
        self, trials: Sequence[Trial], sampler: optuna.samplers.BaseSampler, before: Sequence[FrozenTrial] = ()
    ) -> optuna.Study:
        """A study in memory that holds `trials`, those of earlier sweeps before them."""
        self._follow(trials)
        shown_ones = self._chosen(len(trials))
        frozen = [*before, *(self._built[index].trial for index in shown_ones)]
        told = None if self._as_finished else self._rows.told(shown_ones, before)
        if told is not None and self._by_standing:
            told = told.by_standing(frozen, self._order.cost)
        if self._as_finished:
            frozen = self._finished(frozen)
        for index, one_trial in enumerate(frozen):
            one_trial.number = one_trial._trial_id = index
        return optuna.Study(NAME, HistoryStorage([self._direction], frozen, told), sampler=sampler)

    def _follow(self, trials: Sequence[Trial]) -> None:
        """Builds what is shown of trials of which something else is shown than before."""
        is_other, changed = self._changes.since(trials)
        if is_other:
            self._forget()
        for index in changed:
            self._build(index, trials[index])

    def _build(self, index: int, trial: Trial) -> None:
        stage = (trial.status, len(trial.results), len(trial.adoptions))  # what is shown follows from these and what stays
        known = self._built[index] if index < len(self._built) else None
        if known is not None:
            if known.stage == stage:
                return
            del self._places[bisect_left(self._places, known.place)]
        now = shown(trial, self._order)
        made = _Built(stage, _place(now, self._order, trial, index), frozen_trial(trial, now, self._distributions))
        self._built[index : index + 1] = [made]
        insort(self._places, made.place)
        self._rows.put(index, made.trial)

    def _chosen(self, count: int) -> Sequence[int]:
        """The latest of so many trials, and of the earlier ones the best, a tenth of all that are shown."""
        if self._most is None or count <= self._most:
            return range(count)
        best, latest = self._most // 10, count - self._most + self._most // 10
        places = itertools.islice((place[-1] for place in self._places if place[-1] < latest), best)
        return [*sorted(places), *range(latest, count)]

    def _finished(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """The trials as a sampler is shown them that looks at finished ones alone."""
        if not any(one.state == TrialState.PRUNED for one in trials):
            return list(trials)
        places = {index: self._place_of(one) for index, one in enumerate(trials) if one.state in SCORED}
        ordered = sorted(places.values())
        found = list(trials)
        for index, place in places.items():
            among = bisect_left(ordered, place) + bisect_right(ordered, place)  # equals share a place
            found[index] = _finished_trial(trials[index], self._order.objective(NormalDist().inv_cdf(among / (2 * len(ordered)))))
        return found

    def _place_of(self, trial: FrozenTrial) -> tuple[int, int, float]:
        """Smaller for what a sampler ranks higher: finished, then by rung, then by score; last what came to none."""
        if not trial.intermediate_values:
            return (2, 0, 0.0)
        rung = max(trial.intermediate_values)
        return (trial.state != TrialState.COMPLETE, -rung, self._order.cost(trial.intermediate_values[rung]))

    def earlier(self, trials: Sequence[PriorTrial], rungs: Rungs) -> list[FrozenTrial]:
        """What an earlier sweep about the same question tried: whole trials complete, others pruned at the rung they came to."""
        shares = [amount / rungs.amounts[-1] for amount in rungs.amounts]
        built = []
        for one in trials[:: math.ceil(len(trials) / MOST_ADVISED) or 1]:
            values = {}
            for score in one.scores:
                passed = sum(share <= score.share * (1 + 1e-9) for share in shares)
                if passed:
                    values[passed - 1] = _value(score.objective, score.loss, self._order)
            if values:
                is_whole = max(values) == rungs.last
                built.append(
                    create_trial(
                        state=TrialState.COMPLETE if is_whole else TrialState.PRUNED,
                        value=values[rungs.last] if is_whole else None,
                        params=one.params,
                        distributions={path: self._distributions[path] for path in one.params},
                        intermediate_values=values,
                        constraints={"possible": 0.0},
                    )
                )
        return built


_Place = tuple[int, float, int, float, int]
"""Smaller for what a sampler ranks higher; last the place among the sweep's trials."""


@dataclass(frozen=True)
class _Built:
    stage: tuple[str, int, int]
    place: _Place
    trial: FrozenTrial


def _place(now: Shown, order: Order, trial: Trial, index: int) -> _Place:
    if not now.values or trial.score is None:
        return (3, 0.0, 0, 0.0, index)
    rung, value = now.values[-1]
    broken = trial.score.violation
    return (2 if broken else 0 if now.state == "complete" else 1, broken, -rung, order.cost(value), index)


def frozen_trial(trial: Trial, now: Shown, distributions: Mapping[str, BaseDistribution]) -> FrozenTrial:
    """Optuna's trial for what is shown of ours."""
    states = {"complete": TrialState.COMPLETE, "running": TrialState.RUNNING, "unknown": TrialState.FAIL}
    built = create_trial(
        state=states.get(now.state, TrialState.PRUNED),
        value=now.values[-1][1] if now.state == "complete" else None,
        params=trial.asked.params,
        distributions={path: distributions[path] for path in trial.asked.params},
        system_attrs=dict(trial.asked.sampler_notes),
        intermediate_values=dict(now.values),
        constraints=constraints_shown(trial, is_impossible=now.state == "impossible"),
    )
    built.number = trial.number
    built._trial_id = trial.number
    return built


def constraints_shown(trial: Trial, *, is_impossible: bool) -> dict[str, float]:
    """Optuna's constraints, which hold up to 0: who could not be scored breaks more than who broke outcome constraints."""
    if is_impossible:
        return {"possible": 1.0}
    broken = trial.score.violation if trial.score is not None else 0.0
    return {"possible": broken / (1 + broken) if math.isfinite(broken) else 0.99}


def _finished_trial(trial: FrozenTrial, value: float) -> FrozenTrial:
    """`trial` as one that finished with `value`."""
    return create_trial(
        state=TrialState.COMPLETE,
        value=value,
        params=trial.params,
        distributions=trial.distributions,
        system_attrs=trial.system_attrs,  # its constraint among them
    )


def _value(objective: float, loss: float | None, order: Order) -> float:
    if loss is None:
        return objective
    return order.objective(order.cost(objective) + LOSS_WEIGHT * loss / (1 + abs(loss)))


def notes_of(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """System attributes of an asked trial that its sampler needs again; TPE's copy of the parameters is none."""
    return {key: value for key, value in attributes.items() if not key.startswith("tpe:")}
