"""One way into Ray: an embedded cluster on a laptop, or the cluster that a job runs in; and what it has to offer."""

import contextlib
import logging
import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray._private.authentication.authentication_utils import is_token_auth_enabled
from ray.exceptions import AuthenticationError, RayError
from ray.job_config import JobConfig
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from trm.cluster.embedded import check_locale, locale_problem, not_started, private_session, ray_options, without_idle_services
from trm.cluster.node_facts import answer_probe, unanswered
from trm.cluster.ray_watch import end_ray, watched
from trm.config.imports import VARIABLE
from trm.console.long_work import shown
from trm.console.redaction import shortened
from trm.console.streams import say
from trm.errors import ResourceError, TerminatedRun
from trm.sweeps.places import is_ray_job
from trm.terminal.command_line import end_on_signals

HOLDER_MEMORY_BYTES = 64 * 2**20
"""Asked for by a Tune trial that only waits for its gang: Tune refuses an empty request, and a CPU would starve the gang."""

ANSWER_SECONDS = 5.0
"""So long may a cluster take to answer."""


@dataclass(frozen=True)
class Node:
    """One living node of the cluster."""

    node_id: str
    address: str
    cpus: float
    gpus: float

    def __str__(self) -> str:
        return f"{self.address} ({self.node_id[:8]})"


@dataclass(frozen=True)
class Demand:
    """What one trial asks of the cluster."""

    workers: int
    cpus: float
    gpus: float

    @property
    def bundle(self) -> dict[str, float]:
        """One worker's place in a placement group."""
        return {"CPU": self.cpus} | ({"GPU": self.gpus} if self.gpus else {})

    @property
    def bundles(self) -> list[dict[str, float]]:
        """A trial's placement group: the workers' places, which in a gang follow that of the process which waits for them."""
        return [self.bundle] if self.workers == 1 else [{"memory": float(HOLDER_MEMORY_BYTES)}] + [self.bundle] * self.workers

    def __str__(self) -> str:
        each = f"{self.cpus:g} CPUs" + (f" and {self.gpus:g} GPUs" if self.gpus else "")
        return each if self.workers == 1 else f"{self.workers} workers with {each} each"


def ray_address(given: str | None) -> str:
    """Where Ray is: as given, RAY_ADDRESS, the cluster of this job, or `local` for an embedded one.

    ResourceError when it is no address of a cluster, or nobody answers there: Ray itself would try for minutes; and when this
    locale has no UTF-8 for the paths that Ray will be told of.
    """
    check_locale()
    address = given or os.environ.get("RAY_ADDRESS") or ("auto" if is_ray_job() else "local")
    if address in ("auto", "local"):
        return address
    host, _, port = address.rpartition(":")
    if "/" in address or not host or not port.isdecimal():
        raise ResourceError(
            f"the address of a Ray cluster is HOST:PORT, auto or local, got {address!r}",
            remedy="give what `ray start --head` printed, in --address or RAY_ADDRESS",
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, error) from error
    return address


def _no_cluster(address: str, error: BaseException) -> ResourceError:
    if isinstance(error, UnicodeError):
        return locale_problem(str(error))
    reason, remedy = shortened(str(error), 300), "start one with `ray start --head`, or unset RAY_ADDRESS to use an embedded one"
    if "Version mismatch" in str(error):
        remedy = "run the job with the Ray and Python that the cluster has"
    elif isinstance(error, AuthenticationError):
        remedy = "give its token: RAY_AUTH_MODE=token, with RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token of the machine that started it"
    return ResourceError(f"a Ray cluster must answer at {address}: {reason}", remedy=remedy)


