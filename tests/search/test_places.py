"""Places of values on a knob's range: inside their cells, which fill it, and back again."""

import pytest

from trm.search.knobs.knobs import ChoiceKnob, FloatKnob, IntKnob, Knob
from trm.search.knobs.places import along, cell, place, value_at

KNOBS: list[Knob] = [
    IntKnob(type="int", low=2, high=11, step=3),
    IntKnob(type="int", low=1, high=64, log=True),
    IntKnob(type="int", low=4, high=4),
    ChoiceKnob(type="choice", values=[8, 0.5, 2]),
    ChoiceKnob(type="choice", values=[True, "a", None]),
]


@pytest.mark.parametrize("knob", KNOBS, ids=repr)
def test_cells_fill_the_range_and_a_place_brings_its_value_back(knob: Knob) -> None:
    values = knob.numbers or knob.values if isinstance(knob, ChoiceKnob) else knob.values_in_order
    cells = [cell(knob, value) for value in values]
    assert [cells[0][0], *(end for _, end in cells)] == pytest.approx([0, *(first for first, _ in cells[1:]), 1])
    for value, (first, end) in zip(values, cells, strict=True):
        assert first < place(knob, value) < end
        assert value_at(knob, place(knob, value)) == value


def test_a_float_lies_where_it_is_drawn() -> None:
    knob = FloatKnob(type="float", low=1e-4, high=1e-2, log=True)
    assert (place(knob, 1e-3), *cell(knob, 1e-3)) == pytest.approx((0.5, 0.5, 0.5))
    assert value_at(knob, 0.25) == pytest.approx(10**-3.5)
    only = FloatKnob(type="float", low=3.0, high=3.0)
    assert (place(only, 3.0), cell(only, 3.0), along(only, 3.0)) == (0.5, (0.0, 1.0), 0.0)


def test_along_goes_from_the_first_value_to_the_last() -> None:
    ends = [(IntKnob(type="int", low=1, high=64, log=True), (1, 8, 64)), (KNOBS[3], (0.5, 2, 8)), (KNOBS[0], (2, 6.5, 11))]
    for knob, values in ends:
        assert [along(knob, value) for value in values] == pytest.approx([0, 0.5, 1])
