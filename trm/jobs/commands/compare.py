"""Compare two evaluations of the same puzzles, puzzle by puzzle: how much better one is, and whether that is more than chance."""

from trm.terminal.command_line import job_parser


def main() -> int:
    """The exit code of the job that the command line asks for."""
    parser = job_parser(__doc__, "compare", has_overrides=False)
    parser.add_argument("first", help="folder that evaluate wrote (--folder)")
    parser.add_argument("second", help="another one, of the same split")
    parser.add_argument("--out", metavar="COMPARISON.json", help="file for the figures")
    arguments = parser.parse_args()

    from trm.jobs.compare import run_comparison

    return run_comparison(arguments.first, arguments.second, arguments.out)
