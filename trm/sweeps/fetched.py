"""A mirrored sweep on a machine that has not got it: brought whole, and gone again where nothing came of it."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from trm.errors import InterruptedRun, SweepError, TRMError
from trm.files.atomic import fsync_folder, make_folders
from trm.search.journal.lease import Lease
from trm.search.log import FILE as JOURNAL
from trm.search.space.recorded import recorded_space
from trm.sweeps.checkpoint_stores import objects_url
from trm.sweeps.folder import EARLY_FILES, is_begun
from trm.sweeps.mirror import begun_name
from trm.sweeps.mirror_objects import catch_up, fetch
from trm.sweeps.places import is_taken, refuse_links_in


@contextlib.contextmanager
def fetched(url: str, folder: Path) -> Iterator[str]:
    """While entered the sweep mirrored at `url` is in `folder`; gives the storage.checkpoints that it began with.

    One that is there already counts if it is that sweep, and gets what was journaled elsewhere since. What was brought goes again
    if an error comes out before a driver wrote a line, but not when that was interrupted: then the same command goes on here.
    SweepError where another sweep, or something else, lies at `folder`.
    """
    url = url.rstrip("/")
    refuse_links_in(folder)
    made = list[Path]()
    if is_begun(folder):
        _checkpoints_of(url, folder)
        catch_up(url, folder)
    else:
        _require_free(folder)
        made = _brought(url, folder)
    brought = (folder / JOURNAL).read_bytes() if made else b""
    try:
        yield _checkpoints_of(url, folder)
    except InterruptedRun:
        raise
    except Exception:
        if made:
            _take_back(folder, brought, made)
        raise


def _require_free(folder: Path) -> None:
    if is_taken(folder, EARLY_FILES):
        raise SweepError(f"{folder} exists and is no sweep", remedy="give another --storage, or remove it")
    with contextlib.suppress(FileNotFoundError):  # nothing is there
        lease = Lease(folder)
        if is_begun(folder):
            lease.release()
            raise SweepError(f"the sweep {folder} began this moment", remedy="go on with it by --resume")
        lease.discard()  # what a start left that was killed before its first line


def _brought(url: str, folder: Path) -> list[Path]:
    """The folders that were made for it, innermost first; none of them stays when it cannot be had."""
    above = make_folders(folder.parent)
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as place:
            whole = Path(place) / folder.name
            fetch(url, whole)
            try:
                whole.rename(folder)
            except OSError as error:
                raise SweepError(
                    f"{folder} was made meanwhile ({error.strerror})", remedy="look who else goes on with it"
                ) from error
        fsync_folder(folder.parent)
    except BaseException:
        _remove_empty(above)
        raise
    return [folder, *above]


def _checkpoints_of(url: str, folder: Path) -> str:
    space = recorded_space(folder)
    there = objects_url(space, begun_name(folder))
    if there != url or space.storage.checkpoints is None:
        raise SweepError(
            f"a sweep goes on where it keeps its checkpoints: that of {folder} is at {there or 'no URL'}, not at {url}",
            remedy="give that URL, or another --storage",
        )
    return space.storage.checkpoints


def _take_back(folder: Path, brought: bytes, made: list[Path]) -> None:
    with contextlib.suppress(TRMError, OSError):  # somebody else goes on with it by now
        lease = Lease(folder)
        if (folder / JOURNAL).read_bytes() != brought:
            lease.release()
            return
        lease.discard()
        _remove_empty(made[1:])


def _remove_empty(folders: list[Path]) -> None:
    with contextlib.suppress(OSError):  # others use it
        for folder in folders:
            folder.rmdir()
