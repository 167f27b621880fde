"""Where the checkpoints of a sweep's trials live, as its driver sees them: in its folder, or as objects below a URL."""

import contextlib
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from trm.console.long_work import shown
from trm.console.streams import say
from trm.errors import CheckpointError, SweepError
from trm.files.atomic import make_folders, remove_folder, remove_hidden, replacing
from trm.files.contained import inside
from trm.files.objects import Objects
from trm.files.weight_files import META
from trm.search.space.space import SearchSpace
from trm.sweeps.trial_files import (
    COLLECTED,
    checkpoints_among,
    clear_unfinished,
    curves_folder,
    folder_bytes,
    trial_folder,
    trial_name,
    whole_among,
)
from trm.training.leg import outcome_beside, step_of
from trm.training.leg_files import brought, remove_checkpoints


@dataclass(frozen=True)
class Superseded:
    """Which checkpoints of a trial are needed no more."""

    trial: int
    reached: int
    """Up to this step its legs have results."""
    is_done: bool
    """Nothing of it is gone on with but what is `kept`."""
    kept: frozenset[str]
    """Checkpoints that stay, by their names below the sweep."""

    def has(self, name: str) -> bool:
        """Whether the checkpoint is one of them."""
        return (self.is_done or step_of(Path(name)) <= self.reached) and name not in self.kept


@runtime_checkable
class CheckpointStore(Protocol):
    """Checkpoints by trial; a name is a checkpoint's path below the sweep's folder."""

    is_on_disk: bool
    """Whether they take room where the sweep's folder lies."""

    def tidy(self, superseded: Superseded) -> int:
        """Remove these of a trial, and what killed writers left; the bytes that this gave back."""

    def bytes(self, trial: int) -> int:
        """Of all that lies there of a trial."""

    def forget(self, trial: int) -> int:
        """Remove all that lies there of a trial; its bytes."""

    def clear_unfinished(self) -> None:
        """Remove the halves that a killed driver's legs left; with the lease held, before the first leg."""

    def collect(self) -> None:
        """Have curves and scores of puzzles in the sweep's folder."""

    def bring(self, name: str) -> Path:
        """The folder of a checkpoint on this machine."""


class InFolder:
    """Below the sweep's folder, which every node sees."""

    is_on_disk = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def tidy(self, superseded: Superseded) -> int:
        """Older rungs, attempts that a result replaced, what killed writers left; of a trial that is over all but its result."""
        folder = trial_folder(self._folder, superseded.trial)
        remove_hidden(folder)
        freed = 0
        for path in folder.glob("step-*-attempt-*[0-9]"):
            if superseded.has(path.relative_to(self._folder).as_posix()):
                freed += _delete(path)
        if superseded.is_done:
            for path in folder.glob("step-*.json"):
                if not path.with_suffix("").exists():
                    path.unlink()
            with contextlib.suppress(OSError):  # something is left
                folder.rmdir()
        return freed

    def bytes(self, trial: int) -> int:
        """Of its folder."""
        return folder_bytes(trial_folder(self._folder, trial))

    def forget(self, trial: int) -> int:
        """With its folder."""
        folder = trial_folder(self._folder, trial)
        freed = folder_bytes(folder)
        remove_folder(folder)
        return freed

    def clear_unfinished(self) -> None:
        """What has a hidden name."""
        clear_unfinished(self._folder)

    def collect(self) -> None:
        """They are there."""

    def bring(self, name: str) -> Path:
        """Where it lies."""
        return self._folder / name


