"""A sweep's picture: drawn from its events, whole or not at all, whatever happened to its trials."""

import itertools
import struct
from pathlib import Path

import pytest

from tests.tracking.test_updates import asked, decided, leg, started, state_of, whole_sweep
from trm.pictures.canvas import picture
from trm.pictures.curves import draw_curves
from trm.search.journal.events import Asked, Event, LegEnded

pytestmark = pytest.mark.filterwarnings("error")


def size_of(path: Path) -> tuple[int, int]:
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert data[-8:-4] == b"IEND"
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def draw(path: Path, events: list[Event]) -> tuple[int, int]:
    draw_curves(state_of(events), path, title="s-1")
    return size_of(path)


def wide(trial: int) -> Asked:
    params = {f"knob.p{n}": trial * n for n in range(20)}
    params |= {"text": f"value {trial}", "either": None if trial else 1, "wide": 10.0**-trial, "constant": 1}
    return asked(trial).model_copy(update={"params": params})


def test_a_sweep_is_drawn_with_a_row_more_for_its_parameters(tmp_path: Path) -> None:
    empty = draw(tmp_path / "a.png", [started()])
    full = draw(tmp_path / "b.png", whole_sweep())
    assert full[0] == empty[0]
    assert full[1] > empty[1]
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.png", "b.png"]


def test_many_parameters_of_every_kind_fit(tmp_path: Path) -> None:
    events: list[Event] = [started()]
    for trial in range(3):
        events += [wide(trial), *leg(trial, 0, 0.1 * trial)]
    three_rows = draw(tmp_path / "many.png", events)
    assert three_rows[1] > draw(tmp_path / "few.png", whole_sweep())[1]


def test_trouble_is_drawn_too(tmp_path: Path) -> None:
    begun, ended = leg(1, 0, 0.5)
    nan = ended.model_copy(update={"objective": None})
    diverged = LegEnded(trial=2, rung=0, attempt=0, status="diverged", steps=3, error="NaN", at=1.0)
    events = [started(), asked(0), asked(1), asked(2), *leg(0, 0, 0.5), begun, nan]
    events += [leg(2, 0, 0.5)[0], diverged, decided(2, 0, "diverged")]
    assert draw(tmp_path / "c.png", events)[0] > 0


def test_a_picture_that_fails_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "curves.png"
    draw(path, whole_sweep())
    before = path.read_bytes()
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        draw(path, [started()])
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["curves.png"]


def test_a_legend_that_takes_long_to_place_is_no_news(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """matplotlib warns where that takes a second, which on a busy machine any does."""
    seconds = itertools.count(step=2)
    monkeypatch.setattr("matplotlib.legend.time.perf_counter", lambda: next(seconds))
    with picture(tmp_path / "one.png", size=(3, 2), title="one") as figure:
        axes = figure.subplots()
        axes.plot(range(300), range(300), label="a line")
        axes.legend()
    assert next(seconds) > 0  # it was timed
    assert (tmp_path / "one.png").exists()
