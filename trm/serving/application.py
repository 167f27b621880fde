"""The application that answers posted puzzles: `POST /predict`, and what a playground and a cluster ask besides. One file, ASGI."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from trm import __version__
from trm.console.redaction import reason_of
from trm.errors import QuestionError, TRMError
from trm.files.weight_files import MODEL_FILE
from trm.serving.batching import QUEUE_ROWS, Batcher, Busy
from trm.serving.examples import examples_of
from trm.serving.guard import Guard, Receive, Refused, Rules, Scope, Send, body_of, send_bytes, send_json
from trm.serving.measures import Measures
from trm.serving.playground import POLICY, playground_files
from trm.serving.questions import FIELDS, Question
from trm.serving.solver import Solver
from trm.tasks.choice import task_named

MOST_SEED = 1 << 53
"""What JavaScript counts to."""
Handler = Callable[[Scope, Receive, Send], Awaitable[None]]


class Serving:
    """A solver behind HTTP."""

    def __init__(
        self, solver: Solver, rules: Rules | None = None, *, queue_rows: int = QUEUE_ROWS, batch_rows: int | None = None
    ) -> None:
        self.solver, self.rules, self.measures = solver, rules or Rules(), Measures()
        self.batcher = Batcher(solver, self.measures, queue_rows=queue_rows, batch_rows=batch_rows)
        self.is_draining = False
        self._solving = asyncio.Semaphore(1)
        self.routes: dict[str, dict[str, Handler]] = {
            "/predict": {"POST": self._predict},
            "/solve": {"POST": self._solve},
            "/random": {"POST": self._random},
            "/model": {"GET": self._model},
            "/examples": {"GET": self._examples},
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
        self.batcher.close()

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
        except QuestionError as error:
            raise Refused(400, str(error)) from None
        except Busy as busy:
            status = 503 if self.is_draining or not self.batcher.is_alive else 429
            raise Refused(status, str(busy), {"retry-after": str(busy.seconds)}) from None
        except TimeoutError:
            problem = f"an answer must come within {self.rules.request_seconds:g} s, this one did not; ask fewer steps or puzzles"
            raise Refused(503, problem, {"retry-after": "5"}) from None
        except TRMError as error:
            raise Refused(503, f"{error}; ask again", {"retry-after": "5"}) from None
        except (Refused, asyncio.CancelledError):
            raise
        except Exception as error:
            raise Refused(500, f"this should not happen: {reason_of(error)}; tell who runs the server") from error

    async def _predict(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._require_open()
        values = await body_of(scope, receive, self.rules)
        questions, is_many = self._questions(values)
        self.solver.reader.require_work(questions)
        async with asyncio.timeout(self.rules.request_seconds):
            answers = await _unless_gone(self.batcher.ask(questions), receive)
        made = []
        for question, answer in zip(questions, answers, strict=True):
            self.measures.answered(answer.verdict.is_valid)
            made.append(self.solver.values(question, answer))
        await send_json(send, 200, {"answers": made} if is_many else made[0])

    def _questions(self, values: dict[str, Any]) -> tuple[list[Question], bool]:
        """The questions of a body, and whether it is a list of them. Raises QuestionError."""
        if "puzzles" not in values:
            return [self.solver.question(values)], False
        shared = {name: value for name, value in values.items() if name != "puzzles"}
        puzzles = values["puzzles"]
        if not isinstance(puzzles, list) or not 1 <= len(puzzles) <= self.solver.limits.puzzles:
            raise QuestionError(
                f"puzzles must be a list of 1 to {self.solver.limits.puzzles}, got "
                + (f"{len(puzzles)}" if isinstance(puzzles, list) else "none"),
                remedy='post {"puzzles": [{"grid": [...]}, ...]}',
            )
        found = []
        for number, one in enumerate(puzzles):
            try:
                found.append(self.solver.question(one, shared))
            except QuestionError as error:
                raise QuestionError(f"puzzles[{number}]: {error.problem}", remedy=error.remedy) from None
        return found, True

    async def _solve(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._require_open()
        posed = self.solver.reader.posed(await body_of(scope, receive, self.rules))
        manifest, play = self.solver.manifest, self.solver.play
        async with asyncio.timeout(self.rules.request_seconds), self._solving:
            solved = await asyncio.to_thread(play.solved, posed, manifest)
        if solved is None:
            raise Refused(404, f"nobody here solves {manifest.task} puzzles but the network; ask POST /predict")
        await send_json(send, 200, {"answer": play.written(solved, manifest), "tokens": solved.tolist()})

    async def _random(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._require_open()
        values = await body_of(scope, receive, self.rules)
        seed = values.get("seed", secrets.randbelow(MOST_SEED))
        if type(seed) is not int or not 0 <= seed < MOST_SEED or set(values) - {"seed"}:
            raise QuestionError(
                "a random puzzle has a seed from 0 to 2^53 or nothing, got something else", remedy='post {"seed": 1}'
            )
        manifest, play = self.solver.manifest, self.solver.play
        async with asyncio.timeout(self.rules.request_seconds), self._solving:
            drawn = await asyncio.to_thread(play.drawn, seed, manifest)
        if drawn is None:
            raise Refused(404, f"nobody here makes {manifest.task} puzzles; choose one of GET /examples")
        await send_json(send, 200, {"grid": play.written(drawn, manifest), "tokens": drawn.tolist(), "seed": seed})

    async def _examples(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with asyncio.timeout(self.rules.request_seconds), self._solving:
            found = await asyncio.to_thread(examples_of, self.solver)
        await send_json(send, 200, {"examples": found})

    async def _model(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send_json(send, 200, model_values(self.solver))

    async def _health(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_well = self.batcher.is_alive and not self.is_draining
        told = "ok" if is_well else "draining" if self.is_draining else "failed"
        await send_json(send, 200 if is_well else 503, {"status": told})

    async def _metrics(self, scope: Scope, receive: Receive, send: Send) -> None:
        gauges = {
            "trm_serve_waiting_rows": ("Rows that wait for a place in the batch.", float(self.batcher.waiting_rows)),
            "trm_serve_batched_rows": ("Rows in the batch.", float(self.batcher.batched_rows)),
        }
        await send_bytes(send, 200, self.measures.text(gauges).encode(), "text/plain; version=0.0.4; charset=utf-8")

    def _require_open(self) -> None:
        if self.is_draining:
            raise Refused(
                503, "this server ends and takes no more requests; ask again in 5 s", {"retry-after": "5", "connection": "close"}
            )


def model_values(solver: Solver) -> dict[str, Any]:
    """JSON: what the network answers, and what may be asked."""
    manifest, config, limits = solver.manifest, solver.config, solver.limits
    task = task_named(manifest.task)
    has_forms = task.forms(manifest) is not None or (task.has_votes and solver.opened.identifiers is not None)
    return {
        "version": __version__,
        "task": manifest.task,
        "data": manifest.name,
        "height": manifest.grid[0],
        "width": manifest.grid[1],
        "vocabulary": list(manifest.vocabulary),
        "legend": task.legend(manifest.grid, manifest.vocabulary).values(),
        "architecture": config.model.architecture,
        "weights": {"file": MODEL_FILE, "data_hash": solver.opened.weights.data_hash, "step": solver.opened.weights.step},
        "parameters": sum(parameter.numel() for parameter in solver.trained.model.parameters()),
        "device": str(solver.device),
        "steps": config.answer_steps,
        "fields": list(FIELDS),
        "has_demonstrations": solver.play.has_demonstrations,
        "identifiers": manifest.num_puzzle_identifiers,
        "most": {
            "puzzles": limits.puzzles,
            "steps": limits.steps,
            "forms": min(limits.breadth, limits.breadth if task.has_votes else task.most_forms) if has_forms else 1,
            "rollouts": limits.breadth if config.draws_in_evaluation else 1,
        },
    }


def _file(content: bytes, kind: str) -> Handler:
    """Gives a file of the playground."""

    async def give(scope: Scope, receive: Receive, send: Send) -> None:
        await send_bytes(send, 200, content, kind, {"content-security-policy": POLICY})

    return give


async def _unless_gone(asked: Awaitable[Any], receive: Receive) -> Any:
    """What is asked for, unless the client goes away first: then it is no longer asked. Raises Refused."""
    work = asyncio.ensure_future(asked)
    gone = asyncio.ensure_future(_gone(receive))
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
