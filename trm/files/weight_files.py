"""Where weights lie in a run, a sweep, a checkpoint or an export, and what their files are known again by. No torch."""

import hashlib
from pathlib import Path

from trm.errors import CheckpointError

META = "meta.json"
"""What vouches for a checkpoint's files, in its folder."""
MODEL_FILE = "model.safetensors"
"""The weights, in the folder of a checkpoint or an export."""
EXPORT_FILES = (MODEL_FILE, "config.yaml")


def checkpoints_in(folder: str | Path) -> list[Path]:
    """All checkpoints of a run or a trial that are named by their step, the newest last."""
    found = [path for path in Path(folder).glob("step-*") if path.name.removeprefix("step-").isdecimal() and path.is_dir()]
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))


def weights_folder(folder: Path) -> Path:
    """The checkpoint or the export that `folder` is or holds: itself, its `best/`, or its newest checkpoint.

    Raises CheckpointError.
    """
    newest = checkpoints_in(folder / "checkpoints")[-1:]
    for candidate in (folder, folder / "best", *newest):
        if (candidate / META).exists() or (candidate / MODEL_FILE).exists():
            return candidate
    held = checkpoints_in(folder)
    raise CheckpointError(
        f"weights lie in a checkpoint, an export, a run or a sweep, and {folder} {'is none' if folder.exists() else 'is missing'}",
        remedy=f"give one that it holds: {held[-1]}" if held else f"give a folder with {META}, with {MODEL_FILE}, or with best/",
    )


def weights_digest(path: str | Path) -> str:
    """SHA-256 of what decides the weights at `path`: a file's bytes, a checkpoint's meta.json, or the files of an export.

    Raises CheckpointError where there is nothing that can be read.
    """
    path = Path(path)
    try:
        if path.is_file():
            return _digest(path).hexdigest()
        folder = weights_folder(path)
        if (folder / META).exists():  # it has the digest of every other file
            return _digest(folder / META).hexdigest()
        whole = hashlib.sha256()
        for name in EXPORT_FILES:
            whole.update(_digest(folder / name).digest())
        return whole.hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}", remedy="give weights that this user can read") from None


def digest_of_start(path: str) -> str:
    """`weights_digest` of what `start.from` names. Raises CheckpointError."""
    if not Path(path).exists():
        raise CheckpointError(
            f"start.from must name weights, and {path} does not exist",
            remedy="give a run, a sweep, a checkpoint, an export, or a published file of weights",
        )
    return weights_digest(path)


def _digest(path: Path) -> "hashlib._Hash":
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256")
