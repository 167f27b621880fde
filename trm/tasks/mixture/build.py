"""Several data sets as one: their groups and identifiers kept apart, each with its own augmentation and weight."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from trm.console.long_work import Report, silent
from trm.data.batches.split import PAIR_ROW, SAME_AS, load_split
from trm.data.format import shards
from trm.data.format.built import BuiltDataset, BuiltSplit, IdentifierTable
from trm.data.format.manifest import Manifest, PartInfo, SplitName
from trm.errors import DatasetError
from trm.tasks.arc.subsets import shared_with_a_test_set
from trm.tasks.making.large_arrays import joined, room
from trm.tasks.making.recipe import RecipeBase
from trm.tasks.mixture.contamination import without_contamination
from trm.tasks.mixture.recipe import MixtureRecipe
from trm.tasks.published.arrays import IDENTIFIERS_FILE
from trm.tasks.repeated import with_doubles

SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
FILLS = {"pair": 0, "pairs": 1, "down": 0, "right": 0}
"""What a column says of the rows of a part that lacks it; other columns are kept when all parts have them."""
Build = Callable[[RecipeBase, Report], BuiltDataset]


@dataclass(frozen=True, eq=False)
class Part:
    """One data set and its place in the mixture."""

    name: str
    weight: float | None
    built: BuiltDataset
    first_group: int = 0
    first_puzzle: int = 0
    first_identifier: int = 1

    @property
    def num_groups(self) -> int:
        """Group numbers that the part takes."""
        table = self.built.identifiers
        return len(table.names) if table is not None else _count(split.groups for split in self.built.splits.values())

    @property
    def num_puzzles(self) -> int:
        """Puzzle numbers that the part takes."""
        return _count(_puzzles(split) for split in self.built.splits.values())

    @property
    def num_identifiers(self) -> int:
        """Identifiers besides the blank one; a part without any gets one."""
        return max(self.built.identifier_count - 1, 1)


def build_mixture(recipe: MixtureRecipe, build: Build, report: Report = silent) -> BuiltDataset:
    """The mixture of `recipe`; `build` makes a part. Raises DatasetError when parts do not fit together or share puzzles."""
    sources = [part.source() for part in recipe.parts]
    _refuse_overlap(recipe, sources)
    parts = []
    for part, source in zip(recipe.parts, sources, strict=True):
        if isinstance(source, RecipeBase):
            skips = {"skip_bad": True} if recipe.skip_bad else {}
            built = build(source.model_copy(update=skips), report)
        else:
            built = read_built(str(part.folder), source)
        parts.append(Part(source.name, part.weight, built))
    _require_alike(parts)
    skipped = {f"{part.name}: {rule}": count for part in parts for rule, count in part.built.skipped.items()}
    kept, leaks = without_contamination({part.name: part.built for part in parts}, drops=recipe.skip_bad or recipe.allow_overlap)
    parts = _placed([replace(part, built=kept[part.name]) for part in parts])
    last = parts[-1]
    mixed = BuiltDataset(
        task=last.built.task,
        grid=last.built.grid,
        vocabulary=last.built.vocabulary,
        splits={name: _split(parts, name) for name in SPLITS if any(name in part.built.splits for part in parts)},
        identifiers=_table(parts),
        num_puzzle_identifiers=last.first_identifier + last.num_identifiers,
        skipped=skipped | leaks,
        attachments={} if last.built.identifiers is not None else {IDENTIFIERS_FILE: json.dumps(_names(parts)).encode()},
        parts=tuple(
            PartInfo(
                name=part.name,
                groups=(part.first_group, part.first_group + part.num_groups),
                weight=part.weight,
                augmentation=part.built.augmentation,
            )
            for part in parts
        ),
    )
    return with_doubles(mixed)


def _refuse_overlap(recipe: MixtureRecipe, sources: list[RecipeBase | Manifest]) -> None:
    """DatasetError when subsets of ARC are mixed that are known to share test tasks."""
    values = [source.recipe if isinstance(source, Manifest) else source.model_dump() for source in sources]
    problem = shared_with_a_test_set([(arc["subsets"], arc["test_set"]) for arc in values if arc.get("task") == "arc"])
    if problem is not None and not recipe.allow_overlap:
        raise DatasetError(problem, remedy="leave one out, or set allow_overlap: true to keep such tasks as test tasks only")


def read_built(folder: str, manifest: Manifest) -> BuiltDataset:
    """A data set that was built before."""
    splits: dict[SplitName, BuiltSplit] = {}
    for name in manifest.splits:
        split = load_split(folder, manifest, name, room)
        splits[name] = BuiltSplit(
            np.asarray(split.inputs), np.asarray(split.labels), split.groups, split.extras, split.puzzles, split.puzzle_identifiers
        )
    return BuiltDataset(
        task=manifest.task,
        grid=manifest.grid,
        vocabulary=manifest.vocabulary,
        splits=splits,
        augmentation=manifest.augmentation,
        identifiers=shards.read_identifiers(folder, manifest),
        num_puzzle_identifiers=manifest.num_puzzle_identifiers,
        skipped=manifest.skipped,
        parts=manifest.parts,
    )


def _require_alike(parts: list[Part]) -> None:
    first = parts[0]
    if len({part.name for part in parts}) < len(parts):
        raise DatasetError(
            f"the parts of a mixture must have names of their own: {', '.join(part.name for part in parts)}",
            remedy="name them in their overrides",
        )
    for part in parts:
        for what in ("task", "grid", "vocabulary"):
            mine, theirs = getattr(part.built, what), getattr(first.built, what)
            if mine != theirs:
                raise DatasetError(
                    f"the parts of a mixture must have one {what}: {first.name} has {theirs}, {part.name} has {mine}",
                    remedy="mix data sets of one kind",
                )
        if "train" not in part.built.splits or not len(part.built.splits["train"].groups):
            raise DatasetError(f"a part of a mixture must have training puzzles: {part.name} has none", remedy="leave it out")
        if part.built.parts:
            raise DatasetError(f"a part must be no mixture: {part.name} is one", remedy="name its parts in this recipe")


def _placed(parts: list[Part]) -> list[Part]:
    """The parts one after the other."""
    placed: list[Part] = []
    group, puzzle, identifier = 0, 0, 1
    for part in parts:
        placed.append(replace(part, first_group=group, first_puzzle=puzzle, first_identifier=identifier))
        group, puzzle, identifier = group + part.num_groups, puzzle + part.num_puzzles, identifier + part.num_identifiers
    return placed


def _split(parts: list[Part], name: SplitName) -> BuiltSplit:
    """One split of the mixture: the parts' rows in order."""
    present = [(part, part.built.splits[name]) for part in parts if name in part.built.splits]
    starts = np.cumsum([0, *(len(split.groups) for _, split in present)])
    has_forms = parts[0].built.identifiers is None or any(
        split.puzzles is not None for part in parts for split in part.built.splits.values()
    )
    groups = np.concatenate([split.groups + np.int32(part.first_group) for part, split in present])
    return BuiltSplit(
        joined([split.inputs for _, split in present]),
        joined([split.labels for _, split in present]),
        groups,
        {
            column: np.concatenate(
                [_extra(split, column, int(start)) for (_, split), start in zip(present, starts[:-1], strict=True)]
            )
            for column in _extras(parts)
        },
        np.concatenate([_puzzles(split) + np.int32(part.first_puzzle) for part, split in present]) if has_forms else None,
        np.concatenate([_identifiers(part, split) for part, split in present]) if has_forms else None,
    )


