"""What a sweep is, as parameters and tags of its run in a tracking store: its space, budget, scheduler, sampler, objective."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, assert_never

from trm.search.journal.events import DriverStarted
from trm.search.knobs.knobs import ChoiceKnob, FloatKnob, IntKnob, Knob
from trm.search.space.space import SearchSpace
from trm.search.state import SweepState


def sweep_params(space: SearchSpace, driver: DriverStarted) -> dict[str, str]:
    """A sweep's parameters, as its first driver had them: those of a run never change, and a resume may change the budget."""
    values = space.frozen()
    searched = {f"search.{path}": knob_words(knob) for path, knob in space.search.items()}
    values = {name: value for name, value in values.items() if name not in ("name", "search", "seed")}
    budget = driver.budget or space.budget
    values["budget"] = budget.model_dump(mode="json")
    for name, part in (("confirm", driver.confirm), ("audit", driver.audit), ("test_time", driver.test_time)):
        values[name] = None if part is None else part.model_dump(mode="json")
    return {**searched, **dict(flat_params(values))}


def space_tags(space: SearchSpace) -> dict[str, str]:
    """What a sweep is found by among others."""
    objective = space.objective
    return {
        "trm.objective": f"{objective.metric} {objective.mode}",
        "trm.scheduler": space.scheduler.type,
        "trm.sampler": space.sampler.type,
        "trm.fidelity": space.fidelity,
        "trm.data": space.data.words,
    }


def budget_words(state: SweepState) -> str:
    """What the last driver may spend."""
    values = state.budget.model_dump(mode="json", exclude_none=True)
    return ", ".join(f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items())


def knob_words(knob: Knob) -> str:
    """What a searched knob may be."""
    match knob:
        case IntKnob() | FloatKnob():
            words = f"{knob.low!r} to {knob.high!r}" + (", log" if knob.log else "")
        case ChoiceKnob():
            words = json.dumps(knob.values)
        case _:
            assert_never(knob)
    when = " and ".join(f"{path} is {json.dumps(value)}" for path, value in knob.when.items())
    return f"{words}, when {when}" if when else words


def flat_params(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every value that is something by its dotted path, as text."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat_params(value, f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", param_text(value)


def param_text(value: Any) -> str:
    """A parameter's value as text."""
    return repr(value) if isinstance(value, float) else str(value)
