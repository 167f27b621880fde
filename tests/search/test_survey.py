"""The configurations that are looked at before a sweep: resolved once, and right after the space was filled in."""

from typing import Any

import pytest
from search_simulator import cost_of
from space_cases import demo

from trm.config.run import RunConfig
from trm.errors import ConfigError
from trm.search.planning.forecast import forecast
from trm.search.planning.preflight import preflight
from trm.search.planning.rung_choice import with_rungs
from trm.search.planning.survey import Survey
from trm.search.planning.validation_subset import with_subset
from trm.search.space.candidates import Facts

OPEN: dict[str, Any] = {"scheduler": {"type": "asha"}, "budget": {"per_trial": 1e14}}


def filled_in(survey: Survey) -> Survey:
    survey, subset = with_subset(with_rungs(survey), examples=100_000, forms=[1001.0])
    assert subset is not None
    return survey


def test_what_was_found_is_what_the_filled_in_space_would_find_anew() -> None:
    begun = Survey(demo(OPEN), cost_of)
    filled = filled_in(begun)
    assert filled.space != begun.space
    anew = Survey(filled.space, cost_of)
    assert filled.everyone == anew.everyone
    assert [one.digest for one in filled.everyone[:50]] == [one.digest for one in anew.everyone[:50]]


def test_a_rule_about_what_is_filled_in_is_asked_anew() -> None:
    filled = filled_in(Survey(demo({**OPEN, "constraints": ["max_examples is None"]}), cost_of))
    with pytest.raises(ConfigError, match="the search space is empty"):
        preflight(filled)


def test_each_configuration_is_validated_and_costed_once_for_all_questions() -> None:
    asked: list[str] = []

    def counted(config: RunConfig) -> Any:
        asked.append(config.model_dump_json())
        return cost_of(config)

    survey, _ = with_subset(with_rungs(Survey(demo(OPEN), counted, Facts(epoch_rows=10.0))), examples=100_000)
    assert len(asked) == survey.drawn
    before = len(asked)
    assert survey.ends[0].step_flops <= survey.ends[1].step_flops
    forecast(survey, slots=1)
    others = 500  # of the forecast's own, and those that are turned around some to see what makes no difference
    assert len(asked) - before < others + survey.drawn
