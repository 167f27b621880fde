"""A run's weights from those of another: what is taken, what is drawn all the same, and what does not fit."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from trm.config.networks import DataNames, DataShape, ModelConfig
from trm.config.parts import part_of
from trm.config.run import CHANGES_WITHIN_RUN, RunConfig
from trm.config.start import StartConfig
from trm.data.format import storage
from trm.data.format.manifest import Manifest
from trm.errors import CheckpointError, DatasetError
from trm.files.weight_files import META, weights_digest
from trm.models.arithmetic import TABLE_KEY
from trm.models.build import by_our_names
from trm.models.counting import network_sizes
from trm.models.fitting import first_not_finite, told_by
from trm.tasks.identifiers import NO_ROW, identifier_names, named_identifiers, rows_by_name
from trm.tasks.places import data_beside
from trm.tasks.published.arrays_arc import BLANK_NAME
from trm.training.foreign_weights import read_foreign
from trm.training.state import UNNAMED
from trm.training.weights import Weights, is_export, read_weights

GIVE_NAMES = "say what they were trained on by start.trained_on, or set start.puzzle_embedding: mean"


@dataclass(frozen=True)
class Source:
    """Weights to start from, by our names, and what their table's rows stand for."""

    tensors: dict[str, Tensor]
    path: str
    names: DataNames = UNNAMED
    data_folder: str | None = None
    """The data set that they were trained on, where it says so."""
    data_hash: str = ""
    notes: tuple[str, ...] = ()
    model: ModelConfig | None = None
    """The network that they were trained in; null: a file that does not say it."""


@dataclass(frozen=True)
class Start:
    """What a run starts with."""

    tensors: dict[str, Tensor]
    """Those that are taken, by our names, the puzzle embedding's table among them."""
    lines: tuple[str, ...]
    """In words: what was taken, every tensor that was not, every one that is drawn."""


def read_source(start: StartConfig, config: RunConfig) -> Source:
    """The weights that `start` names. Raises CheckpointError where they are none, or others than its digest says."""
    path = Path(str(start.path))
    found = weights_digest(path)
    if start.digest is not None and found != start.digest:
        raise CheckpointError(
            f"a run starts from the weights that it began with: {path} must have digest {start.digest[:12]}, and has {found[:12]}",
            remedy="restore it from a copy, or begin another run",
        )
    is_raw = start.weights == "raw"
    if path.is_file() and not (path.parent / META).exists() and not is_export(path):
        foreign = read_foreign(path, is_raw=is_raw)
        source = Source(by_our_names(foreign.tensors, config.model), str(path), notes=foreign.notes)
    else:
        source = _of_ours(read_weights(path, is_raw=is_raw), str(path))
    if (name := first_not_finite(source.tensors)) is not None:
        raise CheckpointError(f"weights must be finite numbers: {name} of {path} holds others", remedy="take older weights")
    return source


def _of_ours(weights: Weights, path: str) -> Source:
    data = data_beside(weights.config.data, Path(weights.source), weights.data_hash)
    return Source(dict(weights.tensors), path, weights.names, data.folder, weights.data_hash, weights.notes, weights.config.model)


def start_of(config: RunConfig, manifest: Manifest, source: Source | None = None) -> Start:
    """What a run of `config` on the data set of `manifest` starts with, `source` being what was read of it already.

    CheckpointError that lists every tensor which does not fit, and every one that is missing where `start.missing` is error.
    """
    start = config.start
    source = source or read_source(start, config)
    source = replace(source, tensors=dict(source.tensors))
    wanted = network_sizes(config.model, manifest.shape)
    notes = [*source.notes]
    if TABLE_KEY in source.tensors and TABLE_KEY in wanted:
        notes += _with_table(source, config, manifest)
    drawn = {name: "as start.heads says" for name in wanted if start.heads == "fresh" and part_of(name) == "head"}
    if start.puzzle_embedding == "zero" and TABLE_KEY in wanted:
        drawn[TABLE_KEY] = "zero, as start.puzzle_embedding says"
    sizes = {name: tuple(value.shape) for name, value in source.tensors.items()}
    missing = [name for name in wanted if name not in sizes and name not in drawn]
    wrong = [name for name in wanted if name in sizes and name not in drawn and sizes[name] != wanted[name]]
    if wrong or (missing and start.missing == "error"):
        _refuse(source, {name: wanted[name] for name in wrong}, missing if start.missing == "error" else [], config, manifest.shape)
    drawn |= dict.fromkeys(missing, "missing there")
    taken = {name: source.tensors[name] for name in wanted if name not in drawn}
    others = [f"{name} {sizes[name]}" for name in sizes if name not in taken]
    which = f" ({start.weights})" if start.weights == "raw" else ""
    lines = [f"starts from {source.path}{which}: {len(taken)} of {len(wanted)} tensors are taken", *notes]
    if source.model is not None and (others_there := _other_fields(source.model, config.model)):
        lines.append(f"trained in another network than here: {', '.join(others_there)}")
    if others:
        lines.append(f"not taken: {', '.join(others)}")
    if drawn:
        lines.append(f"begun afresh: {', '.join(f'{name} ({why})' for name, why in drawn.items())}")
    return Start(taken, tuple(lines))


