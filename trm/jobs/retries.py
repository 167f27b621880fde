"""One command for every try: `--go-on` starts what did not begin and goes on with what did; a file tells whether to try again.

What tries a job again often does not see its exit code (`ray job submit` makes a 1 of it), or that it ended at all (a lost head).
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from trm.console.redaction import redacted
from trm.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, SweepError, SweepHeld
from trm.files.atomic import write_text_atomic
from trm.search.journal.lease import is_held
from trm.search.space.loading import load_space
from trm.search.space.rules import OLDEST
from trm.sweeps.fetched import fetched
from trm.sweeps.folder import NAME, is_begun
from trm.sweeps.mirror import begun_name, mirror_url
from trm.sweeps.mirror_objects import catch_up, is_mirrored
from trm.sweeps.places import DEFAULT_STORAGE, expanded
from trm.terminal.command_line import ending

SUFFIX = ".exit.json"


def folder_of(name: str, storage: str | None) -> Path:
    """The folder of the sweep of this name. SweepError when it is no name."""
    if NAME.fullmatch(name) is None:
        raise SweepError(f"--name must be letters, digits, ., _ and -, got {name!r}", remedy="give another")
    return expanded(storage or DEFAULT_STORAGE, "--storage").absolute() / name


@contextlib.contextmanager
def brought(space: str, overrides: Sequence[str], folder: Path) -> Iterator[None]:
    """While entered a sweep that began on another machine, and is mirrored where the space says, is in `folder`.

    Nothing is where none did, and what was brought goes again if nothing comes of it, as of `fetched`. One that is there, and
    went on elsewhere meanwhile, gets what is newer.
    """
    is_here = is_begun(folder)
    url = mirror_url(load_space(space, overrides, rules=OLDEST), begun_name(folder) if is_here else folder.name)
    with contextlib.ExitStack() as held:
        if url is not None and is_here:
            catch_up(url, folder)
        elif url is not None and is_mirrored(url):
            held.enter_context(fetched(url, folder))
        yield


@contextlib.contextmanager
def told_to_the_next(folder: Path) -> Iterator[None]:
    """While entered there is no `<folder>.exit.json`; afterwards it says how this try ended, and whether to try again.

    So what was killed, and leaves none, is to be tried again. Where no file can be written the exit code alone tells. A try
    that is refused because another one drives leaves the file to that one.
    """
    file = _file_of(folder)
    try:
        if not is_held(folder):
            forget_told(folder)
        yield
    except SweepHeld:
        raise
    except BaseException as error:
        foreseen = ending(error)
        _tell(file, EXIT_FAILED if foreseen is None else foreseen.code, repr(error) if foreseen is None else foreseen.message)
        raise
    _tell(file, EXIT_DONE, "done")


def forget_told(folder: Path) -> None:
    """Remove what stands beside a sweep's folder about its last try, if it may be removed."""
    with contextlib.suppress(OSError):
        _file_of(folder).unlink(missing_ok=True)


def _file_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}{SUFFIX}")


def _tell(file: Path, code: int, message: str) -> None:
    at = datetime.now(UTC).isoformat(timespec="seconds")
    told = {"code": code, "try_again": code == EXIT_INTERRUPTED, "message": redacted(message), "at": at}
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomic(file, json.dumps(told) + "\n")
