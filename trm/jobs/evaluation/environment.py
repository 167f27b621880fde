"""Where an evaluation ran: versions, code, machine, and the most memory that it took."""

import os
import platform
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

import trm
from trm.distributed import SOLO, Gang

GIT_SECONDS = 5.0
"""So long may git take to say which commit this is."""


def environment(gang: Gang = SOLO, device: torch.device | str = "cpu") -> dict[str, Any]:
    """JSON: where the workers run, and the most memory that one of them took; every worker asks, and meets others on `device`."""
    peaks = gang.all_gather(torch.tensor([peak_memory_bytes()], device=device)).tolist()
    return {
        "trm": trm.__version__,
        "commit": commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "pyarrow": pa.__version__,
        "system": platform.platform(),
        "processor": processor(),
        "cpus": os.cpu_count(),
        "workers": gang.world_size,
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "peak_memory_bytes": max(peaks),
    }


def commit() -> str | None:
    """Of the checkout that this code is in, with `-dirty` where files differ from it; None where it is in none that may be read."""
    root = Path(trm.__file__).parent.parent
    if not os.path.exists(root / ".git"):  # a Path's own raises where one may not look
        return None
    asked = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        found = subprocess.run(asked, capture_output=True, text=True, timeout=GIT_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()


def processor() -> str:
    """Its name, as the system says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def peak_memory_bytes() -> int:
    """The most memory that this process took so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
