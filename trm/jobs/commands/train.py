"""Train one run from a complete configuration, or go on with one."""

import contextlib

from trm.terminal.command_line import job_parser


def main() -> int:
    """The exit code of the job that the command line asks for."""
    parser = job_parser(__doc__, "train")
    parser.add_argument("config", nargs="?", help="run configuration, for instance search_spaces/recipes/sudoku_mlp.yaml")
    parser.add_argument("--workers", type=int, default=1, help="workers that share the batch; more than 1 is a Ray Train gang")
    parser.add_argument("--gpus", type=float, default=0.0, help="GPUs a worker of a gang (default: 0)")
    parser.add_argument("--out", help="folder of the run (default: a new one below --storage)")
    parser.add_argument("--storage", help="folder of runs and data sets (default: runs; required in a Ray job without --out)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--resume", metavar="DIR", help="go on with the run in DIR; without a configuration, with its own")
    which.add_argument(
        "--go-on", action="store_true", help="start the run in --out, or go on with it where it began: one command for every try"
    )
    parser.add_argument("--seeds", type=int, metavar="N", help="N runs in a row, on the configuration's seed and those after it")
    parser.add_argument("--address", help="Ray cluster for a gang (default: RAY_ADDRESS, the job's cluster, or an embedded one)")
    arguments = parser.parse_args()

    if arguments.go_on and arguments.out is None:
        parser.error("--go-on needs --out, the run's folder")

    from trm.jobs.retries import told_to_the_next
    from trm.jobs.train import TrainOptions, run_training
    from trm.jobs.train_seeds import is_series, run_again, run_seeds
    from trm.sweeps.places import expanded

    options = TrainOptions(
        config=arguments.config,
        overrides=tuple(arguments.overrides),
        workers=arguments.workers,
        out=arguments.out,
        storage=arguments.storage,
        resume=arguments.resume,
        gpus=arguments.gpus,
        address=arguments.address,
    )
    with told_to_the_next(expanded(arguments.out, "--out")) if arguments.go_on else contextlib.nullcontext():
        if arguments.go_on:
            options = run_again(options)
        if arguments.seeds is not None or is_series(options.resume):
            return run_seeds(options, arguments.seeds)
        return run_training(options)
