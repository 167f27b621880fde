"""Show a sweep, a run, an evaluation, a data set or published arrays in a browser: one page that opens from disk, or a live one."""

from trm.terminal.command_line import job_parser


def main() -> int:
    """The exit code of the job that the command line asks for."""
    parser = job_parser(__doc__, "view", has_overrides=False)
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="path",
        help="folder of a sweep, a run, weights, an evaluation, a data set, published arrays; sweeps or two evaluations: compared",
    )
    parser.add_argument("--data", metavar="FOLDER", help="where the puzzles lie, if not where the evaluation or run says")
    parser.add_argument(
        "--split", choices=("train", "validation", "test"), help="of a run: whose puzzles are answered (default: validation)"
    )
    parser.add_argument(
        "--out",
        metavar="PAGE.html",
        help="the page's file (default: report.html in the folder; of weights, arrays and comparisons NAME.html here)",
    )
    parser.add_argument("--live", action="store_true", help="serve the page on this machine's loopback, and follow the sweep")
    parser.add_argument("--port", type=int, default=None, help="of --live (default: one that is free)")
    arguments = parser.parse_args()

    from trm.jobs.view import run_view

    return run_view(
        *arguments.paths,
        out=arguments.out,
        is_live=arguments.live,
        port=arguments.port,
        data=arguments.data,
        split=arguments.split,
    )
