"""What a node says of itself. A first task there runs this alone, so it imports little: no search, and no data."""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from trm.config.imports import source_digest as source_digest_of
from trm.console.redaction import reason_of
from trm.errors import CheckpointError
from trm.files.machine_memory import total_bytes
from trm.files.weight_files import weights_digest
from trm.sweeps.versions import installed_version

KERNELS_SECONDS = 400.0
"""For importing torch and, at first, compiling."""
SHARED_MEMORY = "/dev/shm"
PROBE_TRIES, PROBE_SECONDS = 10, 0.5
_KERNELS = "from trm.kernels.build import why_missing; print(why_missing() or '')"
_DEVICES = (
    "import json, torch; "
    "print(json.dumps([torch.cuda.get_device_properties(i).total_memory for i in range(torch.cuda.device_count())]))"
)


@dataclass(frozen=True)
class NodeFacts:
    """What a node says of itself."""

    versions: dict[str, str]
    """Keys as in SAME."""
    shared_bytes: int
    """Size of /dev/shm."""
    memory_bytes: int
    """Memory of the machine, or of the container."""
    device_bytes: tuple[int, ...]
    """Memory of every GPU; empty where none was asked for."""
    imports: dict[str, str] = field(default_factory=dict)
    """Digest of the sources of every module that the driver imported for the sweep; `none` where it is not found."""
    starts: dict[str, str] = field(default_factory=dict)
    """Digest of the weights at every path that trials start from, as the node reads them; `none` where it cannot."""
    missing_kernels: str = ""
    """Why the fused kernels cannot be had there; empty when they can, or where nobody insists on them."""


def own_facts(
    *, sees_gpus: bool, needs_kernels: bool = False, imports: Sequence[str] = (), starts: Sequence[str] = ()
) -> NodeFacts:
    """The facts of the node that this process runs on."""
    return NodeFacts(
        versions={
            "python": ".".join(platform.python_version_tuple()[:2]),
            **{name: installed_version(name) for name in ("ray", "torch", "trm-search")},
            "trm source": source_digest(),
        },
        shared_bytes=shutil.disk_usage(SHARED_MEMORY).total if os.path.isdir(SHARED_MEMORY) else 0,
        memory_bytes=int(total_bytes()),
        device_bytes=_device_bytes() if sees_gpus else (),
        imports={name: source_digest_of(name) or "none" for name in imports},
        starts={path: digest_there(path) for path in starts},
        missing_kernels=_missing_kernels() if needs_kernels else "",
    )


def digest_there(path: str) -> str:
    """Digest of the weights at a path as this machine reads them; `none` where it cannot."""
    try:
        return weights_digest(path)
    except CheckpointError:
        return "none"


@lru_cache(maxsize=1)
def source_digest() -> str:
    """Digest of every source file of the package, so that an old copy of it is told from the driver's."""
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.suffix in (".py", ".cpp", ".hpp")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def _missing_kernels() -> str:
    """Asked in a process of its own, for this one may go without torch."""
    done = subprocess.run([sys.executable, "-c", _KERNELS], capture_output=True, text=True, timeout=KERNELS_SECONDS)
    return done.stdout.strip() if done.returncode == 0 else reason_of(done.stderr, 300)


def _device_bytes() -> tuple[int, ...]:
    """Asked in a process of its own: this one holds no GPU, and would keep what it opened."""
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    done = subprocess.run([sys.executable, "-c", _DEVICES], capture_output=True, text=True, env=environment, timeout=100)
    return tuple(json.loads(done.stdout)) if done.returncode == 0 else ()


def answer_probe(probe: str, node_id: str, token: str) -> str:
    """Why this node does not read what the driver wrote into the folder `probe`, or cannot answer there; empty where it does."""
    problem = unanswered(Path(probe) / "driver", token)
    if not problem:
        try:
            (Path(probe) / node_id).write_text(token)
        except OSError as error:
            return f"writing: {error}"
    return problem


def unanswered(path: Path, token: str) -> str:
    """Why the file does not hold the token, empty when it does; network file systems show new files some seconds late."""
    problem = ""
    for _ in range(PROBE_TRIES):
        try:
            if path.read_text() == token:
                return ""
            problem = f"{path.name} holds something else"
        except OSError as error:
            problem = f"reading: {error}"
        time.sleep(PROBE_SECONDS)
    return problem
