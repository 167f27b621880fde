"""The weights that trials of a sweep start from: where they lie, and their digests, by which a resume knows them again."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm.config.paths import absolute_beside, with_start_beside
from trm.errors import CheckpointError, SweepError
from trm.files.weight_files import digest_of_start, weights_digest
from trm.search.space.rules import RULES, goes_by_meaning

if TYPE_CHECKING:
    from trm.search.space.space import SearchSpace

FROM = "start.from"
NAMED = (FROM, "start.trained_on")
"""Knobs whose values are paths."""


def with_starts_beside(mapping: Mapping[str, Any], folder: Path, rules: int = RULES) -> dict[str, Any]:
    """A space whose base and knobs name the weights to start from by absolute paths, as the file in `folder` means them.

    Sweeps of earlier `rules` know those of the knob start.trained_on as they are written.
    """
    found, base = dict(mapping), mapping.get("base")
    if isinstance(base, Mapping):
        found["base"] = with_start_beside(base, folder)
    for path in NAMED if goes_by_meaning(rules) else (FROM,):
        search = found.get("search")
        knob = search.get(path) if isinstance(search, Mapping) else None
        if isinstance(search, Mapping) and isinstance(knob, Mapping) and isinstance(values := knob.get("values"), list):
            found["search"] = {**search, path: {**knob, "values": [absolute_beside(value, folder) for value in values]}}
        if isinstance(points := found.get("start_points"), list):
            found["start_points"] = [
                {**point, path: absolute_beside(point[path], folder)} if isinstance(point, Mapping) and path in point else point
                for point in points
            ]
    return found


def with_digest(values: dict[str, Any], digests: Mapping[str, str]) -> None:
    """Sets what the weights that a sparse run configuration starts from were known by when the sweep began."""
    start = values.get("start")
    if isinstance(start, Mapping) and (digest := digests.get(str(start.get("from")))) is not None:
        values["start"] = {"digest": digest, **start}


def start_paths(space: "SearchSpace") -> list[str]:
    """Every place that trials of the space may start from."""
    knob = space.search.get(FROM)
    values = [] if knob is None else list(knob.values_in_order)
    if knob is None or knob.when:  # where a knob is not active the base holds
        values.append((space.base.get("start") or {}).get("from"))
    return [str(value) for value in values if value is not None]


def with_starts(space: "SearchSpace") -> "SearchSpace":
    """The space of a sweep that begins, with the digests of what its trials start from. Raises CheckpointError for what is none."""
    return space.model_copy(update={"starts": {path: digest_of_start(path) for path in start_paths(space)}})


def starts_as_begun(space: "SearchSpace", begun: "SearchSpace") -> "SearchSpace":
    """The space of a sweep that goes on, with the digests of when it began.

    SweepError for weights that are others by now. Weights that are gone are missed by trials alone that have no checkpoint yet.
    """
    for path, digest in begun.starts.items():
        try:
            now = weights_digest(path)
        except CheckpointError:
            continue
        if now != digest:
            raise SweepError(
                f"trials start from the weights that they began with: {path} had digest {digest[:12]}, and has {now[:12]} now",
                remedy="restore it from a copy, or start a sweep under another --name",
            )
    return space.model_copy(update={"starts": begun.starts})
