"""A page served on this machine's loopback and followed by browsers: read only, made anew when somebody asks and it has changed."""

import contextlib
import gzip
import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from trm.console.streams import one_line
from trm.errors import ConfigError
from trm.pages.page import Page, finite, page_bytes
from trm.tracking.outbox import cause_of

DATA = "data"
"""Where a live page asks for what is new."""
HOSTS = ("127.0.0.1", "localhost", "[::1]")
"""Names under which it answers, whatever the port: a tunnel has another. A page of a foreign name that was bound to this address is
refused."""
LEAST_REST_SECONDS, REST = 1.0, 10.0
"""A page is made at most so often, and after a rest of so many times what the last one took."""


@dataclass(frozen=True)
class Made:
    """A page as it was made."""

    version: str
    page: Page

    @property
    def news(self) -> dict[str, Any]:
        """What a live page is told; JSON."""
        sections = [{"name": one.name, "title": one.title, "data": one.data} for one in self.page.sections]
        return {"version": self.version, "about": self.page.about, "shared": self.page.shared, "sections": sections}


class Followed:
    """The newest page of something that changes; any number of threads ask for it."""

    def __init__(self, version_of: Callable[[], str], make: Callable[[], Page]) -> None:
        """`version_of` reads what is new and says what stands, cheaply; `make` makes the page of that."""
        self._version_of, self._make = version_of, make
        self._lock = threading.Lock()
        self._made: Made | None = None
        self._packed: tuple[str, bytes] = ("", b"")
        self._next = 0.0

    def newest(self) -> Made:
        """The page as it stands, or as it stood a moment ago."""
        with self._lock:
            if self._made is None or time.monotonic() >= self._next:
                start = time.monotonic()
                version = self._version_of()
                if self._made is None or self._made.version != version:
                    self._made = Made(version, replace(self._make(), live=DATA, version=version))
                done = time.monotonic()
                self._next = done + max(LEAST_REST_SECONDS, REST * (done - start))
            return self._made

    def news(self, since: str) -> bytes | None:
        """What is new, as gzipped JSON; null where nothing is since that version."""
        made = self.newest()
        if made.version == since:
            return None
        with self._lock:
            if self._packed[0] != made.version:
                content = json.dumps(finite(made.news), allow_nan=False, separators=(",", ":")).encode()
                self._packed = made.version, gzip.compress(content, 4)
            return self._packed[1]


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD of two addresses."""

    server: "LiveServer"
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "trm-search", ""
    timeout = 30

    def do_GET(self) -> None:
        """The page, or what is new of it."""
        host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if host.lower() not in HOSTS:
            self._answer(HTTPStatus.FORBIDDEN, b"ask by localhost or 127.0.0.1\n", "text/plain")
            return
        address = urlsplit(self.path)
        try:
            if address.path == "/":
                self._answer(HTTPStatus.OK, page_bytes(self.server.followed.newest().page), "text/html; charset=utf-8")
            elif address.path == f"/{DATA}":
                self._news(parse_qs(address.query).get("since", [""])[0])
            else:
                self._answer(HTTPStatus.NOT_FOUND, b"there are / and /data\n", "text/plain")
        except ConnectionError:
            self.close_connection = True
        except Exception as error:  # the edge: what cannot be read now may be read at the next look
            with contextlib.suppress(ConnectionError):
                self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, f"{one_line(cause_of(error))}\n".encode(), "text/plain")

    do_HEAD = do_GET

    def _news(self, since: str) -> None:
        found = self.server.followed.news(since)
        if found is None:
            self._answer(HTTPStatus.NO_CONTENT, b"", "application/json")
        else:
            self._answer(HTTPStatus.OK, found, "application/json", "gzip")

    def _answer(self, status: HTTPStatus, content: bytes, kind: str, encoding: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if encoding is not None:
            self.send_header("Content-Encoding", encoding)
        for name, value in SECURITY.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: who looks is nobody's business."""


SECURITY = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class LiveServer(ThreadingHTTPServer):
    """The server of a live page, on loopback."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, followed: Followed, port: int) -> None:
        """Bound, not yet serving; ConfigError where the port is taken."""
        self.followed = followed
        try:
            super().__init__(("127.0.0.1", port), Handler)
        except OSError as error:
            raise ConfigError(f"port {port} must be free on this machine: {error.strerror}", remedy="leave --port out") from error

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def handle_error(self, request: socket.socket | tuple[bytes, socket.socket], client_address: Any) -> None:
        """A browser that went away is no fault."""
