"""What view.py does: it says what a folder holds, and writes the page of that, or serves it."""

import importlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trm.console.streams import say
from trm.errors import EXIT_DONE, ConfigError
from trm.files.atomic import why_unwritable
from trm.pages.page import Page, write_page
from trm.search.journal.lease import is_held
from trm.terminal.command_line import show


@dataclass(frozen=True)
class Kind:
    """What a folder can be, and who makes its page."""

    name: str
    is_one: Callable[[Path], bool]
    module: str
    """Has `page_of(folder) -> Page`; with `live(folder, port) -> exit code` it can be followed. Imported when it is needed."""
    own_file: str | None = None
    """The page's name in the folder; null: it is written where the command is given."""
    options: tuple[str, ...] = ()
    """Those of `data` (where its puzzles lie) and `split` (whose puzzles are answered) that its `page_of` takes."""


SWEEP, EVALUATION = "a sweep", "an evaluation"
MOST_NAME_BYTES = 200
WAIT_SECONDS = 0.2
PAGE_SUFFIXES = (".html", ".htm")


def _is_evaluation(path: Path) -> bool:
    return (path / "report.json").is_file() and (path / "puzzles.parquet").is_file()


def _is_run(path: Path) -> bool:
    return (path / "config.yaml").is_file() and (path / "checkpoints").is_dir()


def _is_weights(path: Path) -> bool:
    return any((path / name).is_file() for name in ("model.safetensors", "meta.json"))


def _is_arrays(path: Path) -> bool:
    return any((place / "dataset.json").is_file() for place in (path, path / "train", path / "test"))


KINDS = (
    Kind(SWEEP, lambda path: (path / "journal.jsonl").is_file(), "trm.jobs.view_sweep", own_file="report.html"),
    Kind(EVALUATION, _is_evaluation, "trm.jobs.view_evaluation", own_file="report.html", options=("data",)),
    Kind("a run", _is_run, "trm.jobs.view_run", own_file="report.html", options=("data", "split")),
    Kind("weights", _is_weights, "trm.jobs.view_run", options=("data", "split")),
    Kind("a data set", lambda path: (path / "manifest.json").is_file(), "trm.jobs.view_data_set", own_file="report.html"),
    Kind("published arrays", _is_arrays, "trm.jobs.view_arrays"),
)
"""In the order in which a folder is asked."""


def run_view(
    *paths: str, out: str | None, is_live: bool, port: int | None, data: str | None = None, split: str | None = None
) -> int:
    """Write the page, or serve it until Ctrl-C; the exit code. Raises InputError for what a person can mend."""
    _check_options(out=out, is_live=is_live, port=port)
    folders = [_local(path) for path in paths]
    if is_live and len(folders) == 1 and _begins(folders[0]) and not _has_begun(folders[0]):
        return EXIT_DONE
    kinds = [kind_of(folder) for folder in folders]
    asked = {name: value for name, value in (("data", data), ("split", split)) if value is not None}
    if others := [name for name in asked if name not in kinds[0].options]:
        told = f"--{others[0]} is of puzzles that were answered, or will be, {paths[0]} is {kinds[0].name}"
        raise ConfigError(told, remedy="leave it out")
    if len(folders) > 1:
        return _compare(folders, kinds, out, asked, is_live=is_live)
    folder, kind = folders[0], kinds[0]
    maker = importlib.import_module(kind.module)
    if is_live:
        if not hasattr(maker, "live"):
            raise ConfigError(f"--live follows a sweep, {folder} is {kind.name}", remedy="leave --live out: the page is written")
        return int(maker.live(folder, port or 0))
    place = place_of(folder, kind, out)
    return _written(maker.page_of(folder, **asked), place)


def _local(path: str) -> Path:
    """The folder; ConfigError for an address elsewhere."""
    if "://" in path:
        raise ConfigError(f"a page is made of a folder on this machine, got {path}", remedy="copy it here first")
    return Path(path)


def _begins(folder: Path) -> bool:
    """Whether a driver holds the folder and has journaled nothing yet, as in a sweep's first seconds."""
    return folder.is_dir() and not any(kind.is_one(folder) for kind in KINDS) and is_held(folder)


