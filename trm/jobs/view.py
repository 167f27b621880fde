"""What view.py does: it says what a folder holds, and writes the page of that, or serves it."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trm.errors import EXIT_DONE, ConfigError
from trm.files.atomic import why_unwritable
from trm.pages.page import Page, write_page
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


KINDS = (
    Kind("a sweep", lambda path: (path / "journal.jsonl").is_file(), "trm.jobs.view_sweep", own_file="report.html"),
    Kind("a data set", lambda path: (path / "manifest.json").is_file(), "trm.jobs.view_data_set", own_file="report.html"),
)
"""In the order in which a folder is asked."""


def run_view(path: str, *, out: str | None, is_live: bool, port: int | None) -> int:
    """Write the page, or serve it until Ctrl-C; the exit code. Raises InputError for what a person can mend."""
    _check_options(out=out, is_live=is_live, port=port)
    folder = Path(path)
    kind = kind_of(folder)
    maker = importlib.import_module(kind.module)
    if is_live:
        if not hasattr(maker, "live"):
            raise ConfigError(f"--live follows a sweep, {path} is {kind.name}", remedy="leave --live out: the page is written")
        return int(maker.live(folder, port or 0))
    place = place_of(folder, kind, out)
    page: Page = maker.page_of(folder)
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
    place = Path(out) if out is not None else own
    if place.is_dir():
        raise ConfigError(f"a page is a file, {place} is a folder", remedy=f"give --out {place / 'page.html'}")
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
