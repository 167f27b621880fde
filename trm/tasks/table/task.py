"""Puzzles of one's own: nothing is known of them but their tokens, so every default holds."""

from trm.console.long_work import Report
from trm.data.format.built import BuiltDataset
from trm.tasks.making.chunks import ChunkStore
from trm.tasks.table.recipe import TableRecipe
from trm.tasks.task import Task


class Table(Task[TableRecipe]):
    """Questions and answers as rows of a table; scored by exactness and cells alone."""

    name = "other"
    recipe = TableRecipe

    def build(self, recipe: TableRecipe, report: Report, store: ChunkStore) -> BuiltDataset:
        """Rows of CSV, JSON, JSON lines, npz or Parquet files."""
        from trm.tasks.table.build import build_table

        return build_table(recipe, report)
