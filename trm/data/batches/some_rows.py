"""Some rows of a split, whatever its size: shards are read one after the other, and what is not asked for is forgotten."""

from collections.abc import Callable, Mapping

import numpy as np

from trm.console.long_work import Report, silent
from trm.data.format import shards
from trm.data.format.manifest import Manifest

Columns = Mapping[str, np.ndarray]


def some_rows(
    folder: str, manifest: Manifest, split: str, is_wanted: Callable[[Columns], np.ndarray], report: Report = silent
) -> dict[str, np.ndarray]:
    """All columns (`inputs`, `labels`, `groups`, `row` ...) of the rows that `is_wanted` says of a part's columns, in their order.

    Raises DatasetError naming a shard that cannot be read, or is not what the manifest says.
    """
    found: dict[str, list[np.ndarray]] = {}
    infos = shards.split_info(folder, manifest, split).shards
    for number, shard in enumerate(infos):
        for part in shards.parts_of(shards.read_table(folder, shard, manifest, check_digest=True)):
            chosen = is_wanted(part)
            for name, column in part.items():
                found.setdefault(name, []).append(column[chosen])
        report(f"shards of {split}", number + 1, len(infos))
    return {name: np.concatenate(parts) for name, parts in found.items()}
