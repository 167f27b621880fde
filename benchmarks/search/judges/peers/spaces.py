"""A judge's space as SMAC, DEHB and BOHB read one: a ConfigSpace with conditions."""

from collections.abc import Mapping
from typing import Any

from ConfigSpace import (
    AndConjunction,
    CategoricalHyperparameter,
    ConfigurationSpace,
    InCondition,
    UniformFloatHyperparameter,
    UniformIntegerHyperparameter,
)

from benchmarks.search.judges.judge import Judge, Knob, Value
from benchmarks.search.judges.peers.drive import active, encoded, is_number


def space_of(judge: Judge, seed: int) -> ConfigurationSpace:
    """The space, its codes those of `drive`."""
    space = ConfigurationSpace(seed=seed)
    dimensions = {knob.name: _dimension(knob) for knob in judge.knobs}
    space.add_hyperparameters(dimensions.values()) if hasattr(space, "add_hyperparameters") else space.add(*dimensions.values())
    by_name = {knob.name: knob for knob in judge.knobs}
    for knob in judge.knobs:
        conditions = [
            InCondition(dimensions[knob.name], dimensions[other], [encoded(by_name[other], value) for value in values])
            for other, values in knob.when.items()
        ]
        if conditions:
            condition = conditions[0] if len(conditions) == 1 else AndConjunction(*conditions)
            space.add_condition(condition) if hasattr(space, "add_condition") else space.add(condition)
    return space


def default_codes(judge: Judge) -> dict[str, Any]:
    """The default configuration, its active knobs alone."""
    return {knob.name: encoded(knob, judge.default[knob.name]) for knob in judge.knobs if knob.name in judge.default}


def params_of(judge: Judge, configuration: Mapping[str, Any]) -> dict[str, Value]:
    """The judge's parameters of a configuration."""
    return active(judge.knobs, dict(configuration))


def _dimension(knob: Knob) -> Any:
    if not is_number(knob):
        return CategoricalHyperparameter(knob.name, list(range(len(knob.values))))
    if knob.kind == "choice":
        return UniformIntegerHyperparameter(knob.name, 0, len(knob.values) - 1)
    if knob.kind == "int":
        return UniformIntegerHyperparameter(knob.name, int(knob.low), int(knob.high), log=knob.is_log)
    return UniformFloatHyperparameter(knob.name, knob.low, knob.high, log=knob.is_log)
