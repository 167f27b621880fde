"""What a new sweep can learn from an earlier one, in the words of the new one's space.

Each configuration that was scored there is put into the new space, knob by knob, at the value that its run really had, searched
or not. Where such a value is outside the new knob, the configuration is left out; where the new space does not search the knob,
its own base holds, and what differs then is written down.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from pydantic import ValidationError

from trm.config.leaves import value_at
from trm.config.run import RunConfig
from trm.errors import ConfigError, SweepError
from trm.search.journal.events import LegEnded
from trm.search.journal.priors import Prior, PriorScore, PriorTrial
from trm.search.journal.trial import Trial
from trm.search.knobs.knobs import ChoiceKnob, Knob, as_listed
from trm.search.order import Order, loss_kinds
from trm.search.settings import Objective, good_direction
from trm.search.space.candidates import Candidate, Resolver
from trm.search.space.space import SearchSpace
from trm.search.state import SweepState

SECTIONS = ("model", "optim", "training", "evaluation")
NOT_COMPARED = {
    "training": ("epochs", "steps", "train_flops", "log_every_steps", "keep_checkpoints"),
    "evaluation": ("max_examples", "votes", "batch_size", "reports_halted", "split"),
}
"""How long a run is, which is compared by itself, and how exactly it is scored: not how well it did."""
MOST_READ = 1000
"""Configurations of one earlier sweep that are taken over, at most."""


@dataclass(frozen=True)
class Earlier:
    """An earlier sweep as its folder tells it."""

    source: str
    """Its folder, absolute."""
    state: SweepState
    """Where it stands, or ended."""

    @property
    def name(self) -> str:
        """What it was called."""
        return self.state.name


def check_usable(earlier: Earlier, space: SearchSpace) -> None:
    """SweepError unless something was scored there, and a knob is searched in both."""
    if not any(_own_results(trial) for trial in earlier.state.trials):
        raise SweepError(
            f"--warm-start {earlier.source} has no trial with a score ({len(earlier.state.trials)} were begun)",
            remedy="wait until it has some, or leave it out",
        )
    there = earlier.state.space.search
    if not there.keys() & space.search.keys():
        raise SweepError(
            f"--warm-start {earlier.source} must search a knob of this space, and has none of {', '.join(space.search)}",
            remedy=f"leave it out, or search one of its {', '.join(there)}",
        )


def prior_of(earlier: Earlier, resolver: Resolver, *, data_difference: str | None = None) -> Prior:
    """What `earlier` says about the resolver's space; SweepError when none of its configurations can be had there."""
    check_usable(earlier, resolver.space)
    metric = _shared_metric(earlier.state, resolver.space.objective)
    groups: dict[str, _Group] = {}
    left_out: Counter[str] = Counter()
    changed: dict[str, tuple[Any, Any]] = {}
    scored = [trial for trial in earlier.state.trials if _own_results(trial)]
    for trial in scored:
        found = _in_space(earlier.state, resolver, trial.asked.params)
        if isinstance(found, str):
            left_out[found] += 1
            continue
        for path, values in found.changed.items():
            changed.setdefault(path, values)
        groups.setdefault(found.candidate.digest, _Group(found.candidate)).add(
            trial, _scores(earlier.state, trial, metric, resolver)
        )
    if not groups:
        raise SweepError(
            f"--warm-start {earlier.source}: none of its {len(scored)} scored trials is a configuration of this space, "
            f"{left_out.most_common(1)[0][0]}",
            remedy="widen that knob, loosen that rule, or leave the folder out",
        )
    differences = [] if data_difference is None else [data_difference]
    differences += _differences(earlier.state, resolver.space, metric)
    differences += [f"{path}: {there!r} there, {here!r} here" for path, (there, here) in sorted(changed.items())]
    objective, before = resolver.space.objective, earlier.state.space.objective
    is_ours = metric is not None or before.metric == objective.metric
    mode = objective.mode if is_ours else good_direction(before.metric) or before.mode
    ranked = _ranked(list(groups.values()), earlier.state, objective, mode)
    notes = [f"{count} of {len(scored)} scored trials: {reason}" for reason, count in left_out.most_common()]
    if len(ranked) > MOST_READ:
        notes.append(f"all but its best {MOST_READ} of {len(ranked)} configurations")
    return Prior(
        name=earlier.name,
        source=earlier.source,
        differences=differences,
        left_out=notes,
        mode=mode,
        trials=[group.merged() for group in ranked[:MOST_READ]],
    )


# One configuration --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Found:
    candidate: Candidate
    changed: Mapping[str, tuple[Any, Any]]
    """Path -> (there, here) where the two runs differ."""


def _in_space(there: SweepState, resolver: Resolver, params: Mapping[str, Any]) -> _Found | str:
    """The configuration as the new space has it, or why it cannot be."""
    try:
        run = there.space.run_config(params, seed=0, rules=there.resolver.rules)
    except ValidationError:
        return "their configuration is none that this version knows"
    point: dict[str, Any] = {}
    for path, knob in resolver.space.knobs_in_order():
        if not knob.is_active(point):
            continue
        value = as_listed(path, knob, value_at(run, path))
        if not knob.contains(value):
            if path in params:
                return f"{path} was {value!r}, which is outside this space"
            continue  # fixed there: this space's base holds
        point[path] = _listed(knob, value)
    try:
        point = resolver.space.complete(point)
    except ConfigError as error:
        return error.problem
    found = resolver.resolve(point, is_limited=False)
    if not isinstance(found, Candidate):
        return f"they break {found.rule}"
    return _Found(found, _changed(run, resolver.space.run_config(found.params, seed=0, rules=resolver.rules)))


