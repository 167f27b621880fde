"""The page of several sweeps, from their folders, driven or not."""

from collections.abc import Sequence
from pathlib import Path

from trm.console.long_work import shown
from trm.console.streams import say
from trm.errors import ConfigError
from trm.pages.page import Page
from trm.pages.sweeps import Side, sweeps_page
from trm.search.journal.events import LegEnded
from trm.search.journal.journal import read_events
from trm.search.log import FILE as JOURNAL
from trm.sweeps.folder import read_sweep
from trm.sweeps.search import sweep_search

LETTERS = "ABCDEFGH"


def comparison_page(folders: Sequence[Path]) -> Page:
    """The page of sweeps as they stand; raises InputError for what is none, one named twice, or no two with a score."""
    if len(folders) > len(LETTERS):
        raise ConfigError(f"a page compares at most {len(LETTERS)} sweeps, got {len(folders)}", remedy="leave some out")
    places = [folder.resolve() for folder in folders]
    if twice := [folder for folder, place in zip(folders, places, strict=True) if places.count(place) > 1]:
        raise ConfigError(f"a sweep is compared with others, {twice[0]} is named twice", remedy="name it once")
    sides = []
    for letter, folder in zip(LETTERS, folders, strict=False):
        with shown(f"reading {folder}", say):
            sides.append(read_side(letter, folder))
    return sweeps_page(sides)


def read_side(letter: str, folder: Path) -> Side:
    """A sweep by its folder alone; SweepError where it cannot be read."""
    space, sets, _ = read_sweep(folder)
    state, seconds = sweep_search(space, sets).state, dict[tuple[int, int], float]()
    for entry in read_events(folder / JOURNAL):
        state.apply(entry.event)
        if isinstance(entry.event, LegEnded):
            seconds[entry.event.trial, entry.event.rung] = state.spending.clock.elapsed(entry.event.at)
    data = tuple((manifest.name, manifest.content_hash) for manifest in sets.manifests)
    return Side(letter, folder.resolve().name, state, data, seconds)
