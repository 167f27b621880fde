"""The weights that are evaluated: exported by themselves, and read back from whatever holds weights."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from jaxtyping import Int64
from pydantic import Field, ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from trm.config.base import Frozen
from trm.config.files import dump_yaml, load_yaml, validated
from trm.config.networks import DataNames, DataShape
from trm.config.run import RunConfig
from trm.errors import CheckpointError
from trm.files.atomic import make_folders, replacing, usual_mode
from trm.files.json_files import parse_json
from trm.files.weight_files import META, MODEL_FILE, checkpoints_in, weights_folder
from trm.models.arithmetic import TABLE_KEY
from trm.models.build import build_network, from_published
from trm.models.counting import network_sizes
from trm.models.fitting import first_not_finite, require_fit
from trm.models.network import Network
from trm.models.precision import forward_dtype, set_products, uses_kernels, weight_dtype
from trm.models.puzzle_embedding import PuzzleEmbedding
from trm.optim.frozen import freeze
from trm.training.checkpoint import read_meta, read_tensors
from trm.training.foreign_weights import is_safetensors, read_foreign
from trm.training.state import AVERAGE_FILE, STATE_FILE, UNNAMED, TrainingState

CONFIG_FILE = "config.yaml"
EXPORT = "trm-search export"
"""Name of the one entry in the metadata of exported weights; a digest of the tensors is in it."""
UNKNOWN_ROW = -1
"""In place of the row of an identifier that a table was not trained with."""


@dataclass(frozen=True)
class Weights:
    """Weights to be evaluated, by our names, the puzzle embedding's table among them, and what they belong to."""

    tensors: dict[str, Tensor]
    config: RunConfig
    shape: DataShape
    """Of the data that they are for; its identifiers are the table's rows."""
    source: str
    """Where they lie."""
    data_hash: str = ""
    """Content hash of the data set they were trained on; empty when nobody knows (the reference's files)."""
    names: DataNames = UNNAMED
    """What the rows of their tables stand for; older files do not say it."""
    step: int = 0
    """Optimizer steps made; 0 when nobody knows."""
    train_flops: float = 0.0
    """Training FLOPs spent; 0 when nobody knows."""
    notes: tuple[str, ...] = ()
    """What a person should know of how they were read."""

    @property
    def table_rows(self) -> int:
        """Puzzle identifiers that they were trained with; 0 without a puzzle embedding."""
        return len(self.tensors[TABLE_KEY]) if TABLE_KEY in self.tensors else 0

    def for_identifiers(self, rows: Int64[np.ndarray, " identifiers"]) -> "Weights":
        """These weights with a table of other identifiers: `rows` says which row each has, `UNKNOWN_ROW` gives it the mean of all.

        The mean is what the published code starts identifiers from that a checkpoint does not know.
        """
        table = self.tensors[TABLE_KEY]
        mean = table.mean(0, dtype=torch.float64).to(table.dtype)
        chosen = torch.from_numpy(rows)
        made = table[chosen.clamp(min=0)]
        made[chosen == UNKNOWN_ROW] = mean
        shape = replace(self.shape, num_puzzle_identifiers=len(rows))
        return replace(self, tensors={**self.tensors, TABLE_KEY: made}, shape=shape)


@dataclass(frozen=True)
class TrainedModel:
    """A network with the weights to be evaluated, and what they belong to."""

    model: Network
    table: PuzzleEmbedding | None
    config: RunConfig
    shape: DataShape
    data_hash: str
    """Content hash of the data set it was trained on; empty when nobody knows (the reference's files)."""
    step: int
    """Optimizer steps made; 0 when nobody knows."""
    train_flops: float
    """Training FLOPs spent; 0 when nobody knows."""


class _About(Frozen):
    """What exported weights say of themselves."""

    shape: DataShape
    data_hash: str
    names: DataNames = DataNames()
    model: dict[str, Any] = Field(default_factory=dict)
    """The network's configuration, which shapes of tensors do not say; empty in exports of older releases."""
    step: int = Field(ge=0)
    train_flops: float = Field(ge=0)
    digest: str


