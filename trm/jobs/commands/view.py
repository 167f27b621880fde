"""Show a sweep, a run, an evaluation, a data set or published arrays in a browser: one page that opens from disk, or a live one."""

from trm.terminal.command_line import job_parser


def main() -> int:
    """The exit code of the job that the command line asks for."""
    parser = job_parser(__doc__, "view", has_overrides=False)
    parser.add_argument("path", help="folder of a sweep, a run, an evaluation, a data set, or of published arrays")
    parser.add_argument(
        "--out", metavar="PAGE.html", help="the page's file (default: a sweep's own report.html, else NAME.html here)"
    )
    parser.add_argument("--live", action="store_true", help="serve the page on this machine's loopback, and follow the sweep")
    parser.add_argument("--port", type=int, default=None, help="of --live (default: one that is free)")
    arguments = parser.parse_args()

    from trm.jobs.view import run_view

    return run_view(arguments.path, out=arguments.out, is_live=arguments.live, port=arguments.port)
