"""What build_dataset.py does: build or mend, say what would be built, show what is there."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from trm.console.long_work import shown
from trm.console.streams import one_line, say
from trm.data.batches.split import Split
from trm.data.format import storage
from trm.data.format.built import BuiltDataset
from trm.data.format.manifest import Manifest, files_of, read_manifest
from trm.data.format.shards import SHARD_ROWS, decode_table, encode_parquet, encode_table, read_identifiers, read_table, shard_table
from trm.errors import ConfigError
from trm.tasks.build import build, maker_of
from trm.tasks.draw import drawn_example
from trm.tasks.ensure import build_into
from trm.tasks.making.chunks import ChunkMaker, NoStore
from trm.tasks.making.recipe import RecipeBase
from trm.tasks.own import require_known
from trm.tasks.recipes import dataset_folder, load_recipe
from trm.terminal.command_line import duration, show
from trm.terminal.display import PlainConsole

EXAMPLES = 3


@dataclass(frozen=True)
class BuildOptions:
    """What the command line says."""

    recipe: str | None
    out: str | None
    dry_run: bool
    skip_bad: bool
    show: str | None
    overrides: Sequence[str]


def run_build(options: BuildOptions) -> int:
    """Do what the options say; the exit code."""
    if (options.recipe is None) == (options.show is None):
        given = "neither was given" if options.recipe is None else f"got {options.recipe} and --show {options.show}"
        raise ConfigError(
            f"one of a recipe and --show DIR is needed, {given}", remedy="name a recipe, for instance datasets/sudoku4x4.yaml"
        )
    if options.show is not None and (options.out or options.dry_run or options.skip_bad or options.overrides):
        raise ConfigError("--show DIR looks at what is built and takes no other option", remedy="drop the others, or --show")
    if options.show is not None:
        _show_examples(storage.absolute(options.show))
        return 0
    overrides = [*options.overrides, *(["skip_bad=true"] if options.skip_bad else [])]
    recipe = load_recipe(str(options.recipe), overrides, is_own=True)
    folder = dataset_folder(recipe, "runs/data") if options.out is None else options.out
    if options.dry_run:
        _say_what_would_be(recipe, folder)
        return 0
    with shown(f"data set {recipe.name}", say) as report:
        manifest, outcome = build_into(recipe, folder, report, say, repairs=True)
    show(one_line(f"{manifest.name} ({manifest.task}), {outcome}"))
    _show_counts(manifest)
    show(folder)
    return 0


def _show_counts(manifest: Manifest) -> None:
    for name, split in manifest.splits.items():
        size = sum(shard.bytes for shard in split.shards)
        _show_split(name, split.rows, split.groups, size)
    _show_facts(manifest.vocabulary, manifest.seq_len, manifest.num_puzzle_identifiers, manifest.skipped, manifest.doubled)
    show(f"  {sum(info.bytes for info in files_of(manifest)) / 1e6:.2f} MB, content {manifest.content_hash[:16]}")


def _show_split(name: str, rows: int, groups: int, size: float) -> None:
    show(f"  {name:10}  {rows:>9,} examples  {groups:>9,} puzzles  {size / 1e6:8.2f} MB")


def _show_facts(
    vocabulary: tuple[str, ...], cells: int, identifiers: int, skipped: Mapping[str, int], doubled: Mapping[str, int]
) -> None:
    show(f"  {len(vocabulary)} tokens, {cells} cells, {identifiers:,} puzzle identifiers")
    for rule, count in skipped.items():
        show(one_line(f"  left out: {count:,} rows ({rule})"))
    for rule, count in doubled.items():
        show(f"  kept more than once: {count:,} rows ({rule}); scores count such puzzles once")


def _show_examples(folder: str) -> None:
    """Counts of the data set in `folder`, and examples from all over its first split, of which no more is read."""
    manifest = read_manifest(folder)
    require_known(manifest, folder)
    show(one_line(f"{manifest.name} ({manifest.task}), {folder}"))
    _show_counts(manifest)
    name = next(iter(manifest.splits))
    info, table = manifest.splits[name], read_identifiers(folder, manifest)
    ends = np.cumsum([shard.rows for shard in info.shards])
    console = PlainConsole()
    for row in np.linspace(0, info.rows - 1, min(EXAMPLES, info.rows)).astype(int):
        number = int(np.searchsorted(ends, row, side="right"))
        split = Split.from_columns(name, decode_table(read_table(folder, info.shards[number], manifest)))
        place = int(row - ends[number]) + len(split)
        task = "" if table is None else f" {table.names[split.groups[place]]}"
        console.print(f"\n{name}{one_line(task)}", style="bold")
        console.print(drawn_example(split, place, manifest, width=console.width))


def _say_what_would_be(recipe: RecipeBase, folder: str) -> None:
    show(f"{recipe.name} ({recipe.puzzle_task}), would be built in {folder}")
    maker = maker_of(recipe)
    if maker is None:
        with shown(f"data set {recipe.name}", say) as report:
            start = time.perf_counter()
            built = build(recipe, report, NoStore())
        _show_built(built, time.perf_counter() - start)
    else:
        _show_estimate(recipe, maker)


def _show_built(built: BuiltDataset, seconds: float) -> None:
    """Exact counts: the data set was made in memory, and not written."""
    for name, split in built.splits.items():
        rows = len(split.groups)
        ends = [*range(0, rows, SHARD_ROWS), rows]
        size = sum(len(encode_parquet(shard_table(split, *part))) for part in pairwise(ends))
        _show_split(name, rows, len(np.unique(split.groups)), size)
    _show_facts(built.vocabulary, built.grid[0] * built.grid[1], built.identifier_count, built.skipped, built.doubled)
    show(f"  made in memory in {duration(seconds)}; nothing was written")


def _show_estimate(recipe: RecipeBase, maker: ChunkMaker) -> None:
    """Counts of a generated data set, and sizes and time by its first piece, without the rest of it."""
    start = time.perf_counter()
    columns = maker.piece(0)  # compiles what is not compiled yet
    if time.perf_counter() - start < 10:
        start = time.perf_counter()
        columns = maker.piece(1)
    seconds, rows = time.perf_counter() - start, len(columns["inputs"])
    size = len(encode_parquet(encode_table(columns)))
    counts = {name: getattr(recipe, name) for name in recipe.split_names}
    for name, count in counts.items():
        _show_split(name, count, count, count * size / max(rows, 1))
    wanted, cores = sum(counts.values()), len(os.sched_getaffinity(0))
    pace = (
        f"about {duration(seconds * wanted / rows / cores)} on {cores} cores" if rows else "rare puzzles: none in the first piece"
    )
    show(f"  {wanted:,} puzzles to generate, {pace}; sizes are estimates; nothing was written")
