"""Before this machine goes: `python -m trm.cluster.leave` has its legs save and go on elsewhere, and returns when they have."""

import argparse
import sys
import time
from collections.abc import Sequence

import psutil
import ray
from ray._private.worker import global_worker
from ray.core.generated import autoscaler_pb2

from trm.errors import EXIT_DONE, EXIT_FAILED, EXIT_INPUT

PREEMPTION = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
LOOK_SECONDS = 0.5


def main(words: Sequence[str] | None = None) -> int:
    """Tell Ray that its node here is to be drained, and wait until that has ended; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="until the machine goes (default: 60)")
    seconds: float = parser.parse_args(words).seconds
    try:
        ray.init(address="auto", logging_level="ERROR", log_to_driver=False)
    except ConnectionError:
        sys.stderr.write("error: a Ray node must run on this machine: there is none; nothing has to be left\n")
        return EXIT_INPUT
    try:
        taken, why = global_worker.gcs_client.drain_node(
            ray.get_runtime_context().get_node_id(), PREEMPTION, "its machine goes", int(1000 * (time.time() + seconds))
        )
    finally:
        ray.shutdown()
    if not taken:
        sys.stderr.write(f"error: Ray does not drain this node: {why}; its legs go on from their last checkpoint\n")
        return EXIT_FAILED
    deadline = time.monotonic() + seconds
    while _runs_here() and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
    return EXIT_DONE


def _runs_here() -> bool:
    return any(process.info["name"] == "raylet" for process in psutil.process_iter(["name"]))


if __name__ == "__main__":
    sys.exit(main())
