"""A Ray of this process alone: on the loopback interface, behind a token, in a folder that nobody else can read.

Ray's own defaults are those of a cluster: ports on every interface, sessions below /tmp/ray with rights for everybody, and no
token where RAY_AUTH_MODE says so.
"""

import contextlib
import os
import re
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from ray._private import ray_constants
from ray._private.authentication.authentication_token_setup import AuthenticationTokenLoader, Config
from ray._private.node import Node

from trm.cluster.interfaces import LOOPBACK, interface_of
from trm.cluster.patches import replaced
from trm.console.redaction import redacted, shortened
from trm.console.streams import say
from trm.errors import InputError, InterruptedRun, ResourceError

SOCKET_BYTES = 107
"""A Unix socket's path has at most so many."""
RAY_BYTES = len("/trm-ray-12345678/r/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store.1")
"""What of it stands below the folder for temporary files."""
LOOPBACK_ONLY = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's switch for machines that form no clusters; `0`: every process listens on the loopback interface only."""
DUMPS = "RAY_event_stats_print_interval_ms"
"""Milliseconds between two dumps of Ray's state into its services' logs: two of three lines there."""
SELDOM = str(24 * 60 * 60 * 1000)
"""A day. -1, Ray's word for never, keeps the head's process busy all the time: 4.7 s of a core in 5 s (Ray 2.60)."""
LOGS = ("gcs_server.err", "raylet.err", "gcs_server.out", "raylet.out", "dashboard.err", "dashboard_agent.log")
TROUBLE = re.compile(r"check failed|cannot|can't|could not|failed|no space|denied|refused|in use|too long|unable|error", re.I)
SHM_SIGNS = ("/dev/shm", "shared memory")


@contextlib.contextmanager
def private_session() -> Iterator[Path]:
    """A folder for Ray's session, and an environment in which a new Ray keeps to this machine and this user.

    The folder goes again, unless something unforeseen ended the block: then its logs may tell what. ResourceError when there is
    no place for it.
    """
    if os.environ.get("RAY_AUTH_MODE", "token").lower() != "token":
        say(f"RAY_AUTH_MODE={os.environ['RAY_AUTH_MODE']} is for clusters: the Ray of this job alone asks for its token")
    folder = _new_folder()
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    environment = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_AUTH_TOKEN": None,  # would stand before the file
        "RAY_USAGE_STATS_ENABLED": "0",
        LOOPBACK_ONLY: "0",
        DUMPS: os.environ.get(DUMPS, SELDOM),
        "GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME") or interface_of(LOOPBACK),
    }
    is_kept = False
    # Ray read its switches when it was imported.
    with _environment(environment), replaced(ray_constants, "ENABLE_RAY_CLUSTER", False):
        try:
            yield folder
        except (InputError, InterruptedRun, KeyboardInterrupt):
            raise
        except BaseException:
            is_kept = True
            raise
        finally:
            token.unlink(missing_ok=True)
            if not is_kept:
                shutil.rmtree(folder, ignore_errors=True)


def ray_options(folder: Path, *, needs_dashboard: bool) -> dict[str, object]:
    """What `ray.init` is to be told, besides how it logs."""
    # Ray opens its temporary folder to everybody: it gets one inside of ours.
    return {"include_dashboard": needs_dashboard, "dashboard_host": "127.0.0.1", "_temp_dir": str(folder / "r")}


@contextlib.contextmanager
def without_idle_services(*, needs_dashboard: bool) -> Iterator[None]:
    """While entered, a Ray that starts here goes without what nobody asks: 2.4 s of a core, and a second and more of waiting.

    The autoscaler's monitor; the one that sends workers' output to drivers, which ours do not want; and, unless it is needed, the
    dashboard's server, which even without its pages is started for usage statistics, and waited for.
    """
    with contextlib.ExitStack() as changed:
        changed.enter_context(replaced(Node, "start_monitor", lambda node: None))
        changed.enter_context(replaced(Node, "start_log_monitor", lambda node: None))
        if not needs_dashboard:
            changed.enter_context(replaced(Node, "start_api_server", lambda node, **options: None))
        yield


