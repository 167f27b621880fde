"""What legs wait for when the cluster has no place for them, and whether it could ever have one."""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace

import ray
from ray.exceptions import RayError

from trm.cluster.connection import Demand, Node, concurrent_trials, fitting_trials, living_nodes, never_fits
from trm.cluster.places import Groups, Places
from trm.terminal.display import duration

TELL_SECONDS = 30.0
"""Who waits for a first place is told of it so often."""
UNBOUNDED = 10_000
"""Nodes of a type that says no limit, as far as a trial is concerned."""


def node_types() -> list[tuple[str, Node, int]]:
    """The kinds of nodes that the cluster's autoscaler may start, with the size of one and how many; none without an autoscaler."""
    config = ray._private.state.state.get_cluster_config()
    groups = [] if config is None else list(config.node_group_configs)
    return [
        (
            group.name,
            Node(group.name, group.name, float(group.resources.get("CPU", 0)), float(group.resources.get("GPU", 0))),
            UNBOUNDED if group.max_count < 0 else group.max_count,
        )
        for group in groups
    ]


def check_could_fit(demand: Demand, nodes: list[Node], types: list[tuple[str, Node, int]]) -> None:
    """ResourceError when a trial could never be placed on these nodes, nor on those that may join.

    Where nobody says which may join, a cluster whose nodes offer no CPU at all is taken for one whose workers are on their way.
    """
    if fitting_trials(nodes, demand, 1):
        return
    if not types:
        if any(node.cpus for node in nodes):
            concurrent_trials(nodes, demand, 1)
        return
    most = [node for _, node, count in types for _ in range(min(count, demand.workers))]
    if not fitting_trials(nodes + most, demand, 1):
        kinds = ", ".join(f"up to {count} {name} with {node.cpus:g} CPUs, {node.gpus:g} GPUs" for name, node, count in types)
        raise never_fits(demand, f"the cluster's node types are {kinds}")


def waiting_text(demand: Demand, nodes: Iterable[Node], free: dict[str, dict[str, float]]) -> str:
    """What a leg waits for, and how much of it the usable nodes have free, as `free` says by node."""
    known = list(nodes)
    if not known:
        return f"waiting for {demand}: no node can take legs"
    left, gpus = (sum(_free(free, node, kind) for node in known) for kind in ("CPU", "GPU"))
    of = sum(node.cpus for node in known)
    if demand.gpus:
        of_gpus = sum(node.gpus for node in known)
        return f"waiting for {demand}, {left:g} of {of:g} CPUs and {gpus:g} of {of_gpus:g} GPUs are free"
    return f"waiting for {demand}, {left:g} of {of:g} {'is' if left == 1 else 'are'} free"


def _free(free: dict[str, dict[str, float]], node: Node, kind: str) -> float:
    return free.get(node.node_id, {}).get(kind, 0.0)


def free_now() -> dict[str, dict[str, float]]:
    """What is free on every node, by its id; empty where the cluster does not answer."""
    try:
        return dict(ray._private.state.available_resources_per_node())
    except RayError:
        return {}


def await_first_place(demand: Demand, say: Callable[[str], None]) -> None:
    """Returns once the cluster has a place for a trial; until then it asks for one, and says what it waits for.

    ResourceError when there could never be one.
    """
    nodes, free = living_nodes(), free_now()
    left = [replace(node, cpus=_free(free, node, "CPU"), gpus=_free(free, node, "GPU")) for node in nodes]
    if fitting_trials(left, demand, 1):
        return
    check_could_fit(demand, nodes, node_types())
    places = Places(Groups(demand.bundles))
    begun = told = time.monotonic()
    try:
        places.want(1)
        while True:
            places.look(is_due=True)
            if places.ready and fitting_trials(living_nodes(), demand, 1):
                return
            now = time.monotonic()
            if now - told >= TELL_SECONDS or (told == begun and now - begun >= 2.0):
                told = now
                nodes = [node for node in living_nodes() if node.cpus]
                say(f"{waiting_text(demand, nodes, free_now())}, {duration(now - begun)}")
                check_could_fit(demand, living_nodes(), node_types())
            time.sleep(0.1 if now < begun + 2.0 else 1.0)
    finally:
        places.close()
