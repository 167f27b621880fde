"""Fine-tune a language model on ARC tasks in words and score its answers as a network's are; compare reads the result."""

from trm.terminal.command_line import job_parser


def main() -> int:
    """The exit code of the job that the command line asks for."""
    parser = job_parser(__doc__, "text-baseline")
    parser.add_argument(
        "config", nargs="?", help="YAML file of a text baseline (default: all as published; --set model=... says which)"
    )
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="folder for adapters and evaluation; what is there is gone on with"
    )
    parser.add_argument("--storage", default="runs", help="folder of data sets (default: runs)")
    arguments = parser.parse_args()

    from trm.jobs.text_baseline import TextOptions, run_text_baseline

    return run_text_baseline(TextOptions(arguments.config, tuple(arguments.overrides), arguments.out, arguments.storage))
