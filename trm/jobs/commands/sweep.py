"""Search for the best tiny recursive model of a search space."""

import argparse

from trm.console.lines import say_json
from trm.terminal.command_line import job_parser

SHORT = {"budget.trials": "trials", "confirm.top": "confirm", "audit.share": "audit"}
"""Path -> the option that is short for it."""
CHECKPOINTS = "storage.checkpoints"


def main() -> int:
    """The exit code of the job that the command line asks for."""
    parser = job_parser(__doc__, "sweep")
    parser.add_argument("space", nargs="?", help="search space, for instance search_spaces/sudoku4x4.yaml")
    parser.add_argument("--name", help="name of the sweep's folder (default: the space's name and a number)")
    parser.add_argument("--storage", help="folder of all sweeps, seen by every node (default: runs; required in a Ray job)")
    parser.add_argument("--trials", type=int, help="short for --set budget.trials=N")
    parser.add_argument("--confirm", type=int, metavar="K", help="short for --set confirm.top=K: train the best K on fresh seeds")
    parser.add_argument(
        "--audit", type=float, metavar="SHARE", help="short for --set audit.share=SHARE: controls for early stopping"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--resume",
        metavar="URL",
        nargs="?",
        const="",
        help="go on with the sweep of that name (default: the space's newest), or with the one mirrored at a URL, on any machine",
    )
    which.add_argument(
        "--go-on", action="store_true", help="start the sweep --name, or go on with it where it began: one command for every try"
    )
    parser.add_argument(
        "--warm-start",
        metavar="FOLDER",
        nargs="+",
        default=[],
        help="folders of earlier sweeps to start from, this storage's or not",
    )
    parser.add_argument("--address", help="Ray cluster to use (default: RAY_ADDRESS, the job's cluster, or an embedded one)")
    parser.add_argument("--log-json", action="store_true", help="say each line as a JSON object, with its time; draw nothing")
    parser.add_argument("--dry-run", action="store_true", help="print what the command would do and take, and start nothing")
    parser.add_argument("--status", metavar="FOLDER", help="say where the sweep in a folder stands, whoever drives it, and stop")
    parser.add_argument(
        "--replay", metavar="FOLDER", help="derive every decision in a sweep's journal again and compare; then stop"
    )
    parser.add_argument("--list", metavar="STORAGE", help="say which sweeps lie in a storage, and where each stands; then stop")
    parser.add_argument("--remove", metavar="NAME", help="remove a sweep of the --storage, its checkpoints included; then stop")
    parser.add_argument("--with-runs", action="store_true", help="with --remove: its runs go to MLflow's trash too")
    arguments = parser.parse_args()
    if arguments.log_json:
        say_json()
    if arguments.status is not None or arguments.replay is not None:
        from trm.jobs.inspect import show_replay, show_status

        return show_replay(arguments.replay) if arguments.status is None else show_status(arguments.status)
    if arguments.with_runs and arguments.remove is None:
        parser.error("--with-runs stands beside --remove NAME")
    if arguments.list is not None or arguments.remove is not None:
        from trm.jobs.storage import remove, show_sweeps

        if arguments.list is not None:
            return show_sweeps(arguments.list)
        return remove(arguments.remove, arguments.storage, with_runs=arguments.with_runs)
    if arguments.resume and "://" not in arguments.resume and arguments.space is None:  # the option stood before the space
        arguments.space, arguments.resume = arguments.resume, ""
    if arguments.space is None:
        parser.error("the following arguments are required: space")
    short = {path: getattr(arguments, option) for path, option in SHORT.items()}
    written = {override.partition("=")[0].strip() for override in arguments.overrides}
    for path, value in short.items():
        if value is not None and path in written:
            parser.error(f"{path} is given twice, by --set {path} and by --{SHORT[path]}")
    arguments.overrides += [f"{path}={value}" for path, value in short.items() if value is not None]
    if arguments.resume:
        return run_from(arguments, parser)
    if not arguments.go_on:
        return run(arguments, is_resume=arguments.resume is not None)
    if arguments.name is None:
        parser.error("--go-on needs --name: jobs of one space must not take each other's sweep")

    from trm.jobs.retries import brought, folder_of, told_to_the_next
    from trm.sweeps.folder import is_begun

    folder = folder_of(arguments.name, arguments.storage)
    if arguments.dry_run:
        return run(arguments, is_resume=is_begun(folder))
    with told_to_the_next(folder), brought(arguments.space, arguments.overrides, folder):
        return run(arguments, is_resume=is_begun(folder))


def run_from(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """The exit code of the sweep mirrored at `--resume URL`, which the URL alone tells: its name, and its storage.checkpoints."""
    from trm.console.redaction import in_addresses
    from trm.files.objects import address_problem

    url = arguments.resume.rstrip("/")
    if (problem := address_problem(url)) is not None:
        parser.error(f"--resume takes nothing, or the URL of a mirrored sweep: {problem}")
    base, _, name = url.rpartition("/")
    given = [text for text in arguments.overrides if text.partition("=")[0].strip() == CHECKPOINTS]
    if other := [text for text in given if text.partition("=")[2].strip().rstrip("/") != base]:
        parser.error(f"--resume {url} is of {CHECKPOINTS}={base}, got {in_addresses(other[-1])}; leave that out")
    if arguments.name not in (None, name):
        parser.error(f"--resume {url} is of the sweep {name}, got --name {arguments.name}; leave that out")
    if arguments.dry_run:
        parser.error("--dry-run looks at sweeps of a --storage, got --resume URL; leave one of the two out")

    from trm.jobs.retries import folder_of
    from trm.sweeps.fetched import fetched
    from trm.sweeps.places import DEFAULT_STORAGE, writable_folder

    writable_folder(arguments.storage, "--storage", default=DEFAULT_STORAGE)
    with fetched(url, folder_of(name, arguments.storage)) as checkpoints:
        arguments.name = name
        arguments.overrides = [text for text in arguments.overrides if text not in given] + [f"{CHECKPOINTS}={checkpoints}"]
        return run(arguments, is_resume=True)


def run(arguments: argparse.Namespace, *, is_resume: bool) -> int:
    """The exit code of the sweep, or of its dry run, that the arguments ask for."""
    if arguments.dry_run:
        from trm.jobs.dry_run import Place, dry_run

        place = Place(arguments.name, is_resume=is_resume, address=arguments.address)
        return dry_run(arguments.space, arguments.overrides, arguments.storage, warm_start=arguments.warm_start, place=place)

    from trm.jobs.sweep import SweepOptions, run_sweep

    return run_sweep(
        SweepOptions(
            space=arguments.space,
            overrides=tuple(arguments.overrides),
            name=arguments.name,
            storage=arguments.storage,
            is_resume=is_resume,
            is_retry=arguments.go_on,
            address=arguments.address,
            warm_start=tuple(arguments.warm_start),
        )
    )
