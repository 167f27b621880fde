"""What asking a network over HTTP costs beside asking it in a plain loop, on one core: one client, and 64 at once.

`python -m benchmarks.serve.load --network mixer64 --rounds 5 --out benchmarks/results/serve.jsonl`

The server is the real one (`ray_jobs/serve.py`) on core 0; clients are a process on core 1. Its peer is the plain loop, on core 0
too, in turn with it: the same network, one puzzle at a time for the median of a request, batches of 64 for throughput. Every
answer is compared with the peer's. Weights are those of step 0: what they say does not matter for speed. `per CPU second` counts
what the process took of a core, so that others on the machine do not.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.rows import emit, parser, spread

MIXER = {"mlp_t": True, "pos_encodings": "none", "puzzle_emb_len": 1, "L_layers": 1, "H_cycles": 2, "L_cycles": 2}
NETWORKS: dict[str, dict[str, Any]] = {
    "mixer64": {**MIXER, "hidden_size": 64},  # of search_spaces/sudoku9x9_modern.yaml
    "mixer128": {**MIXER, "hidden_size": 128},
    "attention128": {**MIXER, "hidden_size": 128, "mlp_t": False, "pos_encodings": "rope", "num_heads": 4},
    # of search_spaces/recipes/sudoku_mlp.yaml, as published
    "published512": {**MIXER, "hidden_size": 512, "H_cycles": 3, "L_cycles": 6, "L_layers": 2, "puzzle_emb_len": 16},
}
STEPS, CLIENTS, PUZZLES = 16, 64, 256
SERVER_CORE, CLIENT_CORE = 0, 1


def made_network(name: str, folder: Path) -> Path:
    """An export of a network of step 0 for 9x9 boards, and the boards."""
    from trm.config.data import DataConfig
    from trm.config.run import RunConfig
    from trm.data.format.manifest import read_manifest
    from trm.tasks.ensure import ensure_dataset
    from trm.training.state import TrainingState
    from trm.training.weights import export_weights

    data = DataConfig(recipe="datasets/sudoku9x9.yaml", overrides={"train": 64, "validation": 8, "test": PUZZLES})
    place = ensure_dataset(data, str(folder), lambda text: None)
    manifest = read_manifest(place)
    model = {**NETWORKS[name], "halt_max_steps": STEPS}
    config = RunConfig.model_validate(
        {"data": {"folder": place}, "model": model, "training": {"steps": 5, "global_batch_size": CLIENTS}, "optim": {"ema": False}}
    )
    state = TrainingState(config, manifest.shape, data_hash=manifest.content_hash, names=manifest.names, max_steps=5)
    export_weights(state, folder / "best")
    return folder / "best"


class Bare:
    """The plain loop."""

    def __init__(self, path: Path) -> None:
        import torch

        from trm.data.batches.split import load_split
        from trm.evaluation.answers import answers
        from trm.serving.solver import Solver

        solver = Solver.open(path)
        assert solver.opened.data is not None
        self.rows = np.array(load_split(solver.opened.data, solver.manifest, "test").inputs)
        self._inputs = torch.from_numpy(self.rows.astype(np.int32))
        table, model, config = solver.trained.table, solver.trained.model, solver.config
        ids = torch.zeros(len(self.rows), dtype=torch.int64)
        rows = None if table is None else table.rows(ids).detach()

        def ask(start: int, count: int) -> np.ndarray:
            with torch.no_grad():
                told = None if rows is None else rows[start : start + count]
                found = answers(model, self._inputs[start : start + count], told, config).final
            assert found is not None
            return found.logits.argmax(-1).to(torch.uint8).numpy()

        self.ask: Callable[[int, int], np.ndarray] = ask

    def expected(self) -> list[list[int]]:
        """What every row is answered."""
        return np.concatenate([self.ask(start, CLIENTS) for start in range(0, len(self.rows), CLIENTS)]).tolist()

    def one(self, seconds: float) -> tuple[list[float], float]:
        """Seconds of each puzzle alone, and what a puzzle took of the process."""
        found, place, end, cpu = [], 0, time.perf_counter() + seconds, time.process_time()
        while time.perf_counter() < end or len(found) < 3:
            started = time.perf_counter()
            self.ask(place % len(self.rows), 1)
            found.append(time.perf_counter() - started)
            place += 1
        return found, (time.process_time() - cpu) / len(found)

    def batches(self, seconds: float) -> tuple[float, float]:
        """Puzzles a second, and a second of the process, in full batches."""
        started, cpu, done = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() < started + seconds or not done:
            self.ask(done % len(self.rows), CLIENTS)
            done += CLIENTS
        return done / (time.perf_counter() - started), done / (time.process_time() - cpu)


async def _client(port: int, bodies: list[bytes], expected: list[list[int]], first: int, end: float, found: list[Any]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    number = first
    while time.perf_counter() < end or number == first:
        place = number % len(bodies)
        started = time.perf_counter()
        writer.write(bodies[place])
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")).split(b":")[1])
        content = json.loads(await reader.readexactly(length))
        found.append((time.perf_counter() - started, head.split()[1] == b"200" and content.get("tokens") == expected[place]))
        number += CLIENTS
    writer.close()


def load(port: int, clients: int, seconds: float, rows: list[list[int]], expected: list[list[int]]) -> list[tuple[float, bool]]:
    """Seconds of every request, and whether it was answered rightly."""
    bodies = []
    for row in rows:
        body = json.dumps({"row": row, "tokens": True}).encode()
        head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        bodies.append(head.encode() + body)
    found: list[tuple[float, bool]] = []

    async def all_clients() -> None:
        end = time.perf_counter() + seconds
        await asyncio.gather(*(_client(port, bodies, expected, first, end, found) for first in range(clients)))

    asyncio.run(all_clients())
    return found


def child(kind: str, arguments: list[str]) -> None:
    """The peer, or the clients, in a process of their own: a line of JSON in, a line of JSON out."""
    os.sched_setaffinity(0, {SERVER_CORE if kind == "bare" else CLIENT_CORE})
    if kind == "bare":
        bare = Bare(Path(arguments[0]))
        print(json.dumps({"rows": bare.rows.tolist(), "expected": bare.expected()}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        match asked.pop("do"):
            case "one":
                told: Any = bare.one(**asked)
            case "batches":
                told = bare.batches(**asked)
            case _:
                told = load(**asked)
        print(json.dumps(told), flush=True)


class Child:
    """A process that answers lines."""

    def __init__(self, kind: str, *arguments: str) -> None:
        command = [sys.executable, "-m", "benchmarks.serve.load", "--child", kind, *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def told(self) -> Any:
        """The next line."""
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def __call__(self, **asked: Any) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return self.told()


def started_server(path: Path) -> tuple[subprocess.Popen[str], int]:
    """The server on its core, and its port."""
    command = [sys.executable, "ray_jobs/serve.py", str(path), "--port", "0", "--request-seconds", "3600"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}))
    assert server.stdout is not None
    line = server.stdout.readline()
    return server, int(line.split("//")[1].split("/")[0].rsplit(":", 1)[1])


def main() -> None:
    """Rows of figures."""
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], sys.argv[3:])
        return
    made = parser(__doc__)
    made.add_argument("--network", choices=NETWORKS, nargs="+", default=["mixer64"])
    made.add_argument("--rounds", type=int, default=5)
    made.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    made.add_argument("--clients", type=int, default=CLIENTS)
    arguments = made.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    for network in arguments.network:
        with tempfile.TemporaryDirectory() as folder:
            measure(network, made_network(network, Path(folder)), arguments)


def measure(network: str, path: Path, arguments: Any) -> None:
    """The rows of one network."""
    bare = Child("bare", str(path))
    known = bare.told()
    clients, (server, port) = Child("load"), started_server(path)
    process, seconds = psutil.Process(server.pid), arguments.seconds
    ones, waits, overheads, cpu_overheads, shares, cpu_shares, full, served = [], [], [], [], [], [], [], []
    asked = wrong = 0
    try:
        for _ in range(arguments.rounds):
            alone, cpu_alone = bare(do="one", seconds=seconds)
            before = sum(process.cpu_times()[:2])
            found = clients(do="load", port=port, clients=1, seconds=seconds, **known)
            cpu_overheads.append((sum(process.cpu_times()[:2]) - before) / len(found) - cpu_alone)
            ones.append(statistics.median(alone))
            waits.append(statistics.median(wait for wait, _ in found))
            overheads.append(waits[-1] - ones[-1])
            asked, wrong = asked + len(found), wrong + sum(not is_right for _, is_right in found)
            rate, cpu_rate = bare(do="batches", seconds=seconds)
            before, started = sum(process.cpu_times()[:2]), time.perf_counter()
            found = clients(do="load", port=port, clients=arguments.clients, seconds=seconds, **known)
            took, cpu = time.perf_counter() - started, sum(process.cpu_times()[:2]) - before
            full.append(rate)
            served.append(len(found) / took)
            shares.append(served[-1] / rate)
            cpu_shares.append(len(found) / cpu / cpu_rate)
            asked, wrong = asked + len(found), wrong + sum(not is_right for _, is_right in found)
    finally:
        server.terminate()
        for one in (bare.process, clients.process):
            one.terminate()
        server.wait()
    emit(
        {
            "benchmark": "serve_load",
            "network": network,
            "steps": STEPS,
            "clients": arguments.clients,
            "bare_ms": spread([1000 * one for one in ones]),
            "request_ms": spread([1000 * one for one in waits]),
            "overhead_ms": spread([1000 * one for one in overheads]),
            "overhead_cpu_ms": spread([1000 * one for one in cpu_overheads]),
            "full_batches_per_second": spread(full),
            "served_per_second": spread(served),
            "share_of_full_batches": spread(shares),
            "share_per_cpu_second": spread(cpu_shares),
            "asked": asked,
            "wrong": wrong,
        },
        arguments.out,
    )


if __name__ == "__main__":
    main()
