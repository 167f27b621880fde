"""Which pictures an ended sweep gets: each with its file, its function and when it is drawn. All go to the tracking store."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trm.pictures.curves import draw_confirmation, draw_curves
from trm.pictures.front import draw_front
from trm.pictures.importance import draw_bars, draw_map
from trm.pictures.test_time import draw_test_time
from trm.pictures.training import draw_trials
from trm.pictures.transfer import draw_transfer
from trm.search.findings.confirmed import confirmed_statistics, winner
from trm.search.findings.importance import Importance
from trm.search.findings.transfer import transfers
from trm.search.state import SweepState
from trm.search.test_time import notes, tried
from trm.training.curve import read_curve


@dataclass(frozen=True)
class Drawn:
    """An ended sweep, as pictures see it."""

    state: SweepState
    folder: Path
    importance: Importance | None
    """What mattered; None where it could not be told."""

    @property
    def title(self) -> str:
        """What a picture of the whole sweep is called."""
        return f"sweep {self.folder.name}"

    @property
    def metric(self) -> str:
        """What the search makes large or small."""
        return self.state.space.objective.metric


@dataclass(frozen=True)
class Picture:
    """One picture of an ended sweep."""

    file: str
    """Its name in the sweep's folder."""
    draw: Callable[[Drawn, Path], None]
    """Writes it, whole or not at all; nothing where there is nothing to see."""
    is_due: Callable[[Drawn], bool] = lambda drawn: True
    """Whether such a sweep has it."""


def _training_curves(drawn: Drawn, path: Path) -> None:
    if (table := read_curve(drawn.folder / "curves.parquet")) is not None:
        found = winner(drawn.state)
        draw_trials(table, path, best=None if found is None else found.trial.number, title=drawn.title)


def _confirmation(drawn: Drawn, path: Path) -> None:
    if rows := confirmed_statistics(drawn.state).rows:
        draw_confirmation(rows, path, metric=drawn.metric, title=drawn.folder.name)


def _test_time(drawn: Drawn, path: Path) -> None:
    """The winner's settings; those of the others stand in leaderboard.json."""
    found = notes(drawn.state)[0]
    told = tried(drawn.state, str(drawn.state.trials[found["trial"]].checkpoint))
    title = f"{drawn.title}: settings at test time of trial {found['trial']}"
    draw_test_time(told, found["plain"], path, title=title, metric=found["metric"])


def _importance(drawn: Drawn, path: Path) -> None:
    assert drawn.importance is not None
    draw_bars(drawn.importance, path)


def _depth_map(drawn: Drawn, path: Path) -> None:
    assert drawn.importance is not None
    draw_map(drawn.importance, path)


def _knows_what_mattered(drawn: Drawn) -> bool:
    return drawn.importance is not None


PICTURES = (
    Picture("curves.png", lambda drawn, path: draw_curves(drawn.state, path, title=drawn.title)),
    Picture("training_curves.png", _training_curves),
    Picture("confirmation.png", _confirmation),
    Picture(
        "front.png",
        lambda drawn, path: draw_front(drawn.state, path, title=f"{drawn.title}: what is weighed against {drawn.metric}"),
        lambda drawn: bool(drawn.state.space.objective.against),
    ),
    Picture("test_time.png", _test_time, lambda drawn: bool(notes(drawn.state))),
    Picture("importance.png", _importance, _knows_what_mattered),
    Picture("depth_map.png", _depth_map, _knows_what_mattered),
    Picture("transfer.png", lambda drawn, path: draw_transfer(transfers(drawn.state), path, metric=drawn.metric)),
)
"""In the order in which they are drawn."""
