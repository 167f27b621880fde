"""Write a run's, a checkpoint's or a sweep's weights as the published code loads them."""

from trm.terminal.command_line import job_parser


def main() -> int:
    """The exit code of the job that the command line asks for."""
    parser = job_parser(__doc__, "export-weights", has_overrides=False)
    parser.add_argument("path", help="folder of a run, a sweep, a checkpoint or an export")
    parser.add_argument("--out", required=True, metavar="FILE", help="new file: .safetensors, or .pt as torch saves")
    parser.add_argument("--weights", choices=("average", "raw"), default="average", help="of a checkpoint (default: average)")
    parser.add_argument(
        "--prefix", default="_orig_mod.model.inner.", help="before every key (default: _orig_mod.model.inner., a compiled model's)"
    )
    arguments = parser.parse_args()

    from trm.jobs.export_weights import ExportOptions, run_export

    return run_export(ExportOptions(arguments.path, arguments.out, arguments.weights == "raw", arguments.prefix))
