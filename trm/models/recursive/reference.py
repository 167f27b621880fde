"""Weights by the published implementation's key names, both ways."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from trm.config.base import Later
from trm.config.blocks import RecursiveConfig
from trm.config.networks import DataShape
from trm.config.recursion import BLOCKS, HIGH, LOW
from trm.config.recursive_networks import HrmConfig, LatentsConfig, TransformerConfig
from trm.errors import CheckpointError
from trm.models.arithmetic import TABLE_KEY
from trm.models.fitting import require_fit
from trm.models.recursive.sizes import buffer_sizes, weight_sizes

PUZZLE_KEY = "puzzle_emb.weights"
_KEYS = {
    "token_embedding": "embed_tokens.embedding_weight",
    "position_embedding": "embed_pos.embedding_weight",
    "answer_head": "lm_head.weight",
    "halting_head": "q_head.weight",
    "halting_bias": "q_head.bias",
    TABLE_KEY: PUZZLE_KEY,
}
_BLOCK_KEYS = {
    "gate_up": "mlp.gate_up_proj.weight",
    "down": "mlp.down_proj.weight",
    "conv": "mlp.dwconv.weight",
    "conv_bias": "mlp.dwconv.bias",
}
_MIX_KEYS = {
    True: {"mix_in": "mlp_t.gate_up_proj.weight", "mix_out": "mlp_t.down_proj.weight"},
    False: {"mix_in": "self_attn.qkv_proj.weight", "mix_out": "self_attn.o_proj.weight"},
}
_STACKS = {BLOCKS: "L_level", LOW: "L_level", HIGH: "H_level"}
"""Networks of a recursion, and what the published code calls them."""
INITIAL = re.compile(r"[HL]\d*_init")
"""Vectors that latents start from: `H_init`, `L_init`, `L1_init`, ...; buffers in the published code, named as ours."""
_OURS = {key: name for name, key in _KEYS.items()}
_OURS_OF_BLOCK = {key: name for names in (_BLOCK_KEYS, *_MIX_KEYS.values()) for name, key in names.items()}
_BLOCK = rf"(?:{'|'.join(dict.fromkeys(_STACKS.values()))})\.layers\.\d+\."
_NETWORK = "|".join([*map(re.escape, _OURS), INITIAL.pattern, *(_BLOCK + re.escape(key) for key in _OURS_OF_BLOCK)])
_SCRATCH = r"rotary_emb\.\w+|puzzle_emb\.local_\w+"
"""Buffers that follow from the configuration or from the last batch; some files hold them."""
_WRAPPED = re.compile(rf"(?P<prefix>(?:.*\.)?)(?P<key>{_NETWORK}|{_SCRATCH})", re.DOTALL)
AVERAGED = re.compile(r"(^|[._])(ema|averaged?|shadow)([._]|$)", re.IGNORECASE)
SHOWN_KEYS = 4


@dataclass(frozen=True)
class Unwrapped:
    """A published network's tensors without what wrapping put before their keys."""

    tensors: dict[str, Tensor]
    """By published key, from below `inner.`; those of no known key by the key they have."""
    notes: tuple[str, ...] = ()
    """What was passed over, for the person who asked."""
    has_both: bool = False
    """Whether the network lay there twice, plain and averaged."""


def reference_key(name: str, config: RecursiveConfig) -> str:
    """The published key (from below `inner.`) of our parameter or buffer `name`."""
    if match := re.fullmatch(r"(\w+)\.(\d+)\.(\w+)", name):
        keys = _BLOCK_KEYS | _MIX_KEYS[config.mlp_t]
        return f"{_STACKS[match[1]]}.layers.{match[2]}.{keys[match[3]]}"
    return name if INITIAL.fullmatch(name) else _KEYS[name]


def our_name(key: str, networks: Collection[str]) -> str:
    """Our name of a published key, `networks` being those of the recursion that is wanted; the key itself of an unknown one."""
    if match := re.fullmatch(r"(\w+)\.layers\.(\d+)\.(.+)", key, re.DOTALL):
        known = (*networks, *_STACKS)  # of another network than is wanted too: whoever compares says which it is
        stack = next((name for name in known if _STACKS[name] == match[1]), None)
        name = _OURS_OF_BLOCK.get(match[3])
        return key if name is None or stack is None else f"{stack}.{match[2]}.{name}"
    return _OURS.get(key, key)


def is_network(keys: Iterable[str]) -> bool:
    """Whether some of the keys are those of a published network, whatever wrapping put before them."""
    return any(_WRAPPED.fullmatch(key) for key in keys)


def unwrapped(state: Mapping[str, Tensor], *, is_raw: bool = False) -> Unwrapped:
    """A state's tensors whatever its wrappings (`module.`, `_orig_mod.`, `model.inner.`, in any order) put before their keys.

    Where one network lies there twice, plain and averaged, the averaged one is taken: it is what is evaluated (`is_raw`: the plain
    one). Raises CheckpointError where it cannot be told which of several is meant.
    """
    networks: dict[str, dict[str, Tensor]] = {}
    scratch, others = [], {}
    for key, value in state.items():
        match = _WRAPPED.fullmatch(key)
        if match is None:
            others[key] = value
        elif re.fullmatch(_SCRATCH, match["key"]):
            scratch.append(match["key"])
        else:
            networks.setdefault(match["prefix"], {})[match["key"]] = value
    notes = [f"passes over {_listed(scratch)}, which a network makes itself"] if scratch else []
    counters = [key for key, value in others.items() if not value.dim()]  # steps, numbers of averaged models
    if counters and networks:
        notes.append(f"passes over {_listed(counters)}, which is no weight")
        others = {key: value for key, value in others.items() if key not in counters}
    plain = {prefix: tensors for prefix, tensors in networks.items() if not AVERAGED.search(prefix)}
    averaged = {prefix: tensors for prefix, tensors in networks.items() if prefix not in plain}
    tensors = _joined(plain)
    if averaged and not (is_raw and plain):
        if plain:
            notes.append(f"takes the averaged weights, {' and '.join(averaged)}*, before the plain ones")
        tensors = with_average(tensors, _joined(averaged))
    return Unwrapped({**tensors, **others}, tuple(notes), has_both=bool(plain and averaged))


