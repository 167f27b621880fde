"""A picture is the same whatever its user set for matplotlib, broken or not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

DRAW = """
import sys
from pathlib import Path
from trm.pictures.canvas import picture
with picture(Path(sys.argv[1]), size=(3, 2), title="sweep $a_1: 10 % of $b, \\u6570\\u72ec") as figure:
    axes = figure.subplots()
    axes.plot([1, 2], [3, 4], label="a line")
    axes.legend()
"""
OWN = b"""
text.usetex: True
font.family: No Such Font
savefig.dpi: 5
axes.facecolor: black
lines.linewidth: 9
"""
BROKEN = (
    OWN
    + b"""
lines.linewidth: many
no line
axes.titlecolor: \xff
"""
)


def drawn(folder: Path, **environment: str) -> bytes:
    """The picture as it is drawn with `folder` as the working folder; nothing is said."""
    path = folder / "picture.png"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", DRAW, str(path)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return path.read_bytes()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return drawn(tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "QtAgg", "no such one"])
def test_any_backend_will_do(tmp_path: Path, plain: bytes, backend: str) -> None:
    assert drawn(tmp_path, MPLBACKEND=backend) == plain


@pytest.mark.parametrize("content", [BROKEN, OWN])
def test_no_file_of_the_users_is_looked_at(tmp_path: Path, plain: bytes, content: bytes) -> None:
    for folder in (tmp_path, tmp_path / "own", tmp_path / "home" / ".config" / "matplotlib"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "matplotlibrc").write_bytes(content)
    here = {"MATPLOTLIBRC": str(tmp_path / "own" / "matplotlibrc"), "HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": ""}
    assert drawn(tmp_path, MPLBACKEND="no such one", **here) == plain


def test_no_home_is_needed(tmp_path: Path, plain: bytes) -> None:
    (tmp_path / "file").touch()
    assert (
        drawn(tmp_path, MPLCONFIGDIR=str(tmp_path / "file"), HOME=str(tmp_path / "file"), XDG_CACHE_HOME=str(tmp_path / "file"))
        == plain
    )
