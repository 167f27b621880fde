"""Every test: annotations of `trm` are checked, one thread of arithmetic, no network, no wait for a disk, an MLflow of its own."""

import ast
import errno
import functools
import os
import socket
from pathlib import Path
from typing import Any

for _threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # before numpy and torch load
    os.environ.setdefault(_threads, "1")
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  # by Ray's own 15 its workers starve beside another process of the tests
for _foreign in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "RAY_ADDRESS"):
    os.environ.pop(_foreign, None)

import pytest  # noqa: E402
from annotation_checks import check_annotations  # noqa: E402
from hypothesis import settings  # noqa: E402

check_annotations("trm")  # for the whole run: the tests import the modules later
settings.register_profile("trm", deadline=None, derandomize=True, max_examples=30, print_blob=True)
settings.load_profile("trm")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that boot a Ray come first: they take the longest."""
    items.sort(key=lambda item: item.get_closest_marker("ray") is None)


def pytest_xdist_auto_num_workers() -> int:
    """A process more than cores: the one that boots Rays waits for them half of its time."""
    return (os.cpu_count() or 1) + 1


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A process of the tests takes a file at a time, and one of them all tests that boot a Ray: each Ray thinks it has every core.

    Said here and not by marks of `--dist loadgroup`: xdist 3.8 writes them into an attribute that pytest 9.2 does not read.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file, _, name = nodeid.partition("::")
            return "ray" if name.partition("[")[0] in booting_ray(config.rootpath / file) else file

    return ByFile(config, log)


@functools.cache
def booting_ray(path: Path) -> frozenset[str]:
    """Names of a file's tests that are marked as booting a Ray: some, or by `pytestmark` all."""
    body = ast.parse(path.read_text()).body
    tests = [node for node in body if isinstance(node, ast.FunctionDef)]
    marks = [ast.unparse(node) for node in body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"]
    if any("pytest.mark.ray" in mark for mark in marks):
        return frozenset(test.name for test in tests)
    marked = [test for test in tests if "pytest.mark.ray" in map(ast.unparse, test.decorator_list)]
    return frozenset(test.name for test in marked)


_connect = socket.socket.connect


def _own_addresses() -> set[str]:
    name = socket.gethostname()
    try:
        return {str(info[4][0]) for info in socket.getaddrinfo(name, None)}
    except OSError:
        return set()


OWN_ADDRESSES = _own_addresses() | {"localhost", "::1", socket.gethostname()}


def _connect_here(self: socket.socket, address: Any) -> None:
    """`socket.connect` that refuses other machines.

    A datagram socket's connect sends nothing and stays free: Ray asks it for the node's address.
    """
    if self.family in (socket.AF_INET, socket.AF_INET6) and self.type & socket.SOCK_STREAM:
        host = str(address[0])
        if host not in OWN_ADDRESSES and not host.startswith("127."):
            raise OSError(errno.ENETUNREACH, f"tests stay on this machine, but something connects to {address}")
    _connect(self, address)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", _connect_here)


@pytest.fixture(autouse=True)
def _no_wait_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process wrote outlives it, whatever kills it; only a machine without power needs the flush, milliseconds each."""
    monkeypatch.setattr(os, "fsync", os.fstat)  # of a bad descriptor it raises the same
