"""Puzzles drawn in a terminal: a question beside its answer, as the task's people write it."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trm.data.batches.split import Split
from trm.data.format.manifest import Manifest
from trm.tasks.choice import task_named

ARROW = "->"


def drawn_example(split: Split, row: int, manifest: Manifest, *, width: int) -> RenderableType:
    """Row `row` of a split, or of one shard of it with the column `row`: what is known of it, its question and its answer.

    Side by side where `width` columns have the room.
    """
    task = task_named(manifest.task)
    question, answer = (task.text(cells[row].reshape(manifest.grid), manifest.vocabulary) for cells in (split.inputs, split.labels))
    facts = {"row": row, "group": split.groups[row], **{name: column[row] for name, column in split.extras.items()}}
    title = Text(", ".join(f"{name} {value}" for name, value in facts.items()), style="dim")
    pictures = Table.grid(padding=(0, 2))
    columns = [max(map(len, picture.plain.split("\n"))) for picture in (question, answer)]
    if sum(columns) + len(ARROW) + 6 <= width:
        pictures.add_row(question, Text("\n" * min(2, manifest.grid[0] // 2) + ARROW), answer)
    else:
        for picture in (question, Text(ARROW), answer):
            pictures.add_row(picture)
    return Group(title, pictures)
