"""A sweep's page from its folder alone, driven or not, without Ray."""

from pathlib import Path

from trm.console.long_work import shown
from trm.console.streams import say
from trm.errors import EXIT_DONE
from trm.jobs.live import Followed, LiveServer
from trm.pages.page import Page
from trm.search.journal.lease import is_held
from trm.sweeps.report import FollowedSweep
from trm.terminal.command_line import show


def page_of(folder: Path) -> Page:
    """The page of the sweep in a folder, as it stands."""
    followed = FollowedSweep(folder)
    with shown(f"reading {folder}", say):
        followed.read()
    return followed.page()


def live(folder: Path, port: int) -> int:
    """Serve the page of the sweep in a folder until Ctrl-C, following its journal; the exit code."""
    with shown(f"reading {folder}", say):
        followed = followed_page(folder)
        followed.newest()
    with LiveServer(followed, port) as server:
        show(f"{server.url} shows {folder} as it goes on, until Ctrl-C")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("no longer served")
    return EXIT_DONE


def followed_page(folder: Path) -> Followed:
    """The page of the sweep in a folder as it goes on; SweepError where it is none."""
    followed = FollowedSweep(folder)
    return Followed(lambda: f"{followed.read()}-{is_held(folder)}", followed.page)
