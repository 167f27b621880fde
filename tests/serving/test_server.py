"""The server as clients meet it, over real sockets: right answers under load, bounds for the rude, an end in order."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from serving_cases import sudoku_export

from trm.data.batches.split import load_split
from trm.errors import ConfigError, ResourceError
from trm.serving import server
from trm.serving.application import Serving
from trm.serving.desk import SolverDesk
from trm.serving.guard import Rules, digest_of, send_bytes
from trm.serving.measures import Measures
from trm.serving.solver import Solver
from trm.serving.token import TOKEN_VARIABLE, token_of

ROOT = Path(__file__).parents[2]
ROW = "..1...4..12.4..1"
TOKEN = "only-for-these-tests-0123"


@dataclass
class Running:
    """A server in this process, with short patience."""

    port: int
    serving: Serving
    solver: Solver

    def ask(self, method: str, path: str, body: bytes | str | None = None, **headers: str) -> tuple[int, Any, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        told = {"Content-Type": "application/json"} if body is not None else {}
        connection.request(method, path, body, told | {name.replace("_", "-"): value for name, value in headers.items()})
        found = connection.getresponse()
        content = found.read()
        connection.close()
        is_json = (found.getheader("content-type") or "").startswith("application/json")
        headers_found = {name.lower(): value for name, value in found.getheaders()}
        return found.status, json.loads(content) if is_json else content.decode(), headers_found

    def post(self, path: str, values: Any, **headers: str) -> tuple[int, Any, dict[str, str]]:
        return self.ask("POST", path, json.dumps(values), **headers)


def started(solver: Solver, rules: Rules, **bounds: int) -> tuple[Running, Any, threading.Thread]:
    measures, listens = Measures(), threading.Event()
    serving = Serving(SolverDesk(solver, measures, **bounds), measures, rules)
    place = server.listening("127.0.0.1", 0)
    made = server.made_server(serving, listens.set)
    thread = threading.Thread(target=made.run, args=([place],))
    thread.start()
    assert listens.wait(20)
    return Running(place.getsockname()[1], serving, solver), made, thread


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sudoku_export(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def running(export: Path) -> Iterator[Running]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "HEADER_SECONDS", 0.6)
        patch.setattr(server, "UNREAD_SECONDS", 0.6)
        rules = Rules(body_bytes=20_000, body_seconds=0.6, request_seconds=5.0, origins=("https://lab.example",))
        found, made, thread = started(Solver.open(export), rules, queue_rows=80)
        yield found
        made.should_exit = True
        thread.join(20)
        assert not thread.is_alive()
        found.serving.close()


def test_sixty_four_clients_at_once_are_all_answered_and_none_wrong(running: Running) -> None:
    solver = running.solver
    assert solver.opened.data is not None
    rows = load_split(solver.opened.data, solver.manifest, "test").inputs
    known = [answer.cells.tolist() for answer in solver.solve([{"row": row.tolist()} for row in rows])]

    def client(number: int) -> list[tuple[int, bool]]:
        found = []
        for k in range(3):
            place = (number + 7 * k) % len(rows)
            status, values, _ = running.post("/predict", {"row": rows[place].tolist(), "tokens": True})
            found.append((status, values.get("tokens") == known[place]))
        return found

    with ThreadPoolExecutor(64) as clients:
        assert Counter(one for some in clients.map(client, range(64)) for one in some) == {(200, True): 192}
    _, text, _ = running.ask("GET", "/metrics")
    assert 'trm_serve_requests_total{method="POST",route="/predict",status="200"} 192' in text
    assert "trm_serve_predict_seconds_count 192" in text
    batches, steps = (int(re.search(f"{name} (\\d+)", text)[1]) for name in ("batch_rows_count", "row_steps_total"))  # type: ignore[index]
    assert steps == 192 * solver.config.answer_steps
    assert batches < steps / 4  # rows of several requests were in one batch


def test_one_request_may_have_several_puzzles_and_says_which_breaks_a_rule(running: Running) -> None:
    status, values, _ = running.post("/predict", {"puzzles": [{"row": ROW}, {"row": ROW, "steps": 2}], "trace": True, "steps": 3})
    assert status == 200
    assert [len(one["trace"]) for one in values["answers"]] == [3, 2]
    assert [one["valid"] for one in values["answers"]] == [False, False]
    status, values, _ = running.post("/predict", {"puzzles": [{"row": ROW}, {"row": "x" * 16}]})
    assert (status, values["error"].split(";")[0]) == (
        400,
        "puzzles[1]: a cell must be a digit from 1 to 4, or 0 or '.' for a blank, row 1, column 1 is 'x'",
    )
    assert running.post("/predict", {"puzzles": [{"row": ROW}] * 65})[0] == 400
    assert running.post("/predict", {"puzzles": [{"row": ROW, "steps": 64, "forms": 64}] * 3})[0] == 400
    solved = running.post("/solve", {"row": ROW})[1]
    assert solved["answer"] == [[2, 4, 1, 3], [1, 3, 4, 2], [3, 1, 2, 4], [4, 2, 3, 1]]
    assert running.post("/random", {"seed": 5})[1] == running.post("/random", {"seed": 5})[1]
    assert len(running.ask("GET", "/examples")[1]["examples"]) == 12
    assert running.ask("GET", "/model")[1]["most"] == {"puzzles": 64, "steps": 64, "forms": 64, "rollouts": 1}


BAD_BODIES: list[tuple[bytes, str]] = [
    (b"", "must be JSON"),
    (b"{", "must be JSON"),
    (b"[1]", "must hold an object, and holds a list"),
    (b'{"row": NaN}', "a number must be finite, got NaN"),
    (b'{"row": Infinity}', "a number must be finite"),
    (b'{"row": 1e999}', "a number must be finite"),
    (b'{"steps": ' + b"9" * 5000 + b"}", "must be JSON"),
    (b'{"row": ' + b"[" * 5000 + b"]" * 5000 + b"}", "at most 64 deep"),
    (b'{"row": 1, "row": 2}', "'row' is there twice"),
    (b'{"row": "\xff"}', "no UTF-8 text"),
    (b'{"row": "\\ud800"}', "half a surrogate pair"),
    (json.dumps({"row": "1"}).encode("utf-16"), "the body must be JSON"),
]


def test_malformed_bodies_are_refused_with_the_rule_they_break(running: Running) -> None:
    for body, told in BAD_BODIES:
        status, values, _ = running.ask("POST", "/predict", body)
        assert (status, told in values["error"]) == (400, True), (body[:40], values)


def test_what_is_asked_otherwise_has_the_status_for_it(running: Running) -> None:
    body = json.dumps({"row": ROW})
    assert running.ask("POST", "/predict", body, Content_Type="text/plain")[0] == 415
    assert running.ask("POST", "/predict", body, Content_Type="application/json; charset=latin-1")[0] == 415
    assert running.ask("POST", "/predict", body, Content_Encoding="gzip")[0] == 415
    assert running.ask("GET", "/predict")[0] == 405
    assert running.ask("GET", "/predict")[2]["allow"] == "POST"
    assert running.ask("GET", "/../etc/passwd")[0] == 404
    assert running.ask("POST", "/predict", b'{"row": "' + b"." * 20_000 + b'"}')[0] == 413
    for host, status in (
        ("evil.example", 403),
        ("localhost:1", 200),
        (f"127.0.0.1:{running.port}", 200),
        ("[::1]:80", 200),
        ("", 403),
    ):
        assert running.ask("GET", "/health", Host=host)[0] == status, host
    assert "access-control-allow-origin" not in running.ask("GET", "/health", Origin="https://evil.example")[2]
    assert running.ask("GET", "/health", Origin="https://lab.example")[2]["access-control-allow-origin"] == "https://lab.example"
    assert running.ask("OPTIONS", "/predict", Origin="https://evil.example")[0] == 405
    assert running.ask("OPTIONS", "/predict", Origin="https://lab.example")[0] == 204


def test_slow_and_endless_clients_are_not_waited_for(running: Running) -> None:
    def spoken(first: bytes, more: bytes, pause: float) -> tuple[float, bytes]:
        """Seconds until the server has enough of a client that goes on a byte at a time, and what it says."""
        with socket.create_connection(("127.0.0.1", running.port), timeout=10) as client:
            begun, heard = time.monotonic(), b""
            client.sendall(first)
            for byte in more * 100:
                client.settimeout(pause)
                try:
                    if not (part := client.recv(1000)):
                        return time.monotonic() - begun, heard
                    heard += part
                except TimeoutError:
                    pass
                except ConnectionError:
                    return time.monotonic() - begun, heard
                try:
                    client.sendall(bytes([byte]))
                except ConnectionError:
                    return time.monotonic() - begun, heard
        raise AssertionError("it was waited for")

    post = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n"
    for first, more, told in (
        (b"", b"", b""),
        (b"GET /hea", b"l", b""),
        (post, b"x", b""),
        (post + b"\r\n{", b" ", b"408"),
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /he", b"x", b"200"),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 40_000, b"y", b"400"),
        (b"\x16\x03\x01 no HTTP\r\n\r\n", b"z", b"400"),
    ):
        seconds, heard = spoken(first, more or b"", 0.1) if more else _silent(running.port)
        assert seconds < 5, first
        assert told in heard, (first, heard)
    chunked = (
        post.replace(b"Content-Length: 100", b"Transfer-Encoding: chunked") + b"\r\n" + (b"1000\r\n" + b"x" * 4096 + b"\r\n") * 6
    )
    assert b"413" in spoken(chunked, b"1", 0.1)[1]
    assert running.post("/predict", {"row": ROW})[0] == 200


def test_who_does_not_read_an_answer_is_left(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    lost, own = threading.Event(), server.PatientProtocol.connection_lost

    def told(protocol: server.PatientProtocol, error: Exception | None) -> None:
        own(protocol, error)
        lost.set()

    async def flood(scope: Any, receive: Any, send: Any) -> None:
        await send_bytes(send, 200, b"x" * (1 << 25), "text/plain")

    monkeypatch.setattr(server.PatientProtocol, "connection_lost", told)
    monkeypatch.setitem(running.serving.routes, "/flood", {"GET": flood})
    with socket.create_connection(("127.0.0.1", running.port)) as client:
        client.sendall(b"GET /flood HTTP/1.1\r\nHost: localhost\r\n\r\n")
        client.recv(1)
        lost.clear()
        assert lost.wait(20)
        read = 1
        with contextlib.suppress(ConnectionError):
            while part := client.recv(1 << 20):
                read += len(part)
    assert read < 1 << 25


def _silent(port: int) -> tuple[float, bytes]:
    """A client that says nothing at all."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        begun = time.monotonic()
        return time.monotonic() - begun, client.recv(1000)


