"""The weights that are evaluated: exported by themselves, and read back from whatever holds weights."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from trm.atomic import replacing
from trm.config import DataShape, RunConfig
from trm.config_files import dump_yaml, load_yaml, validated
from trm.errors import CheckpointError
from trm.models.devices import forward_dtype, set_products, uses_kernels, weight_dtype
from trm.models.puzzle_embedding import PuzzleEmbedding
from trm.models.reference import from_reference
from trm.models.trm import TinyRecursiveModel
from trm.training.checkpoint import META, READABLE_MODE, read_meta, read_tensors
from trm.training.state import AVERAGE_FILE, MODEL_FILE, STATE_FILE, TABLE_KEY, TrainingState

CONFIG_FILE = "config.yaml"
EXPORT = "trm-search export"
"""Name of the one entry in the metadata of exported weights; a digest of the tensors is in it."""


@dataclass(frozen=True)
class TrainedModel:
    """A network with the weights to be evaluated, and what they belong to."""

    model: TinyRecursiveModel
    table: PuzzleEmbedding | None
    config: RunConfig
    shape: DataShape
    data_hash: str
    """Content hash of the data set it was trained on; empty when nobody knows (the reference's files)."""
    step: int
    """Optimizer steps made; 0 when nobody knows."""
    train_flops: float
    """Training FLOPs spent; 0 when nobody knows."""


@dataclass(frozen=True)
class _Weights:
    """Tensors by our names, the puzzle embedding among them, and what they belong to."""

    tensors: dict[str, Tensor]
    config: RunConfig
    shape: DataShape
    data_hash: str = ""
    step: int = 0
    train_flops: float = 0.0


def export_weights(source: TrainingState | str | Path, folder: str | Path) -> None:
    """Writes the weights that are evaluated (the average, if there is one) and the puzzle embedding, each file atomically.

    `source` is a state or the folder of a checkpoint; `folder` gets `model.safetensors` and, as a complete run
    configuration, `config.yaml`. In a gang only the leader calls it.
    """
    weights = _of_state(source) if isinstance(source, TrainingState) else _of_checkpoint(Path(source))
    tensors = {name: value.detach().contiguous() for name, value in weights.tensors.items()}
    about = {
        "shape": asdict(weights.shape),
        "data_hash": weights.data_hash,
        "step": weights.step,
        "train_flops": weights.train_flops,
        "digest": _digest(tensors),
    }
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / MODEL_FILE) as path:
        safetensors.torch.save_file(
            tensors, path, {EXPORT: json.dumps(about)}
        )  # one entry: the library writes several in any order
        path.chmod(READABLE_MODE)
    dump_yaml(folder / CONFIG_FILE, weights.config.model_dump(mode="json"))


def load_for_evaluation(
    path: str | Path,
    device: torch.device | str = "cpu",
    *,
    config: RunConfig | None = None,
    shape: DataShape | None = None,
) -> TrainedModel:
    """The network, on `device`, with the weights to be evaluated.

    `path` is a checkpoint, an export (`config.yaml` and `model.safetensors`), a folder that holds one as `best/` (a run or a
    sweep), a run with checkpoints only (its newest), or a checkpoint file of the reference implementation, for which
    `config` and `shape` must be given; elsewhere they are read from the folder. Raises CheckpointError.
    """
    path = Path(path)
    if path.is_file():
        weights = _of_reference(path, config, shape)
    else:
        found = _resolved(path)
        weights = _of_checkpoint(found) if (found / META).exists() else _of_export(found)
    return _trained(weights, torch.device(device), path)


def _resolved(folder: Path) -> Path:
    newest = sorted((folder / "checkpoints").glob("step-*"))[-1:]
    for candidate in (folder, folder / "best", *newest):
        if (candidate / META).exists() or (candidate / MODEL_FILE).exists():
            return candidate
    raise CheckpointError(
        f"weights lie in a checkpoint, an export, a run or a sweep, and {folder} {'is none' if folder.exists() else 'is missing'}",
        remedy=f"give a folder with {META}, with {MODEL_FILE}, or with best/",
    )


def _trained(weights: _Weights, device: torch.device, path: Path) -> TrainedModel:
    config, shape = weights.config, weights.shape
    dtype = forward_dtype(config.model, device)
    set_products(config.model, device)
    tensors = dict(weights.tensors)
    is_fused = uses_kernels(config, device, is_trained=True)
    model = TinyRecursiveModel(config.model, shape, dtype=dtype, is_fused=is_fused)
    table = PuzzleEmbedding(config.model, shape, dtype=weight_dtype(dtype)) if config.model.puzzle_ndim else None
    try:
        if table is not None:
            table.load_state_dict({"weight": tensors.pop(TABLE_KEY)})
        model.load_state_dict(tensors)
    except (KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"weights must fit their configuration: {path}: {reason}", remedy="give the configuration they were trained with"
        ) from None
    if table is not None:
        table = table.to(device)
    return TrainedModel(model.to(device).eval(), table, config, shape, weights.data_hash, weights.step, weights.train_flops)


def _of_state(state: TrainingState) -> _Weights:
    tensors: dict[str, Tensor] = dict(state.model.state_dict())
    if state.average is not None:
        tensors |= state.average.average
    if state.table is not None:
        tensors[TABLE_KEY] = state.table.weight
    return _Weights(tensors, state.config, state.shape, state.data_hash, state.step, state.train_flops)


def _of_checkpoint(folder: Path) -> _Weights:
    meta = read_meta(folder)
    tensors = read_tensors(folder, meta, MODEL_FILE)
    if AVERAGE_FILE in meta.files:
        tensors |= read_tensors(folder, meta, AVERAGE_FILE)
    if meta.config.model.puzzle_ndim:
        tensors[TABLE_KEY] = read_tensors(folder, meta, STATE_FILE)[TABLE_KEY]
    return _Weights(tensors, meta.config, meta.shape, meta.data_hash, meta.step, meta.train_flops)


def _of_export(folder: Path) -> _Weights:
    config = validated(RunConfig, load_yaml(folder / CONFIG_FILE), str(folder / CONFIG_FILE))
    path = folder / MODEL_FILE
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no mapping
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"exported weights must be whole: {path}: {error}", remedy="export them again") from None
    if EXPORT not in metadata:
        raise CheckpointError(f"{path} is no export of this project", remedy="give the folder of a run, a sweep or a checkpoint")
    about = json.loads(metadata[EXPORT])
    if about["digest"] != _digest(tensors):
        raise CheckpointError(f"exported weights must be whole: {path} does not have its digest", remedy="export them again")
    return _Weights(tensors, config, DataShape(**about["shape"]), about["data_hash"], about["step"], about["train_flops"])


def _of_reference(path: Path, config: RunConfig | None, shape: DataShape | None) -> _Weights:
    if config is None or shape is None:
        raise CheckpointError(
            f"{path} is a file, and the reference's files do not say what they were trained as",
            remedy="give its configuration too, or the folder of a run, a sweep or a checkpoint",
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling foreign bytes fails in any way it likes
        raise CheckpointError(
            f"{path} holds no plain weights ({type(error).__name__})", remedy="give a .pt file of weights only"
        ) from None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{path} must be a mapping of names to tensors", remedy="give a .pt file of weights only")
    tensors, table = from_reference(state, config.model, shape)
    return _Weights(tensors if table is None else {**tensors, TABLE_KEY: table}, config, shape)


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
