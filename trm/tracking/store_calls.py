"""What is written of one run as calls of MLflow, and what MLflow's tags say of how far a run is."""

from collections.abc import Callable, Mapping
from functools import partial
from hashlib import sha256
from typing import Any

from trm.console.redaction import redacted
from trm.console.streams import printable
from trm.tracking.values import FORM, RANK, DataInput, Held, Point, RunUpdate

MAX_VALUE_CHARACTERS = 5000
MAX_POINTS, MAX_PARAMS, MAX_TAGS = 1000, 100, 100
"""Of one call."""
MAX_NAME_CHARACTERS = 500
"""Of a data set."""
EVENTS_TAG = "trm.events"
"""Tag of a run: so many of the journal's events have passed by it."""
CURVE_TAG = "trm.curve"
"""Tag of a run: it has its training curve up to this step."""
FORM_TAG = "trm.form"
"""Tag of a run: FORM:EVENTS:STEP, up to which event and which step of its curve it was told in that form; form 1 had none."""
NOTE, NOTE_TAG = "mlflow.note.content", "trm.note"
"""Tags of the sweep's run: its description, and the digest of the one that was written here; another one is a person's."""


def held_by(run: Any) -> Held:
    """How far a run of MLflow is, by its tags."""
    tags, rank = run.data.tags, run.data.metrics.get(RANK)
    events, curve = (int(tags[tag]) if tags.get(tag, "").isdecimal() else 0 for tag in (EVENTS_TAG, CURVE_TAG))
    form = [int(part) for part in tags.get(FORM_TAG, "").split(":") if part.isdecimal()]
    told, told_curve = (min(form[1], events), min(form[2], curve)) if len(form) == 3 and form[0] == FORM else (0, 0)
    return Held(events, told, curve, told_curve, None if rank is None else int(rank))


def progress_of(update: RunUpdate, held: Held) -> dict[str, str]:
    """The tags that say how far a run is that took an update in."""
    values = {EVENTS_TAG: str(held.events)} if update.events else {}
    values |= {CURVE_TAG: str(held.curve)} if update.curve_step else {}
    return values | ({FORM_TAG: f"{FORM}:{held.told}:{held.told_curve}"} if values else {})


class RunCalls:
    """Calls for one run; each may be made again."""

    def __init__(self, client: Any, entities: Any, run: str) -> None:
        """`client` and `entities` are MLflow's, `run` its name there."""
        self._client, self._make, self._run = client, entities, run

    def first(self, update: RunUpdate, is_now: str) -> list[Callable[[], Any]]:
        """What goes before values: a status other than the run has (`is_now`), and data sets."""
        client, run, status = self._client, self._run, update.status
        parts: list[Callable[[], Any]] = []
        if status in ("RUNNING", "SCHEDULED") and status == is_now:
            pass
        elif status in ("RUNNING", "SCHEDULED"):
            parts.append(lambda: client.update_run(run, status=status))
        elif status is not None:
            parts.append(lambda: client.set_terminated(run, status=status, end_time=milliseconds(update.status_at)))
        if update.inputs:
            parts.append(lambda: client.log_inputs(run, [self._input(one) for one in update.inputs]))
        return parts

    def batches(self, update: RunUpdate, progress: Mapping[str, str]) -> list[Callable[[], Any]]:
        """Values, each call as large as MLflow allows, `progress` in the last."""
        make = self._make
        params = [make.Param(key, printable(redacted(value))[:MAX_VALUE_CHARACTERS]) for key, value in update.params.items()]
        points, tags, last = list(update.points), self._tags(update.tags), self._tags(progress)
        parts: list[Callable[[], Any]] = []
        while params or points or tags or last:
            is_last = len(points) <= MAX_POINTS and len(params) <= MAX_PARAMS and len(tags) <= MAX_TAGS - len(last)
            more, last = (last, []) if is_last else ([], last)
            room = MAX_TAGS - len(more)
            parts.append(partial(self._log, points[:MAX_POINTS], params[:MAX_PARAMS], [*tags[:room], *more]))
            points, params, tags = points[MAX_POINTS:], params[MAX_PARAMS:], tags[room:]
        return parts

    def tag(self, values: Mapping[str, str]) -> None:
        """Sets tags."""
        self._log([], [], self._tags(values))

    def _log(self, points: list[Point], params: list[Any], tags: list[Any]) -> None:
        metrics = [self._make.Metric(p.key, p.value, milliseconds(p.at), p.step) for p in points]
        self._client.log_batch(self._run, metrics=metrics, params=params, tags=tags)

    def _tags(self, values: Mapping[str, str]) -> list[Any]:
        return [self._make.RunTag(key, printable(redacted(value))[:MAX_VALUE_CHARACTERS]) for key, value in values.items()]

    def _input(self, one: DataInput) -> Any:
        make, name = self._make, one.name[:MAX_NAME_CHARACTERS]
        data_set = make.Dataset(name, one.digest, one.source_type, redacted(one.source), one.schema, one.profile)
        return make.DatasetInput(data_set, [make.InputTag("mlflow.data.context", "training")])


def note_digest(text: str) -> str:
    """What a description is known again by."""
    return sha256(text.encode()).hexdigest()[:16]


def milliseconds(at: float) -> int:
    """Unix seconds as MLflow counts them."""
    return int(at * 1000)