def test_who_goes_away_takes_the_rows_along_and_a_full_queue_says_when_to_come_back(running: Running) -> None:
    batcher = running.serving.desk.batcher  # type: ignore[attr-defined]
    step, is_held, gone_on = batcher._slots.step, threading.Event(), threading.Event()

    def held() -> Any:
        is_held.set()
        gone_on.wait(10)
        return step()

    batcher._slots.step = held
    try:
        large = json.dumps({"puzzles": [{"row": ROW, "forms": 10}] * 10}).encode()
        head = (
            f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(large)}\r\n\r\n"
        )
        client = socket.create_connection(("127.0.0.1", running.port))
        client.sendall(head.encode() + large)
        assert is_held.wait(5)
        assert batcher.waiting_rows == 36  # of 100, 64 have a place
        status, values, headers = running.post("/predict", {"puzzles": [{"row": ROW}] * 45})
        assert (status, int(headers["retry-after"]) >= 1) == (429, True)
        assert "80 rows may wait, 36 do and 45 more were asked; ask again in" in values["error"]
        client.close()
        _until(lambda: all(one.is_cancelled for one in batcher._slots.rows))
    finally:
        batcher._slots.step = step
        gone_on.set()
    _until(lambda: batcher.waiting_rows == 0 and batcher.batched_rows == 0)
    assert running.post("/predict", {"row": ROW})[0] == 200


