"""Knobs as Optuna's distributions."""

from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from trm.search.knobs.knobs import ChoiceKnob, FloatKnob, IntKnob, Knob


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
