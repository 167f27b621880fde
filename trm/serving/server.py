"""The application on a port of this machine: uvicorn, with a limit on how slowly a request may begin, and an end in order."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from trm.errors import ResourceError
from trm.serving.application import Serving

HEADER_SECONDS = 10.0
"""So long may the head of a request take to come."""
UNREAD_SECONDS = 20.0
"""So long may a client leave unread what it asked for."""
KEEP_ALIVE_SECONDS = 30
DRAIN_SECONDS = 30
"""So long are those answered who asked before the end."""
HEADER_BYTES = 1 << 14
MOST_CONNECTIONS = 512
SWITCH_SECONDS = 0.001
"""So long may the thread of supervision steps hold Python's lock when a request waits for it."""


class PatientProtocol(H11Protocol):
    """HTTP/1.1 on one connection, which ends where the head of a request does not come, or a response is not read."""

    _head_timer: asyncio.TimerHandle | None = None
    _unread_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """A client connects."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.close()
            return
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Bytes came: of the next request's head, or of a body."""
        super().data_received(data)
        if self._is_between:
            if self._head_timer is None and self.timeout_keep_alive_task is None:
                self._expect_head()
        else:
            self._forget_head()

    def on_response_complete(self) -> None:
        """A response is out."""
        super().on_response_complete()
        self._forget_head()

    def pause_writing(self) -> None:
        """More is to be read than fits between here and the client."""
        super().pause_writing()
        self._unread_timer = self.loop.call_later(UNREAD_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads."""
        super().resume_writing()
        self._forget_unread()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._forget_head()
        self._forget_unread()
        super().connection_lost(exc)

    @property
    def _is_between(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or bool(self.cycle.response_complete)

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(HEADER_SECONDS, self._give_up)

    def _forget_unread(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    def _forget_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        if self._is_between and not self.transport.is_closing():
            self.transport.close()


class _Server(uvicorn.Server):
    """Tells the application when the end begins."""

    def __init__(self, config: uvicorn.Config, serving: Serving, told: Callable[[], None]) -> None:
        super().__init__(config)
        self._serving, self._told = serving, told

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM or SIGINT: what was asked is answered, nothing more is taken."""
        self._serving.is_draining = True
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens."""
        await super().startup(sockets)
        self._told()


def listening(host: str, port: int) -> socket.socket:
    """A socket on that address; ResourceError where it cannot be had."""
    found: socket.socket | None = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        found = socket.socket(family, kind, protocol)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
    except (OSError, OverflowError) as error:
        if found is not None:
            found.close()
        raise ResourceError(
            f"a server needs an address of this machine that is free, {host}:{port} is not: {error}",
            remedy="give another --host or --port",
        ) from None
    found.listen(256)
    found.setblocking(False)
    return found


def made_server(serving: Serving, told: Callable[[], None]) -> uvicorn.Server:
    """The server of an application; `told` is called when it listens."""
    config = uvicorn.Config(
        serving.application,
        http=PatientProtocol,
        ws="none",
        interface="asgi3",
        proxy_headers=False,
        lifespan="off",
        loop="asyncio",
        access_log=False,
        log_level="critical",
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        h11_max_incomplete_event_size=HEADER_BYTES,
    )
    return _Server(config, serving, told)


def serve(serving: Serving, place: socket.socket, told: Callable[[], None]) -> None:
    """Answers until SIGINT or SIGTERM, then what was asked until then, and raises the signal again; `told` when it listens."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        made_server(serving, told).run([place])
    finally:
        sys.setswitchinterval(before)
        with contextlib.suppress(RuntimeError):
            serving.close()
