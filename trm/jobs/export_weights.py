"""Weights of ours as a file with the published keys, read back before it counts."""

from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from trm.errors import CheckpointError, ConfigError
from trm.files.atomic import replacing, usual_mode, why_unwritable
from trm.models.arithmetic import TABLE_KEY
from trm.models.build import by_our_names, require_published, to_published
from trm.terminal.command_line import show
from trm.training.foreign_weights import read_foreign
from trm.training.weights import Weights, read_weights

SUFFIXES = (".pt", ".pth", ".safetensors")
"""Endings of the files that may be written."""


@dataclass(frozen=True)
class ExportOptions:
    """What the command line says."""

    path: str
    out: str
    is_raw: bool
    """The weights as they were trained, in place of their average."""
    prefix: str
    """What stands before every key."""


def run_export(options: ExportOptions) -> int:
    """Write the file and say what is in it; the exit code. Raises InputError for what a person can mend."""
    out = Path(options.out)
    _check(Path(options.path), out)
    weights = read_weights(options.path, is_raw=options.is_raw)
    model = weights.config.model
    require_published(model, weights.source)
    tensors = {name: value.detach().contiguous() for name, value in weights.tensors.items()}
    table = tensors.pop(TABLE_KEY, None)
    published = to_published(tensors, table, model, prefix=options.prefix)
    with replacing(out) as temporary:
        _write(published, temporary, is_safetensors=out.suffix == ".safetensors")
        _require_same(by_our_names(read_foreign(temporary).tensors, model), weights)
    size = sum(value.numel() for value in published.values())
    show(f"{out}: {len(published)} tensors, {size:,} values, of {weights.source} at step {weights.step}")
    return 0


def _check(path: Path, out: Path) -> None:
    if not path.exists():
        raise CheckpointError(f"{path} does not exist", remedy="give the folder of a run, a sweep, a checkpoint or an export")
    if out.suffix not in SUFFIXES:
        raise ConfigError(
            f"--out must say by its ending which format it is, {' or '.join(SUFFIXES)}, got {out}",
            remedy=f"name it {out.with_suffix('.pt').name}, as torch saves, or {out.with_suffix('.safetensors').name}",
        )
    if out.exists():
        raise ConfigError(f"--out must name a new file, and {out} exists", remedy="name another, or remove it")
    folder = out.absolute().parent
    if not folder.is_dir():
        raise ConfigError(f"--out must name a file in a folder that exists, got {out}", remedy="make its folder")
    if (reason := why_unwritable(folder)) is not None:
        raise ConfigError(f"--out must name a file that can be written, got {out} ({reason})", remedy="name another")


def _write(tensors: dict[str, Tensor], path: Path, *, is_safetensors: bool) -> None:
    with usual_mode(path):
        if is_safetensors:
            safetensors.torch.save_file(tensors, path)
        else:
            torch.save({key: value.clone() for key, value in tensors.items()}, path)


def _require_same(there: dict[str, Tensor], weights: Weights) -> None:
    """CheckpointError unless what was written is read back as it was, bit for bit."""
    for name in there.keys() | weights.tensors.keys():
        if name not in there or name not in weights.tensors or not torch.equal(there[name], weights.tensors[name]):
            raise CheckpointError(f"what was written must be read back as it was: {name} is not", remedy="name another --out")
