"""Draw evaluations beside what others published: shares with their intervals, grey where they are of something else."""

from trm.terminal.command_line import job_parser


def main() -> int:
    """The exit code of the job that the command line asks for."""
    parser = job_parser(__doc__, "claims", has_overrides=False)
    parser.add_argument("folders", nargs="+", metavar="folder", help="folder that evaluate wrote (--folder)")
    parser.add_argument("--claims", metavar="FILE.yaml", help="claims of your own (default: those that are shipped)")
    parser.add_argument("--out", metavar="DIR", help="folder for claims.png and claims.csv (default: the first evaluation's)")
    arguments = parser.parse_args()

    from trm.jobs.claims import run_claims

    return run_claims(arguments.folders, arguments.claims, arguments.out)
