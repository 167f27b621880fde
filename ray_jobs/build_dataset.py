"""Build the data set of a recipe, or verify the one that is there."""

import sys

from trm.command_line import job_parser, run_job, say, show


def main() -> int:
    parser = job_parser(__doc__)
    parser.add_argument("recipe", help="recipe of a data set, for instance datasets/sudoku4x4.yaml")
    parser.add_argument("--out", help="folder or fsspec URL of the data set (default: runs/data/NAME-DIGEST)")
    arguments = parser.parse_args()

    from trm.data.build_progress import shown
    from trm.data.ensure import build_into
    from trm.data.recipes import dataset_folder, load_recipe

    recipe = load_recipe(arguments.recipe, arguments.overrides)
    folder = dataset_folder(recipe, "runs/data") if arguments.out is None else arguments.out
    with shown(recipe.name, say) as report:
        manifest, is_new = build_into(recipe, folder, report)
    show(f"{manifest.name} ({manifest.task}), {'built' if is_new else 'there already, verified'}")
    for name, split in manifest.splits.items():
        size = sum(shard.bytes for shard in split.shards)
        show(f"  {name:10}  {split.rows:>9,} examples  {split.groups:>9,} puzzles  {size / 1e6:8.2f} MB")
    show(f"  {len(manifest.vocabulary)} tokens, {manifest.seq_len} cells, {manifest.num_puzzle_identifiers:,} puzzle identifiers")
    show(f"  content {manifest.content_hash[:16]}")
    show(folder)
    return 0


if __name__ == "__main__":
    sys.exit(run_job(main))