@contextlib.contextmanager
def connected(
    *, needs_dashboard: bool, address: str, goes_on: str = "start the job again", metadata: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Hold a connection to Ray: the cluster at `address`, or with `local` an embedded one of this process.

    Relative paths mean something else afterwards in a Ray job, so make them absolute before. `goes_on` is said where Ray ends
    first, and the job with it; `ray list jobs` shows the `metadata`.

    Train's clean-up asks the state API, which lives in the dashboard: without it a gang never frees its placement group.
    """
    # The driver shows what matters; Ray's own log lines go to its session folder.
    logging.getLogger("ray").setLevel(logging.ERROR)
    options: dict[str, object] = {"address": address, "configure_logging": False, "log_to_driver": False}
    options["job_config"] = JobConfig(metadata=dict(metadata or {}))
    with contextlib.ExitStack() as stack:
        if address == "local":
            os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
            folder = stack.enter_context(private_session())
            options |= ray_options(folder, needs_dashboard=needs_dashboard)
            stack.enter_context(without_idle_services(needs_dashboard=needs_dashboard))
        else:  # an embedded one's workers have their environment from this process
            from trm.cluster.tune_hooks import inherited_variables  # brings Tune

            told = {VARIABLE: os.environ[VARIABLE]} if os.environ.get(VARIABLE) else {}
            options["runtime_env"] = {"env_vars": inherited_variables() | told}
        try:
            with shown("starting Ray" if address == "local" else f"connecting to Ray at {address}", say), _hangups_are_ours():
                ray.init(**options)
        except SystemExit as error:  # its own answer to SIGTERM, for as long as it starts
            raise TerminatedRun("SIGTERM") from error
        except Exception as error:  # Ray raises classes of every kind here, bare Exception among them
            raise not_started(folder, error) if address == "local" else _no_cluster(address, error) from error
        stack.callback(end_ray)
        end_on_signals()
        if is_ray_job():
            # The job's folder is no safe place: a second node on the same machine unpacks it anew under our feet.
            os.chdir(os.sep)
        if address != "local" and not is_token_auth_enabled():
            say(f"the Ray cluster at {address} asks for no token: whoever reaches it can run code there (RAY_AUTH_MODE=token)")
        stack.enter_context(watched(goes_on))
        yield


@contextlib.contextmanager
def _hangups_are_ours() -> Iterator[None]:
    """Processes that are started meanwhile do not hear when the terminal goes away: this one does, and ends them in order."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def living_nodes() -> list[Node]:
    """The cluster's living nodes with their total CPUs and GPUs."""
    return [
        Node(node["NodeID"], node["NodeManagerAddress"], resources.get("CPU", 0.0), resources.get("GPU", 0.0))
        for node in ray.nodes()
        if node["Alive"] and (resources := node["Resources"]) is not None
    ]


def leaving_nodes() -> dict[str, float | None]:
    """Nodes that are drained, by id, with the unix time at which they go; null: as soon as nothing runs there."""
    drained = ray._private.state.state.get_draining_nodes()
    return {node_id: deadline / 1000 if deadline else None for node_id, deadline in drained.items()}


def concurrent_trials(nodes: list[Node], demand: Demand, wanted: int | None) -> int:
    """Trials that run side by side: as many as fit the nodes, at most `wanted`. ResourceError when not even one does."""
    trials = fitting_trials(nodes, demand, wanted)
    if trials == 0:
        have = ", ".join(f"{node.address}: {node.cpus:g} CPUs, {node.gpus:g} GPUs" for node in nodes) or "no node"
        raise never_fits(demand, f"the cluster has {have}")
    return trials


def fitting_trials(nodes: list[Node], demand: Demand, wanted: int | None) -> int:
    """As `concurrent_trials`, which may be none.

    Workers are packed one after the other, and a gang counts when its last worker found a place.
    """
    rooms = [[node.cpus, node.gpus] for node in nodes]
    trials = 0
    while wanted is None or trials < wanted:
        if not all(_place(rooms, demand) for _ in range(demand.workers)):
            break
        trials += 1
    return trials


def _place(rooms: list[list[float]], demand: Demand) -> bool:
    tolerance = 1e-9
    for room in rooms:
        if room[0] + tolerance >= demand.cpus and room[1] + tolerance >= demand.gpus:
            room[0] -= demand.cpus
            room[1] -= demand.gpus
            return True
    return False


def check_fits_here(demand: Demand) -> None:
    """ResourceError when a trial needs more CPUs than this machine has: no embedded Ray has to be started to tell."""
    cpus = os.cpu_count() or 1
    if demand.workers * demand.cpus > cpus:
        raise never_fits(demand, f"this machine has {cpus} CPUs")


def never_fits(demand: Demand, have: str) -> ResourceError:
    """A trial could never start, because that is all there is."""
    return ResourceError(
        f"a trial asks for {demand}, and {have}, so none could ever start",
        remedy="lower resources.workers, resources.cpus or resources.gpus, or add nodes",
    )


def unshared_storage(folder: Path, nodes: list[Node]) -> dict[str, ResourceError]:
    """What is wrong with each node that does not read what we write in `folder`, or writes what we do not read, by its id."""
    found: dict[str, ResourceError] = {}
    token = os.urandom(8).hex()
    probe = folder / f".probe-{token}"
    probe.mkdir()
    try:
        (probe / "driver").write_text(token)
        tasks = [(node, on_node(node, answer_probe).remote(str(probe), node.node_id, token)) for node in nodes]
        for node, task in tasks:
            try:
                problem = ray.get(task, timeout=120) or unanswered(probe / node.node_id, token)
            except RayError as error:
                problem = f"it did not answer: {type(error).__name__}"
            if problem:
                found[node.node_id] = ResourceError(
                    f"every node must see the sweep folder {folder}: node {node.address} does not ({problem})",
                    remedy="give --storage a folder on a file system that all nodes mount at the same path",
                )
    finally:
        shutil.rmtree(probe, ignore_errors=True)
    return found


def on_node(node: Node, function: Callable[..., Any]) -> Any:
    """`function` as a Ray task that holds nothing and runs on that node."""
    strategy = NodeAffinitySchedulingStrategy(node.node_id, soft=False)
    return ray.remote(num_cpus=0, max_retries=0)(function).options(scheduling_strategy=strategy)
