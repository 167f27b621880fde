"""A checkpoint's weights and their data, opened in a worker that scores them."""

from typing import TYPE_CHECKING

from trm.cluster.shared_data import DataFeed, SweepFeed
from trm.training.leg_files import brought

if TYPE_CHECKING:
    from trm.training.weights import TrainedModel


def opened(checkpoint: str, feeds: SweepFeed, threads: int, objects: str | None) -> "tuple[TrainedModel, DataFeed, str]":
    """The evaluated weights on this process's device, and the data that they were trained on; `threads` for all that follows.

    `checkpoint`: its folder, or its name among the sweep's `objects`.
    """
    import torch

    from trm.training.process import training_device
    from trm.training.weights import load_for_evaluation

    torch.set_num_threads(threads)
    device = training_device()
    trained = load_for_evaluation(checkpoint if objects is None else str(brought(objects, checkpoint)), device)
    return trained, feeds.of_content(trained.data_hash), device
