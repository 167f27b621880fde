"""Waiting as a state, and nodes that are blamed: both without a clock of their own."""

import pytest

from trm.sweeps.blame import ASIDE_LOSSES, LONGEST_ALONE_SECONDS, Blame
from trm.sweeps.wait import TELL_SECONDS, Told, Wait


def test_a_wait_is_told_when_it_begins_when_it_changes_and_when_it_is_over() -> None:
    wait = Wait(5.0)
    told = [(second, wait.look(what, float(second))) for second, what in enumerate(["none free"] * 20 + ["one free"] * 80)]
    assert [one for one in told if one[1] is not None] == [(5, Told("none free")), (5 + TELL_SECONDS, Told("one free"))]
    assert wait.text == "one free, 1:39"
    assert wait.look(None, 100.0) == Told(None)
    assert wait.text is wait.since is None
    assert wait.look("none free", 101.0) is None


def test_a_moment_without_a_place_is_no_wait() -> None:
    wait = Wait(5.0)
    for second in range(100):
        missing = "none free" if second % 5 else None  # processes end and others begin
        assert wait.look(missing, float(second)) is None
        assert wait.text is None


@pytest.mark.parametrize(
    ("is_alone", "rests"),
    [(False, [30.0, 60.0, 120.0, float("inf")]), (True, [0.0, 5.0, 10.0, 20.0])],
)
def test_a_node_rests_longer_after_each_loss_and_is_set_aside_unless_it_is_alone(is_alone: bool, rests: list[float]) -> None:
    blame, now = Blame(), 1000.0
    for count, rest in enumerate(rests):
        said = blame.lost("a", count, now, is_alone=is_alone)
        assert (said is None) == (rest == 0)
        until = now + min(rest, 10_000.0)
        assert rest == 0 or blame.is_off("a", until - 0.1)
        assert blame.is_off("a", until + 0.1) == (rest == float("inf"))
        now = until + 1.0
    assert not blame.is_off("b", now)


def test_a_leg_that_ends_clears_its_node_and_one_trial_alone_does_not_set_it_aside() -> None:
    blame = Blame()
    for _ in range(2 * ASIDE_LOSSES):
        blame.lost("a", 7, 0.0, is_alone=False)
    assert not blame.is_off("a", 1e6), "it may be the trial's fault: after five losses that is set aside"
    for _ in range(20):
        blame.lost("b", 7, 0.0, is_alone=True)
    assert blame.is_off("b", LONGEST_ALONE_SECONDS - 0.1)
    assert not blame.is_off("b", LONGEST_ALONE_SECONDS + 0.1)
    blame.ended("b")
    assert blame.lost("b", 7, 100.0, is_alone=True) is None
