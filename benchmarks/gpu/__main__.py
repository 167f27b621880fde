"""Everything that runs on CUDA, checked and measured in one call on a machine that has only torch, numpy, pydantic and safetensors.

    python -m benchmarks.gpu --out gpu.jsonl [--reference DIR]

Rows: the device, a row a check (`ok`), the speed of a training step by size and form (plain, recorded as a CUDA graph, compiled,
both; the published implementation with `--reference`, all taking turns), where a step's time goes, and trials side by side with
and without MPS. Takes about 8 minutes; whatever fails is a row with its error. Exit code 0 when every check holds, 1 when one
does not, 2 where there is no CUDA. `--device cpu` runs the same checks and tiny timings on the CPU.
"""

import importlib.util
import os
import sys
import time
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any


class _Anything(type):
    def __getitem__(cls, _: object) -> object:
        return object

    def __getattr__(cls, name: str) -> object:
        return anything(name)


def anything(name: str) -> object:
    """What a stand-in has under any name but Python's own."""
    if name.startswith("__"):
        raise AttributeError(name)
    return _Anything("Anything", (), {})


def stand_in(*names: str) -> None:
    """Packages that are imported on the way to the loop, but not used by it, may be missing here."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            module = types.ModuleType(name)
            module.__path__ = []  # type: ignore[attr-defined]
            module.__getattr__ = anything  # type: ignore[method-assign]
            sys.modules[name] = module


os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # products repeat their bits
stand_in("jaxtyping", "pyarrow", "pyarrow.parquet", "pyarrow.compute", "fsspec")

import torch  # noqa: E402

from benchmarks.gpu.checks import CHECKS, FACTS  # noqa: E402
from benchmarks.gpu.packing import packing_rows, run_packed  # noqa: E402
from benchmarks.gpu.timing import profile_row, timing_rows  # noqa: E402
from benchmarks.rows import emit, parser  # noqa: E402
from benchmarks.step.train_step import checkout  # noqa: E402

Emit = Callable[[dict[str, Any]], None]


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="default: cuda")
    arguments.add_argument("--reference", metavar="DIR", type=checkout, help="checkout of the reference, timed in turn with ours")
    arguments.add_argument("--seconds", type=float, default=6.0, help="of timing a size (default: 6)")
    arguments.add_argument("--parts", nargs="+", choices=("checks", "timing", "packing"), default=["checks", "timing", "packing"])
    arguments.add_argument("--packed", help="used by the script itself: one of several processes")
    options = arguments.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("the benchmark needs a CUDA device, and torch finds none; --device cpu tests the script itself", file=sys.stderr)
        return 2
    device = torch.device(options.device)
    if device.type == "cpu":
        torch.set_num_threads(1)
    if options.packed:
        return run_packed(options.packed, device)
    start, is_well = time.perf_counter(), True

    def say(row: dict[str, Any]) -> None:
        nonlocal is_well
        is_well = is_well and bool(row.get("ok", True))
        name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
        emit({**row, "gpu": name, "at_second": round(time.perf_counter() - start)}, options.out)

    if "checks" in options.parts:
        guarded(say, "facts", lambda: say({"figure": "facts", **FACTS(device)}))
        for check in CHECKS:
            guarded(say, check.__name__, lambda check=check: say({"check": check.__name__, "ok": True, **check(device)}))
    if "packing" in options.parts:
        guarded(say, "packing", lambda: packing_rows(device, options.seconds, say))
    if "timing" in options.parts:
        guarded(say, "timing", lambda: timing_rows(device, options.reference, options.seconds, say))
        guarded(say, "profile", lambda: say(profile_row(device)))
    return 0 if is_well else 1


def guarded(say: Emit, name: str, work: Callable[[], None]) -> None:
    """Does `work`; what it raises becomes a row, and the rest goes on."""
    try:
        work()
    except Exception as error:  # one failure must not cost the other answers
        where = traceback.extract_tb(error.__traceback__)[-1]
        problem = f"{type(error).__name__}: {error}"[:600]
        say({"check": name, "ok": False, "error": problem, "where": f"{Path(where.filename).name}:{where.lineno}"})
        torch.cuda.is_available() and torch.cuda.empty_cache()


if __name__ == "__main__":
    sys.exit(main())
