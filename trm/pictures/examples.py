"""A picture of a few solved and failed puzzles, written as the puzzle's people write them: question, answer, right answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.errors import StyleSyntaxError
from rich.style import Style
from rich.text import Text

from trm.pictures.canvas import BEST, DPI, GOOD, picture
from trm.tasks.examples import DrawnExample, DrawnExamples

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_INCHES = 11.0
LETTER_HEIGHT = 2.0
"""Of a letter's place, in widths of one."""
MOST_PIXELS = 10
"""Of a letter's width."""
LETTER_POINTS = 0.602
"""Width of a letter of the font with letters of one width, in its size."""
FONT = "DejaVu Sans Mono"
GAP = 3
"""Places between two grids."""
HEAD = 2.2
"""Lines above a grid: the example's title and the grid's caption."""
BETWEEN = 0.8
"""Lines below a grid."""
MOST_LETTERS = 4000
"""On grounds of their own; where there are more, the grounds alone are drawn."""
MOST_FRAMED = 0.25
"""Share of an answer's letters that are wrong above which frames would hide it."""
TITLE_POINTS = 9.0
MOST_BESIDE = 80
"""Letters that an example may be wide where two stand beside each other."""
CAPTIONS = ("question", "answer", "right answer")


@dataclass(frozen=True)
class _Panel:
    """A grid of letters, and where it stands: column and line of its first letter."""

    text: Text
    x: int
    y: float
    caption: str
    wrong: tuple[tuple[int, int], ...] = ()
    """Lines and columns that are framed."""
    colour: str = "#60656d"
    """Of the caption."""


def draw_examples(drawn: DrawnExamples, path: Path, *, title: str) -> None:
    """Write `path` (PNG), whole or not at all: solved puzzles, then failed ones with what is wrong framed."""
    panels, width, height = _laid_out(drawn.examples)
    pixels = max(2, min(MOST_PIXELS, int(WIDTH_INCHES * DPI / width)))  # whole ones, as the font is drawn
    points, letter = pixels * 72 / (DPI * LETTER_POINTS), pixels / DPI
    size = (max(width * letter + 0.2, 5.0), height * letter * LETTER_HEIGHT + 0.5)
    with picture(path, size=size, title=f"{title}: {drawn.heading}") as figure:
        figure.set_layout_engine("none")
        figure.suptitle(f"{title}: {drawn.heading}", y=1 - 0.12 / size[1], va="top")
        axes = figure.add_axes((0.1 / size[0], 0.05 / size[1], width * letter / size[0], height * letter * LETTER_HEIGHT / size[1]))
        axes.set_axis_off()
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)
        has_letters = sum(_letters_on_grounds(panel.text) for panel in panels) <= MOST_LETTERS
        for panel in panels:
            _draw(axes, panel, points, has_letters=has_letters)


def _laid_out(examples: Sequence[DrawnExample]) -> tuple[list[_Panel], int, float]:
    """Panels of the examples, two beside each other where they are narrow; width in letters and height in lines of it all."""
    grids = [(one.question, one.answered) if one.is_solved else (one.question, one.answered, one.right) for one in examples]
    columns = [max((_size(own[place])[0] for own in grids if place < len(own)), default=0) for place in range(len(CAPTIONS))]
    starts = [sum(columns[:place]) + place * GAP for place in range(len(CAPTIONS))]
    own_width = starts[-1] + columns[-1] + GAP
    beside = 2 if own_width <= MOST_BESIDE and len(examples) > 1 else 1
    panels: list[_Panel] = []
    y = 0.0
    for start in range(0, len(examples), beside):
        for number, (one, own) in enumerate(zip(examples[start : start + beside], grids[start : start + beside], strict=True)):
            for place, text in enumerate(own):
                wrong = one.differs if CAPTIONS[place] == "answer" else ()
                wrong = wrong if len(wrong) <= MOST_FRAMED * len(text.plain) else ()
                panels.append(_Panel(text, number * own_width + starts[place], y + HEAD, CAPTIONS[place], wrong))
            panels.append(_Panel(Text(""), number * own_width, y + HEAD - 1, one.title, colour=GOOD if one.is_solved else BEST))
        y += HEAD + max(_size(text)[1] for own in grids[start : start + beside] for text in own) + BETWEEN
    return panels, beside * own_width - GAP, y


def _size(text: Text) -> tuple[int, int]:
    lines = text.plain.split("\n")
    return max(map(len, lines)), len(lines)


def _draw(axes: "Axes", panel: _Panel, points: float, *, has_letters: bool) -> None:
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    width, height = _size(panel.text)
    grounds = np.full((height, max(width, 1), 3), 255, dtype=np.uint8)
    for y, line in enumerate(panel.text.split("\n")):
        styles = _styles(line)
        for x, style in enumerate(styles):
            if style.bgcolor is not None:
                grounds[y, x] = style.bgcolor.get_truecolor()
        letters = "".join(
            letter if has_letters or style.bgcolor is None else " " for letter, style in zip(line.plain, styles, strict=True)
        )
        for start, run, colour in _runs(letters, styles):
            place = panel.x + start, panel.y + y + 0.5
            axes.text(*place, run, color=colour, fontsize=points, family=FONT, va="center_baseline")
    extent = panel.x, panel.x + max(width, 1), panel.y + height, panel.y
    axes.imshow(grounds, extent=extent, aspect="auto", interpolation="nearest", zorder=0)
    frames = [Rectangle((panel.x + x - 0.2, panel.y + y + 0.05), letters + 0.4, 0.9) for y, x, letters in _joined(panel.wrong)]
    axes.add_collection(PatchCollection(frames, facecolor="none", edgecolor=BEST, linewidth=1))
    axes.text(panel.x, panel.y - 0.15, panel.caption, color=panel.colour, fontsize=min(points, TITLE_POINTS), va="bottom")


def _joined(places: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Line, column and number of letters of what stands together of these places, which are in order."""
    found: list[tuple[int, int, int]] = []
    for y, x in places:
        if found and found[-1][0] == y and sum(found[-1][1:]) == x:
            found[-1] = (y, found[-1][1], found[-1][2] + 1)
        else:
            found.append((y, x, 1))
    return found


def _letters_on_grounds(text: Text) -> int:
    return sum(style.bgcolor is not None for line in text.split("\n") for style in _styles(line))


def _styles(line: Text) -> list[Style]:
    """The style of each letter."""
    styles = [Style.null()] * len(line.plain)
    for start, end, style in line.spans:
        own = _style(style)
        styles[start:end] = [before + own for before in styles[start:end]]
    return styles


def _style(style: str | Style) -> Style:
    try:
        return style if isinstance(style, Style) else Style.parse(style)
    except StyleSyntaxError:  # a name of somebody's theme
        return Style.null()


def _runs(letters: str, styles: Sequence[Style]) -> list[tuple[int, str, str]]:
    """For each colour of a line its letters, blanks between them, from the first on, and where that stands."""
    colours = ["black" if style.color is None else style.color.get_truecolor().hex for style in styles]
    found = []
    for colour in dict.fromkeys(colours):
        own = "".join(letter if one == colour else " " for letter, one in zip(letters, colours, strict=True)).rstrip()
        if own.strip():
            found.append((len(own) - len(own.lstrip()), own.lstrip(), colour))
    return found
