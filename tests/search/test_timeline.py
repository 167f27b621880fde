"""Legs on the clock: no slot has two at once, there are no more slots than legs at once, and nothing is lost or counted twice."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from journal_cases import RECORDED, recorded_folder, recorded_search

from trm.search.findings.replay import replay
from trm.search.findings.timeline import SAME_MOMENT_SECONDS, slots_of, timeline

SPANS = st.lists(st.tuples(st.integers(0, 100), st.integers(1, 30), st.sampled_from([1, 1, 2, 4])), min_size=1, max_size=40)


@given(SPANS)
def test_slots_are_as_many_as_legs_have_at_once_and_hold_one_at_a_time(drawn: list[tuple[int, int, int]]) -> None:
    spans = sorted((10.0 * start, 10.0 * (start + length), count) for start, length, count in drawn)
    slots = slots_of(spans)
    assert [len(set(of)) for of in slots] == [count for _, _, count in spans]
    for slot in set(itertools.chain(*slots)):
        own = [span for span, of in zip(spans, slots, strict=True) if slot in of]
        assert all(end <= start for (_, end, _), (start, _, _) in itertools.pairwise(own))
    at_once = (sum(count for start, end, count in spans if start <= moment < end) for moment, _, _ in spans)
    assert max(map(max, slots)) + 1 == max(at_once)


def test_a_leg_that_begins_a_moment_before_another_is_written_as_ended_takes_its_slot() -> None:
    spans = [(0.0, 10.0, 1), (10.0 - SAME_MOMENT_SECONDS / 2, 20.0, 1), (12.0, 13.0, 1)]
    assert slots_of(spans) == [(0,), (0,), (1,)]


@pytest.mark.parametrize("name", RECORDED)
def test_the_legs_of_a_recorded_sweep(tmp_path: Path, name: str) -> None:
    search, events = recorded_search(recorded_folder(name, tmp_path))
    assert timeline(search.state) is None
    replay(search, events)
    state, found = search.state, timeline(search.state)
    timed = [leg for trial in state.trials for leg in trial.results.values() if leg.started_at is not None]
    assert (found is None) == (not timed)
    if found is None:
        return
    completed = [span for span in found.spans if span.what in ("trial", "confirmation", "audit")]
    assert len(completed) == len(timed)
    assert sum(span.busy_seconds for span in completed) == pytest.approx(sum(leg.train_seconds + leg.eval_seconds for leg in timed))
    assert min(span.start_seconds for span in found.spans) == 0
    assert 0 < found.busy_share <= 1
    fresh = {trial.number for trial in state.trials if trial.is_confirmation}
    assert {span.trial for span in completed if span.what == "confirmation"} == fresh & {leg.trial for leg in timed}
    assert f"{found.slots} slot" in found.sentence or found.slots == 1
