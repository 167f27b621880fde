"""Workers looked at before the start: what runs there, what devices they see, whether the data fits their shared memory."""

import secrets
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from trm.cluster.connection import Demand, Node, fitting_trials, on_node, unshared_storage
from trm.cluster.node_facts import KERNELS_SECONDS, SHARED_MEMORY, NodeFacts, digest_there, own_facts
from trm.config.imports import asked_for
from trm.console.redaction import reason_of
from trm.errors import ResourceError
from trm.files.objects import Objects
from trm.sweeps.checkpoint_stores import answer_mark

SAME = {
    "python": "use the same minor version of Python everywhere",
    "ray": "install the same ray everywhere",
    "torch": "install the same torch everywhere: another may train to other numbers",
    "trm-search": "install the same trm-search everywhere",
    "trm source": "bring the node's copy of trm up to date, or submit with --working-dir",
}
"""What must be equal on every node -> the remedy."""
ANSWER_SECONDS = 120.0


@dataclass(frozen=True)
class Workers:
    """Workers that were found fit for a sweep, added up."""

    nodes: int
    devices: int
    """GPUs that torch sees on all nodes."""
    device_bytes: int
    """Memory that one worker of a leg may use, of the smallest device or node."""
    disk_bytes: int
    """Bytes free where the sweep folder lies."""
    found: Mapping[str, str | None] = field(default_factory=dict)
    """What is wrong with every node that was looked at, by its id; null: nothing, it takes legs."""


@dataclass(frozen=True)
class Needs:
    """What a sweep needs of every node that takes its legs."""

    demand: Demand
    folder: Path
    """The sweep's."""
    shared_bytes: int = 0
    """Of data that every node holds in its object store."""
    needs_kernels: bool = False
    """Whether trials insist on the fused kernels."""
    starts: Mapping[str, str] = field(default_factory=dict)
    """Digests of the weights that trials start from, by path."""
    objects: str | None = None
    """URL that checkpoints go below; null: they go into the folder, which all nodes must share."""


def check_workers(nodes: list[Node], needs: Needs) -> Workers:
    """What the nodes have, and what is wrong with those that do not fit; ResourceError where none is left that takes legs.

    It names a node, the rule, the value and a remedy.
    """
    found, problems = _looked_at(nodes, needs)
    fit = {node: facts for node, facts in found.items() if node.node_id not in problems}
    shares = [_share(node, facts, needs.demand) for node, facts in fit.items() if _takes_part(node, needs.demand)]
    if problems and (not shares or fitting_trials(list(fit), needs.demand, 1) == 0):
        raise next(iter(problems.values()))
    return Workers(
        nodes=len(fit),
        devices=sum(len(facts.device_bytes) for facts in fit.values()),
        device_bytes=min(shares),
        disk_bytes=shutil.disk_usage(needs.folder).free,
        found={node.node_id: str(problems[node.node_id]) if node.node_id in problems else None for node in nodes},
    )


def problem_of(node: Node, needs: Needs) -> str | None:
    """Why a node that has joined may take no legs; None: it may."""
    try:
        problems = _looked_at([node], needs)[1]
    except (RayError, OSError) as error:
        return reason_of(error, 300)
    return next((str(problem) for problem in problems.values()), None)


def _looked_at(nodes: list[Node], needs: Needs) -> tuple[dict[Node, NodeFacts], dict[str, ResourceError]]:
    """What the nodes say of themselves, and what is wrong with those that do not fit, by their id."""
    found, problems = _ask(nodes, needs)
    here = own_facts(sees_gpus=False, imports=asked_for())
    for node, facts in found.items():
        try:
            _check(node, facts, here, needs)
        except ResourceError as error:
            problems[node.node_id] = error
    return found, _unreached_storage(needs, [node for node in found if node.node_id not in problems]) | problems


def _own_node() -> str:
    return str(ray.get_runtime_context().get_node_id())


def _check(node: Node, facts: NodeFacts, here: NodeFacts, needs: Needs) -> None:
    _check_same(node, facts, here)
    _check_imports(node, facts, here)
    _check_starts(node, facts, needs.starts)
    _check_room(node, facts, needs.shared_bytes)
    _check_devices(node, facts, needs.demand)
    _check_kernels(node, facts)


def _ask(nodes: list[Node], needs: Needs) -> tuple[dict[Node, NodeFacts], dict[str, ResourceError]]:
    """What the nodes say of themselves, and what is wrong with those that do not answer, by their id."""
    wanted: dict[str, Any] = {
        "sees_gpus": needs.demand.gpus > 0,
        "needs_kernels": needs.needs_kernels,
        "imports": asked_for(),
        "starts": tuple(needs.starts),
    }
    if [node.node_id for node in nodes] == [_own_node()]:
        return {nodes[0]: own_facts(**wanted)}, {}  # a first task costs a second or two
    asked = [(node, on_node(node, own_facts).remote(**wanted)) for node in nodes]
    found: dict[Node, NodeFacts] = {}
    problems: dict[str, ResourceError] = {}
    for node, answer in asked:
        try:
            found[node] = ray.get(answer, timeout=KERNELS_SECONDS if needs.needs_kernels else ANSWER_SECONDS)
        except RayError as error:
            problems[node.node_id] = ResourceError(
                f"every node must be able to run a worker: node {node.address} does not ({reason_of(error, 300)})",
                remedy="install the same trm-search there, or take the node out of the cluster",
            )
    return found, problems


