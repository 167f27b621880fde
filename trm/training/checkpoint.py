"""A checkpoint is a folder that is there whole or not at all: safetensors beside a meta.json that vouches for them.

`meta.json` holds the complete run configuration, the data's shape and content hash, the counters, the versions that wrote it,
and size and SHA-256 of every other file; its own digest is in it too. Everything is written into a hidden folder beside the
final one, fsynced and renamed. Reading verifies all of it, and nothing is ever unpickled.
"""

import hashlib
import json
import math
import platform
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import safetensors.torch
import torch
from pydantic import AfterValidator, Field, ValidationError
from safetensors import SafetensorError
from torch import Tensor

from trm.config.base import Frozen
from trm.config.networks import DataNames, DataShape
from trm.config.run import CHANGES_WITHIN_RUN, RunConfig
from trm.data.batches.plan import Position
from trm.errors import CheckpointError, TornCheckpoint
from trm.files.atomic import fsync_file, replacing_folder, usual_mode
from trm.files.contained import file_name
from trm.files.json_files import read_json
from trm.files.weight_files import META

FORMAT = "trm-search checkpoint"
FORMAT_VERSION = 1

MAY_DIFFER = (
    "data",
    "start.from",
    "evaluation",
    "training.epochs",
    "training.steps",
    "training.train_flops",
    "training.eval_every_steps",
    "training.log_every_steps",
    "training.checkpoint_every_steps",
    "training.keep_checkpoints",
    "training.compile",
    "training.kernels",
    "training.cuda_graph",
    "training.micro_batches",
)
"""Paths of the configuration that a continued run may change.

Where the data lies may change: that it is the same data is told by its content hash; that its rows come in the same order is
held by `DataConfig.order`. So may the place of the weights that it started from, which have a digest. So may the run's length (with
`lr_min_ratio` below 1 the learning rate decays towards the new end from there on), when and how it is scored, and what
its operators are (`compile`, `kernels`, `micro_batches`: they round differently; `cuda_graph`). Everything else decides what the
weights become and must be equal.
"""

MAY_DIFFER_ADOPTED = (*MAY_DIFFER, *CHANGES_WITHIN_RUN, "seed")
"""What may differ where a run adopts the checkpoint of another, as members of a population do.

It goes on with knobs and a seed of its own: the weights, the optimizers' state and the place in the data are the other's, the
rest of the data's order and the draws of augmentation and exploration are those of its own seed at that step.
"""


class FileInfo(Frozen):
    """What a file of a checkpoint must be."""

    bytes: int
    sha256: str


class CheckpointMeta(Frozen):
    """What a checkpoint says of itself."""

    format: str = FORMAT
    format_version: int = FORMAT_VERSION
    config: RunConfig
    """The complete run."""
    shape: DataShape
    data_hash: str
    """Content hash of the data set."""
    names: DataNames = DataNames()
    """What its tokens and identifiers stand for."""
    step: int = Field(ge=0)
    """Optimizer steps made."""
    train_flops: float = Field(ge=0)
    """Training FLOPs spent."""
    position: Position = Position(0, 0)
    """The batch plan's place in the data."""
    totals: dict[str, float] = Field(default_factory=dict)
    """Running sums of the training metrics since the last report."""
    window: dict[str, float] = Field(default_factory=dict)
    """Running sums of the training metrics since the last point of the training curve."""
    log_every: int | None = Field(None, ge=1)
    """Steps from point to point of the curve."""
    versions: dict[str, str] = Field(default_factory=dict)
    """What wrote it."""
    files: dict[Annotated[str, AfterValidator(file_name)], FileInfo] = Field(default_factory=dict)
    """Every other file of the folder."""


def installed_versions() -> dict[str, str]:
    """Versions of what decides a run's numbers."""
    return {"python": platform.python_version(), "torch": str(torch.__version__), "numpy": np.__version__}


def write_checkpoint(folder: str | Path, files: Mapping[str, Mapping[str, Tensor]], meta: CheckpointMeta) -> None:
    """Makes `folder` a complete and durable checkpoint: killed at any moment, the old folder or the new one is there.

    `files` maps a file name (`model.safetensors`) to its tensors; `meta.files` is filled in here. A checkpoint that already
    stands at `folder` is moved aside for the instant of the rename.
    """
    with replacing_folder(folder) as temporary:
        infos = {name: _write_tensors(temporary / name, tensors) for name, tensors in files.items()}
        _write_meta(temporary / META, meta.model_copy(update={"files": infos}))


