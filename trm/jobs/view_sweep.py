"""A sweep's page from its folder alone, driven or not, without Ray."""

from pathlib import Path

from trm.pages.page import Page
from trm.pages.sweep import sweep_page
from trm.search.journal.journal import read_events
from trm.search.log import FILE as JOURNAL
from trm.sweeps.folder import read_sweep
from trm.sweeps.search import sweep_search


def page_of(folder: Path) -> Page:
    """The page of the sweep in a folder, as it stands."""
    space, sets, _ = read_sweep(folder)
    state = sweep_search(space, sets).state
    for entry in read_events(folder / JOURNAL):
        state.apply(entry.event)
    return sweep_page(state)
