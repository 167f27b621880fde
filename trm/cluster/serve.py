"""Replicas of a network on a Ray cluster, by Ray Serve, behind the application of this process.

Ray's own proxies answer 500 where a replica dies with a request, wait for slow clients without an end, and ask for no token. So the
HTTP server is the one of a single process; a puzzle whose replica died is asked of another, for asking twice does no harm.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayActorError
from ray.serve.exceptions import DeploymentUnavailableError
from ray.serve.schema import LoggingConfig

from trm.cluster.connection import connected, living_nodes, ray_address
from trm.console.long_work import shown
from trm.console.redaction import shortened
from trm.console.streams import say
from trm.errors import ResourceError, TRMError
from trm.serving.application import Serving
from trm.serving.batching import Busy
from trm.serving.desk import NotHere, SolverDesk
from trm.serving.guard import Rules
from trm.serving.measures import Measures
from trm.serving.server import serve as serve_at
from trm.serving.solver import Solver

APPLICATION = "trm-search"
TRIES = 4
"""Replicas that are asked, one after the other, where they die."""
PAUSE_SECONDS = 0.25
ONGOING = 512
"""Requests that a replica may have at once; its own queue refuses before that."""
DRAIN_SECONDS = 30.0
QUIET = LoggingConfig(log_level="ERROR", enable_access_log=False)


@dataclass(frozen=True)
class Replicas:
    """What stands on the cluster."""

    path: str
    """Of the weights: a folder that every node sees, or a URL."""
    overrides: tuple[str, ...]
    data: str | None
    count: int
    cpus: float
    gpus: float
    queue_rows: int
    batch_rows: int | None


class Answering:
    """A replica with a network."""

    def __init__(self, asked: Replicas) -> None:
        solver = Solver.open(asked.path, overrides=asked.overrides, data=asked.data)
        solver.warm()
        self._desk = SolverDesk(solver, Measures(), queue_rows=asked.queue_rows, batch_rows=asked.batch_rows)

    async def ask(self, what: str, values: dict[str, Any] | None) -> dict[str, Any] | TRMError | NotHere:
        """What the desk says; an error that is foreseen is a value, for another one means that this replica failed."""
        try:
            asked = getattr(self._desk, what)
            found: dict[str, Any] = await (asked() if values is None else asked(values))
        except (TRMError, NotHere) as error:
            return error
        return found

    def check_health(self) -> None:
        """Raises where nobody steps the batch: Ray Serve then replaces this replica."""
        if not self._desk.is_alive:
            raise RuntimeError("nobody steps the batch")


class RemoteDesk:
    """Asks the replicas."""

    is_alive = True

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    async def predict(self, values: dict[str, Any]) -> dict[str, Any]:
        """The network's answer to a puzzle, or `answers` to `puzzles`."""
        return await self._asked("predict", values)

    async def solve(self, values: dict[str, Any]) -> dict[str, Any]:
        """Our own solver's answer."""
        return await self._asked("solve", values)

    async def random(self, values: dict[str, Any]) -> dict[str, Any]:
        """A random puzzle of the data set's kind."""
        return await self._asked("random", values)

    async def examples(self) -> dict[str, Any]:
        """Puzzles to try."""
        return await self._asked("examples", None)

    async def model(self) -> dict[str, Any]:
        """What the network answers, and what may be asked."""
        return await self._asked("model", None)

    def gauges(self) -> dict[str, tuple[str, float]]:
        """None: batches are the replicas'."""
        return {}

    def close(self) -> None:
        """Nothing is to be ended here."""

    async def _asked(self, what: str, values: dict[str, Any] | None) -> dict[str, Any]:
        for again in range(TRIES):
            response = self._handle.ask.remote(what, values)
            try:
                found = await response
            except asyncio.CancelledError:
                response.cancel()
                raise
            except (RayActorError, DeploymentUnavailableError):
                await asyncio.sleep(PAUSE_SECONDS * 2**again)
                continue
            if isinstance(found, Exception):
                raise found
            return dict(found)
        raise Busy("the replicas that were asked died", 5)


def deployment_of(asked: Replicas) -> Any:
    """What `serve.run` takes."""
    actor = {"num_cpus": asked.cpus, **({"num_gpus": asked.gpus} if asked.gpus else {})}
    answering = serve.deployment(
        Answering,
        name="answering",
        num_replicas=asked.count,
        max_ongoing_requests=ONGOING,
        ray_actor_options=actor,
        graceful_shutdown_timeout_s=DRAIN_SECONDS,
        health_check_period_s=5,
        logging_config=QUIET,
    )
    return answering.bind(asked)


def serve_on_cluster(asked: Replicas, rules: Rules, place: socket.socket, address: str | None, told: Callable[[], None]) -> None:
    """Answers until this process is told to end; then what was asked is answered, and the replicas go. Raises ResourceError."""
    where = ray_address(address)
    with connected(needs_dashboard=False, address=where, goes_on="start it again"):
        cpus = sum(node.cpus for node in living_nodes())
        if asked.count * asked.cpus > cpus:
            raise ResourceError(
                f"{asked.count} replicas of {asked.cpus:g} CPUs need {asked.count * asked.cpus:g}, the cluster has {cpus:g}",
                remedy="ask fewer replicas, or give each fewer by --cpus",
            )
        with _running(asked, is_ours=where == "local") as handle:
            serve_at(Serving(RemoteDesk(handle), Measures(), rules), place, told)


@contextlib.contextmanager
def _running(asked: Replicas, *, is_ours: bool) -> Iterator[Any]:
    """The replicas on the cluster, while entered, and the handle to ask them."""
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    try:
        with shown("starting replicas", say):
            serve.start(proxy_location="Disabled", logging_config=QUIET)
            handle = serve.run(deployment_of(asked), name=APPLICATION, route_prefix=None)
    except (RuntimeError, ray.exceptions.RayError) as error:
        why = _why()
        _end(is_ours)
        raise ResourceError(
            f"the replicas must start: {error} {why}", remedy="see whether every node has the weights, and the same packages"
        ) from error
    try:
        yield handle
    finally:
        _end(is_ours)


def _why() -> str:
    """What Ray Serve says of the replicas that did not start."""
    with contextlib.suppress(Exception):
        found = serve.status().applications[APPLICATION].deployments
        return shortened("; ".join(one.message for one in found.values() if one.message), 1500)
    return ""


def _end(is_ours: bool) -> None:
    """The replicas go; on a cluster Ray Serve too, where nobody else has an application there."""
    with contextlib.suppress(Exception):
        serve.delete(APPLICATION)
        if not is_ours and not serve.status().applications:
            serve.shutdown()
