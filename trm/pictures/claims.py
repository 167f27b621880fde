"""A picture of ours beside what others published: shares with their intervals, grey where they are of something else."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trm.pictures.canvas import BEST, FADED, PLAIN, picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW_INCHES = 0.3
GREY = "#7a818b"
MOST_LETTERS = 36
"""Of who says it; of a longer one the end."""
MIDDLE = 0.5


@dataclass(frozen=True)
class ClaimRow:
    """A share, published or ours."""

    by: str
    metric: str
    """What is counted, and how."""
    split: str
    share: float
    low: float
    """With `high` the 95 % interval by `count`."""
    high: float
    count: int
    steps: int | None
    """Supervision steps; None: nobody says."""
    rollouts: int
    is_ours: bool = False
    why: tuple[str, ...] = ()
    """Why it cannot be held against ours; empty: it can."""
    source: str = ""
    note: str = ""


@dataclass(frozen=True)
class ClaimPanel:
    """Everything of one data set."""

    data: str
    rows: tuple[ClaimRow, ...]
    """Those of one metric together."""


def draw_claims(panels: Sequence[ClaimPanel], path: Path) -> None:
    """Write `path` (PNG), whole or not at all: a panel a data set, a line a share, ours in red."""
    heights = [len(_places(panel)[1]) + len(panel.rows) for panel in panels]
    size = (11, ROW_INCHES * sum(heights) + 0.8 * len(panels) + 0.6)
    title = "Ours (red) beside what is published, 95 % by the number that is counted; grey: of something else"
    with picture(path, size=size, title=title) as figure:
        grid = figure.subplots(len(panels), 1, squeeze=False, gridspec_kw={"height_ratios": heights})
        for axes, panel in zip(grid[:, 0], panels, strict=True):
            _draw(axes, panel)


def _places(panel: ClaimPanel) -> tuple[list[int], dict[str, int]]:
    """The line of each row, and that of each metric's heading."""
    places, headings, line = [], {}, 0
    for row in panel.rows:
        if row.metric not in headings:
            headings[row.metric] = line
            line += 1
        places.append(line)
        line += 1
    return places, headings


def _draw(axes: "Axes", panel: ClaimPanel) -> None:
    places, headings = _places(panel)
    for place, row in zip(places, panel.rows, strict=True):
        colour = BEST if row.is_ours else FADED if row.why else PLAIN
        error = [[max(0.0, 100 * (row.share - row.low))], [max(0.0, 100 * (row.high - row.share))]]
        axes.errorbar(100 * row.share, place, xerr=error, fmt="o", color=colour, markersize=5, elinewidth=1.6, capsize=3)
        told = f"{100 * row.share:.2f} ({100 * row.low:.2f} to {100 * row.high:.2f}) of {row.count:,}"
        ink = BEST if row.is_ours else GREY if row.why else "black"
        axes.text(1.01, place, told, transform=axes.get_yaxis_transform(), va="center", fontsize=8, color=ink)
        if row.why:
            is_right = row.share < MIDDLE
            side = 100 * row.high + 1.2 if is_right else 100 * row.low - 1.2
            axes.text(side, place, "; ".join(row.why), ha="left" if is_right else "right", va="center", fontsize=7, color=GREY)
    for metric, place in headings.items():
        axes.text(0, place, metric, transform=axes.get_yaxis_transform(), va="center", fontsize=8, fontweight="bold")
    axes.set_yticks(places, [row.by if len(row.by) <= MOST_LETTERS else f"...{row.by[-MOST_LETTERS:]}" for row in panel.rows])
    for label, row in zip(axes.get_yticklabels(), panel.rows, strict=True):
        label.set_color(BEST if row.is_ours else GREY if row.why else "black")
    axes.set_ylim(len(places) + len(headings) - 0.4, -0.6)
    axes.set_xlim(0, 100)
    axes.set_title(panel.data, loc="left")
    axes.set_xlabel("% of puzzles or tasks")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", alpha=0.25)
