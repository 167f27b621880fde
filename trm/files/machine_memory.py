"""How much memory this machine has, and how much of it is free, at most what the control group may have."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def available_bytes() -> float:
    """Memory that is free now."""
    return _within_limits("MemAvailable")


def total_bytes() -> float:
    """Memory of this machine, at most what the control group may have: the same at every start."""
    return _within_limits("MemTotal")


def _within_limits(entry: str) -> float:
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        found = float(lines[entry].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        found = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for limit in _memory_limits():
        with suppress(OSError, ValueError):  # no such file, or "max"
            found = min(found, float(limit.read_text()))
    return found


def _memory_limits() -> Iterator[Path]:
    """Where control groups of version 2 and 1 may say how much memory this process may have, inside a container and outside."""
    yield from (CGROUPS / "memory.max", CGROUPS / "memory/memory.limit_in_bytes")
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            if not controllers:
                yield CGROUPS / group.strip("/") / "memory.max"
            elif "memory" in controllers.split(","):
                yield CGROUPS / "memory" / group.strip("/") / "memory.limit_in_bytes"
