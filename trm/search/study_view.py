"""Optuna's study as a view of the journal, rebuilt at every ask.

| a trial that is | is shown as | because |
| --- | --- | --- |
| finished | COMPLETE with its objective | it is one |
| stopped, paused | PRUNED with a value a rung | samplers rank it by its rung, below every finished one |
| running, scored at a rung already | PRUNED likewise | as RUNNING it would count as bad, though it was good enough to go on |
| running, not scored yet | RUNNING | counts as bad until it is scored, so that trials side by side spread |
| diverged, out of memory, failed | PRUNED, a constraint broken | ranks behind all others, and no made-up value spoils the scale |

A value is the objective, ties broken by validation loss: where all score zero, the loss teaches.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from trm.search.knobs import ChoiceKnob, FloatKnob, IntKnob, Knob
from trm.search.study_storage import NAME, HistoryStorage
from trm.search.trial import Trial

LOSS_WEIGHT = 1e-7
"""Below one example in a million, above the rounding of a float."""

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True)
class Shown:
    """What Optuna is shown of a trial."""

    state: Literal["complete", "pruned", "running", "impossible"]
    values: tuple[tuple[int, float], ...]
    """(rung, value), growing."""


def shown(trial: Trial, mode: Literal["max", "min"], *, with_loss: bool = True) -> Shown:
    """The row of the table above that `trial` is in."""
    values = tuple((rung, _value(trial, rung, mode, with_loss)) for rung in sorted(trial.results))
    if trial.status in ("diverged", "out_of_memory", "failed"):
        return Shown("impossible", ())
    if trial.status == "finished":
        return Shown("complete", values)
    return Shown("pruned" if values or trial.status != "running" else "running", values)


def distribution(knob: Knob) -> BaseDistribution:
    """Optuna's name for what a knob can be."""
    if isinstance(knob, IntKnob):
        return IntDistribution(knob.low, knob.high, log=knob.log, step=knob.step)
    if isinstance(knob, FloatKnob):
        return FloatDistribution(knob.low, knob.high, log=knob.log)
    assert isinstance(knob, ChoiceKnob)
    return CategoricalDistribution(knob.values)


def suggested(asked: optuna.Trial, path: str, knob: Knob) -> Any:
    """The value that the study's sampler chooses for a knob."""
    if isinstance(knob, IntKnob):
        return asked.suggest_int(path, knob.low, knob.high, log=knob.log, step=knob.step)
    if isinstance(knob, FloatKnob):
        return asked.suggest_float(path, knob.low, knob.high, log=knob.log)
    return asked.suggest_categorical(path, knob.values)


class StudyView:
    """Builds studies; keeps what it built of a trial for as long as what is shown of it stays the same."""

    def __init__(self, knobs: Mapping[str, Knob], mode: Literal["max", "min"]) -> None:
        """A view for trials whose parameters come from `knobs`."""
        self._distributions = {path: distribution(knob) for path, knob in knobs.items()}
        self._mode: Literal["max", "min"] = mode
        self._built: dict[int, tuple[tuple[str, int], FrozenTrial]] = {}

    def study(self, trials: Sequence[Trial], sampler: optuna.samplers.BaseSampler) -> optuna.Study:
        """A study in memory that holds `trials`."""
        direction = StudyDirection.MAXIMIZE if self._mode == "max" else StudyDirection.MINIMIZE
        storage = HistoryStorage(direction, [self._frozen(trial) for trial in trials])
        return optuna.Study(NAME, storage, sampler=sampler)

    def _frozen(self, trial: Trial) -> FrozenTrial:
        stage = (trial.status, len(trial.results))  # what is shown follows from these and from results that stay
        built = self._built.get(trial.number)
        if built is None or built[0] != stage:
            built = (stage, frozen_trial(trial, shown(trial, self._mode), self._distributions))
            self._built[trial.number] = built
        return built[1]


def frozen_trial(trial: Trial, now: Shown, distributions: Mapping[str, BaseDistribution]) -> FrozenTrial:
    """Optuna's trial for what is shown of ours."""
    states = {"complete": TrialState.COMPLETE, "running": TrialState.RUNNING}
    built = create_trial(
        state=states.get(now.state, TrialState.PRUNED),
        value=now.values[-1][1] if now.state == "complete" else None,
        params=trial.params,
        distributions={path: distributions[path] for path in trial.params},
        system_attrs=dict(trial.asked.sampler_notes),
        intermediate_values=dict(now.values),
        constraints={"possible": 1.0 if now.state == "impossible" else 0.0},
    )
    built.number = trial.number
    built._trial_id = trial.number
    return built


def _value(trial: Trial, rung: int, mode: str, with_loss: bool) -> float:
    result = trial.results[rung]
    assert result.objective is not None, "a completed leg has an objective"
    if not with_loss or result.loss is None:
        return result.objective
    penalty = LOSS_WEIGHT * result.loss / (1 + abs(result.loss))
    return result.objective - penalty if mode == "max" else result.objective + penalty


def notes_of(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Those system attributes of an asked trial that its sampler needs again; TPE's copy of the parameters is none."""
    return {key: value for key, value in attributes.items() if not key.startswith("tpe:")}
