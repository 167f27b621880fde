"""A disk that is full: how it is recognised, and how much is free. It pauses a sweep, whatever was being written."""

import errno
import os
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)
SIGNS = ("No space left on device", "os error 28", "Disk quota exceeded", "os error 122", "OutOfDiskError")
"""In errors of libraries that keep the system's number to themselves (safetensors, Arrow, Ray)."""


def is_disk_full(error: BaseException | None) -> bool:
    """Whether the error, or what caused it, is a disk or a quota that is full."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        if any(sign in f"{type(error).__name__}: {error}" for sign in SIGNS):
            return True
        error = error.__cause__
    return False


def free_bytes(folder: Path) -> int:
    """Bytes that an ordinary user may still write where `folder` lies."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def full_text(folder: Path, why: str) -> str:
    """What a person is told."""
    return f"the disk of {folder} is full: {in_units(free_bytes(folder))} are free; {why}"


def in_units(count: float) -> str:
    """Bytes as a person reads them."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
