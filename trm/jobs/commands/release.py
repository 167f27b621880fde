"""Hand a sweep's winner on: a folder with a model card that answers anywhere, and a version in MLflow's model registry."""

from trm.terminal.command_line import job_parser


def main() -> int:
    """The exit code of the job that the command line asks for."""
    parser = job_parser(__doc__, "release")
    parser.add_argument("sweep", help="folder of a sweep, such as runs/NAME")
    parser.add_argument("--out", metavar="DIR", help="folder of the release (default: release/ in the sweep's)")
    parser.add_argument(
        "--retrain",
        choices=("full", "all"),
        help="train the winner anew first: full, to its full length where it was stopped early; all, on validation puzzles too",
    )
    parser.add_argument("--name", help="registered model (default: the search space's name)")
    parser.add_argument("--champion", action="store_true", help="it gets the alias champion, whichever version has it")
    parser.add_argument("--no-registry", action="store_true", help="the folder alone")
    parser.add_argument("--uri", help="MLflow's store (default: MLFLOW_TRACKING_URI, or the mlflow.db of the sweep's storage)")
    arguments = parser.parse_args()

    from trm.jobs.release import ReleaseOptions, run_release

    return run_release(
        ReleaseOptions(
            sweep=arguments.sweep,
            out=arguments.out,
            retrain=arguments.retrain,
            overrides=tuple(arguments.overrides),
            name=arguments.name,
            is_champion=arguments.champion,
            is_registered=not arguments.no_registry,
            uri=arguments.uri,
        )
    )