def _until(holds: Any) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_an_answer_that_takes_too_long_or_fails_is_told_and_the_next_one_comes(running: Running) -> None:
    batcher = running.serving.desk.batcher  # type: ignore[attr-defined]
    step = batcher._slots.step

    def broken() -> Any:
        batcher._slots.step = step
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    batcher._slots.step = broken
    status, values, _ = running.post("/predict", {"row": ROW})
    assert (status, values["error"]) == (503, "the device refused memory: DefaultCPUAllocator: can't allocate memory; ask again")
    object.__setattr__(running.serving.rules, "request_seconds", 0.0)
    try:
        status, values, headers = running.post("/predict", {"row": ROW})
    finally:
        object.__setattr__(running.serving.rules, "request_seconds", 5.0)
    assert (status, headers["retry-after"]) == (503, "5")
    assert running.post("/predict", {"row": ROW})[0] == 200


def test_others_need_the_token_which_nobody_else_can_read(
    export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, running: Running
) -> None:
    found, made, thread = started(running.solver, Rules(hosts=None, token_digest=digest_of(TOKEN)))
    try:
        for given, status in (
            (None, 401),
            ("Bearer no", 401),
            (f"Basic {TOKEN}", 401),
            (f"Bearer {TOKEN}x", 401),
            (f"Bearer {TOKEN}", 200),
        ):
            headers = {} if given is None else {"Authorization": given}
            assert found.post("/predict", {"row": ROW}, **headers)[0] == status, given
            assert found.ask("GET", "/metrics", **headers)[0] == status
        assert [found.ask("GET", path)[0] for path in ("/health", "/")] == [200, 200]
        assert found.post(f"/predict?token={TOKEN}", {"row": ROW})[0] == 401
    finally:
        made.should_exit = True
        thread.join(20)
        found.serving.close()
    path = tmp_path / "folder" / ".serve-token"
    token, _ = token_of(path)
    assert token_of(path) == (token, str(path))
    assert len(token) > 40
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="a file that its user alone reads"):
        token_of(path)
    monkeypatch.setenv(TOKEN_VARIABLE, "short")
    with pytest.raises(ConfigError, match="16 letters or more without spaces, TRM_SERVE_TOKEN has 5"):
        token_of(path)


