"""A release in MLflow's model registry: a version with signature, example and card, from the winner's run; alias `champion`."""

import contextlib
import json
import logging
import math
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from trm import __version__
from trm.console.redaction import redacted
from trm.errors import ConfigError, TRMError
from trm.files.json_files import read_json
from trm.release.card import card, summary
from trm.release.champion import ALIAS, Standing, choice
from trm.release.facts import Facts
from trm.release.folder import CARD_FILE
from trm.serving.examples import EXAMPLES_COPY
from trm.tracking.folder_facts import DIGEST_CHARACTERS
from trm.tracking.outbox import cause_of
from trm.tracking.store import import_mlflow
from trm.tracking.store_calls import MAX_VALUE_CHARACTERS
from trm.tracking.store_files import reach

CODE = Path(__file__).with_name("pyfunc_model.py")
MODEL_NAME = "winner"
"""Of the logged model in its run."""
RELEASE_TAG = "trm.release"
"""Digest of what a version is, so that a release that is made again is the version that is there."""
VERSIONS_TAG = "mlflow.modelVersions"
"""Of a logged model: by it MLflow's pages know that it is registered, and as what; its client does not set it by itself."""


@dataclass(frozen=True)
class RegistryPlace:
    """Where a release is registered."""

    uri: str
    """Of the store, with its secrets."""
    name: str
    """Of the registered model."""
    experiment: str
    """Of the runs; made where it is missing."""
    artifact_location: str | None
    """Where a new experiment's files go; null: as the server has it."""
    run_tags: dict[str, str]
    """By which the source run is found."""


@dataclass(frozen=True)
class Registered:
    """What came of it."""

    uri: str
    """`models:/NAME/VERSION`."""
    version: str
    is_new: bool
    champion: str
    """What became of the alias, in words."""
    has_run: bool
    """Whether the source run was found."""


def register(folder: Path, facts: Facts, place: RegistryPlace, *, is_champion: bool) -> Registered:
    """Make the release in `folder` a version of the registered model, or find it there; TRMError where the store fails.

    `is_champion`: it gets the alias whatever has it now.
    """
    try:
        with mlflow_of(place.uri) as client:
            return _Registry(client, place).register(folder, facts, is_champion)
    except TRMError:
        raise
    except Exception as error:  # whatever a store raises
        raise TRMError(f"MLflow at {redacted(place.uri)} did not take the release ({cause_of(error)})") from error


