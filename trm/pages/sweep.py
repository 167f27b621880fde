"""A sweep's page: sections that are functions of its one state, as every other view is."""

from trm.pages.page import Page, Section
from trm.search.findings.tables import leaderboard_rows
from trm.search.state import SweepState


def sweep_page(state: SweepState) -> Page:
    """The page of a sweep as it stands."""
    return Page(
        title=f"Sweep {state.name}",
        kind="sweep",
        sections=[Section("values", "Leaderboard", {"rows": leaderboard_rows(state)})],
    )
