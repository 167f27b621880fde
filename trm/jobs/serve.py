"""What serve.py does: weights opened and warmed, then a server on this machine, or replicas on a Ray cluster."""

import importlib.util
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm.console.redaction import in_addresses
from trm.console.streams import say
from trm.errors import ConfigError
from trm.terminal.command_line import show

if TYPE_CHECKING:
    from trm.serving.application import Serving
    from trm.serving.guard import Rules

TOKEN_FILE = ".serve-token"
"""In the storage: what a server that others can reach asks for."""


@dataclass(frozen=True)
class ServeOptions:
    """What serve.py is asked for."""

    path: str
    host: str = "127.0.0.1"
    port: int = 8000
    overrides: tuple[str, ...] = ()
    data: str | None = None
    storage: str = "runs"
    device: str | None = None
    batch_rows: int | None = None
    queue_rows: int = 1024
    request_seconds: float = 60.0
    body_bytes: int = 1 << 20
    allowed_hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    replicas: int | None = None
    address: str | None = None


def run_serve(options: ServeOptions) -> int:
    """Answers until it is told to end; the exit code. Raises InputError for what a person can mend."""
    if options.replicas is not None or options.address is not None:
        return _on_cluster(options)
    from trm.serving.server import listening, serve

    rules, told = rules_of(options)
    place = listening(options.host, options.port)
    try:
        serving = opened_serving(options, rules)
        host, port = place.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host

        def listens() -> None:
            manifest = serving.solver.manifest
            show(f"http://{shown}:{port}/ answers {manifest.task} puzzles of {manifest.name}; Ctrl-C ends it")
            if told:
                say(told)

        serve(serving, place, listens)
    finally:
        place.close()
    return 0


def opened_serving(options: ServeOptions, rules: "Rules") -> "Serving":
    """The weights behind an application, warmed."""
    from trm.serving.application import Serving
    from trm.serving.solver import Solver

    solver = Solver.open(options.path, overrides=options.overrides, data=options.data, device=options.device)
    for note in solver.opened.weights.notes:
        say(f"{in_addresses(options.path)}: {note}")
    solver.warm()
    return Serving(solver, rules, queue_rows=options.queue_rows, batch_rows=options.batch_rows)


def rules_of(options: ServeOptions) -> tuple["Rules", str]:
    """Who may ask, and what is said of the token where there is one."""
    from trm.serving.guard import LOOPBACK_NAMES, Rules
    from trm.serving.token import token_of

    shared: dict[str, Any] = {
        "origins": options.origins,
        "body_bytes": options.body_bytes,
        "request_seconds": options.request_seconds,
    }
    hosts = tuple(name.lower() for name in options.allowed_hosts)
    if is_loopback(options.host):
        return Rules(hosts=(*LOOPBACK_NAMES, *hosts), token=None, **shared), ""
    token, source = token_of(Path(options.storage) / TOKEN_FILE)
    return Rules(hosts=(*LOOPBACK_NAMES, options.host.lower(), *hosts) if hosts else None, token=token, **shared), (
        f"others can reach {options.host}: whoever asks sends Authorization: Bearer TOKEN, with the token of {source}; "
        "put TLS before it where the network is not yours alone"
    )


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _on_cluster(options: ServeOptions) -> int:
    if importlib.util.find_spec("ray.serve") is None or importlib.util.find_spec("grpc_reflection") is None:
        raise ConfigError("replicas on a cluster are Ray Serve's, which is not installed", remedy="pip install 'trm-search[serve]'")
    from trm.cluster.serve import serve_on_cluster

    serve_on_cluster(options.path)
    return 0
