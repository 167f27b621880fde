"""The page of a data set: read from its shards, of which only the puzzles that are shown stay in memory."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trm.config.shipped import HOME
from trm.console.long_work import Report, shown
from trm.console.streams import say
from trm.data.batches.augmenter import RowDraw
from trm.data.batches.keyed_random import hashed
from trm.data.batches.some_rows import some_rows
from trm.data.batches.split import Split
from trm.data.format import shards
from trm.data.format.built import IdentifierTable
from trm.data.format.manifest import Augmentation, Manifest, SplitName, read_manifest
from trm.jobs.view_answers import demonstrations
from trm.pages.chosen import chosen_puzzles, most_shown
from trm.pages.data_set import SampledSplit, data_set_page
from trm.pages.page import Page
from trm.pages.puzzles import Form
from trm.tasks.augment import augmenter_for
from trm.tasks.choice import task_named

MOST_ROWS = 150
"""Of a split."""
FORMS = 3
"""Augmentations that are drawn beside a training puzzle."""
DRAWN = 0x56494557
"""Keeps what a page draws apart from every other use of rows' numbers."""


def page_of(folder: Path) -> Page:
    """The page of the data set in a folder. Raises DatasetError for one that is damaged, or of a later version."""
    place = str(folder)
    manifest = read_manifest(place)
    legend = task_named(manifest.task).legend(manifest.grid, manifest.vocabulary)
    with shown(f"reading {folder}", say) as report:
        table = shards.read_identifiers(place, manifest)
        samples = [_sample(place, manifest, name, table, report) for name in manifest.splits]
    card = card_of(manifest)
    return data_set_page(manifest, legend, samples, names=None if table is None else table.names, card=card)


def card_of(manifest: Manifest) -> list[str]:
    """What the card of a shipped recipe says, a line a paragraph, point or row; nothing where the recipe is one's own."""
    path = HOME / "datasets" / f"{manifest.recipe.get('name', '')}.md"
    if not manifest.recipe.get("name") or path.parent != HOME / "datasets" or not path.is_file():
        return []
    lines: list[str] = []
    for block in path.read_text().split("\n\n"):
        for line in block.strip().splitlines():
            if line.startswith(("#", "| ---")):
                continue
            if line.startswith(("- ", "|")) or not lines or line == block.strip().splitlines()[0]:
                lines.append("")
            lines[-1] = f"{lines[-1]} {line.removeprefix('- ')}".strip().replace("**", "").replace("`", "")
    return lines


def _sample(folder: str, manifest: Manifest, name: SplitName, table: IdentifierTable | None, report: Report) -> SampledSplit:
    """Rows of a split that the page shows, training rows with some of their augmentations."""
    info = manifest.splits[name]
    is_varied = name == "train" and any(one.kind != "none" for one in _augmentations(manifest))
    grids = 2 + (2 * FORMS if is_varied else 0)
    chosen = chosen_puzzles(None, info.rows, most_shown(manifest.seq_len, grids, MOST_ROWS), what=f"rows of {name}")
    wanted = np.array(chosen.places, dtype=np.int64)
    columns = some_rows(folder, manifest, name, lambda part: np.isin(part["row"], wanted), report)
    order = np.argsort(columns["row"], kind="stable")
    columns = {key: column[order] for key, column in columns.items()}
    forms = _forms(name, columns, manifest, table) if is_varied else []
    notes = [] if is_varied or name != "train" else ["Training rows are as they are stored: this data set is not augmented."]
    shown_before = demonstrations(folder, manifest, name, columns["groups"]) if task_named(manifest.task).has_votes else {}
    return SampledSplit(name, columns, chosen, forms, notes, shown_before)


def _augmentations(manifest: Manifest) -> list[Augmentation]:
    return [part.augmentation for part in manifest.parts] or [manifest.augmentation]


def _forms(
    name: str, columns: dict[str, np.ndarray], manifest: Manifest, table: IdentifierTable | None
) -> Sequence[Sequence[Form]]:
    """Some augmentations of each row, as training meets it."""
    identifiers = {} if table is None else {"identifier_starts": table.starts, "identifier_codes": table.codes}
    split = Split.from_columns(name, {key: column for key, column in columns.items() if key != "row"} | identifiers)
    augmenter, rows = augmenter_for(split, manifest), np.arange(len(split))
    found: list[list[Form]] = [[] for _ in rows]
    for number in range(1, FORMS + 1):
        keys = hashed(DRAWN, number, columns["row"])
        told = [f"augmentation {number}"] * len(rows)
        of_row = np.zeros(len(rows), dtype=np.int32)
        if table is not None:
            starts, counts = table.starts[split.groups], np.diff(table.starts)[split.groups]
            of_row = (starts + np.minimum(number, counts - 1)).astype(np.int32)
        questions, labels = augmenter.train(RowDraw(rows, of_row, keys))
        for row, (question, label) in enumerate(zip(questions, labels, strict=True)):
            found[row].append(Form(told[row], question, np.where(label < 0, 0, label)))
    return found
