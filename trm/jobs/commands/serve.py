"""Answer posted puzzles over HTTP with a run's, a sweep's or a released network, on this machine or as replicas on a cluster."""

import math

from trm.terminal.command_line import job_parser


def main() -> int:
    """The exit code of the job that the command line asks for."""
    parser = job_parser(__doc__, "serve")
    parser.add_argument(
        "path",
        help="folder of a run, a sweep, a checkpoint, exported or released weights, a URL (hf://), or models:/NAME@champion",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: this machine alone; another asks for a token)"
    )
    parser.add_argument("--port", type=int, default=8000, help="port to listen on; 0: any that is free (default: 8000)")
    parser.add_argument("--data", metavar="DIR", help="folder of the data set that it was trained on, where it does not lie near")
    parser.add_argument("--device", help="cpu or cuda (default: a GPU where there is one)")
    parser.add_argument(
        "--batch-rows", type=int, metavar="N", help="rows of a batch at most (default: 64, or fewer of a large network)"
    )
    parser.add_argument(
        "--queue-rows", type=int, default=1024, metavar="N", help="rows that may wait; more are refused (default: 1024)"
    )
    parser.add_argument("--request-seconds", type=float, default=60.0, metavar="S", help="longest time of an answer (default: 60)")
    parser.add_argument("--body-bytes", type=int, default=1 << 20, metavar="N", help="largest body of a request (default: 1 MiB)")
    parser.add_argument("--allow-host", action="append", default=[], metavar="NAME", help="another name of this server; repeatable")
    parser.add_argument(
        "--allow-origin", action="append", default=[], metavar="URL", help="pages of another server that may ask (CORS)"
    )
    parser.add_argument("--storage", default="runs", help="folder of the token that others send (default: runs)")
    parser.add_argument("--replicas", type=int, metavar="N", help="so many copies on a Ray cluster, by Ray Serve")
    parser.add_argument(
        "--address", help="that cluster (default with --replicas: RAY_ADDRESS, the job's cluster, or one on this machine)"
    )
    parser.add_argument("--cpus", type=float, metavar="N", help="CPUs of a replica (default: 1)")
    parser.add_argument("--gpus", type=float, metavar="N", help="GPUs of a replica (default: 0)")
    arguments = parser.parse_args()
    for name, least in (("batch_rows", 1), ("queue_rows", 1), ("replicas", 1), ("port", 0), ("body_bytes", 1)):
        given = getattr(arguments, name)
        if given is not None and given < least:
            parser.error(f"--{name.replace('_', '-')} must be at least {least}, got {given}")
    if arguments.port > 65535:
        parser.error(f"--port must be at most 65535, got {arguments.port}")
    for name in ("cpus", "gpus"):
        if (given := getattr(arguments, name)) is None:
            continue
        if arguments.replicas is None and arguments.address is None:
            parser.error(f"--{name} is of replicas on a cluster, got {given:g} without; add --replicas 1, or leave it out")
        if not 0 <= given < math.inf:
            parser.error(f"--{name} must be 0 or more, got {given:g}")
    if not 0 < arguments.request_seconds <= 3600:
        parser.error(f"--request-seconds must be above 0 and at most 3600, got {arguments.request_seconds:g}")

    from trm.jobs.serve import ServeOptions, run_serve

    return run_serve(
        ServeOptions(
            arguments.path,
            arguments.host,
            arguments.port,
            tuple(arguments.overrides),
            arguments.data,
            arguments.storage,
            arguments.device,
            arguments.batch_rows,
            arguments.queue_rows,
            arguments.request_seconds,
            arguments.body_bytes,
            tuple(arguments.allow_host),
            tuple(arguments.allow_origin),
            arguments.replicas,
            arguments.address,
            1.0 if arguments.cpus is None else arguments.cpus,
            0.0 if arguments.gpus is None else arguments.gpus,
        )
    )
