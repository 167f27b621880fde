"""What Ray Data reads for us: one task a piece, each by a function of ours, no CPU held, blocks in the order of the pieces.

Not `ray.data.read_parquet`: since Ray 2.60 that starts 32 actors of one CPU each to read footers, whatever the number of files,
and a cluster that grows by demand starts nodes for them. Our reads look at footers themselves, and hold them against the manifest.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray
import ray.data
from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask


@dataclass(frozen=True)
class Piece:
    """One block to be read."""

    read: Callable[[], pa.Table]
    """Called in some process of the cluster."""
    rows: int

    def blocks(self) -> list[pa.Table]:
        """What a read task returns."""
        return [self.read()]


def blocks_in_order(pieces: Sequence[Piece], *, at_once: int) -> Iterator[ray.ObjectRef]:
    """References to the blocks of one Ray Data execution, one a piece; at most `at_once` are read side by side.

    Raises what Ray does for a read that raises.
    """
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what it logs, it raises
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.execution_options.preserve_order = True
    context.execution_no_progress_timeout_s = -1  # a piece may wait until somebody wants it
    context.target_max_block_size = None  # a piece is one block, however large
    dataset = ray.data.read_datasource(_Pieces(pieces), override_num_blocks=len(pieces), num_cpus=0, concurrency=at_once)
    for bundle in dataset.iter_internal_ref_bundles():
        for entry in bundle.blocks:
            yield entry.ref


class _Pieces(Datasource):  # type: ignore[misc]  # ray has no types
    """Pieces as Ray Data reads them: a task each, in the order given."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        super().__init__()
        self._pieces = pieces

    def estimate_inmemory_data_size(self) -> int | None:
        return None

    def get_read_tasks(self, parallelism: int, per_task_row_limit: int | None = None, data_context: Any = None) -> list[Any]:
        return [
            ReadTask(piece.blocks, BlockMetadata(num_rows=piece.rows, size_bytes=None, input_files=None, exec_stats=None))
            for piece in self._pieces
        ]
