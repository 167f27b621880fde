"""Sizes of every weight, from the configuration alone (no torch): what loading checks and what cost counts."""

from trm.config.blocks import RecursiveConfig, swiglu_width
from trm.config.grids import width_of_rows
from trm.config.networks import DataShape


def weight_sizes(config: RecursiveConfig, shape: DataShape) -> dict[str, tuple[int, ...]]:
    """Shape of every trained parameter of the network by name; the puzzle embedding's table is not among them."""
    width, length = config.hidden_size, config.puzzle_len + shape.seq_len
    sizes: dict[str, tuple[int, ...]] = {"token_embedding": (shape.vocab_size, width)}
    if config.pos_encodings == "rope2d":
        grid_width(config, shape)  # refused before anything is built
    if config.pos_encodings == "learned":
        sizes["position_embedding"] = (length, width)
    blocks = [f"{network}.{i}" for network in config.recursion.networks for i in range(config.layers_of(network))]
    sizes |= {f"{block}.{name}": size for block in blocks for name, size in _block_sizes(config, length).items()}
    halting = {"halting_head": (2, width), "halting_bias": (2,)} if config.halting.learns_halt else {}
    return sizes | {"answer_head": (shape.vocab_size, width)} | halting


def buffer_sizes(config: RecursiveConfig) -> dict[str, tuple[int, ...]]:
    """Shape of every saved buffer of the network by name."""
    return {latent.initial: (config.hidden_size,) for latent in config.recursion.latents}


def _block_sizes(config: RecursiveConfig, length: int) -> dict[str, tuple[int, ...]]:
    width, inner = config.hidden_size, swiglu_width(config.expansion, config.hidden_size)
    attended = config.attention_width
    mix: dict[str, tuple[int, ...]] = {"mix_in": (3 * attended, width), "mix_out": (width, attended)}
    if config.mlp_t:
        across = swiglu_width(config.expansion, length)
        mix = {"mix_in": (2 * across, length), "mix_out": (length, across)}
    sizes = mix | {"gate_up": (2 * inner, width), "down": (width, inner)}
    if config.ffn == "conv_swiglu":
        sizes |= {"conv": (inner, 1, config.conv_kernel), "conv_bias": (inner,)}
    return sizes


def grid_width(config: RecursiveConfig, shape: DataShape) -> int:
    """Cells in a row of the puzzle; ConfigError where it has no such rows."""
    return width_of_rows(config.grid_width, shape, of="pos_encodings rope2d", instead="pos_encodings: rope")
