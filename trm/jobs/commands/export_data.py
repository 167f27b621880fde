"""Write a built data set as the folder of arrays that the published code trains on."""

from trm.console.streams import say
from trm.terminal.command_line import job_parser, show


def main() -> int:
    """The exit code of the job that the command line asks for."""
    parser = job_parser(__doc__, "export-data", has_overrides=False)
    parser.add_argument("folder", help="folder or fsspec URL of a built data set")
    parser.add_argument("--out", required=True, help="new folder for the arrays")
    parser.add_argument("--num-aug", type=int, help="forms of a puzzle besides its own (default: as many as the data set has)")
    parser.add_argument("--join-validation", action="store_true", help="put the validation puzzles back into training")
    arguments = parser.parse_args()

    from trm.console.long_work import shown
    from trm.tasks.published.export import export_dataset

    with shown("export", say) as report:
        said = export_dataset(
            arguments.folder,
            arguments.out,
            num_aug=arguments.num_aug,
            joins_validation=arguments.join_validation,
            report=report,
        )
    for name, facts in said.items():
        show(f"  {name:10}  {facts['total_groups']:>9,} groups  {facts['total_puzzles']:>9,} puzzles")
    show(arguments.out)
    return 0
