"""Score a run, a sweep's winner, a checkpoint, or another program's file of weights (.pt, safetensors), on a whole split."""

import argparse
from typing import TYPE_CHECKING

from trm.terminal.command_line import job_parser

if TYPE_CHECKING:
    from trm.jobs.evaluation.options import EvaluateOptions


def main() -> int:
    """The exit code of the job that the command line asks for."""
    parser = job_parser(__doc__, "evaluate")
    _add_weights(parser)
    _add_scoring(parser)
    _add_workers(parser)
    _add_reports(parser)
    arguments = parser.parse_args()
    if arguments.path is None and not arguments.across:
        parser.error("evaluate.py needs the path of weights, or --across FOLDER ...")

    from trm.jobs.evaluate import run_evaluation

    return run_evaluation(_options(arguments))


def _options(arguments: argparse.Namespace) -> "EvaluateOptions":
    """What the command line says."""
    from trm.jobs.evaluation.options import EvaluateOptions

    across = tuple(filter(None, (arguments.path, *arguments.across))) if arguments.across else ()
    return EvaluateOptions(
        path=arguments.path or across[0],
        across=across,
        split=arguments.split,
        overrides=tuple(arguments.overrides),
        config=arguments.config,
        votes=arguments.votes,
        out=arguments.out,
        storage=arguments.storage,
        stops_halted=arguments.stop_halted,
        trained_on=arguments.trained_on,
        has_curve=arguments.curve,
        folder=arguments.folder,
        has_submission=arguments.submission,
        front=tuple(arguments.front),
        resamples=arguments.resample,
        has_all_steps=arguments.steps == "all",
        is_quick=arguments.quick,
        forward_dtype=arguments.forward_dtype,
        has_speed=arguments.speed,
        workers=arguments.workers,
        address=arguments.address,
        gpus=arguments.gpus,
        is_raw=arguments.weights == "raw",
        identifiers=tuple(dict.fromkeys(arguments.identifiers)),
    )


def _add_weights(parser: argparse.ArgumentParser) -> None:
    """What is scored."""
    parser.add_argument(
        "path",
        nargs="?",
        help="folder of a run, a sweep, a checkpoint or exported weights, or a file by the published names; or the URL of one (hf://)",
    )
    parser.add_argument(
        "--config", help="run configuration of such a file; elsewhere it must be what the checkpoint was trained as"
    )
    parser.add_argument(
        "--trained-on",
        metavar="DATA",
        help="what such a file was trained on, to match identifiers by name: a data set, arrays, or their identifiers.json",
    )
    parser.add_argument(
        "--weights",
        choices=("average", "raw"),
        default="average",
        help="of a checkpoint: the average (default), or the weights as they were trained",
    )


def _add_scoring(parser: argparse.ArgumentParser) -> None:
    """On which puzzles, and how."""
    parser.add_argument(
        "--split",
        choices=("train", "validation", "test"),
        help="which puzzles, all of them (default: test, or validation where there is none)",
    )
    parser.add_argument("--votes", type=int, metavar="N", help="ARC: augmentations of a task that vote (default: all)")
    parser.add_argument(
        "--resample",
        type=int,
        default=0,
        metavar="N",
        help="ARC: for each number of votes, so many other choices of them",
    )
    parser.add_argument(
        "--stop-halted",
        action="store_true",
        help="a puzzle stops when its network first wants to halt: less compute, other figures",
    )
    parser.add_argument(
        "--forward-dtype", choices=("float32", "bfloat16"), help="numbers to compute in (default: as it was trained)"
    )
    parser.add_argument("--quick", action="store_true", help="one batch alone, to see that all works: no score")


def _add_workers(parser: argparse.ArgumentParser) -> None:
    """Who scores."""
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes that share the batches: the same figures (default: 1)"
    )
    parser.add_argument("--gpus", type=float, default=0.0, help="GPUs a worker in a Ray cluster (default: 0)")
    parser.add_argument("--address", help="Ray cluster for the workers (default: RAY_ADDRESS, the job's cluster, or this machine)")


def _add_reports(parser: argparse.ArgumentParser) -> None:
    """What is reported beside the figures of the split, and where to."""
    parser.add_argument("--curve", action="store_true", help="report every supervision step, from one pass")
    parser.add_argument(
        "--folder", metavar="DIR", help="folder for the files of the evaluation: report, scores a puzzle, curve; compare reads it"
    )
    parser.add_argument(
        "--steps",
        choices=("final", "all"),
        default="final",
        help="which answers the folder has: those in the end (default), or those after every supervision step",
    )
    parser.add_argument("--speed", action="store_true", help="measure the network's speed too, on 50 batches of 32")
    parser.add_argument("--submission", action="store_true", help="ARC: two attempts a test pair in the folder's submission.json")
    parser.add_argument(
        "--identifiers",
        nargs="+",
        default=[],
        choices=("blank", "random", "other_form", "mean"),
        help="what is lost when the network is told other identifiers than the rows', a pass each",
    )
    parser.add_argument(
        "--front",
        nargs="+",
        type=float,
        default=[],
        metavar="NOISE",
        help="accuracy against FLOPs of depths and breadths up to evaluation.steps and .rollouts, by each selector, a pass a noise",
    )
    parser.add_argument(
        "--across",
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="votes of several networks, an ensemble: folders of evaluations, or runs, which are evaluated first",
    )
    parser.add_argument("--out", metavar="REPORT.json", help="file for the report")
    parser.add_argument("--storage", default="runs", help="folder of runs and data sets (default: runs)")
