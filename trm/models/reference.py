"""Weights by the published implementation's key names, both ways."""

import re
from collections.abc import Mapping

from torch import Tensor

from trm.config import DataShape, ModelConfig
from trm.errors import CheckpointError
from trm.models.sizes import buffer_sizes, weight_sizes

PREFIXES = ("_orig_mod.", "model.", "inner.")
"""What compiling and wrapping put before a key, in this order; each may be missing."""
PUZZLE_KEY = "puzzle_emb.weights"
_KEYS = {
    "H_init": "H_init",
    "L_init": "L_init",
    "token_embedding": "embed_tokens.embedding_weight",
    "position_embedding": "embed_pos.embedding_weight",
    "answer_head": "lm_head.weight",
    "halting_head": "q_head.weight",
    "halting_bias": "q_head.bias",
}
_BLOCK_KEYS = {"gate_up": "mlp.gate_up_proj.weight", "down": "mlp.down_proj.weight"}
_MIX_KEYS = {
    True: {"mix_in": "mlp_t.gate_up_proj.weight", "mix_out": "mlp_t.down_proj.weight"},
    False: {"mix_in": "self_attn.qkv_proj.weight", "mix_out": "self_attn.o_proj.weight"},
}


def reference_key(name: str, config: ModelConfig) -> str:
    """The published key (from below `inner.`) of our parameter or buffer `name`."""
    if match := re.fullmatch(r"blocks\.(\d+)\.(\w+)", name):
        keys = _BLOCK_KEYS | _MIX_KEYS[config.mlp_t]
        return f"L_level.layers.{match[1]}.{keys[match[2]]}"
    return _KEYS[name]


def from_reference(state: Mapping[str, Tensor], config: ModelConfig, shape: DataShape) -> tuple[dict[str, Tensor], Tensor | None]:
    """Our network's state and the puzzle table (None without one) from a published checkpoint's `state`.

    Raises CheckpointError when a key is missing, unknown, or of another shape.
    """
    given = {_bare(key): value for key, value in state.items()}
    ours = weight_sizes(config, shape) | buffer_sizes(config)
    wanted = {reference_key(name, config): (name, size) for name, size in ours.items()}
    sizes = {key: size for key, (_, size) in wanted.items()}
    if config.puzzle_ndim:
        sizes[PUZZLE_KEY] = (shape.num_puzzle_identifiers, config.puzzle_ndim)
    _check(given, sizes)
    return {name: given[key] for key, (name, _) in wanted.items()}, given.get(PUZZLE_KEY)


def to_reference(
    state: Mapping[str, Tensor], puzzle_table: Tensor | None, config: ModelConfig, *, prefix: str = "_orig_mod.model.inner."
) -> dict[str, Tensor]:
    """A state by the published key names, each after `prefix`."""
    named = {reference_key(name, config): value for name, value in state.items()}
    if puzzle_table is not None:
        named[PUZZLE_KEY] = puzzle_table
    return {prefix + key: value for key, value in named.items()}


def _bare(key: str) -> str:
    for prefix in PREFIXES:
        key = key.removeprefix(prefix)
    return key


def _check(given: Mapping[str, Tensor], sizes: Mapping[str, tuple[int, ...]]) -> None:
    remedy = "give the configuration that the checkpoint was trained with"
    if missing := sorted(sizes.keys() - given.keys()):
        raise CheckpointError(f"a checkpoint must hold every weight: {', '.join(missing)} missing", remedy=remedy)
    if unknown := sorted(given.keys() - sizes.keys()):
        raise CheckpointError(f"a checkpoint holds only this network's weights: {', '.join(unknown)} unknown", remedy=remedy)
    for key, size in sizes.items():
        if tuple(given[key].shape) != size:
            raise CheckpointError(f"{key} must be {size}, the checkpoint has {tuple(given[key].shape)}", remedy=remedy)
