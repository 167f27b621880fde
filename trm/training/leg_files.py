"""Where what a leg reads and leaves is durable: in the sweep's folder, or as objects, with a copy on the machine that works.

A checkpoint goes to objects file by file, `meta.json` last, and goes from there `meta.json` first: killed between any two
objects, it is there whole or is none. What lies on the machine is taken for it only where its `meta.json` is the object's,
which vouches for every other file.
"""

import contextlib
import functools
import hashlib
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from trm.files.atomic import locked, make_folders, remove_folder, replacing, replacing_folder
from trm.files.contained import file_name
from trm.files.objects import Objects
from trm.files.own_cache import kept_folder
from trm.files.weight_files import META
from trm.training.leg import LegTask, outcome_beside

COPIES = "checkpoints"
KEPT_COPIES = 50
"""Copies of checkpoints that stay on a machine that may go on with them; of more the oldest go."""
USED_SECONDS = 600.0
"""A copy that was asked for so lately stays: another leg may be reading it."""
_in_background = ThreadPoolExecutor(1, "removals")


@runtime_checkable
class LegFiles(Protocol):
    """Makes what a leg reads be here, and what it leaves durable."""

    def bring(self, checkpoint: Path) -> None:
        """Have the checkpoint here as far as it is anywhere; what of it is missing or damaged shows when it is read."""

    def bring_curve(self) -> None:
        """Have the trial's training curve here, where there is one."""

    def publish(self, checkpoint: Path) -> None:
        """Make the checkpoint that lies here durable, and before it what belongs to it: outcome, curve, scores of puzzles."""

    def remove(self, checkpoint: Path) -> None:
        """Remove a checkpoint that another one replaced; nobody waits for an object store."""


class InFolder:
    """The sweep's folder is here: what was written there is durable."""

    def bring(self, checkpoint: Path) -> None:
        """It is here."""

    def bring_curve(self) -> None:
        """It is here."""

    def publish(self, checkpoint: Path) -> None:
        """It is durable."""

    def remove(self, checkpoint: Path) -> None:
        """At once."""
        remove_folder(checkpoint)


class AsObjects:
    """Copies below `root`, a machine's stand-in for the sweep's folder, of objects that have the names of the files there."""

    def __init__(self, task: LegTask) -> None:
        assert task.objects is not None
        assert task.folder is not None
        self._task, self._objects, self._trial = task, Objects(task.objects), Path(task.folder)
        self._root = self._trial.parents[1]

    def bring(self, checkpoint: Path) -> None:
        """Downloads what does not lie here already."""
        bring_checkpoint(self._objects, self._name(checkpoint), checkpoint)

    def bring_curve(self) -> None:
        """Downloads it."""
        if self._task.curve is None:
            return
        path = Path(self._task.curve.path)
        make_folders(path.parent)
        with contextlib.suppress(FileNotFoundError), replacing(path) as temporary:
            self._objects.get(self._name(path), temporary)

    def publish(self, checkpoint: Path) -> None:
        """Uploads, `meta.json` last; older copies of the trial here go then."""
        task = self._task
        beside = [task.puzzles_to, task.curve.path if task.curve is not None else None, self._trial / "start.txt"]
        for path in [*(Path(one) for one in beside if one is not None), outcome_beside(checkpoint)]:
            if path.is_file():
                self._objects.put(self._name(path), path)
        put_checkpoint(self._objects, self._name(checkpoint), checkpoint)
        self._let_go(checkpoint)

    def remove(self, checkpoint: Path) -> None:
        """Here at once, there in the background; what a killed process leaves there the sweep's driver removes."""
        remove_folder(checkpoint)
        name = self._name(checkpoint)
        _in_background.submit(lambda: remove_checkpoints(self._objects, [name]))

    def _let_go(self, checkpoint: Path) -> None:
        copies = [path for path in self._root.parent.glob("*/trials/*/step-*-attempt-*[0-9]") if path != checkpoint]
        aged = sorted((_age_seconds(path), path) for path in copies)
        for place, (age, path) in enumerate(aged):
            if age > USED_SECONDS and (path.parent == self._trial or place >= KEPT_COPIES):
                remove_folder(path)

    def _name(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()


def leg_files(task: LegTask) -> LegFiles:
    """Of a task whose paths are those of this machine (`at_work`)."""
    return InFolder() if task.objects is None or task.folder is None else AsObjects(task)


def at_work(task: LegTask) -> LegTask:
    """The task with paths of this machine: those of a sweep with objects come as names below the sweep's folder."""
    if task.objects is None:
        return task
    root, curve = stand_in(task.objects), task.curve
    return replace(
        task,
        begins=[begin._replace(checkpoint=str(root / begin.checkpoint)) for begin in task.begins],
        folder=None if task.folder is None else str(root / task.folder),
        puzzles_to=None if task.puzzles_to is None else str(root / task.puzzles_to),
        curve=None if curve is None else replace(curve, path=str(root / curve.path)),
    )


def stand_in(url: str) -> Path:
    """A folder of this machine, which only this user can write to, for copies of the objects below `url`."""
    return _copies() / hashlib.sha256(url.encode()).hexdigest()[:16]


def brought(url: str, name: str) -> Path:
    """A copy on this machine of the checkpoint `name` among the objects below `url`."""
    path = stand_in(url) / name
    bring_checkpoint(Objects(url), name, path)
    return path


def bring_outcome(objects: Objects, name: str) -> Path:
    """Where the checkpoint `name` lies on this machine, or would; what its leg came to lies beside it now, where there is that."""
    path = stand_in(objects.url) / name
    make_folders(path.parent)
    with contextlib.suppress(FileNotFoundError), replacing(outcome_beside(path)) as temporary:
        objects.get(f"{name}.json", temporary)
    return path


def put_checkpoint(objects: Objects, name: str, folder: Path) -> None:
    """Write the checkpoint in `folder` as objects below `name`, `meta.json` last."""
    for path in sorted(folder.iterdir(), key=lambda path: (path.name == META, path.name)):
        objects.put(f"{name}/{path.name}", path)


def bring_checkpoint(objects: Objects, name: str, folder: Path) -> None:
    """Have the checkpoint `name` in `folder`, unless it lies there already; not at all where it is none any more."""
    make_folders(folder.parent)
    with locked(folder.with_name(f".{folder.name}.lock")):
        try:
            meta = objects.read(f"{name}/{META}")
        except FileNotFoundError:
            remove_folder(folder)
            return
        if (folder / META).is_file() and (folder / META).read_bytes() == meta:
            os.utime(folder)
            return
        others = [path for path in objects.sizes(name) if path != f"{name}/{META}"]
        with replacing_folder(folder) as temporary:
            for path in others:
                with contextlib.suppress(FileNotFoundError):  # removed this moment: its reader finds it missing
                    objects.get(path, temporary / file_name(path.rpartition("/")[2]))
            (temporary / META).write_bytes(meta)


def remove_checkpoints(objects: Objects, names: list[str]) -> int:
    """Remove checkpoints, each `meta.json` first and its outcome last; the bytes that were there."""
    freed = 0
    for name in names:
        found = objects.sizes(name, unfinished=True)
        objects.remove(sorted(found, key=lambda path: (not path.endswith(f"/{META}"), path)))
        objects.remove([f"{name}.json"])
        freed += sum(found.values())
    return freed


def _age_seconds(path: Path) -> float:
    """Since a copy was made or asked for."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:  # gone
        return 0.0


@functools.cache
def _copies() -> Path:
    return kept_folder(COPIES) or Path(tempfile.mkdtemp(prefix="trm-checkpoints-"))
