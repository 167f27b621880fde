"""What serve.py does: weights opened and warmed, then a server on this machine, or replicas on a Ray cluster."""

import importlib.util
import os
import re
import socket
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm.console.redaction import in_addresses
from trm.console.streams import say
from trm.errors import ConfigError
from trm.files.fetched_weights import is_url
from trm.sweeps.places import expanded
from trm.terminal.command_line import show

if TYPE_CHECKING:
    from trm.serving.application import Serving
    from trm.serving.guard import Rules

TOKEN_FILE = ".serve-token"
"""In the storage: what a server that others can reach asks for."""
NAME = re.compile(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]")
ORIGIN = re.compile(rf"https?://(?:{NAME.pattern})(?::\d+)?")
SERVE_NEEDS = ("ray.serve", "grpc_reflection")
"""What `ray[serve]` brings."""


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
    cpus: float = 1.0
    gpus: float = 0.0


def run_serve(options: ServeOptions) -> int:
    """Answers until it is told to end; the exit code. Raises InputError for what a person can mend."""
    if options.replicas is not None or options.address is not None:
        _require_ray_serve()
    if not options.path.startswith("models:/"):
        return _served(options)
    from trm.release.registered import registered_release  # brings MLflow

    with registered_release(options.path, expanded(options.storage, "--storage")) as folder:
        return _served(replace(options, path=str(folder)))


def _served(options: ServeOptions) -> int:
    from trm.serving.server import listening, serve

    is_on_cluster = options.replicas is not None or options.address is not None
    rules, told = rules_of(options)
    place = listening(options.host, options.port)
    try:
        if is_on_cluster:
            _on_cluster(options, rules, place, told)
        else:
            serving, about = opened_serving(options, rules)
            serve(serving, place, lambda: _tell(place, about, told))
    finally:
        place.close()
    return 0


def _tell(place: socket.socket, about: str, told: str) -> None:
    """Where it listens, and what is said of the token where there is one."""
    host, port = place.getsockname()[:2]
    show(f"http://{f'[{host}]' if ':' in host else host}:{port}/ answers {about}; Ctrl-C ends it")
    if told:
        say(told)


def opened_serving(options: ServeOptions, rules: "Rules") -> "tuple[Serving, str]":
    """The weights behind an application, warmed, and what they answer."""
    from trm.serving.application import Serving
    from trm.serving.desk import SolverDesk
    from trm.serving.measures import Measures
    from trm.serving.solver import Solver

    solver, measures = Solver.open(options.path, overrides=options.overrides, data=options.data, device=options.device), Measures()
    for note in solver.opened.weights.notes:
        say(f"{in_addresses(options.path)}: {note}")
    solver.warm()
    desk = SolverDesk(solver, measures, queue_rows=options.queue_rows, batch_rows=options.batch_rows)
    return Serving(desk, measures, rules), f"{solver.manifest.task} puzzles of {solver.manifest.name}"


def rules_of(options: ServeOptions) -> "tuple[Rules, str]":
    """Who may ask, and what is said of the token where there is one."""
    from trm.serving.guard import LOOPBACK_NAMES, Rules, digest_of
    from trm.serving.token import TOKEN_VARIABLE, token_of

    shared: dict[str, Any] = {
        "origins": tuple(map(_origin, options.origins)),
        "body_bytes": options.body_bytes,
        "request_seconds": options.request_seconds,
    }
    hosts, is_here = tuple(map(_host, options.allowed_hosts)), is_loopback(options.host)
    own = f"[{options.host}]" if ":" in options.host else options.host
    names = tuple(dict.fromkeys((*LOOPBACK_NAMES, own.lower(), *hosts)))
    if is_here and TOKEN_VARIABLE not in os.environ:
        return Rules(hosts=names, **shared), ""
    token, source = token_of(Path(options.storage) / TOKEN_FILE)
    # who has the token is no rebound page
    rules = Rules(hosts=names if hosts or is_here else None, token_digest=digest_of(token), **shared)
    asks = f"whoever asks sends Authorization: Bearer TOKEN, with the token of {source}"
    if is_here:
        return rules, asks
    return rules, f"others can reach {options.host}: {asks}; put TLS before it where the network is not yours alone"


def _host(given: str) -> str:
    if NAME.fullmatch(name := given.lower()) is None:
        raise ConfigError(
            f"--allow-host must be a name or an address without scheme and port, got {given!r}", remedy="lab.example, for instance"
        )
    return name


def _origin(given: str) -> str:
    """As browsers send it."""
    if ORIGIN.fullmatch(origin := given.lower()) is None:
        raise ConfigError(
            f"--allow-origin must be what one server's pages are of, scheme, host and port without a path, got {given!r}",
            remedy="https://lab.example, for instance",
        )
    return origin


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _require_ray_serve() -> None:
    if any(importlib.util.find_spec(name) is None for name in SERVE_NEEDS):
        raise ConfigError("replicas on a cluster are Ray Serve's, which is not installed", remedy="pip install 'trm-search[serve]'")


def _on_cluster(options: ServeOptions, rules: "Rules", place: socket.socket, told: str) -> None:
    from trm.cluster.serve import Replicas, serve_on_cluster
    from trm.serving.opening import opened_model

    path = options.path if is_url(options.path) else str(Path(options.path).absolute())
    data = None if options.data is None else str(Path(options.data).absolute())
    count, about = options.replicas or 1, "puzzles"
    if not is_url(path):  # what is wrong is told before anything starts
        manifest = opened_model(path, options.overrides, data).manifest
        about = f"{manifest.task} puzzles of {manifest.name}"
    asked = Replicas(path, options.overrides, data, count, options.cpus, options.gpus, options.queue_rows, options.batch_rows)
    serve_on_cluster(asked, rules, place, options.address, lambda: _tell(place, f"{about} by {count} replicas", told))
