"""Nodes that come and go under one sweep: a cluster that begins without CPUs, a node that is drained, one that is lost with all."""

import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster_cases import events_of, started, wait_until, write_space
from ray.cluster_utils import Cluster
from ray.core.generated import autoscaler_pb2

from trm.jobs.inspect import status_of
from trm.search.journal.events import LegEnded, LegStarted, PlaceAwaited, SweepEnded

pytestmark = pytest.mark.ray
SPOT = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")


class Nodes:
    """A cluster of this machine's loopback, with one CPU a node and none on its head."""

    def __init__(self, folder: str) -> None:
        self._options: dict[str, Any] = {"node_ip_address": "127.0.0.2", "include_dashboard": False, "temp_dir": folder}
        self.cluster = Cluster(shutdown_at_exit=True)
        self.cluster.add_node(num_cpus=0, **self._options)

    def join(self) -> Any:
        """A node more."""
        return self.cluster.add_node(num_cpus=1, wait=False, **self._options)

    def drain(self, node: Any, seconds: int) -> None:
        """As a cloud says that a spot node goes."""
        deadline = int(1000 * (time.time() + seconds))
        taken, why = node.get_gcs_client().drain_node(node.node_id, SPOT, "spot", deadline)
        assert taken, why

    def lose(self, node: Any) -> None:
        """As a machine that is switched off."""
        for processes in node.all_processes.values():
            for one in processes:
                os.kill(one.process.pid, signal.SIGKILL)


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        made = Nodes(folder)
        try:
            yield made
        finally:
            with contextlib.suppress(AssertionError):
                made.cluster.shutdown()


def test_a_sweep_waits_for_nodes_leaves_those_that_go_and_loses_nothing(tmp_path: Path, nodes: Nodes) -> None:
    folder, space = tmp_path / "nodes", write_space(tmp_path)
    options = (
        "--storage",
        str(tmp_path),
        "--name",
        "nodes",
        "--address",
        nodes.cluster.address,
        "--trials",
        "2",
        "--set",
        "budget.per_trial=4e11",
    )
    log: list[str] = []
    with started("sweep", str(space), *options) as process:
        assert process.stdout is not None
        for line in process.stdout:
            log.append(line)
            if "waiting for 1 CPUs" in line:
                break
        first = nodes.join()

        def running() -> LegStarted | None:
            events = events_of(folder)
            open_legs = [event for event in events if isinstance(event, LegStarted)]
            ended = sum(isinstance(event, LegEnded) for event in events)
            return open_legs[-1] if len(open_legs) > ended else None

        wait_until(running, process)
        second = nodes.join()
        time.sleep(2)
        nodes.drain(first, 60)
        wait_until(lambda: not first.any_processes_alive() or None, process)
        nodes.lose(second)
        awaited = wait_until(lambda: [e for e in events_of(folder) if isinstance(e, PlaceAwaited)], process)
        assert awaited[0].what is not None
        assert "waiting for 1 CPUs" in status_of(folder)[0]
        nodes.join()
        output, _ = process.communicate(timeout=300)
    log.append(output)
    text = "".join(log)
    assert process.returncode == 0, text
    assert "is to leave in" in text
    assert text.count(") left\n") == 2
    events = events_of(folder)
    assert sum(isinstance(event, SweepEnded) for event in events) == 1
    completed = [(event.trial, event.rung) for event in events if isinstance(event, LegEnded) and event.status == "completed"]
    assert len(completed) == len(set(completed)), "no stretch is done twice"
