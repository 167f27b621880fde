"""Say where the sweep in a folder stands, whoever drives it."""

from trm.terminal.command_line import job_parser


def main() -> int:
    """The exit code of the job that the command line asks for."""
    parser = job_parser(__doc__, "status", has_overrides=False)
    parser.add_argument("folder", help="folder of a sweep")
    arguments = parser.parse_args()

    from trm.jobs.inspect import show_status

    return show_status(arguments.folder)
