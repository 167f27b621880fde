"""Every test: annotations of `trm` are checked, one thread of arithmetic, no network, no wait for a disk, an MLflow of its own."""

import errno
import os
import socket
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
settings.register_profile("trm", deadline=None, derandomize=True, max_examples=50, print_blob=True)
settings.load_profile("trm")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A process of the tests takes a file at a time, and one of them first all tests that boot a Ray: they take the longest.

    Never two at once: each Ray thinks that it has every core.
    """
    items.sort(key=lambda item: item.get_closest_marker("ray") is None)
    for item in items:
        group = "ray" if item.get_closest_marker("ray") is not None else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))


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