@contextlib.contextmanager
def mlflow_of(uri: str) -> Iterator[Any]:
    """A client of the store, which is this process's own while entered: parts of MLflow ask no client. It says nothing itself."""
    import_mlflow()
    import mlflow

    log = logging.getLogger("mlflow")
    level, before = log.level, dict(os.environ)
    log.setLevel(logging.WARNING)
    os.environ |= {"MLFLOW_TRACKING_URI": uri, "MLFLOW_REGISTRY_URI": uri, "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its libraries among themselves
            reach(uri)
            yield mlflow.MlflowClient(uri, uri)
    finally:
        os.environ.clear()
        os.environ |= before
        log.setLevel(level)


class _Registry:
    def __init__(self, client: Any, place: RegistryPlace) -> None:
        from mlflow.exceptions import MlflowException

        self._client, self._place, self._error = client, place, MlflowException

    def register(self, folder: Path, facts: Facts, is_champion: bool) -> Registered:
        """The version, found or made, and the alias."""
        client, place = self._client, self._place
        experiment = self._experiment()
        run = self._run(experiment)
        with contextlib.suppress(self._error):  # it may be there
            client.create_registered_model(place.name, tags={"trm.task": facts["task"]["name"]})
        digest = facts["digests"]["model.safetensors"]
        version, model_id = self._version(digest), ""
        if is_new := version is None:
            model_id = self._logged_model(folder, facts, experiment, run, digest)
            version = client.create_model_version(
                place.name, f"models:/{model_id}", run_id=run, tags=version_tags(facts, digest), model_id=model_id
            )
            told = json.dumps([{"name": place.name, "version": str(version.version)}])
            client.set_logged_model_tags(model_id, {VERSIONS_TAG: told})
        if run is not None and (model_id := model_id or self._model_of(version, experiment, digest)):
            self._tell_scores(model_id, run, facts)
        number = str(version.version)
        client.update_model_version(place.name, number, description=_description(facts))
        said = self._alias(facts, number, is_champion)
        return Registered(f"models:/{place.name}/{number}", number, is_new, said, run is not None)

    def _experiment(self) -> str:
        name = self._place.experiment
        if (found := self._client.get_experiment_by_name(name)) is not None:
            return str(found.experiment_id)
        return str(self._client.create_experiment(name, artifact_location=self._place.artifact_location))

    def _run(self, experiment: str) -> str | None:
        query = " and ".join(f"tags.`{key}` = '{value}'" for key, value in self._place.run_tags.items())
        found = self._client.search_runs([experiment], query, max_results=1) if query else []
        return str(found[0].info.run_id) if found else None

    def _version(self, digest: str) -> Any | None:
        found = self._client.search_model_versions(f"name = '{self._place.name}' and tags.`{RELEASE_TAG}` = '{digest}'")
        return max(found, key=lambda one: int(one.version), default=None)

    def _model_of(self, version: Any, experiment: str, digest: str) -> str:
        """The logged model of a version that was there; "" where none is known as its own."""
        own = {"name": self._place.name, "version": str(version.version)}
        for one in self._client.search_logged_models([experiment], f"tags.`{RELEASE_TAG}` = '{digest}'"):
            with contextlib.suppress(ValueError, TypeError):  # whoever has the store may write there what he likes
                if own in json.loads(one.tags.get(VERSIONS_TAG, "[]")):
                    return str(one.model_id)
        return ""

    def _tell_scores(self, model_id: str, run: str, facts: Facts) -> None:
        """The release's figures as the logged model's metrics, which its page shows: those that it has not got."""
        from mlflow.entities import Metric

        known = {(one.key, one.value) for one in self._client.get_logged_model(model_id).metrics or ()}
        data, steps = facts["data"], int(facts["cost"]["released"]["steps"])
        at = int(datetime.fromisoformat(facts["released_at"]).timestamp() * 1000)
        of = {"dataset_name": data["name"], "dataset_digest": data["content_hash"][:DIGEST_CHARACTERS]}
        metrics = []
        for name, value in model_scores(facts).items():
            if (name, value) in known:
                continue
            told = self._client.get_metric_history(run, name)
            # MLflow keeps a model's metrics as its run's too: there it is no new point
            when, step = next(((one.timestamp, one.step) for one in told if one.value == value), (at, steps))
            metrics.append(Metric(name, value, when, step, model_id, **of))
        if metrics:
            self._client.log_batch(run, metrics)

    def _logged_model(self, folder: Path, facts: Facts, experiment: str, run: str | None, digest: str) -> str:
        """The model as a logged one of its run; what a killed call left half done is removed."""
        from mlflow.entities import LoggedModelOutput

        client = self._client
        for left in client.search_logged_models([experiment], f"tags.`{RELEASE_TAG}` = '{digest}'"):
            if VERSIONS_TAG not in left.tags:  # else it is a version's, under another name
                client.delete_logged_model(left.model_id)
        model = client.create_logged_model(
            experiment, MODEL_NAME, run, tags=version_tags(facts, digest), params=_params(facts), model_type="trm-search"
        )
        with _saved(folder, facts, model, run) as path:
            client.log_model_artifacts(model.model_id, str(path))
        client.finalize_logged_model(model.model_id, "READY")
        if run is not None:
            client.log_outputs(run, [LoggedModelOutput(model.model_id, step=int(facts["cost"]["released"]["steps"]))])
        return str(model.model_id)

    def _alias(self, facts: Facts, version: str, is_champion: bool) -> str:
        """What became of the alias; it moves when asked, when nobody has it, and when the release is better on the same data."""
        mine, holder = Standing.of(version, version_tags(facts, "")), None
        with contextlib.suppress(self._error):
            found = self._client.get_model_version_by_alias(self._place.name, ALIAS)
            holder = Standing.of(str(found.version), found.tags)
        moves, said = choice(mine, holder, is_asked=is_champion)
        if moves:
            self._client.set_registered_model_alias(self._place.name, ALIAS, version)
        return said


@contextlib.contextmanager
def _saved(folder: Path, facts: Facts, model: Any, run: str | None) -> Iterator[Path]:
    """The model as MLflow keeps it, in a folder that goes again: the release, this project's code by its name and version."""
    import numpy as np
    from mlflow.models import Model
    from mlflow.pyfunc import save_model

    rows = _example_rows(folder)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "model"
        release = shutil.copytree(folder, Path(place) / "release")  # MLflow keeps it by its name, which `registered.py` looks for
        save_model(
            str(path),
            python_model=str(CODE),
            artifacts={"release": str(release)},
            signature=_signature(facts),
            input_example=np.array(rows, dtype=np.int64) if rows else None,
            pip_requirements=[f"trm-search=={__version__}", *_versions(("torch", "numpy", "mlflow"))],
            mlflow_model=Model(
                artifact_path=model.artifact_location, model_uuid=model.model_id, run_id=run, model_id=model.model_id
            ),
        )
        yield path


def _versions(names: tuple[str, ...]) -> list[str]:
    from importlib.metadata import version

    return [f"{name}=={version(name).partition('+')[0]}" for name in names]


def _example_rows(folder: Path) -> list[list[int]]:
    try:
        told: dict[str, Any] = read_json(folder / EXAMPLES_COPY, dict, error=ConfigError, remedy="release it again")
    except FileNotFoundError:
        return []
    return [one["tokens"] for one in told["examples"][:1]]


def _signature(facts: Facts) -> Any:
    """Rows of tokens in; a row a puzzle out; what may be asked besides."""
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
    from mlflow.types.schema import Array

    height, width = facts["task"]["grid"]
    outputs = Schema(
        [
            ColSpec(Array(DataType.long), "answer"),
            ColSpec(DataType.boolean, "valid"),
            ColSpec(DataType.string, "reason"),
            ColSpec(DataType.long, "steps"),
            ColSpec(DataType.double, "halt_probability"),
        ]
    )
    asked = [*((name, DataType.long, 0) for name in ("steps", "rollouts", "forms")), ("identifier", DataType.string, "")]
    params = ParamSchema([ParamSpec(name, kind, default) for name, kind, default in asked])
    return ModelSignature(Schema([TensorSpec(np.dtype(np.int64), (-1, height * width))]), outputs, params)


def version_tags(facts: Facts, digest: str) -> dict[str, str]:
    """A version's tags: what it is, and what it is compared by."""
    metric, scores = facts["objective"]["metric"], facts["scores"]
    validation = (scores["at_test_time"] or scores)["validation"]  # of what it answers
    tags = {
        RELEASE_TAG: digest,
        "trm.task": facts["task"]["name"],
        "trm.sweep": facts["sweep"],
        "trm.trial": str(scores["trial"]),
        "trm.data": facts["data"]["content_hash"],
        "trm.metric": metric,
        "trm.mode": facts["objective"]["mode"],
        "trm.retrained": (facts["cost"]["retrained"] or {}).get("how", "no"),
        "trm.licence_of_data": facts["data"]["licence"],
    }
    for end in ("", "_low", "_high"):
        if (value := validation.get(f"{metric}{end}")) is not None:
            tags[f"trm.validation{end}"] = repr(float(value))
    return {key: str(value)[:MAX_VALUE_CHARACTERS] for key, value in tags.items()}


def model_scores(facts: Facts) -> dict[str, float]:
    """What a release is judged by: its scores with their intervals by split, over fresh seeds, and what it costs."""
    scores = facts["scores"]
    found = {f"{split}/{name}": value for split in ("validation", "test") for name, value in scores[split].items()}
    looks = scores["at_test_time"] or {}
    found |= {
        f"test_time/{split}/{name}": value for split in ("validation", "test") for name, value in (looks.get(split) or {}).items()
    }
    if (confirmed := scores["confirmed"]) is not None:
        low, high = confirmed["interval_95"] or (None, None)
        values = {"mean": confirmed["mean"], "low": low, "high": high, "seeds": confirmed["seeds"], "p_best": confirmed["p_best"]}
        found |= {f"confirmed.{name}": value for name, value in values.items()}
    found |= {name: facts["network"][name] for name in ("params_count", "inference_flops")}
    found["train_flops"] = facts["cost"]["released"]["train_flops"]
    is_told = {name: isinstance(value, int | float) and math.isfinite(value) for name, value in found.items()}
    return {name: float(value) for name, value in found.items() if is_told[name]}


def _params(facts: Facts) -> dict[str, str]:
    return {knob["path"]: str(knob["value"]) for knob in facts["knobs"] if knob["is_active"]}


def _description(facts: Facts) -> str:
    """The card, or where the store takes less its beginning."""
    text = card(facts)
    return (
        text
        if len(text) <= MAX_VALUE_CHARACTERS
        else f"{summary(facts)}\n\n{text[: MAX_VALUE_CHARACTERS - 400]}\n\n... ({CARD_FILE} has all of it)"
    )
