"""A sweep's page from its folder alone, driven or not, without Ray."""

from pathlib import Path

from trm.console.long_work import shown
from trm.console.streams import say
from trm.pages.page import Page
from trm.sweeps.report import FollowedSweep


def page_of(folder: Path) -> Page:
    """The page of the sweep in a folder, as it stands."""
    followed = FollowedSweep(folder)
    with shown(f"reading {folder}", say):
        followed.read()
    return followed.page()
