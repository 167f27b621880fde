"""A picture file: a figure to draw on, which becomes a PNG, whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from trm.atomic import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FADED = "#b8bec7"
BEST = "#d1495b"
GOOD = "#2e7d5b"
PLAIN = "#4878a8"
TROUBLE = "#8a5a00"


@contextmanager
def picture(path: Path, *, size: tuple[float, float], title: str) -> Iterator["Figure"]:
    """A figure of so many inches; when the block ends well, `path` is replaced by what was drawn. No display is needed."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 10}):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(title)
        yield figure
        with replacing(path) as temporary:
            figure.savefig(temporary, dpi=110, format="png")
