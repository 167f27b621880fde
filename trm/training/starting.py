"""A run's weights from those of another: what is taken, what is drawn all the same, and what does not fit."""

from collections.abc import Iterable
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
from trm.errors import CheckpointError, ConfigError, DatasetError
from trm.files.weight_files import META, weights_digest
from trm.models.arithmetic import TABLE_KEY, Sizes
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
    has_raw: bool = True
    """Whether those that were trained are told apart from their average there."""


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
        tensors = by_our_names(foreign.tensors, config.model)
        source = Source(tensors, str(path), notes=foreign.notes, has_raw=foreign.has_both)
    else:
        source = _of_ours(read_weights(path, is_raw=is_raw), str(path))
    if (name := first_not_finite(source.tensors)) is not None:
        raise CheckpointError(f"weights must be finite numbers: {name} of {path} holds others", remedy="take older weights")
    return source


def _of_ours(weights: Weights, path: str) -> Source:
    data = data_beside(weights.config.data, Path(weights.source), weights.data_hash)
    return Source(dict(weights.tensors), path, weights.names, data.folder, weights.data_hash, weights.notes, weights.config.model)


def require_beginning(config: RunConfig, source: Source) -> None:
    """CheckpointError for all that a run which begins can know to be wrong with the weights before there is a data set."""
    if config.start.weights == "raw" and not source.has_raw:
        raise CheckpointError(
            f"start.weights raw is of weights that lie beside their average, and {source.path} holds one network alone",
            remedy="set start.weights: average, which takes it, or give a checkpoint",
        )
    try:
        sizes, others = (network_sizes(config.model, shape) for shape in _made_up_shapes(config.model))
    except ConfigError:  # only of its own data does the network say what it is
        return
    require_taken(config, source, sizes)
    drawn = _drawn_by_word(config.start, sizes)
    wanted = {name: size for name, size in sizes.items() if others.get(name) == size and name not in drawn}
    _require_fitting(source, wanted, config, _made_up_shapes(config.model)[0])


def _made_up_shapes(model: ModelConfig) -> tuple[DataShape, DataShape]:
    """Square puzzles of two data sets that share no number: a tensor that is as large for both hangs on no data set."""
    width = getattr(model, "grid_width", None) or 1
    return DataShape((16 * width) ** 2, 65_537, 257), DataShape((24 * width) ** 2, 65_539, 263)


def require_taken(config: RunConfig, source: Source, wanted: Iterable[str]) -> None:
    """CheckpointError where a run that begins would take no tensor of `source`, `wanted` being those of its network."""
    drawn = _drawn_by_word(config.start, wanted)
    if not any(name in source.tensors and name not in drawn for name in wanted):
        raise CheckpointError(
            f"a run that starts from weights takes some of them, and would take none of the {len(source.tensors)} tensors of "
            f"{source.path}",
            remedy="give weights of this network, or leave start.from out",
        )


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
    drawn = _drawn_by_word(start, wanted)
    sizes = {name: tuple(value.shape) for name, value in source.tensors.items()}
    kept = {name: size for name, size in wanted.items() if name not in drawn}
    _require_fitting(source, kept, config, manifest.shape, manifest)
    drawn |= {name: "missing there" for name in kept if name not in sizes}
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


def _drawn_by_word(start: StartConfig, wanted: Iterable[str]) -> dict[str, str]:
    """Tensors that are not taken because `start` says so, and how."""
    drawn = {name: "as start.heads says" for name in wanted if start.heads == "fresh" and part_of(name) == "head"}
    if start.puzzle_embedding == "zero" and TABLE_KEY in wanted:
        drawn[TABLE_KEY] = "zero, as start.puzzle_embedding says"
    return drawn


def _require_fitting(source: Source, wanted: Sizes, config: RunConfig, shape: DataShape, manifest: Manifest | None = None) -> None:
    """CheckpointError for tensors of `wanted` that have another shape, and for those that are missing where that is an error."""
    sizes = {name: tuple(value.shape) for name, value in source.tensors.items()}
    wrong = {name: size for name, size in wanted.items() if name in sizes and sizes[name] != size}
    missing = [name for name in wanted if name not in sizes] if config.start.missing == "error" else []
    if not wrong and not missing:
        return
    faults = [f"{name} is {sizes[name]}, not {size}" for name, size in wrong.items()]
    faults += [f"{name} is missing" for name in missing]
    remedies = []
    if differences := [(path, there) for path, there, _ in told_by(sizes, config.model, shape) if path.startswith("model.")]:
        remedies.append(f"they tell of {', '.join(f'{path} {there}' for path, there in differences)}: give that")
    if wrong.keys() == {TABLE_KEY} and manifest is not None:
        remedies.append(f"set start.puzzle_embedding: {_table_modes(source, config, manifest)}")
    elif all(part_of(name) == "head" for name in (*wrong, *missing)):
        remedies.append("set start.heads: fresh")
    elif not wrong and len(missing) < len(wanted):
        remedies.append("set start.missing: fresh")
    raise CheckpointError(
        f"what a run starts from must fit its network: of {source.path} {'; '.join(faults)}",
        remedy=", or ".join(remedies) or "give weights of this network",
    )


def _table_modes(source: Source, config: RunConfig, manifest: Manifest) -> str:
    """Modes of the puzzle embedding that do for a table of other rows, or of another width, in words."""
    table = source.tensors.get(TABLE_KEY)
    if table is None or table.shape[1] != config.model.puzzle_ndim:
        return "zero"
    try:
        there, folder = _names_there(source, config.start, len(table)), config.data.folder
        is_named = there is not None and folder is not None and identifier_names(folder, manifest) is not None
    except DatasetError:
        is_named = False
    return "by_name, mean or zero" if is_named and there is not None and len(there) == len(table) else "mean or zero"


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
                    remedy=f"set start.puzzle_embedding: {_table_modes(source, config, manifest)}",
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
