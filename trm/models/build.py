"""Architectures: how each is built, counted and named. The one place that knows all of them, held by `assert_never`.

Torch is imported where a network is built, so that the search can ask for sizes and costs without it.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, assert_never

from trm.config.architectures import AnyNetwork, DataShape, LatentsConfig, SingleZConfig, TrmConfig
from trm.models.arithmetic import TABLE_KEY, RowCost, TensorSizes
from trm.models.recursive import cost, sizes

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from trm.models.network import Network


def build_network(
    config: AnyNetwork,
    shape: DataShape,
    *,
    dtype: "torch.dtype",
    generator: "torch.Generator | None" = None,
    is_fused: bool = False,
) -> "Network":
    """A network whose activations are of `dtype`, its weights drawn from `generator` (without one: those of seed 0).

    `is_fused` has `trm.kernels` do what they can of it.
    """
    match config:
        case TrmConfig() | SingleZConfig() | LatentsConfig():
            from trm.models.recursive.network import TinyRecursiveModel

            return TinyRecursiveModel(config, shape, dtype=dtype, generator=generator, is_fused=is_fused)
        case _:
            assert_never(config)


def tensor_sizes(config: AnyNetwork, shape: DataShape) -> TensorSizes:
    """Shape of every trained parameter and saved buffer of the network by name."""
    match config:
        case TrmConfig() | SingleZConfig() | LatentsConfig():
            return TensorSizes(sizes.weight_sizes(config, shape), sizes.buffer_sizes(config))
        case _:
            assert_never(config)


def network_sizes(config: AnyNetwork, shape: DataShape) -> dict[str, tuple[int, ...]]:
    """Shape of all that a trained network is made of: weights, saved buffers, and the puzzle embedding's table if it has one."""
    own = tensor_sizes(config, shape)
    table = {TABLE_KEY: (shape.num_puzzle_identifiers, config.puzzle_ndim)} if config.puzzle_ndim else {}
    return {**own.weights, **own.buffers, **table}


def row_cost(config: AnyNetwork, shape: DataShape) -> RowCost:
    """What one row costs in one supervision step."""
    match config:
        case TrmConfig() | SingleZConfig() | LatentsConfig():
            return cost.row_cost(config, shape)
        case _:
            assert_never(config)


def from_published(
    state: "Mapping[str, Tensor]", config: AnyNetwork, shape: DataShape, *, source: str = "the checkpoint"
) -> "tuple[dict[str, Tensor], Tensor | None]":
    """The network's state and the puzzle table (None without one) from a checkpoint by published key names, wrapped as it may be.

    The table has as many rows as it was trained with. Raises CheckpointError that lists what is missing, unknown, or of
    another shape, and what the configuration would have to say.
    """
    match config:
        case TrmConfig() | SingleZConfig() | LatentsConfig():
            from trm.models.recursive.reference import from_reference

            return from_reference(state, config, shape, source=source)
        case _:
            assert_never(config)


def to_published(
    state: "Mapping[str, Tensor]",
    puzzle_table: "Tensor | None",
    config: AnyNetwork,
    *,
    prefix: str = "_orig_mod.model.inner.",
) -> "dict[str, Tensor]":
    """A network's state by the published key names, each after `prefix`."""
    match config:
        case TrmConfig() | SingleZConfig() | LatentsConfig():
            from trm.models.recursive.reference import to_reference

            return to_reference(state, puzzle_table, config, prefix=prefix)
        case _:
            assert_never(config)
