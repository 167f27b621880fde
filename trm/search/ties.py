"""What breaks ties between trials: their validation loss, or where two kinds of loss compete, what the two share."""

from trm.config.training import TrainingConfig
from trm.search.journal.events import LegEnded
from trm.search.knobs.knobs import Scalar
from trm.search.space.space import SearchSpace


def loss_kinds(space: SearchSpace) -> list[Scalar]:
    """The kinds of loss that trials of a space have: losses of two kinds are two scales."""
    knob = space.search.get("training.loss")
    if knob is not None:
        return knob.values_in_order
    return [space.base.get("training", {}).get("loss", TrainingConfig.model_fields["loss"].default)]


def breaks_by_cells(space: SearchSpace, rules: int) -> bool:
    """Whether ties are broken by the share of cells that are wrong: sweeps of the first rules always took the loss."""
    return rules >= 2 and len(loss_kinds(space)) > 1


def wrong_cells(result: LegEnded) -> float | None:
    """Share of the cells that a trial got wrong; None: it does not say."""
    right = result.metrics.get("cell_accuracy")
    return None if right is None else 1.0 - right
