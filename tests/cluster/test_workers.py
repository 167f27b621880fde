"""Workers that do not fit are named before the start, with the node, the rule, the value and a remedy."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import RayTaskError

from trm.cluster import worker_check
from trm.cluster.connection import Demand, Node
from trm.cluster.node_facts import NodeFacts, own_facts, source_digest
from trm.cluster.worker_check import SAME, Needs, check_workers
from trm.config.imports import VARIABLE
from trm.config.imports import source_digest as source_digest_of
from trm.errors import CheckpointError, ResourceError

HERE = own_facts(sees_gpus=False)
GPU = Demand(1, 2, 0.5)


def nodes(*gpus: float) -> list[Node]:
    return [Node(str(number), f"10.0.0.{number}", 8, count) for number, count in enumerate(gpus)]


def checked(monkeypatch: pytest.MonkeyPatch, facts: list[NodeFacts], needs: Needs) -> Any:
    gpus = [len(one.device_bytes) for one in facts]
    monkeypatch.setattr(worker_check, "_ask", lambda nodes, needs: (dict(zip(nodes, facts, strict=True)), {}))
    monkeypatch.setattr(worker_check, "unshared_storage", lambda folder, nodes: {})
    monkeypatch.setattr(worker_check, "_own_node", lambda: "here")
    return check_workers(nodes(*gpus), needs)


def problem_of_second(monkeypatch: pytest.MonkeyPatch, facts: list[NodeFacts], needs: Needs) -> str:
    """What is wrong with the second of two nodes, while the first goes on alone."""
    workers = checked(monkeypatch, facts, needs)
    assert (workers.nodes, workers.found["0"]) == (1, None)
    return str(workers.found["1"])


@pytest.mark.parametrize("name", SAME)
def test_a_node_with_another_version_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    other = replace(HERE, versions={**HERE.versions, name: "0.0"})
    said = rf"the driver's {name} .*: node 10.0.0.\d has 0\.0; {SAME[name][:20]}"
    assert re.search(said, problem_of_second(monkeypatch, [HERE, other], Needs(Demand(1, 1, 0), tmp_path)))
    with pytest.raises(ResourceError, match=said):
        checked(monkeypatch, [other], Needs(Demand(1, 1, 0), tmp_path))
    with pytest.raises(ResourceError, match=said):  # the first alone is too small
        checked(monkeypatch, [HERE, other], Needs(Demand(9, 1, 0), tmp_path))


@pytest.mark.parametrize(("there", "said"), [("none", "has json not at all"), ("123", "has json of digest 123")])
def test_a_node_without_an_imported_module_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str, said: str) -> None:
    """Told from what its sources are: nothing is imported for that."""
    monkeypatch.setenv(VARIABLE, "json")
    here = own_facts(sees_gpus=False, imports=["json"])
    assert here.imports["json"] == source_digest_of("json")
    needs = Needs(Demand(1, 1, 0), tmp_path)
    assert checked(monkeypatch, [here, here], needs).found == {"0": None, "1": None}
    problem = problem_of_second(monkeypatch, [here, replace(here, imports={"json": there})], needs)
    assert f"modules in imports as the driver has them: node 10.0.0.1 {said}, the driver of" in problem


def test_shared_memory_that_cannot_hold_the_data_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(HERE, shared_bytes=64 * 10**6)
    with pytest.raises(ResourceError, match=r"/dev/shm must hold the data set, 2 GB: node 10.0.0.0 has 0.064 GB"):
        checked(monkeypatch, [small], Needs(Demand(1, 1, 0), tmp_path, 2 * 10**9))


def test_gpus_that_torch_does_not_see_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_check, "_ask", lambda nodes, needs: ({nodes[0]: replace(HERE, device_bytes=(1,))}, {}))
    with pytest.raises(ResourceError, match=r"node 10\.0\.0\.0 offers 2, torch sees 1"):
        check_workers(nodes(2), Needs(GPU, tmp_path))


def test_the_smallest_device_counts_and_a_fraction_of_it_is_a_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large, small = (replace(HERE, device_bytes=(size, size)) for size in (80 * 10**9, 24 * 10**9))
    workers = checked(monkeypatch, [large, small], Needs(GPU, tmp_path))
    assert (workers.nodes, workers.devices, workers.device_bytes) == (2, 4, 12 * 10**9)
    assert workers.disk_bytes > 0


def test_without_gpus_a_worker_has_its_share_of_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workers = checked(monkeypatch, [replace(HERE, memory_bytes=32 * 10**9)], Needs(Demand(1, 2, 0), tmp_path))
    assert workers.device_bytes == 8 * 10**9
    assert len(source_digest()) == 12


def test_a_node_without_the_kernels_that_a_sweep_insists_on_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    bare = own_facts(sees_gpus=False, needs_kernels=True)
    problem = problem_of_second(monkeypatch, [HERE, bare], Needs(Demand(1, 1, 0), tmp_path))
    assert "node 10.0.0.1 has none (fused kernels need a C++ compiler, and CXX=no-such" in problem


def test_a_node_that_cannot_read_what_trials_start_from_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "weights.pt")
    Path(path).write_bytes(b"weights")
    here = own_facts(sees_gpus=False, starts=[path])
    digest = here.starts[path]
    for there, said in (("none", "has .*weights.pt not at all"), ("f" * 64, "has .*weights.pt with digest ffffffffffff")):
        other = replace(here, starts={path: there})
        needs = Needs(Demand(1, 1, 0), tmp_path, starts={path: digest})
        problem = problem_of_second(monkeypatch, [here, other], needs)
        assert re.search(rf"node 10\.0\.0\.1 {said}, the sweep began with {digest[:12]}", problem)


class Elsewhere:
    """A node whose tasks run here, at once; `url`: where its own store lies."""

    def __init__(self, function: Callable[..., object], url: str | None) -> None:
        self.function, self.url = function, url

    def remote(self, url: str, *words: str) -> Any:
        try:
            return self.function(self.url or url, *words)
        except CheckpointError as error:
            return RayTaskError("answer_mark", f"CheckpointError: {error}", error)


def test_a_node_that_has_another_store_by_the_same_address_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def get(told: object, timeout: float) -> None:
        if isinstance(told, RayTaskError):
            raise told

    stores = {"0": None, "1": f"file://{tmp_path}/other", "2": None}
    monkeypatch.setattr(worker_check, "on_node", lambda node, function: Elsewhere(function, stores[node.node_id]))
    monkeypatch.setattr(worker_check.ray, "get", get)
    needs = Needs(Demand(1, 1, 0), tmp_path, objects=f"file://{tmp_path}/store")
    found = worker_check._unreached_storage(needs, nodes(0, 0, 0))
    assert set(found) == {"1"}
    assert "node 10.0.0.1 does not (CheckpointError: what another process wrote" in str(found["1"])
    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file()], "marks are removed"
