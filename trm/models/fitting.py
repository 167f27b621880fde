"""Whether weights are those of a configuration, by their shapes alone, and what it would have to say where they are not."""

import math
import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from trm.config.blocks import RecursiveConfig, swiglu_width
from trm.config.networks import DataShape, ModelConfig
from trm.config.recursion import BLOCKS, HIGH, LOW
from trm.config.recursive_networks import TinyConfig
from trm.errors import CheckpointError
from trm.models.arithmetic import TABLE_KEY, Sizes

SHOWN = 3
"""Tensors that a message names of each kind of fault."""


def require_fit(
    sizes: Sizes,
    wanted: Sizes,
    config: ModelConfig,
    shape: DataShape,
    *,
    source: str,
    shown: Mapping[str, str] | None = None,
) -> None:
    """CheckpointError unless the tensors of `sizes` are just those that are `wanted`.

    The message lists what is missing, unknown and of another shape, by the names in `shown`, and says what the weights tell of
    the configuration that they belong to. Nothing is allocated: what a file claims is compared before a network is built.
    """
    missing, unknown = sorted(wanted.keys() - sizes.keys()), sorted(sizes.keys() - wanted.keys())
    wrong = [name for name in wanted if name in sizes and sizes[name] != wanted[name]]
    if not missing and not unknown and not wrong:
        return
    names = {} if shown is None else shown
    faults = [
        _listed([names.get(name, name) for name in missing], "missing"),
        _listed([names.get(name, name) for name in unknown], "unknown"),
        _listed([f"{names.get(name, name)} is {sizes[name]}, not {wanted[name]}" for name in wrong]),
    ]
    differences = told_by(sizes, config, shape)
    remedy = "give the configuration that they were trained with"
    if differences:
        settings = " ".join(f"--set {path}={there}" for path, there, _ in differences if path.startswith("model."))
        known = ", ".join(f"{path} {there} (not {here})" for path, there, here in differences)
        remedy = f"they tell of {known}; give that{f': {settings}' if settings else ''}"
    raise CheckpointError(f"weights must fit their configuration: in {source} {'; '.join(filter(None, faults))}", remedy=remedy)


def first_not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The first tensor that holds a value which is infinite or no number; None where there is none."""
    for name, value in tensors.items():
        if value.numel() and not all(math.isfinite(float(end)) for end in torch.aminmax(value.detach())):
            return name
    return None


Difference = tuple[str, int | float | str, int | float | str]
"""Path, value there, value here."""


def told_by(sizes: Sizes, config: ModelConfig, shape: DataShape) -> list[Difference]:
    """What the shapes of a network's tensors say of configuration and data: path, value there, value here, where they differ."""
    width, vocabulary = _size(sizes, "token_embedding", 1), _size(sizes, "token_embedding", 0)
    low, high = _layers(sizes, BLOCKS) or _layers(sizes, LOW), _layers(sizes, HIGH)
    if not width or not (low or high) or not isinstance(config, RecursiveConfig):
        return []
    first = next(f"{stack}.0" for stack in (BLOCKS, LOW, HIGH) if _layers(sizes, stack))
    attended = _size(sizes, f"{first}.mix_out", 1)
    mixes = bool(attended) and sizes.get(f"{first}.mix_in") != (3 * (attended or 0), width)
    length = _size(sizes, f"{first}.mix_out", 0) if mixes else _size(sizes, "position_embedding", 0)
    found: list[Difference] = [
        *_architecture(sizes, config, low=low, high=high),
        ("model.hidden_size", width, config.hidden_size),
        ("model.mlp_t", str(mixes).lower(), str(config.mlp_t).lower()),
        ("model.pos_encodings", _positions(sizes, config, mixes=mixes), config.pos_encodings),
        ("the data's vocabulary", vocabulary or 0, shape.vocab_size),
    ]
    if attended and not mixes and width == config.hidden_size and not config.mlp_t:
        found.append(("the width of attention, num_heads * (hidden_size // num_heads),", attended, config.attention_width))
    ndim = _size(sizes, TABLE_KEY, 1) or (config.puzzle_ndim if TABLE_KEY in sizes else 0)
    if ndim != (width if config.puzzle_emb_ndim is None else config.puzzle_emb_ndim):
        found.append(("model.puzzle_emb_ndim", ndim, config.puzzle_ndim))
    if not ndim and config.puzzle_emb_len:
        found.append(("model.puzzle_emb_len", 0, config.puzzle_emb_len))
    inner = _size(sizes, f"{first}.down", 1)
    if inner and inner != swiglu_width(config.expansion, width):
        found.append(("model.expansion", round(1.5 * inner / width, 6), config.expansion))
    if length and ndim and length != config.puzzle_len + shape.seq_len:
        if length > shape.seq_len and vocabulary == shape.vocab_size:
            found.append(("model.puzzle_emb_len", length - shape.seq_len, config.puzzle_len))
        else:
            found.append(("the data's cells and puzzle tokens", length, config.puzzle_len + shape.seq_len))
    return [one for one in found if one[1] != one[2]]


def _layers(sizes: Sizes, stack: str) -> int:
    """Blocks of a network of the recursion."""
    return 1 + max((int(match[1]) for name in sizes if (match := re.match(rf"{stack}\.(\d{{1,6}})\.", name))), default=-1)


def _architecture(sizes: Sizes, config: RecursiveConfig, *, low: int, high: int) -> list[Difference]:
    """What the networks, and the vectors that latents start from, say of the architecture and its layers."""
    several = sum(re.fullmatch(r"L\d{1,6}_init", name) is not None for name in sizes)
    is_separate = isinstance(config, TinyConfig) and config.networks == "separate" and low == high
    there = "latents" if several else "trm" if "H_init" in sizes else "single_z"
    if high and not several:
        there = "transformer" if not low else there if is_separate else "hrm"
    told: dict[str, int | str] = {"architecture": there}
    if several:
        told["num_latents"] = several
    if there in ("trm", "single_z", "latents"):
        told["networks"] = "separate" if high else "shared"
    told |= {
        name: count for name, count in (("H_layers", high if there in ("hrm", "transformer") else 0), ("L_layers", low)) if count
    }
    is_other = bool(high) and there != config.architecture  # its own defaults will be other ones: all is said
    own = {} if is_other else config.model_dump()
    here = {"networks": "shared"} | own | {"architecture": config.architecture}
    return [(f"model.{name}", value, here.get(name, "none")) for name, value in told.items()]


def _positions(sizes: Sizes, config: RecursiveConfig, *, mixes: bool) -> str:
    """What encodes positions; of a network without a table of them what the configuration says, where it can be."""
    if "position_embedding" in sizes:
        return "learned"
    if mixes:
        return "none"
    return "rope" if config.pos_encodings == "learned" or config.mlp_t else config.pos_encodings


def _size(sizes: Sizes, name: str, axis: int) -> int | None:
    size = sizes.get(name, ())
    return size[axis] if len(size) == 2 else None


def _listed(texts: Sequence[str], what: str = "") -> str:
    if not texts:
        return ""
    more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return f"{', '.join(texts[:SHOWN])}{more}{f' {what}' if what else ''}"
