"""A run of train.py as MLflow sees it: `run.json` says what it is and how it ended, and a writer of its own follows its folder."""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trm.config.tracking import Tracking
from trm.console.streams import say
from trm.errors import InterruptedRun, TrialError
from trm.files.atomic import write_text_atomic
from trm.pictures.examples import draw_examples
from trm.pictures.training import draw_run
from trm.sweeps.extras import Extras
from trm.sweeps.versions import run_versions
from trm.tasks.examples import EXAMPLES_FILE, EXAMPLES_PICTURE, EXAMPLES_TEXT, examples_text, read_examples
from trm.tracking.handle import MlflowWriter
from trm.tracking.outbox import cause_of
from trm.tracking.places import Target, tracking_uri
from trm.training.curve import read_curve
from trm.training.reporting import RunReport
from trm.training.run_folder import CURVE_FILE, RunFolder
from trm.training.run_record import RECORD_FILE, RunRecord, new_record, read_record, write_record
from trm.training.weights import CONFIG_FILE

HEAR_SECONDS = 1.0


@dataclass(frozen=True)
class Tracked:
    """Where a run is tracked."""

    tracking: Tracking
    storage: Path
    """Holds the database where no other store is named."""
    dataset: str
    """Name of the run's data set: that of the experiment where nothing else is said."""
    costs: Mapping[str, float] = field(default_factory=dict)
    """What the run takes (`RunRecord.costs`)."""


@contextlib.contextmanager
def tracked_run(folder: Path, tracked: Tracked, *, is_resumed: bool) -> Iterator[None]:
    """While entered, `run.json` says that the run runs, and MLflow's writer follows it; then how it ended, and its pictures."""
    before = read_record(folder) if is_resumed else None
    experiment = tracked.tracking.experiment or tracked.dataset
    record = (
        (before or new_record(folder.name, experiment, run_versions(), dict(tracked.costs)))
        .as_told(tracked.tracking)
        .now("running")
    )
    write_record(folder, record)
    extras = Extras(say)
    try:
        with _written(folder, tracked, record, extras):
            try:
                yield
            except (KeyboardInterrupt, InterruptedRun) as error:
                write_record(folder, record.now("interrupted", str(error)))
                raise
            except Exception as error:
                status = error.status if isinstance(error, TrialError) else "failed"
                write_record(folder, record.now(status, cause_of(error)))  # type: ignore[arg-type]  # errors name their own
                if isinstance(error, TrialError):
                    _draw(folder, extras)
                raise
            _draw(folder, extras)
            write_record(folder, record.now("finished"))
    finally:
        if not (folder / CONFIG_FILE).exists():  # it never began
            (folder / RECORD_FILE).unlink(missing_ok=True)


@contextlib.contextmanager
def _written(folder: Path, tracked: Tracked, record: RunRecord, extras: Extras) -> Iterator[None]:
    """While entered, the writer's process sends what the run leaves; at the end, within bounds, the rest."""
    uri, place = tracking_uri(tracked.tracking.uri, tracked.storage), tracked.tracking.artifact_location
    target = Target(uri, str(folder), str(tracked.storage), record.experiment, artifact_location=place, subject="run")
    writer = None if not record.is_tracked else extras.make("MLflow's writer", lambda: MlflowWriter(target))
    if writer is None:
        yield
        return
    is_over = threading.Event()

    def hear() -> None:
        while not is_over.wait(HEAR_SECONDS):
            for message in writer.messages():
                say(message)

    ear = threading.Thread(target=hear, daemon=True)
    ear.start()
    try:
        yield
    except BaseException:
        is_over.set()
        writer.close(timeout_seconds=1.0)
        raise
    is_over.set()
    if (left := writer.close(tell=say)) is not None:
        say(left)


def _draw(folder: Path, extras: Extras) -> None:
    """What a person looks at of a run that is over."""
    extras.make("curves.png", lambda: _draw_curves(folder))
    extras.make(EXAMPLES_PICTURE, lambda: _draw_examples(folder))


def _draw_curves(folder: Path) -> None:
    curve, reports = read_curve(folder / CURVE_FILE), [RunReport(**row) for row in RunFolder(folder).rows()]
    if curve is not None:
        rows = [{"step": report.step, "split": report.split, **report.scores} for report in reports if report.split is not None]
        draw_run(curve, rows, folder / "curves.png", title=folder.name)


def _draw_examples(folder: Path) -> None:
    if (drawn := read_examples(folder / EXAMPLES_FILE)) is not None and drawn.examples:
        write_text_atomic(folder / EXAMPLES_TEXT, examples_text(drawn))
        draw_examples(drawn, folder / EXAMPLES_PICTURE, title=folder.name)