def export_weights(source: TrainingState | str | Path, folder: str | Path, *, evaluation: dict[str, Any] | None = None) -> None:
    """Writes the weights that are evaluated (the average, if there is one) and the puzzle embedding, each file atomically.

    `source` is a state or the folder of a checkpoint; `folder` gets `model.safetensors` and, as a complete run
    configuration, `config.yaml`, with these values of `evaluation`. In a gang only the leader calls it.
    """
    weights = _of_state(source) if isinstance(source, TrainingState) else _of_checkpoint(Path(source))
    tensors = {name: value.detach().contiguous() for name, value in weights.tensors.items()}
    about = _About(
        shape=weights.shape,
        data_hash=weights.data_hash,
        names=weights.names,
        model=weights.config.model.model_dump(mode="json"),
        step=weights.step,
        train_flops=weights.train_flops,
        digest=tensors_digest(tensors),
    )
    folder = Path(folder)
    make_folders(folder)
    with replacing(folder / MODEL_FILE) as path, usual_mode(path):
        safetensors.torch.save_file(
            tensors, path, {EXPORT: json.dumps(about.model_dump(mode="json"))}
        )  # one entry: the library writes several in any order
    config = weights.config.model_copy(update={"evaluation": weights.config.evaluation.model_copy(update=evaluation or {})})
    dump_yaml(folder / CONFIG_FILE, config.model_dump(mode="json"))


def load_for_evaluation(path: str | Path, device: torch.device | str = "cpu") -> TrainedModel:
    """The network of a folder's weights on `device`, on the identifiers it was trained with. Raises CheckpointError."""
    return trained_model(read_weights(path), device)


def read_weights(path: str | Path, *, is_raw: bool = False) -> Weights:
    """The weights to be evaluated that lie in a folder, or in a file of it, compared with what they claim before it is believed.

    `is_raw`: those of a checkpoint as they were trained, in place of their average.

    `path` is a checkpoint, an export (`config.yaml` and `model.safetensors`), a folder that holds one as `best/` (a run or a
    sweep), or a run with checkpoints only (its newest). Raises CheckpointError.
    """
    path = Path(path)
    if path.is_file() and is_export(path):
        _refuse_pipes(path.parent, (CONFIG_FILE,))
        return _sound(_of_export(path, is_raw=is_raw))
    if path.is_file() and not (path.parent / META).exists():
        raise CheckpointError(
            f"{path} is a file, and other programs' files do not say what they were trained as",
            remedy="give a run, a sweep, a checkpoint or an export",
        )
    found = path.parent if path.is_file() else weights_folder(path)
    _refuse_pipes(found, [entry.name for entry in found.iterdir() if entry.suffix in (".json", ".yaml", ".safetensors")])
    if (found / META).exists():
        return _sound(_of_checkpoint(found, is_raw=is_raw))
    return _sound(_of_export(found / MODEL_FILE, is_raw=is_raw))


def _refuse_pipes(folder: Path, names: Iterable[str]) -> None:
    """CheckpointError for what would be waited for without an end."""
    for path in (folder / name for name in names):
        if path.exists() and not path.is_file() and not path.is_dir():
            raise CheckpointError(f"{path} must be a file, and is none", remedy="remove what is there")


def read_foreign_weights(path: str | Path, config: RunConfig, shape: DataShape) -> Weights:
    """The weights in a file of the reference implementation, or of another program that uses its names, as `config` says.

    The puzzle embedding has the rows that it was trained with, whatever `shape` says. Raises CheckpointError.
    """
    foreign = read_foreign(Path(path))
    tensors, table = from_published(foreign.tensors, config.model, shape, source=str(path))
    held = tensors if table is None else {**tensors, TABLE_KEY: table}
    rows = shape.num_puzzle_identifiers if table is None else len(table)
    return _sound(Weights(held, config, replace(shape, num_puzzle_identifiers=rows), str(path), notes=foreign.notes))


def is_export(path: Path) -> bool:
    """Whether a file is exported weights of ours."""
    if not is_safetensors(path):
        return False
    try:
        with safe_open(path, framework="pt") as file:
            return EXPORT in (file.metadata() or {})
    except (OSError, SafetensorError):
        return False


def trained_model(weights: Weights, device: torch.device | str = "cpu") -> TrainedModel:
    """The network with these weights on `device`, ready to be evaluated."""
    config, shape, device = weights.config, weights.shape, torch.device(device)
    dtype = forward_dtype(config.model, device)
    set_products(config.model, device)
    tensors = dict(weights.tensors)
    is_fused = uses_kernels(config, device, is_trained=True)
    model = build_network(config.model, shape, dtype=dtype, is_fused=is_fused)
    table = None
    if config.model.puzzle_ndim:
        table = PuzzleEmbedding(config.model, shape, dtype=weight_dtype(dtype))
        table.load_state_dict({"weight": tensors.pop(TABLE_KEY)})
        table = table.to(device)
    model.load_state_dict(tensors)
    freeze(model, config.optim)
    return TrainedModel(model.to(device).eval(), table, config, shape, weights.data_hash, weights.step, weights.train_flops)


