"""A picture file: a figure to draw on, which becomes a PNG, whole or not at all, and looks the same whoever draws it."""

import contextlib
import logging
import os
import tempfile
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from trm.files.atomic import replacing

if TYPE_CHECKING:
    from types import ModuleType

    from matplotlib.figure import Figure

FADED = "#b8bec7"
BEST = "#d1495b"
GOOD = "#2e7d5b"
PLAIN = "#4878a8"
TROUBLE = "#8a5a00"
STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "text.parse_math": False,  # a name may hold a $
}

DPI = 110
TITLE_LETTERS = 11
"""Of a title in an inch; what is longer has lines."""


@contextmanager
def picture(path: Path, *, size: tuple[float, float], title: str) -> Iterator["Figure"]:
    """A figure of so many inches; when the block ends well, `path` is replaced by what was drawn.

    No display is needed, and nothing that a user set for matplotlib is looked at.
    """
    mpl = _matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=mpl.MatplotlibDeprecationWarning)
        warnings.filterwarnings("ignore", message="Glyph ")  # a letter that the font lacks is a box
        warnings.filterwarnings("ignore", message="Creating legend with loc")  # took a second, on a busy machine
        with mpl.rc_context({**mpl.rcParamsDefault, **STYLE}):
            figure = Figure(figsize=size, layout="constrained")
            FigureCanvasAgg(figure)
            figure.suptitle(textwrap.fill(title, int(TITLE_LETTERS * size[0])))
            yield figure
            with replacing(path) as temporary:
                figure.savefig(temporary, dpi=DPI, format="png")


def _matplotlib() -> "ModuleType":
    """matplotlib, imported as if nobody had set anything for it.

    Else it fails at a backend of a notebook that this environment lacks, and at files that it cannot read.
    """
    names = "MPLBACKEND", "MATPLOTLIBRC"
    before = {name: os.environ.get(name) for name in names}
    os.environ |= {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}
    log = logging.getLogger("matplotlib")
    level = log.level
    log.setLevel(logging.ERROR)  # where its cache lies does not concern a sweep
    try:
        with _elsewhere():
            import matplotlib
            import matplotlib.font_manager

            return matplotlib
    finally:
        log.setLevel(level)
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


@contextmanager
def _elsewhere() -> Iterator[None]:
    """Away from a working folder with a matplotlibrc, which goes before the environment's; only then, for threads share it."""
    if not os.path.lexists("matplotlibrc"):
        yield
        return
    with tempfile.TemporaryDirectory() as empty, contextlib.chdir(empty):
        yield
