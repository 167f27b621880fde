"""Machines that are too small: a disk without room pauses a sweep, memory that nothing fits ends it by that word."""

from dataclasses import replace
from pathlib import Path

import pytest
from search_simulator import FakeCost, cost_of
from sweep_cases import events_of, of, space

from trm.config.run import RunConfig
from trm.search.findings.replay import replay
from trm.search.journal.events import LegEnded, LegStarted, SpaceExhausted
from trm.search.log import NoRoom, SweepLog
from trm.search.search import Search

WHOLE = space({"budget": {"trials": 9}, "sampler": {"type": "brute_force"}})
FEW = WHOLE.model_copy(update={"search": {"model.H_cycles": WHOLE.search["model.H_cycles"]}})
"""Three configurations."""


def heavy(config: RunConfig) -> FakeCost:
    return replace(cost_of(config), checkpoint_bytes=10**9 * config.model.H_cycles, memory_bytes=10**9 * config.model.H_cycles)


def begun(folder: Path, **known: int) -> SweepLog:
    log = SweepLog(folder, Search(FEW, heavy))
    log.start(0.0, driver="here:1", fence=1, slots=2, versions={}, **known)  # type: ignore[arg-type]
    return log


def test_a_disk_too_small_for_one_checkpoint_is_named_and_is_no_end(tmp_path: Path) -> None:
    log = begun(tmp_path, disk_bytes=10**9)
    with pytest.raises(NoRoom, match=r"the checkpoints of a new trial need 2 GB and more"):
        log.advance(1.0, 1)
    log.stop(2.0, "no room")
    log.journal.close()
    assert of(events_of(tmp_path), SpaceExhausted) == []
    again = begun(tmp_path, disk_bytes=10**10)
    assert len(again.advance(3.0, 1)) == 1, "a resume with room goes on"
    again.journal.close()
    assert replay(Search(FEW, heavy), events_of(tmp_path)).trials == 1


def test_what_runs_ends_before_a_sweep_without_room_pauses(tmp_path: Path) -> None:
    log = begun(tmp_path, disk_bytes=2 * 10**9)
    (leg,) = log.advance(1.0, 2)
    assert log.advance(1.0, 1) == []
    assert log.search.is_done(1.0) is None

    def to_the_end(leg: LegStarted) -> None:
        while True:
            values = {"objective": 0.5, "steps": leg.until_steps, "checkpoint": "x", "at": 2.0}
            log.record(LegEnded(trial=leg.trial, rung=leg.rung, attempt=0, status="completed", **values))  # type: ignore[arg-type]
            log.advance(2.0, 0)
            (leg,) = log.advance(3.0, 1)

    with pytest.raises(NoRoom, match="4 GB and more"):
        to_the_end(leg)
    log.journal.close()
    assert log.search.state.trials[0].results
    assert of(events_of(tmp_path), SpaceExhausted) == []
    replay(Search(FEW, heavy), events_of(tmp_path))


def test_memory_that_nothing_fits_is_the_word_that_ends_a_sweep(tmp_path: Path) -> None:
    log = begun(tmp_path, device_bytes=10**8)
    assert log.advance(1.0, 1) == []
    reason = log.close(2.0)
    log.journal.close()
    assert reason == "no new configuration is left in the space: predicted memory <= 100 MB, what a worker may use"
    replay(Search(FEW, heavy), events_of(tmp_path))


def test_what_is_left_when_all_was_tried_is_nothing(tmp_path: Path) -> None:
    log = begun(tmp_path, device_bytes=10**12, disk_bytes=10**13)
    assert len(log.advance(1.0, 5)) == 3
    assert [event.too_small for event in of(events_of(tmp_path), SpaceExhausted)] == [None]
    log.journal.close()
