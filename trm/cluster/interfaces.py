"""Which network interface the workers of a gang meet on."""

import os

import psutil
import ray

LOOPBACK = "127.0.0.1"


def interface_of(address: str) -> str | None:
    """The interface of this machine that has the address; None where none has."""
    for name, addresses in psutil.net_if_addrs().items():
        if any(one.address == address for one in addresses):
            return str(name)
    return None


def meet_at(address: str) -> None:
    """Have gloo, in this process, meet others on the interface with this address, unless the environment names another.

    Left to itself it takes the address that the host's name resolves to. On Debian's and Ubuntu's machines that is 127.0.1.1, and
    in many containers none at all: then it takes loopback, and workers of several nodes never meet. NCCL looks for itself.
    """
    if (name := interface_of(address)) is not None:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)


def meet_at_node() -> None:
    """`meet_at` the address by which Ray knows this node."""
    meet_at(ray.util.get_node_ip_address())
