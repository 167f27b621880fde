"""Replicas on a Ray of this machine under load, one of them killed by kill -9: what clients see of it.

`python -m benchmarks.serve.kills runs/sudoku4x4-1/best --out benchmarks/results/serve.jsonl`

Every answer is compared with that of a solver in this process. What is not answered by 200 is counted by what the client saw.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

from benchmarks.rows import emit, parser

REPLICA = "ServeReplica:trm-search:answering"


def started(arguments: argparse.Namespace) -> subprocess.Popen[str]:
    """The job, when its replicas answer."""
    command = [
        sys.executable,
        "ray_jobs/serve.py",
        arguments.path,
        "--port",
        str(arguments.port),
        "--replicas",
        str(arguments.replicas),
    ]
    job = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert job.stdout is not None
    while "answers" not in (line := job.stdout.readline()):
        if not line:
            raise SystemExit("the replicas did not start")
    return job


def replicas_of(job: psutil.Process) -> list[psutil.Process]:
    """Processes of the job's own replicas."""
    found = []
    for process in job.children(recursive=True):
        try:
            if REPLICA in " ".join(process.cmdline()):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


class Clients:
    """Clients that ask as fast as they are answered, and what they saw."""

    def __init__(self, port: int, rows: list[list[int]], known: list[list[int]]) -> None:
        self._port, self._known = port, known
        self._bodies = [json.dumps({"row": row, "tokens": True}).encode() for row in rows]
        self.saw: Counter[str] = Counter()
        self.wrong = 0
        self.waits: list[tuple[float, float]] = []

    async def ask(self, first: int, stride: int, end: float) -> None:
        """One client."""
        number, streams = first, None
        while time.monotonic() < end:
            place, begun = number % len(self._bodies), time.monotonic()
            try:
                streams = streams or await asyncio.open_connection("127.0.0.1", self._port)
                await self._once(streams, place)
            except (OSError, asyncio.IncompleteReadError) as error:
                self.saw[type(error).__name__] += 1
                streams = None
                await asyncio.sleep(0.1)
            self.waits.append((begun, time.monotonic() - begun))
            number += stride

    async def _once(self, streams: Any, place: int) -> None:
        reader, writer = streams
        body = self._bodies[place]
        head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        lines = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        length = int(next(line for line in lines if line.startswith(b"content-length:")).split(b":")[1])
        content = json.loads(await reader.readexactly(length))
        self.saw[lines[0].split()[1].decode()] += 1
        self.wrong += lines[0].split()[1] == b"200" and content["tokens"] != self._known[place]


async def under_load(clients: Clients, count: int, seconds: float, job: psutil.Process) -> float:
    """Clients for so long; a third in, one replica is killed, at the time that is given."""
    end, killed = time.monotonic() + seconds, 0.0
    tasks = [asyncio.ensure_future(clients.ask(first, count, end)) for first in range(count)]
    await asyncio.sleep(seconds / 3)
    os.kill(replicas_of(job)[0].pid, signal.SIGKILL)
    killed = time.monotonic()
    await asyncio.gather(*tasks)
    return killed


def main() -> None:
    """A row."""
    made = parser(__doc__)
    made.add_argument("path", help="a trained network with its data set near")
    made.add_argument("--replicas", type=int, default=2)
    made.add_argument("--clients", type=int, default=64)
    made.add_argument("--seconds", type=float, default=30.0)
    made.add_argument("--port", type=int, default=8765)
    arguments = made.parse_args()
    from trm.data.batches.split import load_split
    from trm.serving.solver import Solver

    solver = Solver.open(Path(arguments.path))
    assert solver.opened.data is not None
    rows = load_split(solver.opened.data, solver.manifest, "test").inputs.tolist()
    known = [answer.cells.tolist() for answer in solver.solve([{"row": row} for row in rows])]
    job = started(arguments)
    try:
        process, clients = psutil.Process(job.pid), Clients(arguments.port, rows, known)
        killed = asyncio.run(under_load(clients, arguments.clients, arguments.seconds, process))
        alive = len(replicas_of(process))
    finally:
        job.terminate()
        job.wait()
    before = [wait for begun, wait in clients.waits if begun + wait < killed]
    hit = [wait for begun, wait in clients.waits if begun < killed < begun + wait]
    emit(
        {
            "benchmark": "serve_kills",
            "replicas": arguments.replicas,
            "clients": arguments.clients,
            "saw": dict(clients.saw),
            "wrong": clients.wrong,
            "median_ms": round(1000 * statistics.median(before), 1),
            "longest_of_those_in_flight_at_the_kill_ms": round(1000 * max(hit), 1),
            "replicas_at_the_end": alive,
            "exit_code": job.returncode,
        },
        arguments.out,
    )


if __name__ == "__main__":
    main()