class AsObjects:
    """Below a URL that every node reaches."""

    is_on_disk = False

    def __init__(self, folder: Path, url: str) -> None:
        """`folder` is the sweep's, on the driver's machine."""
        self._folder, self._objects = folder, Objects(url)
        self._bytes: dict[int, int] = {}

    def tidy(self, superseded: Superseded) -> int:
        """By one look at the trial's objects."""
        trial = trial_name(superseded.trial)
        found = self._objects.sizes(trial)
        over = [name for name in checkpoints_among(found) if superseded.has(name)]
        freed = remove_checkpoints(self._objects, over)
        if superseded.is_done:
            kept = superseded.kept
            self._objects.remove(
                name for name in found if name.endswith(".json") and name.count("/") == 2 and name.removesuffix(".json") not in kept
            )
        self._bytes[superseded.trial] = sum(found.values()) - freed
        return freed

    def bytes(self, trial: int) -> int:
        """As they were when it was looked at last."""
        return self._bytes.get(trial, 0)

    def forget(self, trial: int) -> int:
        """Checkpoints first, each not whole from its first removal on."""
        found = self._objects.sizes(trial_name(trial))
        freed = remove_checkpoints(self._objects, checkpoints_among(found))
        self._objects.remove(self._objects.sizes(trial_name(trial), unfinished=True))
        self._bytes[trial] = 0
        return freed

    def clear_unfinished(self) -> None:
        """Checkpoints without their `meta.json`, each asked for it by name: a listing may end too soon, and says nothing of it."""
        remove_hidden(curves_folder(self._folder))
        found = self._objects.sizes("trials", unfinished=True)
        whole = set(whole_among(found))
        unlisted = [name for name in checkpoints_among(found) if name not in whole]
        remove_checkpoints(self._objects, [name for name in unlisted if not self._is_whole(name)])

    def _is_whole(self, checkpoint: str) -> bool:
        with contextlib.suppress(FileNotFoundError):
            self._objects.read(f"{checkpoint}/{META}")
            return True
        return False

    def collect(self) -> None:
        """Those that differ from what lies here in size, or are not here."""
        for kind in COLLECTED:
            for name, size in self._objects.sizes(kind).items():
                path = inside(self._folder, name)
                if path.is_file() and path.stat().st_size == size and kind != "curves":
                    continue
                make_folders(path.parent)
                with contextlib.suppress(FileNotFoundError), replacing(path) as temporary:
                    self._objects.get(name, temporary)

    def bring(self, name: str) -> Path:
        """A copy in this machine's stand-in."""
        return brought(self._objects.url, name)


def objects_url(space: SearchSpace, name: str) -> str | None:
    """Where the objects of the sweep called `name` lie; None where checkpoints lie in its folder."""
    given = space.storage.checkpoints
    return None if given is None else f"{given.rstrip('/')}/{name}"


def checkpoint_store(space: SearchSpace, folder: Path, name: str) -> CheckpointStore:
    """Of the sweep called `name`, whose folder is `folder`."""
    url = objects_url(space, name)
    return InFolder(folder) if url is None else AsObjects(folder, url)


def require_objects(space: SearchSpace, folder: Path, *, is_resume: bool) -> None:
    """SweepError when objects are asked for and cannot be written and read, or a new sweep in `folder` would find another's."""
    if (url := objects_url(space, folder.name)) is None:
        return
    with shown(f"asking {url}", say):
        try_objects(str(space.storage.checkpoints))
        is_taken = not is_resume and bool(Objects(url).sizes("trials"))
    if is_taken:
        raise SweepError(
            f"there are checkpoints of another sweep below {url}",
            remedy="give another --name or storage.checkpoints, or remove what lies there",
        )


def try_objects(url: str) -> None:
    """CheckpointError unless this process can write, read and remove an object below the URL."""
    objects, name = Objects(url), f".trial-{secrets.token_hex(6)}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "written"
        path.write_bytes(secrets.token_bytes(16))
        objects.put(name, path)
        if objects.read(name) != path.read_bytes():
            raise CheckpointError(f"{url} does not give back what was written there", remedy="give another storage.checkpoints")
        objects.remove([name])


def answer_mark(url: str, mark: str, answer: str) -> None:
    """Write as the object `answer` what the object `mark` holds; CheckpointError when this process finds no such mark or cannot."""
    objects = Objects(url)
    try:
        objects.write(answer, objects.read(mark))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"what another process wrote at {url} is not there", remedy="give an address that all share"
        ) from error


def remove_objects(url: str) -> tuple[int, int]:
    """Remove all objects of the sweep at `url`; how many there were, and their bytes.

    Checkpoints go first, each not whole from its first removal on; the journal goes last and from its end: by what a killed removal
    leaves of it the sweep is known.
    """
    objects = Objects(url)
    found = objects.sizes("")
    remove_checkpoints(objects, checkpoints_among(found))
    names = list(objects.sizes("", unfinished=True))
    journal = [name for name in names if name.startswith("journal/")]
    objects.remove([*(name for name in names if name not in journal), *reversed(journal)])
    return len(found), sum(found.values())


def _delete(checkpoint: Path) -> int:
    """Remove the checkpoint first, then its outcome, which counts for nothing alone."""
    size = folder_bytes(checkpoint)
    remove_folder(checkpoint)
    outcome_beside(checkpoint).unlink(missing_ok=True)
    return size
