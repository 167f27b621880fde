"""What arithmetic says of each architecture: sizes, FLOPs, bytes. Imports no torch, so the search can ask."""

from typing import assert_never

from trm.config.architectures import AnyNetwork, ImportedNetwork
from trm.config.blocks import RecursiveConfig
from trm.config.grid_networks import CellMlpConfig, CnnConfig
from trm.config.imports import require_made
from trm.config.networks import DataShape
from trm.models.arithmetic import TABLE_KEY, RowCost, TensorSizes
from trm.models.cell_mlp import arithmetic as cell_mlp
from trm.models.cnn import arithmetic as cnn
from trm.models.recursive import cost, sizes


def tensor_sizes(config: AnyNetwork, shape: DataShape) -> TensorSizes:
    """Shape of every trained parameter and saved buffer of the network by name."""
    match config:
        case RecursiveConfig():
            return TensorSizes(sizes.weight_sizes(config, shape), sizes.buffer_sizes(config))
        case CnnConfig():
            return cnn.tensor_sizes(config, shape)
        case CellMlpConfig():
            return cell_mlp.tensor_sizes(config, shape)
        case ImportedNetwork():
            return require_made(config, "tensor_sizes", config.tensor_sizes(shape), TensorSizes)
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
        case RecursiveConfig():
            return cost.row_cost(config, shape)
        case CnnConfig():
            return cnn.row_cost(config, shape)
        case CellMlpConfig():
            return cell_mlp.row_cost(config, shape)
        case ImportedNetwork():
            return require_made(config, "row_cost", config.row_cost(shape), RowCost)
        case _:
            assert_never(config)
