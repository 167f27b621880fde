"""Where sweeps and runs may lie: a place that can be written and lasts, and folders that go again unless something began."""

import contextlib
import itertools
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from trm.errors import SweepError
from trm.files.atomic import MAKE_TRIES, claim_folder, make_folders, why_unwritable
from trm.files.contained import refuse_links
from trm.files.strays import is_stray
from trm.search.journal.lease import Lease

DEFAULT_STORAGE = "runs"
USED_FILES = (
    "journal.jsonl",
    "sweep.yaml",
    "dataset.json",
    "driver.json",
    "tracking.json",
    "driver.log",
    "metrics.jsonl",
    "config.yaml",
    "curves.parquet",
    "run.json",
)
USED_FOLDERS = ("trials", "best", "confirmation", "curves", "checkpoints")
SCRATCH_FOLDERS = ("tune", "train")
"""Ray's: what lies in the folders in them is its own."""


def is_ray_job() -> bool:
    """Whether `ray job submit` started this process."""
    return "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ


def writable_folder(given: str | None, option: str, *, default: str | None = None) -> Path:
    """The absolute path of a folder, made or not, for what must last; `default` stands for none, but not in a Ray job.

    SweepError when it cannot be written, is no POSIX path, or lies in the folder of a Ray job.
    """
    if given is None and (is_ray_job() or default is None):
        raise SweepError(
            f"a Ray job needs {option}: its own working folder is deleted when it ends",
            remedy=f"add {option} FOLDER, on a file system that every node mounts",
        )
    path = expanded(given if given is not None else str(default), option)
    if given == "" or "://" in str(given) or "?" in str(path.absolute()):
        raise SweepError(
            f"{option} must be a folder of a POSIX file system, got {given!r}",
            remedy="give a local or shared folder, without :// and ? (Ray Data takes that for a URL's)",
        )
    if is_ray_job() and not path.is_absolute():
        raise SweepError(
            f"a Ray job needs an absolute {option}, got {given}: its own working folder is deleted when it ends",
            remedy="give a folder on a file system that every node mounts",
        )
    if (reason := why_unwritable(path)) is not None:
        raise SweepError(
            f"{option} must be a folder that can be written: {path.absolute()} ({reason})",
            remedy="make it writable or give another",
        )
    return path.absolute()


def expanded(given: str, option: str) -> Path:
    """The path with ~ and ~NAME as their homes; SweepError where there is no such home."""
    try:
        return Path(given).expanduser()
    except RuntimeError as error:
        raise SweepError(f"{option} names a home that is not there: {given}", remedy="write the whole path") from error


def is_taken(folder: Path, own: Collection[str]) -> bool:
    """Whether something lies at `folder` or in it, strays, and what is called as in `own` or was set aside of that, apart."""
    if not folder.is_dir():
        return folder.exists()
    return any(not is_stray(path.name) and path.name.partition(".torn-")[0] not in own for path in folder.iterdir())


def refuse_links_in(folder: Path) -> None:
    """FolderError when a link, pipe or device lies where a sweep or a run in `folder` would read, write or delete."""
    refuse_links(folder, _is_used)


def _is_used(parts: tuple[str, ...]) -> bool:
    """Whether a sweep or a run comes to this place below its folder; what people put beside their files is theirs."""
    if parts[0] in SCRATCH_FOLDERS:
        return len(parts) <= 2
    if parts[0] == "trials" and len(parts) > 1:
        return parts[1].isdecimal() or parts[1].startswith(".")
    return parts[0] in USED_FILES or parts[0] in USED_FOLDERS or parts[0].startswith(".")


def refuse_unwritable(folder: Path, what: str) -> None:
    """SweepError that names what lies in `folder` and this user may not write or remove, though it goes on there."""
    for path, names, files in itertools.chain([(str(folder), [], [])], os.walk(folder)):
        place = Path(path)
        if place.parent == folder and place.name in SCRATCH_FOLDERS:
            names.clear()  # Ray's: the next driver has one of its own
        shut = next(
            (one for one in (place, *(place / name for name in names)) if not os.access(one, os.R_OK | os.W_OK | os.X_OK)), None
        )
        about = place.stat()
        is_kept_by_others = about.st_mode & stat.S_ISVTX and os.geteuid() not in (0, about.st_uid)
        foreign = next(
            (place / name for name in files if is_kept_by_others and (place / name).lstat().st_uid != os.geteuid()), None
        )
        if found := shut or foreign:
            raise SweepError(
                f"{what} goes on only for a user who may write all of it: {found} belongs to {_owner(found)} "
                f"(mode {stat.S_IMODE(found.lstat().st_mode):o})",
                remedy=f"go on as that user, or have them `chmod -R g+rwX,-t {folder}` and work with a umask of 002",
            )


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except (KeyError, OSError):
        return f"user {path.stat().st_uid}"


@contextlib.contextmanager
def held_folder(
    folder: Path, is_kept: Callable[[Path], bool], say: Callable[[str], None] = lambda text: None, *, waits: bool = False
) -> Iterator[Lease]:
    """Hold the lease on `folder`, made where it is missing; what was made here goes again if it is not kept at the end.

    SweepError when a living driver has it; who `waits` looks for a minute whether the last one elsewhere is dead.
    """
    made: list[Path] = []
    lease = _lease_on(folder, made, say, waits=waits)
    with _kept_or_discarded(lease, made, is_kept):
        yield lease


def _lease_on(folder: Path, made: list[Path], say: Callable[[str], None], *, waits: bool) -> Lease:
    """The lease on the folder; what had to be made for it goes into `made`."""
    for _ in range(MAKE_TRIES):
        made[:0] = make_folders(folder)
        with contextlib.suppress(FileNotFoundError):  # who had made it took it back before the lease was ours
            return Lease(folder, say, waits=waits)
    raise SweepError(f"{folder} vanishes as often as it is made", remedy="look who removes it, or give another folder")


def numbered_after(storage: Path, source: str, kind: str) -> Iterator[Path]:
    """`<storage>/NAME-<kind>-1`, -2 ... without end; NAME is that of the file `source`, and `run` of a `config.yaml`."""
    stem = Path(source).stem
    name = "run" if stem == "config" else stem
    return (storage / f"{name}-{kind}-{number}" for number in itertools.count(1))


@contextlib.contextmanager
def numbered_folder(folders: Iterable[Path], is_kept: Callable[[Path], bool]) -> Iterator[Lease]:
    """Make the first of `folders` that is free, and hold the lease on it: of several at once each gets one of its own.

    It goes again if it is not kept at the end.
    """
    made: list[Path] = []
    for folder in folders:
        made = make_folders(folder.parent) + made
        if not claim_folder(folder):
            continue
        with contextlib.suppress(SweepError):  # somebody asked for it by its name, this very moment
            lease = Lease(folder)
            break
    with _kept_or_discarded(lease, [folder, *made], is_kept):
        yield lease


@contextlib.contextmanager
def _kept_or_discarded(lease: Lease, made: list[Path], is_kept: Callable[[Path], bool]) -> Iterator[None]:
    """Gives the lease back at the end; of the folders `made`, innermost first, that serve nothing are removed while it is held."""
    try:
        yield
    finally:
        if lease.folder not in made or is_kept(lease.folder):
            lease.release()
        else:
            lease.discard()
            with contextlib.suppress(OSError):  # others use it
                for parent in made:
                    if parent != lease.folder:
                        parent.rmdir()