def with_average(plain: Mapping[str, Tensor], averaged: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A network's averaged tensors, and the plain ones of what is not trained by gradient: buffers and the puzzle table.

    Both by published key. Raises CheckpointError where the average lacks a weight: a network of both was never anywhere.
    """
    unaveraged = {key for key in plain if key == PUZZLE_KEY or INITIAL.fullmatch(key)}  # buffers in the published code
    lacking = [key for key in plain if key not in unaveraged and key not in averaged]
    if lacking:
        raise CheckpointError(
            f"an average must be of the whole network: beside the plain weights there is one without {_listed(lacking)}",
            remedy="save the one that is meant by itself",
        )
    return {**plain, **averaged}


def _joined(networks: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors of all prefixes; CheckpointError when two prefixes have the same key."""
    tensors: dict[str, Tensor] = {}
    origin: dict[str, str] = {}
    for prefix, found in networks.items():
        for key in found:
            if key in tensors:
                raise CheckpointError(
                    f"a file must hold one network: {origin[key] + key!r} and {prefix + key!r} are the same weight of two",
                    remedy="save the one that is meant by itself",
                )
            origin[key] = prefix
        tensors |= found
    return tensors


TRAINED_WITH = frozenset({"gradient", "halt_bias", "dropout", "path_noise", "path_noise_in", "conv_kernel", "grid_width"})
"""Options that leave no trace in what a trained network computes, by themselves."""
PUBLISHED = ("trm", "single_z", "latents", "hrm", "transformer")
"""Architectures that the published implementation has."""
PUBLISHED_LATENTS = 6
"""Of the published `hier6`, which has no call for more of them."""


def unpublished(config: RecursiveConfig) -> dict[str, Any]:
    """What of a network the published implementation does not compute, by the names of its options; empty where it computes all."""
    values = {name: getattr(config, name) for name in type(config).model_fields}
    fields = type(config).model_fields.items()
    later = {name for name, field in fields if Later in field.metadata and values[name] != field.default}
    found = {name: values[name] for name in sorted(later - TRAINED_WITH)}
    if config.architecture not in PUBLISHED:
        found["architecture"] = config.architecture
    if config.path_noise and config.path_noise_in == "always":
        found["path_noise_in"] = "always"
    if config.pos_encodings not in ("rope", "learned", "none"):
        found["pos_encodings"] = config.pos_encodings
    if isinstance(config, LatentsConfig):
        found |= {"num_latents": config.num_latents} if config.num_latents != PUBLISHED_LATENTS else {}
        found |= {"L_cycles": config.L_cycles} if config.L_cycles > PUBLISHED_LATENTS else {}
    if isinstance(config, HrmConfig | TransformerConfig) and config.puzzle_len != -(-config.puzzle_ndim // config.hidden_size):
        found["puzzle_emb_len"] = config.puzzle_emb_len
    return found


def from_reference(
    state: Mapping[str, Tensor], config: RecursiveConfig, shape: DataShape, *, source: str = "the checkpoint"
) -> tuple[dict[str, Tensor], Tensor | None]:
    """Our network's state and the puzzle table (None without one) from a published checkpoint's `state`, wrapped as it may be.

    The table has as many rows as it was trained with. Raises CheckpointError that lists what is missing, unknown, or of
    another shape, and what the configuration would have to say.
    """
    given = unwrapped(state).tensors
    ours = weight_sizes(config, shape) | buffer_sizes(config)
    if config.puzzle_ndim:
        rows = given[PUZZLE_KEY].shape[0] if PUZZLE_KEY in given and given[PUZZLE_KEY].dim() == 2 else 0
        ours[TABLE_KEY] = (rows or shape.num_puzzle_identifiers, config.puzzle_ndim)
    ours_of = {key: our_name(key, config.recursion.networks) for key in given}
    named = {ours_of[key]: value for key, value in given.items()}
    require_fit(
        {name: tuple(value.shape) for name, value in named.items()},
        ours,
        config,
        shape,
        source=source,
        shown={name: key for key, name in ours_of.items()} | {name: reference_key(name, config) for name in ours},
    )
    return {name: named[name] for name in ours if name != TABLE_KEY}, named.get(TABLE_KEY)


def to_reference(
    state: Mapping[str, Tensor], puzzle_table: Tensor | None, config: RecursiveConfig, *, prefix: str = "_orig_mod.model.inner."
) -> dict[str, Tensor]:
    """A state by the published key names, each after `prefix`."""
    named = {reference_key(name, config): value for name, value in state.items()}
    if puzzle_table is not None:
        named[PUZZLE_KEY] = puzzle_table
    return {prefix + key: value for key, value in named.items()}


def _listed(keys: list[str]) -> str:
    more = f" and {len(keys) - SHOWN_KEYS} more" if len(keys) > SHOWN_KEYS else ""
    return ", ".join(keys[:SHOWN_KEYS]) + more
