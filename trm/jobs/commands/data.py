"""Build the data set of a recipe, verify the one that is there, or mend it when files of it are missing or damaged.

An interrupted build goes on where it was when the same command is given again.
"""

from trm.terminal.command_line import job_parser


def main() -> int:
    """The exit code of the job that the command line asks for."""
    parser = job_parser(__doc__, "data")
    parser.add_argument("recipe", nargs="?", help="recipe of a data set, for instance datasets/sudoku4x4.yaml")
    parser.add_argument("--out", help="folder or fsspec URL of the data set (default: runs/data/NAME-DIGEST)")
    parser.add_argument("--dry-run", action="store_true", help="check the source, say counts, sizes and time; write nothing")
    parser.add_argument("--skip-bad", action="store_true", help="leave bad rows of the source out, and count them")
    parser.add_argument("--show", metavar="DIR", help="print the counts of a built data set and draw three of its examples")
    arguments = parser.parse_args()

    from trm.jobs.build_dataset import BuildOptions, run_build

    return run_build(BuildOptions(**vars(arguments)))
