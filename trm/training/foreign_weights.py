"""Weights from files of other programs: torch's and safetensors, wrapped and nested as people save them. Nothing is unpickled."""

import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from trm.errors import CheckpointError
from trm.models.recursive.reference import AVERAGED, INITIAL, Unwrapped, is_network, unwrapped, with_average

DEPTH = 4
"""Mappings within mappings that a network is looked for in."""
SHOWN = 4
"""Names in a message."""
NATIVE = (torch.float32, torch.float64)


@dataclass(frozen=True)
class ForeignWeights:
    """A network's tensors by published key, in float32 or float64, and what a person should know of how they were found."""

    tensors: dict[str, Tensor]
    notes: tuple[str, ...]
    has_both: bool = False
    """Whether they lay there twice, as they were trained and averaged."""


def read_foreign(path: Path, *, is_raw: bool = False) -> ForeignWeights:
    """The one network in a file of torch (`.pt`, any suffix or none) or safetensors; averaged weights before plain ones.

    `is_raw`: the plain ones, where there are both.

    Raises CheckpointError where the file is no such file, holds anything but plain data, claims more than it has, or where no
    network or several are in it.
    """
    values = _read_safetensors(path) if is_safetensors(path) else _read_torch(path)
    found = _network_in(values, path, is_raw=is_raw)
    _require_plain(found.tensors, path)
    bare = unwrapped(found.tensors, is_raw=is_raw)
    tensors, converted = _in_full(bare.tensors, path)
    return ForeignWeights(tensors, (*found.notes, *bare.notes, *converted), has_both=found.has_both or bare.has_both)


def is_safetensors(path: Path) -> bool:
    """Whether the file begins as safetensors do: the length of a header, and the header."""
    start = _start(path, 9)
    return len(start) == 9 and start[8:] == b"{" and int.from_bytes(start[:8], "little") <= path.stat().st_size - 8


def _start(path: Path, count: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}", remedy="give a file that this user can read") from None


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no mapping
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"weights must be whole: {path}: {error}", remedy="fetch the file again") from None


def _read_torch(path: Path) -> Any:
    """What torch saved, plain data only."""
    if _start(path, 2) == b"PK":
        _require_stored(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old files: nothing that their reader can mend
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling foreign bytes fails in any way it likes
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"an object of {found[1]} is in it, and nothing foreign is run" if found else type(error).__name__
        raise CheckpointError(
            f"{path} holds no plain weights ({what})", remedy="give a file of weights only: torch.save(model.state_dict(), FILE)"
        ) from None


def _require_stored(path: Path) -> None:
    """CheckpointError when unpacking the file would take more memory than it has bytes: torch stores, it does not compress."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"weights must be whole: {path}: {error}", remedy="fetch the file again") from None
    claimed, size = sum(entry.file_size for entry in entries), path.stat().st_size
    if claimed > size or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise CheckpointError(
            f"weights must be stored as they are: {path} has {size} bytes and unpacks to {claimed}",
            remedy="save them again with torch.save",
        )


@dataclass(frozen=True)
class _Nested:
    """Tensors of one mapping, and the keys that lead to it."""

    place: tuple[str, ...]
    tensors: dict[str, Tensor]

    @property
    def text(self) -> str:
        return "".join(f"[{key!r}]" for key in self.place) or "the file itself"

    @property
    def is_averaged(self) -> bool:
        return any(AVERAGED.search(key) for key in self.place)


def _network_in(values: Any, path: Path, *, is_raw: bool) -> Unwrapped:
    """The tensors of the one network in what a file holds, averaged ones before plain ones, and what to say of it."""
    everything = list(_nested(values, (), set()))
    networks = [one for one in everything if is_network(one.tensors)]
    if not networks:  # another network: its keys are named by whoever compares them
        networks = sorted(everything, key=lambda one: -len(one.tensors))[:1]
    if not networks:
        kind = f"the keys {_listed(values)}" if isinstance(values, Mapping) else f"a {type(values).__name__}"
        raise CheckpointError(
            f"{path} must be a mapping of names to tensors, or hold one: it holds {kind}",
            remedy="give a file of weights only: torch.save(model.state_dict(), FILE)",
        )
    plain = [one for one in networks if not one.is_averaged]
    averaged = [one for one in networks if one.is_averaged]
    has_both = bool(plain and averaged)
    if is_raw and plain:
        networks, averaged = plain, []
    for several in (plain, averaged):
        if len(several) > 1:
            raise CheckpointError(
                f"a file must hold one network: {path} has {' and '.join(one.text for one in several)}",
                remedy="save the one that is meant by itself",
            )
    found = networks[0].tensors
    if len(networks) > 1:  # an average may be of the trained weights only, without the buffers
        found = with_average(unwrapped(plain[0].tensors).tensors, unwrapped(averaged[0].tensors).tensors)
    notes = [f"takes {' and, averaged, '.join(one.text for one in (*plain, *averaged))}"] if networks[0].place or averaged else []
    used = {key for one in networks for key in (*one.place[:1], *(one.tensors if not one.place else ()))}
    if isinstance(values, Mapping) and (rest := [key for key in values if key not in used]):
        notes.append(f"passes over {_listed(rest)}")
    return Unwrapped(found, tuple(notes), has_both)


def _nested(values: Any, place: tuple[str, ...], seen: set[int]) -> Iterator[_Nested]:
    """Every mapping with tensors in it, the outermost first."""
    if not isinstance(values, Mapping) or id(values) in seen or len(place) > DEPTH:
        return
    seen.add(id(values))
    tensors = {key: value for key, value in values.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if tensors:
        yield _Nested(place, tensors)
    for key, value in values.items():
        if isinstance(key, str):
            yield from _nested(value, (*place, key), seen)


def _require_plain(tensors: Mapping[str, Tensor], path: Path) -> None:
    """CheckpointError for a tensor that is more than the values which the file holds of it."""
    for name, value in tensors.items():
        is_plain = value.layout == torch.strided and not value.is_quantized and value.device.type == "cpu"
        if not is_plain or value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise CheckpointError(
                f"weights must be stored value by value: {name} of {path} is {tuple(value.shape)}, {value.dtype}, and is not",
                remedy="save them as plain dense tensors: {name: value.dense().contiguous()}",
            )


def _in_full(tensors: Mapping[str, Tensor], path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors in float32, or float64 where they are; and what was converted."""
    found: dict[str, Tensor] = {}
    converted: dict[torch.dtype, list[str]] = {}
    for name, value in tensors.items():
        if not value.is_floating_point():
            raise CheckpointError(
                f"weights must be floating-point numbers: {name} of {path} is {value.dtype}", remedy="give a file of weights"
            )
        found[name] = value.detach() if value.dtype in NATIVE else value.detach().float()
        is_buffer = INITIAL.fullmatch(name)  # kept in the type of activations by the published code
        if value.dtype != torch.float32 and not is_buffer:
            converted.setdefault(value.dtype, []).append(name)
    return found, [
        f"{_listed(names)}: {str(dtype).removeprefix('torch.')}, and computed with as model.forward_dtype says"
        for dtype, names in converted.items()
    ]


def _listed(keys: Any) -> str:
    names = [str(key)[:60] for key in keys]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