def _changed(there: RunConfig, here: RunConfig) -> dict[str, tuple[Any, Any]]:
    """Where two runs differ, data, seed, length and precision of the scores apart."""
    there = _comparable(there, here)
    if there.network_digest() == here.network_digest():
        return {}
    values = [{section: getattr(run, section).model_dump(mode="json") for section in SECTIONS} for run in (there, here)]
    paths = [f"{section}.{name}" for section in SECTIONS for name in {**values[0][section], **values[1][section]}]
    pairs = {path: tuple(one[path.split(".")[0]].get(path.split(".")[1]) for one in values) for path in paths}
    return {path: (pair[0], pair[1]) for path, pair in pairs.items() if pair[0] != pair[1]}


def _comparable(there: RunConfig, here: RunConfig) -> RunConfig:
    sections: dict[str, Any] = {"data": here.data, "seed": here.seed}
    for section, names in NOT_COMPARED.items():
        own = getattr(here, section)
        sections[section] = getattr(there, section).model_copy(update={name: getattr(own, name) for name in names})
    return there.model_copy(update=sections)


def _listed(knob: Knob, value: Any) -> Any:
    """The value as the knob writes it: 1 and 1.0 are one choice."""
    return next(one for one in knob.values if one == value) if isinstance(knob, ChoiceKnob) else value


# All of them ----------------------------------------------------------------------------------------------------------------


class _Group:
    """Trials of one configuration."""

    def __init__(self, candidate: Candidate) -> None:
        self._candidate = candidate
        self.trials: list[int] = []
        self._scores: dict[float, list[PriorScore]] = {}

    def add(self, trial: Trial, scores: Sequence[PriorScore]) -> None:
        self.trials.append(trial.number)
        for score in scores:
            self._scores.setdefault(score.share, []).append(score)

    def merged(self) -> PriorTrial:
        one, scores = self._candidate, [_mean(self._scores[share]) for share in sorted(self._scores)]
        return PriorTrial(trials=self.trials, params=one.params, digest=one.digest, scores=scores)


def _mean(scores: Sequence[PriorScore]) -> PriorScore:
    losses = [score.loss for score in scores if score.loss is not None]
    objective = fmean(score.objective for score in scores)
    return PriorScore(share=scores[0].share, objective=objective, loss=fmean(losses) if losses else None)


def _ranked(groups: Sequence[_Group], there: SweepState, objective: Objective, mode: Literal["max", "min"]) -> list[_Group]:
    """Best first by the last score, ties by its loss; by the earlier leaderboard where that weighs the same figures."""
    if objective.against and there.space.objective == objective:
        places = {trial.number: place for place, trial in enumerate(there.leaderboard())}
        return sorted(groups, key=lambda group: min(places[number] for number in group.trials))
    order = Order(mode)

    def place(group: _Group) -> tuple[float, float, int]:
        last = group.merged().scores[-1]
        return order.cost(last.objective), float("inf") if last.loss is None else last.loss, group.trials[0]

    return sorted(groups, key=place)


def _differences(there: SweepState, space: SearchSpace, metric: str | None) -> list[str]:
    """What makes the earlier scores another question's, its configurations and data apart."""
    found = []
    before, now = there.space.objective, space.objective
    if before != now:
        there_is, here_is = (" and ".join([f"{one.metric} ({one.mode})", *one.outcome_constraints]) for one in (before, now))
        said = f"objective: {there_is} there, {here_is} here"
        found.append(said if metric is None else f"{said}; its trials are ranked by their {metric}")
    if there.space.fidelity != space.fidelity:
        found.append(f"fidelity: {there.space.fidelity} there, {space.fidelity} here")
    elif there.budget.per_trial != space.budget.per_trial:
        found.append(f"budget.per_trial: {there.budget.per_trial:g} there, {space.budget.per_trial:g} here")
    return found


def _shared_metric(there: SweepState, objective: Objective) -> str | None:
    """This sweep's metric where the earlier one had another objective, yet all of its scores report it too."""
    if there.space.objective.metric == objective.metric:
        return None
    results = [result for trial in there.trials for result in _own_results(trial).values()]
    return objective.metric if all(objective.metric in result.metrics for result in results) else None


def _scores(there: SweepState, trial: Trial, metric: str | None, resolver: Resolver) -> list[PriorScore]:
    amounts = there.rungs.amounts
    scores = []
    for rung, result in sorted(_own_results(trial).items()):
        objective = result.objective if metric is None else result.metrics[metric]
        assert objective is not None, "a completed leg has an objective"
        scores.append(PriorScore(share=amounts[rung] / amounts[-1], objective=objective, loss=_tie(there, trial, result, resolver)))
    return scores


def _tie(there: SweepState, trial: Trial, result: LegEnded, resolver: Resolver) -> float | None:
    """What breaks ties here, of a score there; None where that is a loss of another kind."""
    kinds = loss_kinds(resolver.space.search, resolver.space.base)
    order = Order.of(resolver.space.objective.mode, kinds, resolver.rules)
    kind = trial.params.get("training.loss", loss_kinds(there.space.search, there.space.base)[0])
    return order.tie(result) if order.breaks_by_cells or [kind] == kinds else None


def _own_results(trial: Trial) -> dict[int, LegEnded]:
    """Scores that are the merit of what was asked: not those after it took over another's weights."""
    if not trial.adoptions:
        return trial.results
    return {rung: result for rung, result in trial.results.items() if rung <= trial.adoptions[0].rung}
