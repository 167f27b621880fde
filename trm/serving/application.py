"""The ASGI application that answers posted puzzles: `POST /predict`, and what a playground and a cluster ask besides."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from trm.console.redaction import reason_of
from trm.errors import QuestionError, TRMError
from trm.serving.batching import Busy
from trm.serving.desk import Desk, NotHere
from trm.serving.guard import Guard, Receive, Refused, Rules, Scope, Send, body_of, send_bytes, send_json
from trm.serving.measures import Measures
from trm.serving.playground import POLICY, playground_files

Handler = Callable[[Scope, Receive, Send], Awaitable[None]]


class Serving:
    """A desk behind HTTP."""

    def __init__(self, desk: Desk, measures: Measures, rules: Rules | None = None) -> None:
        self.desk, self.measures, self.rules = desk, measures, rules or Rules()
        self.is_draining = False
        self.routes: dict[str, dict[str, Handler]] = {
            "/predict": {"POST": self._posted(desk.predict)},
            "/solve": {"POST": self._posted(desk.solve)},
            "/random": {"POST": self._posted(desk.random)},
            "/model": {"GET": self._got(desk.model)},
            "/examples": {"GET": self._got(desk.examples)},
            "/health": {"GET": self._health},
            "/metrics": {"GET": self._metrics},
        }
        # they need no token (`guard.OPEN_ROUTES`): it is the page that asks for it
        self.routes |= {path: {"GET": _file(*file)} for path, file in playground_files().items()}

    @property
    def application(self) -> Guard:
        """The ASGI application."""
        return Guard(self._answer, self.rules, self.measures, frozenset(self.routes))

    def close(self) -> None:
        """Nothing is answered any more."""
        self.is_draining = True
        self.desk.close()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        methods = self.routes.get(scope["path"])
        if methods is None:
            raise Refused(404, f"there is no {scope['path'][:80]!r} here; choose of {', '.join(self.routes)}")
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        if method not in methods:
            told = f"{scope['path']} takes {' and '.join(methods)}, got {scope['method'][:20]}; ask it that way"
            raise Refused(405, told, {"allow": ", ".join(methods)})
        try:
            await methods[method](scope, receive, send)
        except (Refused, asyncio.CancelledError):
            raise
        except Exception as error:
            raise self._refused(error) from error

    def _refused(self, error: Exception) -> Refused:
        """What is told of an error."""
        match error:
            case QuestionError():
                return Refused(400, str(error))
            case NotHere():
                return Refused(404, str(error))
            case Busy():
                is_ending = self.is_draining or not self.desk.is_alive
                return Refused(503 if is_ending else 429, str(error), {"retry-after": str(error.seconds)})
            case TimeoutError():
                seconds = f"{self.rules.request_seconds:g} s"
                told = f"an answer must come within {seconds}, this one did not; ask fewer steps, forms or puzzles"
                return Refused(503, told, {"retry-after": "5"})
            case TRMError():
                return Refused(503, f"{error}; ask again", {"retry-after": "5"})
            case _:
                return Refused(500, f"this should not happen: {reason_of(error)}; tell who runs the server")

    def _posted(self, asked: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]) -> Handler:
        """The handler of values that are posted; who goes away is no longer answered."""

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            self._require_open()
            values = await body_of(scope, receive, self.rules)
            async with asyncio.timeout(self.rules.request_seconds):
                found = await _unless_gone(asked(values), receive)
            await send_json(send, 200, found)

        return answer

    def _got(self, asked: Callable[[], Awaitable[dict[str, Any]]]) -> Handler:
        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            async with asyncio.timeout(self.rules.request_seconds):
                found = await asked()
            await send_json(send, 200, found)

        return answer

    async def _health(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_well = self.desk.is_alive and not self.is_draining
        told = "ok" if is_well else "draining" if self.is_draining else "failed"
        await send_json(send, 200 if is_well else 503, {"status": told})

    async def _metrics(self, scope: Scope, receive: Receive, send: Send) -> None:
        text = self.measures.text(self.desk.gauges())
        await send_bytes(send, 200, text.encode(), "text/plain; version=0.0.4; charset=utf-8")

    def _require_open(self) -> None:
        if self.is_draining:
            told = "this server ends and takes no more requests; ask again in 5 s"
            raise Refused(503, told, {"retry-after": "5", "connection": "close"})


def _file(content: bytes, kind: str) -> Handler:
    """Gives a file of the playground."""

    async def give(scope: Scope, receive: Receive, send: Send) -> None:
        await send_bytes(send, 200, content, kind, {"content-security-policy": POLICY})

    return give


async def _unless_gone(asked: Awaitable[Any], receive: Receive) -> Any:
    """What is asked for, unless the client goes away first: then it is no longer asked. Raises Refused."""
    work, gone = asyncio.ensure_future(asked), asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise Refused(499, "the client has gone; nothing is answered")
    finally:
        for task in (work, gone):
            task.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