def not_started(folder: Path, error: BaseException) -> ResourceError:
    """Why no Ray of our own came up, from what `ray.init` raised and its processes logged in `folder`."""
    if isinstance(error, UnicodeError):
        return locale_problem(f"{error}")
    told = f"{type(error).__name__}: {error}"
    logged = _logged(folder)
    reason = shortened(f"{told} {logged}" if logged else told, 600)
    if any(sign in reason for sign in SHM_SIGNS):
        remedy = "make room in /dev/shm (a container's --shm-size), or set RAY_OBJECT_STORE_ALLOW_SLOW_STORAGE=1"
    elif "No space left" in reason or "Disk quota" in reason:
        remedy = f"make room in {folder.parent} and /dev/shm, or set TMPDIR to a short path with room"
    elif "in use" in reason:
        remedy = "start again; something took a port that it had chosen"
    else:
        remedy = "free memory and processes if they are short (`ulimit -u`), or give --address of a cluster that runs"
    return ResourceError(f"Ray could not start on this machine: {redacted(reason)}", remedy=remedy)


def check_locale(*paths: str) -> None:
    """ResourceError when a path that Ray will be told of, or one of `paths`, has letters that this locale cannot say."""
    for path in (os.getcwd(), sys.executable, *_temporary(), *sys.path, *sys.argv, *paths):
        try:
            path.encode()
        except UnicodeEncodeError as error:
            raise locale_problem(repr(os.fsencode(path))[2:-1]) from error


def locale_problem(what: str) -> ResourceError:
    """A path or text that is no text in this locale."""
    locale = next((f"{name}={os.environ[name]}" for name in ("LC_ALL", "LC_CTYPE", "LANG") if os.environ.get(name)), "none is set")
    return ResourceError(
        f"Ray needs paths as UTF-8 text, and in this locale ({locale}, which Python reads as {sys.getfilesystemencoding()}) "
        f"these are not: {what}",
        remedy="set LC_ALL=C.UTF-8 or PYTHONUTF8=1, or use paths of plain ASCII",
    )


def _new_folder() -> Path:
    """A folder that this process has just made, and only its user can enter; short enough for the sockets below it."""
    given = os.environ.get("RAY_TMPDIR")
    tried = []
    for place in [given] if given else [*_temporary(), "/tmp", "/var/tmp", "/dev/shm"]:
        if len(os.fsencode(place)) + RAY_BYTES > SOCKET_BYTES:
            tried.append(f"{place} is longer than {SOCKET_BYTES - RAY_BYTES} characters")
            continue
        try:
            return Path(tempfile.mkdtemp(prefix="trm-ray-", dir=place))
        except OSError as error:
            tried.append(f"{place}: {error.strerror}")
    raise ResourceError(
        f"Ray keeps its sockets in a folder for temporary files, and has none ({'; '.join(dict.fromkeys(tried))})",
        remedy=f"set {'RAY_TMPDIR' if given else 'TMPDIR'} to a folder with a short path that you can write to",
    )


def _temporary() -> list[str]:
    """The folder for temporary files, if there is one that can be written to."""
    try:
        return [tempfile.gettempdir()]
    except OSError:
        return []


def _logged(folder: Path) -> str:
    """The last line of Ray's logs that tells of trouble."""
    for name in LOGS:
        for path in sorted((folder / "r" / "session_latest" / "logs").glob(name)):
            lines = [line for line in path.read_text(errors="replace").splitlines() if TROUBLE.search(line)]
            if lines:
                return f"({name}: {lines[-1].strip()})"
    return ""


@contextlib.contextmanager
def _environment(values: Mapping[str, str | None]) -> Iterator[None]:
    """The environment with these values, None for none, until the block ends."""
    before = {name: os.environ.get(name) for name in values}

    def put(chosen: Mapping[str, str | None]) -> None:
        for name, value in chosen.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        Config.initialize("")  # Ray read the mode when it was imported
        AuthenticationTokenLoader.instance().reset_cache()

    put(values)
    try:
        yield
    finally:
        put(before)