def _extras(parts: list[Part]) -> list[str]:
    """The columns that every split of the mixture has: all splits have the same."""
    have = [set(split.extras) for part in parts for split in part.built.splits.values()]
    return sorted(set.intersection(*have) - {"source_row", SAME_AS} | set.union(*have) & {*FILLS, PAIR_ROW})


def _extra(split: BuiltSplit, name: str, first_row: int) -> np.ndarray:
    rows = len(split.groups)
    if name == PAIR_ROW:
        mine = split.extras[name] if name in split.extras else np.arange(rows)
        return np.asarray(mine + first_row, dtype=np.int64)
    if name in split.extras:
        return split.extras[name]
    return np.full(rows, FILLS[name], dtype=np.int8 if name in ("down", "right") else np.int32)


def _identifiers(part: Part, split: BuiltSplit) -> np.ndarray:
    """Each row's identifier in the mixture; -1: one of its group's in the table."""
    if split.puzzle_identifiers is None:
        only = part.first_identifier if part.built.identifiers is None else -1
        return np.full(len(split.groups), only, dtype=np.int32)
    shifted = np.where(split.puzzle_identifiers > 0, split.puzzle_identifiers + part.first_identifier - 1, split.puzzle_identifiers)
    is_blank_only = part.built.identifier_count == 1 and part.built.identifiers is None
    return np.full_like(shifted, part.first_identifier) if is_blank_only else shifted.astype(np.int32)


def _puzzles(split: BuiltSplit) -> np.ndarray:
    return split.groups if split.puzzles is None else split.puzzles


def _count(numbers: Iterable[np.ndarray]) -> int:
    return 1 + max(int(part.max(initial=-1)) for part in numbers)


def _table(parts: list[Part]) -> IdentifierTable | None:
    """The parts' identifier tables one after the other; a task that two parts have is told apart by its part's name."""
    tables = [(part, part.built.identifiers) for part in parts if part.built.identifiers is not None]
    if not tables:
        return None
    names: dict[str, None] = {}
    for part, table in tables:
        for name in table.names:
            names[f"{part.name}/{name}" if name in names else name] = None
    return IdentifierTable(
        names=tuple(names),
        subsets=tuple(subset for _, table in tables for subset in table.subsets),
        starts=np.concatenate([[1], *(table.starts[1:] + part.first_identifier - 1 for part, table in tables)]).astype(np.int64),
        codes=np.concatenate([np.zeros(1, dtype=np.int32), *(table.codes[1:] for _, table in tables)]),
    )


def _names(parts: list[Part]) -> list[str]:
    """Names of the identifiers of parts without a table: the part's own, numbered where it has several."""
    names = ["<blank>"]
    for part in parts:
        count = part.num_identifiers
        names += [part.name] if count == 1 else [f"{part.name}/{number}" for number in range(1, count + 1)]
    return names