def _got(port: int, path: str) -> str:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=120)) as connection:
        connection.request("GET", path)
        return connection.getresponse().read().decode()


def test_sigterm_answers_what_was_asked_and_the_job_exits_with_130(export: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "ray_jobs" / "serve.py"), str(export), "--port", "0", "--storage", str(tmp_path)]
    job = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ})
    assert job.stdout is not None
    port = int(
        re.search(r"http://127\.0\.0\.1:(\d+)/ answers sudoku puzzles of sudoku4x4; Ctrl-C ends it", job.stdout.readline())[1]
    )  # type: ignore[index]
    body = json.dumps({"puzzles": [{"row": ROW, "steps": 64}] * 64})
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=120)) as connection:
        connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
        _until(lambda: "trm_serve_row_steps_total 0\n" not in _got(port, "/metrics"))
        job.send_signal(signal.SIGTERM)
        found = connection.getresponse()
        assert (found.status, len(json.loads(found.read())["answers"])) == (200, 64)
    _, said = job.communicate(timeout=120)
    assert (job.returncode, said) == (130, "interrupted: SIGTERM\n")
    with contextlib.closing(server.listening("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ResourceError, match=f"that is free, 127.0.0.1:{port} is not"):
            server.listening("127.0.0.1", port)
    again = subprocess.run([*command[:3], "--port", "70000"], capture_output=True, text=True, check=False, cwd=ROOT, timeout=120)
    assert (again.returncode, "--port must be at most 65535, got 70000" in again.stderr) == (2, True), again.stderr
