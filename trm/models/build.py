"""How each architecture is built, and what its weights are called elsewhere; `trm.models.counting` counts them without torch."""

from collections.abc import Mapping
from typing import assert_never

import torch
from torch import Tensor

from trm.config.architectures import AnyNetwork, ImportedNetwork
from trm.config.blocks import RecursiveConfig
from trm.config.grid_networks import CellMlpConfig, CnnConfig
from trm.config.imports import require_made
from trm.config.messages import named_values
from trm.config.networks import DataShape
from trm.errors import CheckpointError
from trm.models.cell_mlp.network import CellRecursion
from trm.models.cnn.network import ConvolutionalNetwork
from trm.models.network import Network
from trm.models.recursive.network import TinyRecursiveModel
from trm.models.recursive.reference import from_reference, our_name, to_reference, unpublished


def build_network(
    config: AnyNetwork,
    shape: DataShape,
    *,
    dtype: torch.dtype,
    generator: torch.Generator | None = None,
    is_fused: bool = False,
) -> Network:
    """A network whose activations are of `dtype`, its weights drawn from `generator` (without one: those of seed 0).

    `is_fused` has `trm.kernels` do what they can of it.
    """
    match config:
        case RecursiveConfig():
            return TinyRecursiveModel(config, shape, dtype=dtype, generator=generator, is_fused=is_fused)
        case CnnConfig():
            return ConvolutionalNetwork(config, shape, dtype=dtype, generator=generator)
        case CellMlpConfig():
            return CellRecursion(config, shape, dtype=dtype, generator=generator)
        case ImportedNetwork():
            return require_made(config, "build", config.build(shape, dtype=dtype, generator=generator), Network)
        case _:
            assert_never(config)


def by_our_names(published: Mapping[str, Tensor], config: AnyNetwork) -> dict[str, Tensor]:
    """Tensors by our names from those by published keys, unwrapped; what is none of this network keeps its key."""
    match config:
        case RecursiveConfig():
            return {our_name(key, config.recursion.networks): value for key, value in published.items()}
        case CnnConfig() | CellMlpConfig() | ImportedNetwork():
            raise _unpublished(config)
        case _:
            assert_never(config)


def from_published(
    state: Mapping[str, Tensor], config: AnyNetwork, shape: DataShape, *, source: str = "the checkpoint"
) -> tuple[dict[str, Tensor], Tensor | None]:
    """The network's state and the puzzle table (None without one) from a checkpoint by published key names, wrapped as it may be.

    The table has as many rows as it was trained with. Raises CheckpointError that lists what is missing, unknown, or of
    another shape, and what the configuration would have to say.
    """
    match config:
        case RecursiveConfig():
            return from_reference(state, config, shape, source=source)
        case CnnConfig() | CellMlpConfig() | ImportedNetwork():
            raise _unpublished(config)
        case _:
            assert_never(config)


KEEP = "keep the export of this project (best/), which evaluate.py and start.from read"


def require_published(config: AnyNetwork, source: str) -> None:
    """CheckpointError unless the published implementation computes what `source` was trained as."""
    match config:
        case RecursiveConfig():
            if found := unpublished(config):
                named = named_values({f"model.{name}": value for name, value in found.items()})
                raise CheckpointError(
                    f"the published code has no place for {named}, with which {source} was trained",
                    remedy=KEEP,
                )
        case CnnConfig() | CellMlpConfig() | ImportedNetwork():
            raise _unpublished(config, remedy=KEEP)
        case _:
            assert_never(config)


def to_published(
    state: Mapping[str, Tensor],
    puzzle_table: Tensor | None,
    config: AnyNetwork,
    *,
    prefix: str = "_orig_mod.model.inner.",
) -> dict[str, Tensor]:
    """A network's state by the published key names, each after `prefix`."""
    match config:
        case RecursiveConfig():
            return to_reference(state, puzzle_table, config, prefix=prefix)
        case CnnConfig() | CellMlpConfig() | ImportedNetwork():
            raise _unpublished(config)
        case _:
            assert_never(config)


def _unpublished(
    config: CnnConfig | CellMlpConfig | ImportedNetwork, remedy: str = "give a run, a checkpoint or an export of this project"
) -> CheckpointError:
    why = "is your own" if isinstance(config, ImportedNetwork) else "has no published names"
    return CheckpointError(
        f"published checkpoints are of published networks, and {config.architecture} {why}",
        remedy=remedy,
    )
