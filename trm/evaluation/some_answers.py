"""Some of the answers that an evaluation recorded: a row group at a time, so that a file may be larger than memory. No torch."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trm.console.long_work import Report, silent
from trm.errors import DatasetError
from trm.evaluation.answers_file import cells_in, schema_of
from trm.files.small_parquet import MOST_COLUMNS

MOST_GROUP_BYTES = 1 << 29
"""Of a row group, unpacked, by its footer: whole rows of about four million cells, with their names."""
NUMBERS = ("row", "puzzle", "identifier", "augmentation", "answer", "step", "halting_logit", "is_exact")
REMEDY = "evaluate again with --folder DIR"


class AnswersFile:
    """A file of answers, found to be what an evaluation writes of grids of so many cells."""

    def __init__(self, path: Path, *, cells: int, tokens: int) -> None:
        """Raises DatasetError for a file that is damaged, or is something else."""
        self._path, self._tokens = path, tokens
        try:
            self._file = pq.ParquetFile(path, pre_buffer=False)
            schema = self._file.schema_arrow
        except (OSError, pa.ArrowException) as error:
            raise _broken(path, f"cannot be read ({' '.join(str(error).split())})") from None
        wanted, meta = schema_of(cells), self._file.metadata
        if meta.num_columns > MOST_COLUMNS or schema.names != wanted.names:
            raise _broken(path, f"has other columns ({', '.join(schema.names[:MOST_COLUMNS])})")
        for name in wanted.names:
            if schema.field(name).type != wanted.field(name).type:
                raise _broken(path, f"has {name} of type {schema.field(name).type}, not {wanted.field(name).type}")
        for number in range(meta.num_row_groups):
            if (size := meta.row_group(number).total_byte_size) > MOST_GROUP_BYTES:
                raise _broken(path, f"has a row group that unfolds to {size:,} bytes")

    def __len__(self) -> int:
        return int(self._file.metadata.num_rows)

    def numbers(self, report: Report = silent) -> Iterator[dict[str, np.ndarray]]:
        """What stands beside the cells, a row group after the other."""
        for group in self._groups(["row", "puzzle", "augmentation", "answer", "step", "is_exact"], report):
            yield _arrays(group)

    def of_rows(self, rows: Sequence[int], report: Report = silent) -> dict[str, np.ndarray]:
        """Every column but names and losses of all answers to some rows, in the order of the file, `cells` as (answers, cells)."""
        wanted, parts = np.array(sorted(rows), dtype=np.int64), []
        for group in self._groups([*NUMBERS, "cells"], report):
            kept = group.filter(pa.array(np.isin(group["row"].to_numpy(), wanted))).combine_chunks()
            if not kept.num_rows:
                continue
            cells = cells_in(kept)
            if cells.max(initial=0) >= self._tokens:
                raise _broken(self._path, f"has a token {cells.max()} in cells, of {self._tokens} that there are")
            parts.append({**_arrays(kept.drop_columns(["cells"])), "cells": cells})
        if not parts:
            return {}
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _groups(self, columns: list[str], report: Report) -> Iterator[pa.Table]:
        count = self._file.metadata.num_row_groups
        for number in range(count):
            try:
                group = self._file.read_row_group(number, columns=columns, use_threads=False)
            except (OSError, pa.ArrowException) as error:
                raise _broken(self._path, f"cannot be read ({' '.join(str(error).split())})") from None
            if any(group[name].null_count for name in columns):
                raise _broken(self._path, "has a value that is missing")
            yield group
            report("groups of answers", number + 1, count)


def _arrays(group: pa.Table) -> dict[str, np.ndarray]:
    return {name: group[name].to_numpy() for name in group.column_names}


def _broken(path: Path, fault: str) -> DatasetError:
    return DatasetError(f"answers must be as an evaluation wrote them: {path} {fault}", remedy=REMEDY)