def _has_begun(folder: Path) -> bool:
    """Waits until the folder's driver journals, or leaves; False when Ctrl-C ended the waiting."""
    say(f"waiting for the journal of {folder}: a sweep begins there; Ctrl-C ends the waiting")
    try:
        while _begins(folder):
            time.sleep(WAIT_SECONDS)
    except KeyboardInterrupt:
        say("no longer waited for")
        return False
    return True


def _compare(folders: list[Path], kinds: list[Kind], out: str | None, asked: dict[str, str], *, is_live: bool) -> int:
    """The page of two evaluations or of several sweeps, written where the command is given."""
    names = [folder.resolve().name for folder in folders]
    are_sweeps = all(kind.name == SWEEP for kind in kinds)
    if is_live or not (are_sweeps or (len(folders) == 2 and all(kind.name == EVALUATION for kind in kinds))):
        told = " and ".join(f"{folder} ({kind.name})" for folder, kind in zip(folders, kinds, strict=True))
        remedy = "name one, two evaluations, or several sweeps" + (", without --live" if is_live else "")
        raise ConfigError(f"several folders are two evaluations or several sweeps to compare, got {told}", remedy=remedy)
    place = checked_place(Path(out or f"{shortened_name('-against-'.join(names))}.html"))
    if are_sweeps:
        from trm.jobs.view_sweeps import comparison_page as sweeps_together

        return _written(sweeps_together(folders), place)
    from trm.jobs.view_evaluation import comparison_page

    return _written(comparison_page(folders[0], folders[1], **asked), place)


def shortened_name(name: str) -> str:
    """A file's name that file systems take, which count its bytes."""
    return os.fsencode(name)[:MOST_NAME_BYTES].decode(errors="ignore")


def _written(page: Page, place: Path) -> int:
    write_page(page, place)
    show(f"{place}: {place.stat().st_size / 1e6:.1f} MB; open it in a browser, it needs no network")
    return EXIT_DONE


def kind_of(folder: Path) -> Kind:
    """What the folder is; ConfigError where nothing of it is known."""
    if not folder.is_dir():
        raise ConfigError(f"{folder} must be a folder, and is none", remedy="give the folder of a sweep, as --list prints them")
    found = next((kind for kind in KINDS if kind.is_one(folder)), None)
    if found is None:
        known = ", ".join(kind.name for kind in KINDS)
        raise ConfigError(
            f"{folder} must be {known}, and holds none of their files", remedy="give such a folder itself, not what it lies in"
        )
    return found


def place_of(folder: Path, kind: Kind, out: str | None) -> Path:
    """Where the page is written; ConfigError where nothing can be."""
    own = folder / kind.own_file if kind.own_file else Path(f"{folder.resolve().name or 'page'}.html")
    return checked_place(Path(out) if out is not None else own, folder)


def checked_place(place: Path, shown: Path | None = None) -> Path:
    """The path, if a page can be written there; ConfigError where none can be, or it is the own page of what is not `shown`."""
    if place.is_dir():
        raise ConfigError(f"a page is a file, {place} is a folder", remedy=f"give --out {place / 'page.html'}")
    if not place.parent.is_dir():
        raise ConfigError(f"a page lies in a folder that exists, {place.parent} is none", remedy="make it, or give --out PAGE.html")
    if place.suffix.lower() not in PAGE_SUFFIXES and place.exists():
        raise ConfigError(f"a page takes the place of no other file, {place} is there", remedy="give --out PAGE.html")
    is_own = any(kind.own_file == place.name and kind.is_one(place.parent) for kind in KINDS)
    if is_own and (shown is None or shown.resolve() != place.parent.resolve()):
        raise ConfigError(f"{place} is the own page of {place.parent}, and shows that alone", remedy="give --out another PAGE.html")
    if (why := why_unwritable(place.parent)) is not None:
        raise ConfigError(f"{place} must be a place to write to, its folder is not: {why}", remedy="give --out PAGE.html elsewhere")
    return place


def _check_options(*, out: str | None, is_live: bool, port: int | None) -> None:
    if is_live and out is not None:
        raise ConfigError("--live serves a page, --out writes one", remedy="leave one of them out")
    if port is not None and not is_live:
        raise ConfigError("--port belongs to --live", remedy="add --live, or leave it out")
    if port is not None and not 0 <= port < 2**16:
        raise ConfigError(f"a port is a number from 0 to 65535, got {port}", remedy="leave it out: a free one is taken")
