"""Machines that come, go and fail under one sweep, which comes to what it comes to where nothing happens."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash_cases import check_replay, check_whole, settled
from lab import is_possible, wait_for
from node_cases import begin_cluster, prepared, switch_off, write_space
from rayless import Killed, Nursery

from trm.jobs.inspect import status_of

pytestmark = pytest.mark.ray
TRIALS = 2
OPTIONS = ("--trials", str(TRIALS), "--set", "budget.per_trial=4e10")


@pytest.fixture
def undisturbed(tmp_path: Path) -> Iterator[Path]:
    """The folder of the same sweep, to which nothing happens."""
    nursery = Nursery(tmp_path / "log")
    runs = tmp_path / "runs"
    runs.mkdir()
    Killed(nursery, write_space(runs), runs, OPTIONS).run("undisturbed", [None])
    yield runs / "undisturbed"
    nursery.close()


@pytest.mark.skipif(not is_possible(), reason="needs root, ip, unshare, and namespaces")
def test_machines_come_go_and_fail_and_the_sweep_is_the_same(tmp_path: Path, undisturbed: Path) -> None:
    with prepared(tmp_path, RAY_health_check_period_ms="1000") as (lab, storage, space):
        cluster = begin_cluster(lab, storage, space, "nodes", 0, OPTIONS)
        driver = cluster.drive()
        wait_for("it waits for a first node", lambda: "waiting for 1 CPUs: no node can take legs" in driver.said(), 60)
        first = cluster.join()
        wait_for("a leg runs", lambda: cluster.frozen_leg() is first, 60)
        stranger = cluster.join(f"mount -t tmpfs tmpfs {storage}")
        second = cluster.join()
        wait_for("both are looked at", lambda: driver.said().count(") joined") == 2, 60)
        refused = f"node {stranger.address} ("
        assert any(refused in line and "takes no legs" in line for line in driver.said().splitlines())
        cluster.leave(stranger)

        cluster.drain(first, 30)
        wait_for("it is told", lambda: "is to leave in" in driver.said(), 60)
        first.send(signal.SIGCONT, cluster.leg)
        wait_for("its leg has left it", lambda: not first.has_raylet(), 60)
        assert f"node {first.address} (" in driver.said()

        wait_for("a leg runs", lambda: cluster.frozen_leg() is second, 60)
        cluster.leave(second)
        wait_for("it waits for any node", lambda: "waiting for 1 CPUs" in status_of(cluster.folder)[0], 60)
        cluster.replace_head(1, then=lambda: os.utime(cluster.folder / "driver.json", (0, 0)))  # as if a minute had passed
        assert cluster.driver.process.wait(200) == 0, cluster.driver.said()
        switch_off(cluster)
    check_whole(cluster.folder, TRIALS)
    check_replay(cluster.folder)
    assert settled(cluster.folder) == settled(undisturbed)
