"""A driver's clock goes forward by what passes, whoever sets the machine's."""

import time

import pytest

from trm.search.resources.clock import Clock
from trm.sweeps.steady_clock import steady_now


def test_a_clock_that_is_set_moves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = steady_now()
    assert abs(before - time.time()) < 5.0
    wall = time.time
    for shift in (-1e6, 1e6):
        monkeypatch.setattr(time, "time", lambda shift=shift: wall() + shift)
        after = steady_now()
        assert 0 <= after - before < 60
        before = after


def test_drivers_whose_clocks_disagree_spend_only_what_they_ran() -> None:
    clock = Clock()
    for start in (1e9, 5e8, 2e9):  # the second's clock is years behind, the third's ahead
        clock.start(start)
        clock.read(start + 10)
        clock.read(start + 4)
    clock.stop()
    assert clock.elapsed(0.0) == 30