def _other_fields(there: ModelConfig, here: ModelConfig) -> list[str]:
    """Fields of two networks that differ, in words: what equal shapes do not tell. Not those that change within a run."""
    values, others = here.model_dump(mode="json"), there.model_dump(mode="json")
    deciding, deciding_there = here.deciding_values(), there.deciding_values()
    return [
        f"model.{name} {others[name]} there, {value} here"
        for name, value in values.items()
        if name in others
        and value != others[name]
        and deciding.get(name) != deciding_there.get(name)
        and name != "forward_dtype"
        and f"model.{name}" not in CHANGES_WITHIN_RUN
    ]


def _refuse(source: Source, wrong: Mapping[str, tuple[int, ...]], missing: list[str], config: RunConfig, shape: DataShape) -> None:
    sizes = {name: tuple(value.shape) for name, value in source.tensors.items()}
    faults = [f"{name} is {sizes[name]}, not {size}" for name, size in wrong.items()]
    faults += [f"{name} is missing" for name in missing]
    remedies = []
    if differences := [(path, there) for path, there, _ in told_by(sizes, config.model, shape) if path.startswith("model.")]:
        remedies.append(f"they tell of {', '.join(f'{path} {there}' for path, there in differences)}: give that")
    if wrong.keys() == {TABLE_KEY}:
        remedies.append("set start.puzzle_embedding: by_name, mean or zero")
    elif all(part_of(name) == "head" for name in (*wrong, *missing)):
        remedies.append("set start.heads: fresh")
    elif not wrong:
        remedies.append("set start.missing: fresh")
    raise CheckpointError(
        f"what a run starts from must fit its network: of {source.path} {'; '.join(faults)}",
        remedy=", or ".join(remedies) or "give weights of this network",
    )


def _with_table(source: Source, config: RunConfig, manifest: Manifest) -> list[str]:
    """Gives the source the table that the run starts with, where its mode makes one of the rows; what to say of it."""
    table, count = source.tensors[TABLE_KEY], manifest.num_puzzle_identifiers
    match config.start.puzzle_embedding:
        case "mean":
            source.tensors[TABLE_KEY] = _rows(table, torch.full((count,), NO_ROW))
            return [f"all {count} identifiers have the mean of its {len(table)} rows"]
        case "by_name":
            return _by_name(source, config, manifest)
        case "keep" if len(table) == count > 1:
            known = {source.names.identifiers, manifest.names.identifiers} - {""}
            if len(known) > 1:
                raise CheckpointError(
                    f"rows of a puzzle embedding belong to their puzzles: the {count} rows of {source.path} are of others than the "
                    "data set's",
                    remedy="set start.puzzle_embedding: by_name, mean or zero",
                )
    return []


def _by_name(source: Source, config: RunConfig, manifest: Manifest) -> list[str]:
    table, count = source.tensors[TABLE_KEY], manifest.num_puzzle_identifiers
    there, folder = _names_there(source, config.start, len(table)), config.data.folder
    here = identifier_names(folder, manifest) if folder is not None else None
    if there is None or here is None:
        whose = f"those of {source.path}" if there is None else f"the data set's in {folder}"
        raise CheckpointError(f"rows are matched by the names of identifiers, and {whose} have none", remedy=GIVE_NAMES)
    if len(there) != len(table):
        raise CheckpointError(
            f"the names must be those of the table: {source.path} has {len(table)} rows, and {len(there)} names were found",
            remedy=GIVE_NAMES,
        )
    rows = torch.from_numpy(rows_by_name(there, here, manifest.name))
    source.tensors[TABLE_KEY] = _rows(table, rows)
    known = int((rows != NO_ROW).sum())
    return [f"{known} of {count} identifiers have the row of their name, {count - known} the mean of its {len(table)} rows"]


def _names_there(source: Source, start: StartConfig, count: int) -> list[str] | None:
    """Names of the rows of the source's table, in order: as `start` says, or of the data set that it was trained on."""
    if start.trained_on is not None:
        return named_identifiers(start.trained_on).names
    if count == 1:
        return [BLANK_NAME]
    if source.data_folder is None or not storage.is_local(source.data_folder):
        return None
    try:
        own = named_identifiers(source.data_folder)
    except DatasetError:  # it is not there any more
        return None
    return own.names if own.manifest is not None and own.manifest.content_hash == source.data_hash else None


def _rows(table: Tensor, rows: Tensor) -> Tensor:
    """Rows of a table by number, `NO_ROW` for the mean of all, which the published code gives identifiers that it does not know."""
    made = table[rows.clamp(min=0)]
    made[rows == NO_ROW] = table.mean(0, dtype=torch.float64).to(table.dtype)
    return made
