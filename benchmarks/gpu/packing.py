"""Small trials side by side on one GPU: steps a second of all together, with and without NVIDIA's MPS."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

COUNTS = (1, 4, 8)
START_SECONDS = 150.0
"""So long may processes take until all of them are warm."""


def mps_pipe() -> Path | None:
    """The folder through which CUDA programs find a running MPS server; None where there is none."""
    folder = Path(os.environ.get("CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps"))
    return folder if (folder / "control").exists() else None


@contextlib.contextmanager
def mps() -> Iterator[dict[str, str]]:
    """An MPS server of our own; gives what a process needs in its environment to find it, or raises RuntimeError."""
    control = shutil.which("nvidia-cuda-mps-control")
    if control is None:
        raise RuntimeError("nvidia-cuda-mps-control is not installed")
    with tempfile.TemporaryDirectory(prefix="mps") as folder:
        found = {"CUDA_MPS_PIPE_DIRECTORY": f"{folder}/pipe", "CUDA_MPS_LOG_DIRECTORY": f"{folder}/log"}
        for path in found.values():
            Path(path).mkdir()
        environment = {**os.environ, **found}
        run = subprocess.run([control, "-d"], env=environment, capture_output=True, text=True, timeout=30, check=False)
        if run.returncode:
            raise RuntimeError(f"nvidia-cuda-mps-control -d: {(run.stderr or run.stdout).strip()[:300]}")
        try:
            yield found
        finally:
            subprocess.run([control], input="quit\n", env=environment, text=True, capture_output=True, timeout=60, check=False)


def run_packed(work: str, device: torch.device) -> int:
    """One of several processes: warms up, says so, waits for the others, steps for the seconds given; prints its steps."""
    from gpu_timing import SIZES, TINY, ours, state_of, synchronize, warmed

    given = json.loads(work)
    folder, seconds = Path(given["folder"]), given["seconds"]
    if device.type == "cuda":
        torch.cuda.set_per_process_memory_fraction(1 / given["count"])
    torch.set_num_threads(1)
    size = SIZES["d64_s16_b64"] if device.type == "cuda" else TINY["tiny"]
    state = state_of(size, device)
    step = ours(size, state, is_recorded=device.type == "cuda" and given["is_recorded"])
    warmed(step, device)
    (folder / f"ready-{os.getpid()}").touch()
    waited = time.perf_counter()
    while not (folder / "go").exists():
        if time.perf_counter() - waited > START_SECONDS:
            return 1
        time.sleep(0.005)
    start, before, i = time.perf_counter(), state.step, 0
    while time.perf_counter() - start < seconds:
        for _ in range(16):
            step(i)
            i += 1
        synchronize(device)
    print(json.dumps({"steps": state.step - before, "seconds": time.perf_counter() - start}))
    return 0


def together(count: int, device: torch.device, seconds: float, environment: dict[str, str], *, is_recorded: bool) -> float:
    """Steps a second of `count` processes side by side."""
    with tempfile.TemporaryDirectory() as folder:
        work = json.dumps({"folder": folder, "seconds": seconds, "count": count, "is_recorded": is_recorded})
        command = [sys.executable, "-m", "benchmarks.gpu", "--device", device.type, "--packed", work]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        processes = [subprocess.Popen(command, env={**os.environ, **environment}, **pipes) for _ in range(count)]
        try:
            start = time.perf_counter()
            while len(list(Path(folder).glob("ready-*"))) < count:
                if time.perf_counter() - start > START_SECONDS or any(process.poll() for process in processes):
                    break
                time.sleep(0.05)
            (Path(folder) / "go").touch()
            answers = [process.communicate(timeout=START_SECONDS + seconds) for process in processes]
        finally:
            for process in processes:
                process.kill()
    failed = [err for process, (_, err) in zip(processes, answers, strict=True) if process.returncode]
    if failed:
        raise RuntimeError(f"{len(failed)} of {count} processes failed: {failed[0].strip()[-400:]}")
    rates = [json.loads(out.splitlines()[-1]) for out, _ in answers]
    return float(sum(rate["steps"] / rate["seconds"] for rate in rates))


def packing_rows(device: torch.device, seconds: float, say: Callable[[dict[str, Any]], None]) -> None:
    """A row a number of trials; `gain` is against one after the other, which one alone stands for."""
    counts = COUNTS if device.type == "cuda" else (1, 2)
    kinds = (("time slices", True), ("time slices", False)) if device.type == "cuda" else (("time slices", False),)
    for sharing, is_recorded in kinds:
        _rows(counts if is_recorded or device.type == "cpu" else (1, 8), device, seconds, {}, (sharing, is_recorded), say)
    if device.type != "cuda":
        return
    if mps_pipe() is not None:
        say({"figure": "packing", "sharing": "MPS", "skipped": "a server was running already: the rows above are with MPS"})
        return
    try:
        with mps() as environment:
            _rows(counts, device, seconds, environment, ("MPS", True), say)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        say({"figure": "packing", "sharing": "MPS", "skipped": str(error)[:400]})


def _rows(
    counts: tuple[int, ...],
    device: torch.device,
    seconds: float,
    environment: dict[str, str],
    kind: tuple[str, bool],
    say: Callable[[dict[str, Any]], None],
) -> None:
    alone = 0.0
    for count in counts:
        rate = together(count, device, seconds, environment, is_recorded=kind[1])
        alone = alone or rate
        row = {"figure": "packing", "sharing": kind[0], "recorded": kind[1], "trials": count, "steps_per_second": round(rate, 1)}
        say(row | {"gain": round(rate / alone, 2)})
