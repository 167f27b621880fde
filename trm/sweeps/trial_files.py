"""The files of a sweep's trials by their names below its folder: checkpoints, curves, scores of puzzles."""

import contextlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from trm.files.atomic import remove_hidden
from trm.files.contained import inside
from trm.files.weight_files import META

CHECKPOINT_MARK = META
"""A folder with this file is a whole checkpoint."""
CHECKPOINT = re.compile(r"(trials/\d+/step-\d+-attempt-\d+)/[^/]+")
"""An object of a checkpoint, and the checkpoint's name."""
COLLECTED = ("curves", "confirmation")
"""Folders of what legs leave besides checkpoints, and a driver reads."""


def trial_name(trial: int) -> str:
    """The folder of a trial's checkpoints below the sweep's."""
    return f"trials/{trial:04d}"


def trial_folder(folder: Path, trial: int) -> Path:
    """Where a trial's checkpoints lie in the sweep folder. FolderError when a link leads out of it."""
    return inside(folder, trial_name(trial))


def puzzles_file(folder: Path, trial: int) -> Path:
    """Where the scores of every single puzzle of a confirmation run lie: apart from its checkpoints, which `keep` may delete."""
    return inside(folder, "confirmation", f"{trial:04d}.parquet")


def curves_folder(folder: Path) -> Path:
    """Where the training curves of a sweep's trials lie, a Parquet file a trial: together they are one table."""
    return inside(folder, "curves")


def curve_file(folder: Path, trial: int) -> Path:
    """Where the training curve of a trial lies: apart from its checkpoints, which `keep` may delete."""
    return inside(folder, "curves", f"{trial:04d}.parquet")


def clear_unfinished(folder: Path) -> None:
    """Remove the halves of checkpoints that a killed driver's legs left; call it with the lease held, before the first leg."""
    trials = inside(folder, "trials")
    for place in (trials, *trials.glob("[0-9]*"), curves_folder(folder)):
        remove_hidden(place)


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below the folder, which may vanish meanwhile."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(path, name)).st_size
    return total


def checkpoints_among(names: Iterable[str]) -> list[str]:
    """Checkpoints, whole or not, of which these objects are, in order."""
    return sorted({match[1] for name in names if (match := CHECKPOINT.fullmatch(name))})


def whole_among(names: Iterable[str]) -> list[str]:
    """Checkpoints that are whole, by their `meta.json`, of which these objects are, in order."""
    return [name.removesuffix(f"/{META}") for name in sorted(names) if CHECKPOINT.fullmatch(name) and name.endswith(f"/{META}")]
