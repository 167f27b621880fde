"""Which rows of a reference folder train and which validate, and none of them that is scored elsewhere."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int64

from trm.data.batches.keyed_random import shuffled
from trm.data.format import storage
from trm.data.format.built import IdentifierTable
from trm.data.format.manifest import TaskName
from trm.errors import DatasetError
from trm.tasks.choice import task_named
from trm.tasks.contamination import is_scored
from trm.tasks.making.large_arrays import taken
from trm.tasks.published import arrays_arc
from trm.tasks.published.arrays_files import SourceSplit, array_file
from trm.tasks.published.recipe import ArraysRecipe

_HOLD = 0x48


@dataclass(frozen=True, eq=False)
class Rows:
    """Some rows of a source split, with the numbers of their groups."""

    source: SourceSplit
    groups: Int64[np.ndarray, "source_groups"]
    """The data set's number of each group of the source."""
    rows: Int64[np.ndarray, "rows"]

    @property
    def puzzles(self) -> np.ndarray:
        """The source's number of each row's puzzle."""
        puzzles: np.ndarray = self.source.puzzle_of_row[self.rows]
        return puzzles

    @property
    def source_groups(self) -> np.ndarray:
        """The source's number of each row's group."""
        groups: np.ndarray = self.source.group_of_puzzle[self.puzzles]
        return groups

    def without(self, is_left_out: Bool[np.ndarray, "rows"]) -> "Rows":
        """The other rows."""
        return replace(self, rows=self.rows[~is_left_out])

    def grids(self, name: str) -> np.ndarray:
        """Inputs or labels of the rows, as uint8."""
        return taken(getattr(self.source, name), self.rows, np.uint8)


def without_contamination(
    recipe: ArraysRecipe, train: Rows, test: Rows, table: IdentifierTable | None, grid: tuple[int, int], skipped: dict[str, int]
) -> Rows:
    """Training rows without the groups that hold a test puzzle.

    Those of ARC are left out only when bad ones are skipped: the published ARC-AGI-1 folder has one, and shall be had as it is.
    """
    groups = _equal_groups(recipe, train, test, table, grid)
    is_leak = np.isin(train.source_groups, groups)
    if not is_leak.any() or (table is not None and not recipe.skip_bad):
        return train
    if not recipe.skip_bad:
        raise DatasetError(
            f"a test puzzle must not be trained on: row {train.rows[is_leak][0]} of "
            f"{storage.join(train.source.folder, array_file('inputs'))} is in the test split too ({len(groups)} puzzles in all)",
            remedy="leave such puzzles out of training with --skip-bad",
        )
    skipped["a test puzzle must not be trained on"] = int(is_leak.sum())
    return train.without(is_leak)


def _equal_groups(
    recipe: ArraysRecipe, part: Rows, other: Rows, table: IdentifierTable | None, grid: tuple[int, int]
) -> np.ndarray:
    """The source's numbers of the part's groups that hold a puzzle of the other part.

    ARC's demonstrations of a test task are trained on, so only equal pairs of different tasks count; the unaugmented forms, in
    the corner, stand for all.
    """
    if table is None:
        return np.union1d(*(_same_groups(kind, part, other, grid) for kind in ("other", recipe.puzzle)))
    bases, tasks = [], []
    for rows in (part, other):
        codes = table.codes[rows.source.puzzle_identifiers[rows.puzzles]]
        base = replace(rows, rows=rows.rows[codes == 0])
        inputs, labels, *_ = arrays_arc.cornered(base.grids("inputs"), base.grids("labels"))
        bases.append((inputs, labels))
        tasks.append(base.groups[base.source_groups])
    leaks = []
    for row in np.flatnonzero(is_scored("arc", bases[0], bases[1], grid)):
        is_foreign = tasks[1] != tasks[0][row]
        mine = bases[0][0][[row]], bases[0][1][[row]]
        if is_scored("arc", mine, (bases[1][0][is_foreign], bases[1][1][is_foreign]), grid)[0]:
            leaks.append(row)
    return np.flatnonzero(np.isin(part.groups, tasks[0][leaks]))


def held_out(
    recipe: ArraysRecipe, train: Rows, test: Rows, table: IdentifierTable | None, grid: tuple[int, int]
) -> tuple[Rows, Rows | None]:
    """Training rows that stay, and those that validate: random whole groups, or of ARC tasks the last example of every form.

    A held-out ARC task's identifiers would never be trained, so it could not be solved; its last example is, in published
    folders, a test pair. Groups with a twin in training stay there, and ARC tasks with one in the test split.
    """
    source_groups = train.source_groups
    candidates = np.unique(source_groups)
    held_rows = np.ones(len(train.rows), dtype=bool)
    if table is not None:
        held_rows = np.append(np.diff(train.puzzles) != 0, True)
        is_lone = held_rows & np.concatenate([[True], held_rows[:-1]])
        is_tested = np.isin(train.groups[source_groups], test.groups)
        candidates = np.setdiff1d(candidates, source_groups[is_lone | is_tested])
        candidates = np.setdiff1d(candidates, _equal_groups(recipe, train, test, table, grid))
    wanted = min(1000, max(1, len(candidates) // 10)) if recipe.validation is None else recipe.validation
    if wanted == 0:
        return train, None
    held = candidates[shuffled(len(candidates), recipe.seed, _HOLD)[:wanted]]
    is_held = np.isin(source_groups, held) & held_rows
    while len(twins := _equal_groups(recipe, train.without(~is_held), train.without(is_held), table, grid)):
        held = np.setdiff1d(held, twins)
        is_held = np.isin(source_groups, held) & held_rows
    if wanted > len(candidates) or not is_held.any() or is_held.all():
        raise DatasetError(
            f"validation is held out of the {len(candidates)} training puzzles that can be spared: {wanted} leave nothing to "
            f"{'validate' if not is_held.any() else 'train on'}",
            remedy="lower validation, or set it to 0",
        )
    return train.without(is_held), train.without(~is_held)


def _same_groups(kind: TaskName, part: Rows, other: Rows, grid: tuple[int, int]) -> np.ndarray:
    """The source's numbers of the part's groups that hold a puzzle of the other; of symmetric forms the first is compared."""
    if task_named(kind).has_symmetries:
        part, other = (replace(rows, rows=rows.rows[np.unique(rows.source_groups, return_index=True)[1]]) for rows in (part, other))
    grids = [(rows.grids("inputs"), rows.grids("labels")) for rows in (part, other)]
    return np.unique(part.source_groups[is_scored(kind, grids[0], grids[1], grid)])
