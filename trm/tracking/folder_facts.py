"""What a sweep's folder says of its runs beyond the journal: the data they read, and their whole configurations."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from pydantic import ValidationError

from trm.config.files import load_yaml, yaml_text
from trm.console.redaction import stored
from trm.data.format.manifest import MANIFEST, Manifest
from trm.errors import DatasetError, InputError
from trm.files.contained import inside
from trm.files.json_files import read_json
from trm.files.yaml_values import RESOLVED
from trm.search.journal.trial import Trial
from trm.search.space.space import SearchSpace
from trm.search.state import SweepState
from trm.tracking.values import DataInput

MOST_MANIFEST_BYTES = 1 << 24
REMEDY = "restore it from a copy"
DIGEST_CHARACTERS = 12
"""Of a content hash; MLflow keeps 36, and shows all of them in narrow columns."""
COLUMNS = ("inputs", "labels")


class FolderFacts:
    """Of one sweep's folder, read once; what cannot be read is not told."""

    def __init__(self, folder: Path, space: SearchSpace) -> None:
        self._space = space
        sweep = _mapping(folder / "sweep.yaml", folder)
        recorded = sweep.get("dataset")
        recorded = recorded if isinstance(recorded, dict) else {}
        ones = recorded.get("sets", [recorded])
        self._folders = [str(one.get("folder") or "") for one in ones if isinstance(one, dict)]
        self._inputs = _inputs(folder, self._folders)
        self.resume = str(sweep.get("resume") or "")
        """The command that goes on with the sweep, as it was begun; empty: unknown."""

    def inputs(self, params: Mapping[str, Any] | None = None) -> tuple[DataInput, ...]:
        """The data set of a trial with these parameters; of the whole sweep, all of its sets."""
        if params is None or len(self._inputs) <= 1:
            return tuple(self._inputs)
        number = self._number_of(params)
        return () if number is None else (self._inputs[number],)

    def configuration(self, state: SweepState, trial: Trial) -> tuple[dict[str, Any], str]:
        """The trial's whole configuration, which train.py takes, and as YAML; empty where it cannot be made any more."""
        whole = self._configuration(state, trial)
        return whole, configuration_text(whole) if whole else ""

    def _configuration(self, state: SweepState, trial: Trial) -> dict[str, Any]:
        number = self._number_of(trial.params)
        folder = self._folders[number] if number is not None else None
        asked = trial.asked
        try:
            config = self._space.run_config(
                trial.params, seed=asked.seed, folder=folder or None, max_steps=asked.max_steps, rules=state.resolver.rules
            )
        except (ValidationError, InputError):  # a journal of another version, or a part of the space that is not here
            return {}
        if trial.is_confirmation:  # scored on the whole validation split
            config = config.model_copy(update={"evaluation": config.evaluation.model_copy(update={"max_examples": None})})
        return config.model_dump(mode="json")

    def _number_of(self, params: Mapping[str, Any]) -> int | None:
        """Which of the sweep's data sets a trial has."""
        if len(self._folders) <= 1:
            return 0 if self._folders else None
        source = self._space.data_of(params).source
        numbers = (number for number, one in enumerate(self._space.data_choices) if one.source == source)
        number = next(numbers, None)
        return number if number is not None and number < min(len(self._folders), len(self._inputs)) else None


def configuration_text(values: Mapping[str, Any]) -> str:
    """A configuration as YAML, its addresses without their secrets."""
    return yaml_text(stored(values))


def data_input(manifest: Manifest, folder: str) -> DataInput:
    """A data set by its manifest, and where it lies."""
    scheme = urlparse(folder).scheme
    types = [{"name": name, "type": "array", "required": True} for name in COLUMNS]
    identifiers = [{"name": "puzzle_identifiers", "type": "long", "required": True}] if manifest.num_puzzle_identifiers > 1 else []
    profile = {f"{name}_rows": split.rows for name, split in manifest.splits.items()}
    profile |= {f"{name}_puzzles": split.groups for name, split in manifest.splits.items()}
    shape = {"cells": manifest.seq_len, "vocabulary": len(manifest.vocabulary), "identifiers": manifest.num_puzzle_identifiers}
    return DataInput(
        name=manifest.name,
        digest=manifest.content_hash[:DIGEST_CHARACTERS],
        source_type=scheme if len(scheme) > 1 else "local",
        source=json.dumps(stored({"uri": folder})),
        schema=json.dumps({"mlflow_colspec": [*types, *identifiers]}),
        profile=json.dumps(profile | shape),
    )


def run_inputs(folder: Path) -> tuple[DataInput, ...]:
    """The data set of a run's folder, where it lies on this machine."""
    data = _mapping(folder / "config.yaml", folder).get("data")
    place = data.get("folder") if isinstance(data, dict) else None
    if not isinstance(place, str) or "://" in place or not Path(place).is_dir():
        return ()
    try:
        return (data_input(_manifest(Path(place) / MANIFEST), place),)
    except (OSError, ValueError):
        return ()


def _inputs(folder: Path, places: Sequence[str]) -> list[DataInput]:
    try:
        several = inside(folder, "datasets.json") if len(places) > 1 else None
        if several is None:
            manifests = [_manifest(inside(folder, "dataset.json"))]
        else:
            ones = read_json(several, list, error=DatasetError, remedy=REMEDY, most_bytes=MOST_MANIFEST_BYTES)
            manifests = [Manifest.model_validate(one) for one in ones]
    except (OSError, ValueError):
        return []
    return [data_input(manifest, place) for manifest, place in zip(manifests, places, strict=False)]


def _manifest(path: Path) -> Manifest:
    return Manifest.model_validate(read_json(path, dict, error=DatasetError, remedy=REMEDY, most_bytes=MOST_MANIFEST_BYTES))


def _mapping(path: Path, folder: Path) -> dict[str, Any]:
    try:
        return load_yaml(inside(folder, path.name), RESOLVED)
    except InputError:
        return {}
