"""Which augmentation the manifest asks for."""

from trm.data.augmentation.arc import ArcRows
from trm.data.augmentation.dihedral import MazeRows
from trm.data.augmentation.rows import Augmenter, PlainRows
from trm.data.augmentation.sudoku import SudokuRows
from trm.data.manifest import ArcAugmentation, DihedralAugmentation, Manifest, SudokuAugmentation
from trm.data.split import Split


def augmenter_for(split: Split, manifest: Manifest) -> Augmenter:
    """The augmentation of the data set, over the rows of one split."""
    plain = PlainRows(split.inputs, split.labels)
    match manifest.augmentation:
        case SudokuAugmentation(num_aug=num_aug):
            return SudokuRows(plain, split.groups, size=manifest.grid[0], num_aug=num_aug, seed=manifest.seed)
        case DihedralAugmentation():
            return MazeRows(plain)
        case ArcAugmentation(translate=translate):
            return ArcRows(split, translate=translate, seed=manifest.seed)
    return plain
