"""Makes the missing and damaged files of a data set again, and only those."""

from collections.abc import Callable

import numpy as np

from trm.console.long_work import Report
from trm.data.format import shards, storage
from trm.data.format.built import BuiltDataset
from trm.data.format.manifest import IdentifiersInfo, Manifest, ShardInfo, SplitInfo, SplitName
from trm.data.format.verification import verify
from trm.errors import DatasetError
from trm.tasks.making.chunks import ChunkMaker, as_split, remade
from trm.tasks.making.writing import write_attachments, write_manifest


def repair(
    folder: str,
    manifest: Manifest,
    damaged: list[str],
    maker: ChunkMaker | None,
    build: Callable[[], BuiltDataset],
    report: Report,
) -> Manifest:
    """Make the `damaged` files again and return the manifest, which changes when another library wrote other bytes.

    A generated shard is made from its draws by `maker`; for anything else the data set is built once more in memory. Raises
    DatasetError when what comes out is not what the manifest says, as when the source has changed.
    """
    source = _Source(manifest, maker, build)
    splits = dict(manifest.splits)
    for name, info in manifest.splits.items():
        shard_infos = list(info.shards)
        for number, shard in enumerate(info.shards):
            if shard.file in damaged:
                shard_infos[number] = _remake(folder, source, name, number)
                report("damaged files", damaged.index(shard.file) + 1, len(damaged))
        splits[name] = info.model_copy(update={"shards": tuple(shard_infos)})
    mended = manifest.model_copy(update={"splits": splits} | _others(folder, manifest, damaged, source))
    try:
        verify(folder, mended)
    except DatasetError as error:
        raise DatasetError(
            f"a file that is made again must hold what it held: {error.problem}",
            remedy="delete the folder and build the data set again",
        ) from error
    if mended != manifest:
        write_manifest(folder, mended)
    return mended


class _Source:
    """Where rows come from again: draws, or the whole data set, built when it is first needed."""

    def __init__(self, manifest: Manifest, maker: ChunkMaker | None, build: Callable[[], BuiltDataset]) -> None:
        self.manifest, self._maker, self._build = manifest, maker, build
        self._built: BuiltDataset | None = None

    def built(self) -> BuiltDataset:
        """The whole data set in memory."""
        if self._built is None:
            self._built = self._build()
        return self._built

    def shard(self, name: SplitName, number: int) -> bytes:
        """The content of a shard."""
        info = self.manifest.splits[name]
        shard, start = info.shards[number], sum(shard.rows for shard in info.shards[:number])
        if shard.draws is None or self._maker is None:
            return shards.encode_parquet(shards.shard_table(self.built().splits[name], start, start + shard.rows))
        columns = remade(self._maker, *shard.draws, self.manifest.duplicates)
        first_group = sum(split.rows for split in _before(self.manifest, name)) + start
        part = as_split(columns, first_group).columns()
        rows = start + np.arange(len(part["groups"]), dtype=np.int64)
        return shards.encode_parquet(shards.encode_table({"row": rows, **part}))


def _before(manifest: Manifest, name: SplitName) -> list[SplitInfo]:
    names = list(manifest.splits)
    return [manifest.splits[earlier] for earlier in names[: names.index(name)]]


def _remake(folder: str, source: _Source, name: SplitName, number: int) -> ShardInfo:
    old = source.manifest.splits[name].shards[number]
    content = source.shard(name, number)
    storage.write_bytes(storage.join(folder, old.file), content)
    return old.model_copy(update=shards.file_info(old.file, content).model_dump())


def _others(folder: str, manifest: Manifest, damaged: list[str], source: _Source) -> dict[str, object]:
    """The identifier table and the attachments, written again when one is damaged."""
    changed: dict[str, object] = {}
    table = manifest.identifiers
    if table is not None and table.file in damaged:
        changed["identifiers"] = _identifiers(folder, source.built())
    if any(info.file in damaged for info in manifest.attachments):
        changed["attachments"] = write_attachments(source.built(), folder)
    return changed


def _identifiers(folder: str, built: BuiltDataset) -> IdentifiersInfo:
    assert built.identifiers is not None
    return shards.write_identifiers(folder, built.identifiers)
