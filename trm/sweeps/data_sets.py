"""The data sets of a sweep: that of its space, or each that its knobs can choose."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from trm.config.data import DataConfig, Difficulty
from trm.config.networks import DataShape
from trm.data.batches.row_storage import check_order
from trm.data.format.manifest import Manifest, read_manifest
from trm.search.space.candidates import SetFacts
from trm.search.space.space import SearchSpace
from trm.tasks.ensure import ensure_dataset


@dataclass(frozen=True)
class DataSet:
    """One of them."""

    data: DataConfig
    """As a trial's configuration names it before it is built."""
    manifest: Manifest
    folder: str = ""
    """Where it lies; empty: nobody needs to know."""


@dataclass(frozen=True)
class DataSets:
    """All of them, at least one, in the order of the space."""

    sets: tuple[DataSet, ...]

    @classmethod
    def one(cls, manifest: Manifest, data: DataConfig) -> "DataSets":
        """Those of a space with one."""
        return cls((DataSet(data, manifest, data.folder or ""),))

    @property
    def first(self) -> DataSet:
        """The only one, or the one that stands for all where they do not differ."""
        return self.sets[0]

    def of(self, data: DataConfig) -> DataSet:
        """The one that a configuration names."""
        if len(self.sets) == 1:
            return self.first
        return next(one for one in self.sets if one.data.source == data.source)

    @property
    def manifests(self) -> list[Manifest]:
        """Of each its manifest."""
        return [one.manifest for one in self.sets]

    @property
    def largest_shape(self) -> DataShape:
        """Cells and tokens of all, identifiers of the one that has most."""
        return max((one.manifest.shape for one in self.sets), key=lambda shape: shape.num_puzzle_identifiers)

    def epoch_rows(self, *, is_streamed: bool) -> float:
        """Rows that an epoch on the first visits."""
        return self.first.manifest.splits["train"].epoch_rows(is_streamed=is_streamed)

    def facts(self, *, is_streamed: bool) -> dict[str, SetFacts]:
        """What the search must know of several; empty of one."""
        if len(self.sets) == 1:
            return {}
        return {
            one.data.source: SetFacts(
                one.manifest.splits["train"].epoch_rows(is_streamed=is_streamed), one.manifest.content_hash, one.folder or None
            )
            for one in self.sets
        }

    def described(self, mode: str) -> dict[str, Any]:
        """What a sweep's file says of them."""
        first = self.first
        told: dict[str, Any] = {
            "folder": first.folder,
            "mode": mode,
            "content_hash": first.manifest.content_hash,
            "recipe": first.manifest.recipe,
        }
        if len(self.sets) > 1:
            told["sets"] = [
                {"data": one.data.words, "folder": one.folder, "content_hash": one.manifest.content_hash} for one in self.sets
            ]
        return told


def ensured_sets(space: SearchSpace, data: DataConfig, root: str, say: Callable[[str], None]) -> DataSets:
    """The data sets of the space, each built below `root` when it is missing, and verified; DatasetError.

    `data`: the space's, or where that lies now.
    """
    choices: Sequence[DataConfig] = (data,) if len(space.data_choices) == 1 and not _is_chosen(space) else space.data_choices
    sets = []
    for number, choice in enumerate(choices, start=1):
        if len(choices) > 1:
            say(f"data set {number} of {len(choices)}: {choice.words}")
        folder = ensure_dataset(choice, root, say)
        manifest = read_manifest(folder)
        check_order(choice.model_copy(update={"difficulty": Difficulty(strength=1)}) if space.weighs_puzzles else choice, manifest)
        sets.append(DataSet(choice, manifest, folder))
    return DataSets(tuple(sets))


def _is_chosen(space: SearchSpace) -> bool:
    return space.data_choices != (space.data,)
