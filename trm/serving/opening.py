"""What a solver opens: weights, the manifest that says what their cells mean, and the data set itself where it lies near."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trm.config.files import apply_overrides, validated
from trm.config.run import RunConfig
from trm.data.format import shards, storage
from trm.data.format.built import IdentifierTable
from trm.data.format.manifest import MANIFEST, Manifest, manifest_of, read_manifest
from trm.errors import ConfigError, DatasetError
from trm.files.weight_files import weights_folder
from trm.tasks.places import data_beside
from trm.training.weights import Weights, read_weights

MANIFEST_COPY = "dataset.json"
"""A copy of the manifest beside weights: of a sweep, or of a release, which have no data set near."""
NEAR = 6
"""Folders above the weights in which a storage's data sets are looked for."""
MOST_MANIFEST_BYTES = 1 << 26


@dataclass(frozen=True, eq=False)
class OpenedModel:
    """Weights, and what is known of the puzzles that they are for."""

    weights: Weights
    config: RunConfig
    """As what it answers: the weights' own, with what was replaced of `evaluation`."""
    manifest: Manifest
    data: str | None
    """Folder of the data set; None where it is not near."""
    identifiers: IdentifierTable | None
    """Names and augmentations of the rows of an ARC network's table; None where there are none, or nobody near knows them."""
    folder: Path | None = None
    """Where the weights lie."""


def opened_model(path: str | Path, overrides: tuple[str, ...] = (), data: str | None = None) -> OpenedModel:
    """The weights of a run, a sweep, a checkpoint, an export or a release folder. Raises InputError for what a person can mend.

    `data` is the data set's folder where a person says it; what a folder's own files say is never fetched from elsewhere.
    """
    weights = read_weights(path)
    values = apply_overrides(weights.config.model_dump(mode="json"), overrides)
    config = validated(RunConfig, values, f"the configuration of {path}")
    if config.model_copy(update={"evaluation": weights.config.evaluation}) != weights.config:
        raise ConfigError(
            "what answers is what was trained, so only evaluation.* may be set", remedy="set evaluation.steps, for instance"
        )
    place = Path(path)
    folder = place.parent if place.is_file() else weights_folder(place)
    manifest, where = _manifest(weights, folder.absolute(), data)
    has_own = manifest.identifiers is not None and (folder / manifest.identifiers.file).is_file()  # a release folder has
    named = where or (str(folder) if has_own else None)
    table = None if named is None else shards.read_identifiers(named, manifest)
    return OpenedModel(weights, config, manifest, where, table, folder)


def _manifest(weights: Weights, folder: Path, data: str | None) -> tuple[Manifest, str | None]:
    """The manifest of the data set that the weights were trained on, and its folder where it is near."""
    if data is not None:
        manifest = read_manifest(data)
        _require_own(weights, manifest, data)
        return manifest, storage.absolute(data)
    for place in _data_sets(weights, folder):
        return read_manifest(str(place)), str(place)
    for copy in (folder / MANIFEST_COPY, folder.parent / MANIFEST_COPY):
        if copy.is_file() and copy.stat().st_size <= MOST_MANIFEST_BYTES:
            manifest = manifest_of(copy.read_bytes(), str(copy))
            _require_own(weights, manifest, str(copy))
            return manifest, None
    raise DatasetError(
        f"cells mean nothing without the manifest of the data set, and neither it nor {MANIFEST_COPY} lies near {folder}",
        remedy=f"give --data FOLDER of the data set, or put its {MANIFEST} there as {MANIFEST_COPY}",
    )


def _data_sets(weights: Weights, folder: Path) -> Iterator[Path]:
    """The folders near that hold the data set, the one that the configuration names first."""
    config, candidates = weights.config.data, list[Path]()
    if config.folder is not None and storage.is_local(config.folder):
        found = data_beside(config, folder, weights.data_hash)
        candidates.append(storage.local_path(str(found.folder)))
    for above in (folder, *folder.parents)[:NEAR]:
        candidates += sorted(path.parent for path in (above / "data").glob(f"*/{MANIFEST}"))
    for place in candidates:
        if (place / MANIFEST).is_file() and _is_own(weights, place):
            yield place


def _is_own(weights: Weights, place: Path) -> bool:
    try:
        return read_manifest(str(place)).content_hash == weights.data_hash
    except DatasetError:
        return False


def _require_own(weights: Weights, manifest: Manifest, source: str) -> None:
    """DatasetError unless tokens and identifiers mean in the manifest what they meant in training."""
    if manifest.content_hash == weights.data_hash:
        return
    is_same = weights.names.vocabulary == manifest.vocabulary and weights.names.identifiers == manifest.names.identifiers
    if not is_same or weights.shape != manifest.shape:
        raise DatasetError(
            f"the data set must be what {weights.source} was trained on (content hash {weights.data_hash[:12]}): {source} has "
            f"{manifest.content_hash[:12]}, and other cells, tokens or identifiers",
            remedy="give the right one",
        )
