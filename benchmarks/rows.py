"""What every benchmark prints: rows of named figures with device and commit, on stdout and, asked to, in a file."""

import argparse
import json
import platform
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the option that all benchmarks share."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--out", type=Path, help="append the rows to this file, one JSON object a line")
    return made


def device() -> str:
    """The processor's name and the cores there are."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.processor() or platform.machine()


def commit() -> str:
    """The commit that is measured, with a + when the tree is changed."""
    run = subprocess.run(["git", "describe", "--always", "--dirty=+"], capture_output=True, text=True, check=False)
    return run.stdout.strip() or "unknown"


def spread(values: Sequence[float], digits: int = 3) -> dict[str, float | int]:
    """Median, least, greatest and number of values."""
    rounded = [float(f"{value:.{digits}g}") for value in (statistics.median(values), min(values), max(values))]
    return {"median": rounded[0], "min": rounded[1], "max": rounded[2], "n": len(values)}


def emit(row: dict[str, object], out: Path | None) -> None:
    """Print a row, and append it to `out`."""
    line = json.dumps({**row, "device": device(), "commit": commit()})
    print(line, flush=True)
    if out is not None:
        with out.open("a") as file:
            file.write(line + "\n")


def pss_bytes(pid: int | str = "self") -> int:
    """Memory of a process, each page shared with others counted in parts."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