def read_meta(folder: str | Path) -> CheckpointMeta:
    """What the checkpoint says of itself; CheckpointError when it is missing, torn or of another format."""
    path = Path(folder) / META
    remedy = "continue from an older checkpoint"
    try:
        body: dict[str, Any] = read_json(path, dict, error=TornCheckpoint, remedy=remedy)
    except FileNotFoundError:
        raise TornCheckpoint(
            f"a checkpoint is a folder with {META}, and {path} does not exist", remedy="give the folder of a checkpoint"
        ) from None
    except TornCheckpoint as error:
        if isinstance(error.__cause__, PermissionError):  # nothing says that it is not whole
            raise CheckpointError(error.problem, remedy="give a folder that this user can read") from None
        raise
    digest = body.pop("digest", None)
    found = (body.get("format"), body.get("format_version"))
    if found != (FORMAT, FORMAT_VERSION):
        raise (CheckpointError if found[0] == FORMAT else TornCheckpoint)(
            f"{path} must be {FORMAT!r} version {FORMAT_VERSION}, but is {found[0]!r} version {found[1]!r}",
            remedy="read it with the release that wrote it",
        )
    if digest != _digest(body):
        raise _torn(path, f"does not have its digest {digest}")
    try:
        return CheckpointMeta.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CheckpointError(f"{path}: {where}: {first['msg']}", remedy="read it with the release that wrote it") from None


def check_files(folder: str | Path, meta: CheckpointMeta) -> None:
    """CheckpointError that names the first file whose size or SHA-256 is not what `meta` says."""
    for name, info in meta.files.items():
        path = Path(folder) / name
        try:
            size = path.stat().st_size
            if size != info.bytes:
                raise _torn(path, f"must have {info.bytes} bytes, but has {size}")
            if _sha256(path) != info.sha256:
                raise _torn(path, f"does not have its SHA-256 {info.sha256[:16]}...")
        except FileNotFoundError:
            raise _torn(path, "is missing") from None
        except PermissionError as error:
            raise CheckpointError(f"{path} cannot be read: {error}", remedy="give a folder that this user can read") from None
        except OSError as error:
            raise _torn(path, f"cannot be read ({error})") from None


def newest_whole(newest_first: Iterable[str | Path]) -> tuple[Path | None, list[str]]:
    """The first of the checkpoints that is whole, all of it read for that, and what is wrong with those before it.

    None when none is. CheckpointError for one that is whole and cannot be used.
    """
    torn: list[str] = []
    for folder in newest_first:
        try:
            check_files(folder, read_meta(folder))
        except TornCheckpoint as error:
            torn.append(error.problem)
        else:
            return Path(folder), torn
    return None, torn


def read_tensors(folder: str | Path, meta: CheckpointMeta, name: str, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """The tensors of one file of a checkpoint, after its size and SHA-256 were compared with `meta`."""
    path = Path(folder) / name
    info = meta.files.get(name)
    if info is None:
        raise CheckpointError(f"{folder} has no {name}", remedy="give a checkpoint of a run that has one")
    check_files(folder, meta.model_copy(update={"files": {name: info}}))
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load_file(path, device=str(device))
    except (OSError, SafetensorError) as error:
        raise _torn(path, f"cannot be read ({error})") from None
    return tensors


def require_same_run(
    folder: str | Path,
    meta: CheckpointMeta,
    config: RunConfig,
    shape: DataShape,
    data_hash: str,
    *,
    may_differ: Collection[str] = MAY_DIFFER,
) -> None:
    """CheckpointError that names the first key in which the checkpoint is of another run, `may_differ` apart."""
    for key, there, here in (
        *_differences(meta.config.model_dump(mode="json"), config.model_dump(mode="json"), but=may_differ),
        *_differences(meta.config.data.order(), config.data.order(), "data."),
        *_differences(asdict(meta.shape), asdict(shape), "data: "),
        *_differences({"content hash": meta.data_hash}, {"content hash": data_hash}, "data: "),
    ):
        raise CheckpointError(
            f"a run continues only a checkpoint of its own configuration: {folder} has {key} {there!r}, this run {here!r}",
            remedy=f"set {key} to {there!r}" if not key.startswith("data: ") else "give the data set it was trained on",
        )


def _differences(
    there: Mapping[str, Any], here: Mapping[str, Any], prefix: str = "", *, but: Collection[str] = ()
) -> list[tuple[str, Any, Any]]:
    found: list[tuple[str, Any, Any]] = []
    for name in dict.fromkeys([*there, *here]):
        path, old, new = prefix + name, there.get(name), here.get(name)
        if path in but or old == new:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += _differences(old, new, f"{path}.", but=but)
        else:
            found.append((path, old, new))
    return found


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> FileInfo:
    with usual_mode(path):  # the library makes files that only their owner can read
        safetensors.torch.save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, path)
    fsync_file(path)
    return FileInfo(bytes=path.stat().st_size, sha256=_sha256(path))


def _write_meta(path: Path, meta: CheckpointMeta) -> None:
    body = meta.model_dump(mode="json")
    # A gradient's norm may be infinite where no weight is: as a text, for JSON has no such number.
    body["totals"] = {name: total if math.isfinite(total) else str(total) for name, total in meta.totals.items()}
    path.write_text(json.dumps({"digest": _digest(body), **body}, indent=1, allow_nan=False), encoding="utf-8")
    fsync_file(path)


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _torn(path: Path, problem: str) -> TornCheckpoint:
    return TornCheckpoint(f"a checkpoint's files must be whole: {path} {problem}", remedy="continue from an older checkpoint")
