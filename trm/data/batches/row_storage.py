"""Where training rows wait: in memory, or on storage until they are needed."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from trm.config.data import DataConfig
from trm.data.batches.split import Split, load_split
from trm.data.batches.stored_rows import stored_split
from trm.data.batches.stream import TrainStream
from trm.data.batches.stream_files import FileReader
from trm.data.format import shards
from trm.data.format.manifest import Manifest, SplitName
from trm.errors import DatasetError
from trm.files.machine_memory import available_bytes

STORE_SHARE = 0.5
"""Share of the smallest node's object store that a resident training split may take: the other splits lie there too."""
MEMORY_SHARE = 0.5
"""Share of the available memory that it may take in one process: the network and the other splits need the rest."""
ROW_BYTES = 16
"""Bytes of a row besides its grids."""


def training_bytes(manifest: Manifest) -> int:
    """Bytes of the training split in memory."""
    return split_bytes(manifest, "train")


def split_bytes(manifest: Manifest, split: SplitName) -> int:
    """Bytes of a split in memory."""
    return manifest.splits[split].rows * (2 * manifest.seq_len + ROW_BYTES)


def resident_bytes(data: DataConfig, manifest: Manifest) -> int:
    """Bytes of what every node holds in memory while a sweep runs: all splits, but for a training split that streams."""
    rows = sum(split.rows for name, split in manifest.splits.items() if not (name == "train" and data.is_streamed))
    return rows * (2 * manifest.seq_len + ROW_BYTES)


def check_order(data: DataConfig, manifest: Manifest) -> None:
    """DatasetError when the rows cannot come in the order that is asked for."""
    if data.is_weighed and data.is_streamed:
        raise DatasetError(
            f"data.difficulty (strength {data.difficulty.strength:g}) weighs puzzles, and data.mode stream takes each row once",
            remedy="set data.mode: resident, or data.difficulty.strength: 0",
        )
    if data.is_weighed and manifest.parts:
        raise DatasetError(
            f"data.difficulty weighs the puzzles of one data set, but {manifest.name} mixes {len(manifest.parts)}",
            remedy="train on one of them, or set data.difficulty.strength: 0",
        )
    if data.is_streamed and _has_weights(manifest):
        raise DatasetError(
            f"data.mode stream takes each row once an epoch, but {manifest.name} mixes its parts by weight",
            remedy="set data.mode: resident, or leave the weights out",
        )


def _has_weights(manifest: Manifest) -> bool:
    return any(part.weight is not None for part in manifest.parts)


def resolved(
    data: DataConfig,
    manifests: Sequence[Manifest],
    room: tuple[float, str],
    say: Callable[[str], None],
    *,
    may_weigh: bool = False,
) -> DataConfig:
    """`data` with `auto` made up: `stream` when the training splits of all of a run's or sweep's data sets are larger than `room`.

    `room`: bytes, and what they are; `may_weigh`: puzzles may be visited by difficulty, which no stream does.
    """
    if data.mode != "auto":
        return data
    room_bytes, meaning = room
    is_streamed, needed = False, sum(map(training_bytes, manifests))
    if needed > room_bytes:
        is_weighed = may_weigh or data.is_weighed
        is_streamed = not is_weighed and not any(map(_has_weights, manifests))
        why = "puzzles are weighed by difficulty" if is_weighed else "weights mix them"
        how = "are streamed" if is_streamed else f"stay in memory, because {why}, and may not fit"
        sizes = f"{needed / 1e9:.3g} GB are more than {room_bytes / 1e9:.3g} GB"
        say(f"training rows {how}: {sizes}, {meaning}")
    return data.model_copy(update={"mode": "stream" if is_streamed else "resident"})


def memory_room() -> tuple[float, str]:
    """Bytes that a resident training split may take in this process, and what that is."""
    return MEMORY_SHARE * available_bytes(), f"{MEMORY_SHARE:.0%} of the available memory"


def scored_rows(data: DataConfig, folder: str, manifest: Manifest, split: SplitName, workers: int) -> tuple[Split, str]:
    """A split for an evaluation by so many processes of this machine, and why its grids stay on storage; empty: they do not.

    They stay where `data.mode` says so, or where they need more memory than there is room for: the figures are the same.
    """
    room, meaning = memory_room()
    needed = workers * split_bytes(manifest, split)
    if data.is_streamed:
        return stored_split(folder, manifest, split), "data.mode is stream"
    if needed > room:
        why = f"{needed / 1e9:.3g} GB are more than {room / 1e9:.3g} GB, {meaning}"
        return stored_split(folder, manifest, split), why
    return load_split(folder, manifest, split), ""


@contextmanager
def training_rows(data: DataConfig, folder: str, manifest: Manifest) -> Iterator[Split | TrainStream]:
    """The training split for a run in this process, in memory or as a stream; what reads ahead ends with the block."""
    if not data.is_streamed:
        yield load_split(folder, manifest, "train")
        return
    table = shards.read_identifiers(folder, manifest)
    starts, codes = (None, None) if table is None else (table.starts, table.codes)
    with FileReader(folder, manifest) as reader:
        yield TrainStream(reader, data.shuffle_window_rows, starts, codes)
