"""The networks of a run: those of this project, and the base of those in a person's own modules."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from trm.config.grid_networks import CellMlpConfig, CnnConfig
from trm.config.networks import DataShape, MayLearnContinue, ModelConfig
from trm.config.recursive_networks import DirectConfig, HrmConfig, LatentsConfig, SingleZConfig, TransformerConfig, TrmConfig
from trm.config.unions import Imported, models_in, tags_of

if TYPE_CHECKING:
    import torch

    from trm.models.arithmetic import RowCost, TensorSizes
    from trm.models.network import Network


class ImportedNetwork(MayLearnContinue, Imported):
    """Base of networks in a person's own module: fields with bounds, `architecture` a literal, and what their contract asks."""

    TAG: ClassVar[str] = "architecture"
    METHODS: ClassVar[tuple[str, ...]] = ("build", "tensor_sizes", "row_cost")

    @classmethod
    def built_in(cls) -> tuple[Any, ...]:
        """The networks that need no import."""
        return TrmConfig, SingleZConfig, LatentsConfig, HrmConfig, TransformerConfig, DirectConfig, CnnConfig, CellMlpConfig

    def build(self, shape: DataShape, *, dtype: "torch.dtype", generator: "torch.Generator | None") -> "Network":
        """The network, its weights drawn from `generator` alone (without one: of seed 0); see `trm.models.network.Network`."""
        raise NotImplementedError

    def tensor_sizes(self, shape: DataShape) -> "TensorSizes":
        """Shape of every trained parameter and saved buffer, by arithmetic: the search asks before anything is built."""
        raise NotImplementedError

    def row_cost(self, shape: DataShape) -> "RowCost":
        """What one row costs in one supervision step, by arithmetic."""
        raise NotImplementedError


AnyNetwork = (
    TrmConfig
    | SingleZConfig
    | LatentsConfig
    | HrmConfig
    | TransformerConfig
    | DirectConfig
    | CnnConfig
    | CellMlpConfig
    | ImportedNetwork
)
"""The network of a run."""


def networks_where(holds: Callable[[ModelConfig], bool]) -> str:
    """The architectures for which something holds as they are by default, as a remedy names them: `trm, hrm or direct`."""
    kinds: Sequence[Any] = models_in(AnyNetwork)
    *most, last = [tag for kind in kinds if holds(kind()) for tag in tags_of(kind, "architecture")]
    return f"{', '.join(most)} or {last}" if most else last
