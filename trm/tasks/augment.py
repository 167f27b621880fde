"""Which augmentation the manifest asks for."""

import numpy as np
from jaxtyping import Int32, Int64

from trm.data.batches.augmenter import Augmenter, RowDraw
from trm.data.batches.split import Split
from trm.data.format.manifest import Manifest
from trm.tasks.choice import task_named


def augmenter_for(split: Split, manifest: Manifest) -> Augmenter:
    """The augmentation of the data set, over the rows of one split; the rows of a mixture have that of their part."""
    kinds = list(dict.fromkeys(part.augmentation for part in manifest.parts)) or [manifest.augmentation]
    augmenters = [task_named(manifest.task).augmenter(kind, split, manifest) for kind in kinds]
    if len(augmenters) == 1:
        return augmenters[0]
    of_part = np.array([kinds.index(part.augmentation) for part in manifest.parts])
    return PartRows(augmenters, of_part, np.array([part.groups[1] for part in manifest.parts]), split)


class PartRows:
    """The rows of a mixture, each under the augmentation of its part."""

    def __init__(
        self,
        augmenters: list[Augmenter],
        of_part: Int64[np.ndarray, "parts"],
        ends: Int64[np.ndarray, "parts"],
        split: Split,
    ) -> None:
        self._augmenters, self._of_part, self._ends = augmenters, of_part, ends
        self._groups, self._cells = split.groups, split.inputs.shape[1]

    def _rows(self, draw: RowDraw, is_trained: bool) -> tuple[np.ndarray, np.ndarray]:
        kinds = self._of_part[np.searchsorted(self._ends, self._groups[draw.rows], side="right")]
        shape = (len(draw.rows), self._cells)
        inputs, labels = np.empty(shape, dtype=np.int32), np.empty(shape, dtype=np.int32)
        for number, augmenter in enumerate(self._augmenters):
            here = np.flatnonzero(kinds == number)
            if len(here):
                part = RowDraw(draw.rows[here], draw.puzzle_identifiers[here], draw.keys[here])
                inputs[here], labels[here] = augmenter.train(part) if is_trained else augmenter.evaluate(part)
        return inputs, labels

    def train(self, draw: RowDraw) -> tuple[Int32[np.ndarray, "batch cells"], Int32[np.ndarray, "batch cells"]]:
        """Each row as its part varies it."""
        return self._rows(draw, True)

    def evaluate(self, draw: RowDraw) -> tuple[Int32[np.ndarray, "batch cells"], Int32[np.ndarray, "batch cells"]]:
        """Each row as its part scores it."""
        return self._rows(draw, False)
