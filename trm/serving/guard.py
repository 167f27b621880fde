"""What stands before the application: who may ask, from where, how large and how slow a request may be; every error as JSON."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from trm.errors import InputError
from trm.files.json_files import parse_json
from trm.serving.measures import Measures

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
OPEN_ROUTES = ("/health", "/", "/assets")
"""What needs no token: whether the server lives, and the pages that ask for the token."""


def digest_of(token: str) -> bytes:
    """What a token is known by; the token itself is kept nowhere."""
    return hashlib.sha256(token.encode("latin-1", "replace")).digest()


class Refused(Exception):
    """A request that is not answered: its status, and rule, value, remedy."""

    def __init__(self, status: int, problem: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(problem)
        self.status, self.headers = status, headers or {}


@dataclass(frozen=True)
class Rules:
    """Who may ask, and how."""

    hosts: tuple[str, ...] | None = LOOPBACK_NAMES
    """Names in the Host header that are this server's; None: any. A page of another name that resolves to this machine has none."""
    token_digest: bytes | None = None
    """SHA-256 of what must stand in the Authorization header; None: anybody may ask."""
    origins: tuple[str, ...] = ()
    """Pages of other servers that may ask (CORS)."""
    body_bytes: int = 1 << 20
    body_seconds: float = 10.0
    """So long may a body take to come."""
    request_seconds: float = 60.0
    """So long may an answer take."""


class Guard:
    """An ASGI application behind these rules."""

    def __init__(self, application: Application, rules: Rules, measures: Measures, routes: frozenset[str]) -> None:
        self._application, self._rules, self._measures, self._routes = application, rules, measures, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or refuses it."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        if scope["type"] != "http":
            return
        started, told = time.perf_counter(), {"status": 0}
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        origin = headers.get("origin")
        is_allowed = origin is not None and origin in self._rules.origins

        async def sending(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                told["status"] = message["status"]
                extra = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]
                if is_allowed and origin is not None:
                    extra += [(b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"Origin")]
                message = {**message, "headers": [*message.get("headers", []), *extra]}
            await send(message)

        try:
            self._require_host(headers)
            if scope["method"] == "OPTIONS" and is_allowed:
                await _preflight(sending)
            else:
                self._require_token(scope["path"], headers)
                await self._application(scope, receive, sending)
        except Refused as refused:
            await send_json(sending, refused.status, {"error": str(refused)}, refused.headers)
        finally:
            route = scope["path"] if scope["path"] in self._routes else "other"
            method = scope["method"] if scope["method"] in ("GET", "POST", "HEAD", "OPTIONS") else "other"
            self._measures.requested(method, route, told["status"] or 499, time.perf_counter() - started)

    def _require_host(self, headers: dict[str, str]) -> None:
        host = headers.get("host", "")
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if self._rules.hosts is not None and name.lower() not in self._rules.hosts:
            known = ", ".join(self._rules.hosts)
            raise Refused(403, f"this server is called {known}, not {name[:80]!r}; ask it so, or start it with --allow-host")

    def _require_token(self, path: str, headers: dict[str, str]) -> None:
        if self._rules.token_digest is None or path in OPEN_ROUTES or path.startswith("/assets/"):
            return
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not hmac.compare_digest(digest_of(given.strip()), self._rules.token_digest):
            raise Refused(
                401,
                "this server asks for its token, and the request has none or another; send it as Authorization: Bearer TOKEN",
                {"www-authenticate": "Bearer"},
            )


async def body_of(scope: Scope, receive: Receive, rules: Rules) -> dict[str, Any]:
    """The JSON object of a request's body. Raises Refused."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    kind, _, parameters = headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if kind.strip().lower() != "application/json" or charset not in ("", "utf-8", "utf8"):
        raise Refused(
            415, f"a body must be application/json in UTF-8, got {headers.get('content-type', 'no type')[:80]!r}; set Content-Type"
        )
    if headers.get("content-encoding", "identity") != "identity":
        raise Refused(415, f"a body must not be compressed, got {headers['content-encoding'][:80]!r}; send it as it is")
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > rules.body_bytes:
        raise _too_large(length[:20], rules)
    content = bytearray()
    try:
        async with asyncio.timeout(rules.body_seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refused(499, "the client has gone; nothing is answered")
                content += message.get("body", b"")
                if len(content) > rules.body_bytes:
                    raise _too_large(f"more than {rules.body_bytes}", rules)
                if not message.get("more_body", False):
                    break
    except TimeoutError:
        problem = f"a body must come within {rules.body_seconds:g} s, {len(content)} bytes of it did; send it at once"
        raise Refused(408, problem, {"connection": "close"}) from None
    try:
        values: dict[str, Any] = parse_json(
            _text_of(content), "the body", dict, error=InputError, remedy="see POST /predict in docs/how/serving.md"
        )
    except InputError as error:
        raise Refused(400, str(error)) from None
    return values


def _text_of(content: bytearray) -> str:
    """A body as text: of UTF-8 alone, whatever else JSON may come in."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise Refused(400, "the body must be JSON, and is no UTF-8 text; send it as UTF-8") from None


def _too_large(found: str, rules: Rules) -> Refused:
    problem = f"a body must have at most {rules.body_bytes} bytes, this one has {found}; post fewer puzzles at once"
    return Refused(413, problem, {"connection": "close"})


async def send_json(send: Send, status: int, values: Any, headers: dict[str, str] | None = None) -> None:
    """A whole response."""
    content = json.dumps(values, separators=(",", ":"), allow_nan=False).encode()
    await send_bytes(send, status, content, "application/json", headers)


async def send_bytes(send: Send, status: int, content: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
    """A whole response of some media type."""
    told = {"content-type": kind, "content-length": str(len(content)), "cache-control": "no-store", **(headers or {})}
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in told.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": content})


async def _live(receive: Receive, send: Send) -> None:
    """A server begins and ends: nothing hangs on it here."""
    while True:
        stage = (await receive())["type"]
        await send({"type": f"{stage}.complete"})
        if stage == "lifespan.shutdown":
            return


async def _preflight(send: Send) -> None:
    allowed = {"access-control-allow-methods": "GET, POST", "access-control-allow-headers": "authorization, content-type"}
    await send_bytes(send, 204, b"", "text/plain", {**allowed, "access-control-max-age": "600"})