def _check_same(node: Node, facts: NodeFacts, here: NodeFacts) -> None:
    for name, remedy in SAME.items():
        there = facts.versions.get(name, "none")
        if there != here.versions[name]:
            raise ResourceError(
                f"workers must run the driver's {name} {here.versions[name]}: node {node.address} has {there}", remedy=remedy
            )


def _check_imports(node: Node, facts: NodeFacts, here: NodeFacts) -> None:
    for name, digest in here.imports.items():
        if (there := facts.imports.get(name, "none")) != digest:
            raise ResourceError(
                f"every node must have the modules in imports as the driver has them: node {node.address} has {name} "
                f"{'not at all' if there == 'none' else f'of digest {there}'}, the driver of digest {digest}",
                remedy="copy its package there, onto PYTHONPATH, or submit the job with --working-dir",
            )


def _check_starts(node: Node, facts: NodeFacts, begun: Mapping[str, str]) -> None:
    """On one node alone the driver has looked already, and knows whether what is gone is still needed."""
    for path, digest in begun.items():
        if (there := facts.starts.get(path, "none")) not in (digest, digest_there(path)):
            raise ResourceError(
                f"every node must read the weights that trials start from: node {node.address} has {path} "
                f"{'not at all' if there == 'none' else f'with digest {there[:12]}'}, the sweep began with {digest[:12]}",
                remedy="put them where every node finds them by this path",
            )


def _unreached_storage(needs: Needs, nodes: list[Node]) -> dict[str, ResourceError]:
    """What is wrong with the nodes, by their ids, that cannot write and read checkpoints where they go.

    An object store is asked for by our own node too: its workers have the environment of `ray start`, not the driver's.
    """
    if (url := needs.objects) is None:
        return unshared_storage(needs.folder, [node for node in nodes if node.node_id != _own_node()])
    found, objects, mark = dict[str, ResourceError](), Objects(url), f".mark-{secrets.token_hex(6)}"
    objects.write(mark, secrets.token_bytes(16))
    answers = {node: f"{mark}-{node.node_id}" for node in nodes}
    try:
        asked = [(node, on_node(node, answer_mark).remote(url, mark, answer)) for node, answer in answers.items()]
        deadline = time.monotonic() + ANSWER_SECONDS
        for node, told in asked:
            try:
                ray.get(told, timeout=max(0.0, deadline - time.monotonic()))
                objects.read(answers[node])
            except FileNotFoundError:
                problem = "what it writes is not there"
            except RayError as error:
                problem = reason_of(error, 300)
            else:
                continue
            found[node.node_id] = ResourceError(
                f"every node must write and read checkpoints at {url} as the driver does: node {node.address} does not ({problem})",
                remedy="give it the credentials and the way there, in the environment of `ray start` or of the job",
            )
    finally:
        objects.remove([mark, *answers.values()])
    return found


def _check_room(node: Node, facts: NodeFacts, needed: int) -> None:
    if facts.shared_bytes < needed:
        sizes = f"{needed / 1e9:.3g} GB: node {node.address} has {facts.shared_bytes / 1e9:.3g} GB"
        raise ResourceError(
            f"{SHARED_MEMORY} must hold the data set, {sizes}",
            remedy=f"give the node a larger {SHARED_MEMORY} (docker run --shm-size), or set data.mode: stream",
        )


def _check_devices(node: Node, facts: NodeFacts, demand: Demand) -> None:
    seen = len(facts.device_bytes)
    if demand.gpus > 0 and seen < node.gpus:
        raise ResourceError(
            f"torch must see the GPUs that a node offers: node {node.address} offers {node.gpus:g}, torch sees {seen}",
            remedy="install a torch for its CUDA driver, or start Ray there with --num-gpus of what works",
        )


def _check_kernels(node: Node, facts: NodeFacts) -> None:
    if facts.missing_kernels:
        raise ResourceError(
            f"training.kernels fused needs them on every node: node {node.address} has none ({facts.missing_kernels})",
            remedy="install a C++ compiler there, or set training.kernels: auto, which goes on without",
        )


def _takes_part(node: Node, demand: Demand) -> bool:
    return node.cpus >= demand.cpus and node.gpus >= demand.gpus


def _share(node: Node, facts: NodeFacts, demand: Demand) -> int:
    """Bytes for one worker: of a GPU what it asks of one, of a node's memory what its CPUs are of the node's."""
    if demand.gpus > 0:
        return int(min(facts.device_bytes) * min(1.0, demand.gpus))
    return int(facts.memory_bytes * min(1.0, demand.cpus / node.cpus))