def _sound(weights: Weights) -> Weights:
    """`weights`; CheckpointError unless they are just the tensors of their configuration, and finite numbers."""
    _require_network({name: tuple(value.shape) for name, value in weights.tensors.items()}, weights)
    if (name := first_not_finite(weights.tensors)) is not None:
        raise CheckpointError(
            f"weights must be finite numbers: {name} of {weights.source} holds others",
            remedy="take weights from before the run diverged",
        )
    return weights


def _require_network(sizes: Mapping[str, tuple[int, ...]], weights: Weights) -> None:
    config, shape = weights.config.model, weights.shape
    require_fit(sizes, network_sizes(config, shape), config, shape, source=weights.source)


def _of_state(state: TrainingState) -> Weights:
    tensors: dict[str, Tensor] = dict(state.model.state_dict())
    if state.average is not None:
        tensors |= state.average.average
    if state.table is not None:
        tensors[TABLE_KEY] = state.table.weight
    return Weights(tensors, state.config, state.shape, "the run", state.data_hash, state.names, state.step, state.train_flops)


def _of_checkpoint(folder: Path, *, is_raw: bool = False) -> Weights:
    meta = read_meta(folder)
    tensors = read_tensors(folder, meta, MODEL_FILE)
    if AVERAGE_FILE in meta.files and not is_raw:
        tensors |= read_tensors(folder, meta, AVERAGE_FILE)
    if meta.config.model.puzzle_ndim:
        state = read_tensors(folder, meta, STATE_FILE)
        tensors |= {name: value for name, value in state.items() if name == TABLE_KEY}
    return Weights(tensors, meta.config, meta.shape, str(folder), meta.data_hash, meta.names, meta.step, meta.train_flops)


def _newest_beside(export: Path) -> str:
    """Of the run that an export is the best of, its newest checkpoint, for a remedy."""
    found = checkpoints_in(export.parent.parent / "checkpoints")
    return f": {found[-1]}" if found else ""


def _of_export(path: Path, *, is_raw: bool = False) -> Weights:
    source = path.parent / CONFIG_FILE
    config = validated(RunConfig, load_yaml(source), str(source))
    if is_raw and config.optim.ema:
        raise CheckpointError(
            f"an export holds the averaged weights, and {path} none as they were trained",
            remedy=f"take the average (start.weights, --weights), or give a checkpoint{_newest_beside(path)}",
        )
    try:
        with safe_open(path, framework="pt") as file:
            about = _about(dict(file.metadata() or {}), path)
            weights = Weights({}, config, about.shape, str(path), about.data_hash, about.names, about.step, about.train_flops)
            names = list(file.keys())
            _require_network({name: tuple(file.get_slice(name).get_shape()) for name in names}, weights)
            _require_same_model(about, config, source)
            tensors = {name: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"exported weights must be whole: {path}: {error}", remedy="export them again") from None
    if about.digest != tensors_digest(tensors):
        raise CheckpointError(f"exported weights must be whole: {path} does not have its digest", remedy="export them again")
    return replace(weights, tensors=tensors)


def _require_same_model(about: _About, config: RunConfig, source: Path) -> None:
    """CheckpointError where a configuration was edited since the export: cycles and steps leave no trace in the weights."""
    values = config.model.model_dump(mode="json")
    for name, value in about.model.items():
        if name in values and values[name] != value:
            raise CheckpointError(
                f"an export is what it was exported as: its weights say model.{name} {value!r}, {source} has {values[name]!r}",
                remedy="undo that, or export them again",
            )


def _about(metadata: Mapping[str, str], path: Path) -> _About:
    """What the metadata of exported weights say. Raises CheckpointError."""
    if EXPORT not in metadata:
        raise CheckpointError(
            f"{path} is no export of this project",
            remedy="give the folder of a run, a sweep or a checkpoint, or the file itself with its configuration",
        )
    remedy = "export them again"
    values: dict[str, Any] = parse_json(metadata[EXPORT], f"the metadata of {path}", dict, error=CheckpointError, remedy=remedy)
    try:
        return _About.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise CheckpointError(
            f"exported weights must say what they are: in the metadata of {path} {where}: {first['msg']}", remedy=remedy
        ) from None


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """What weights are known again by: SHA-256 of names, types, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
