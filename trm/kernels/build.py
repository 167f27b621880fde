"""Compiles the kernels at first use, once a machine, and loads them from the user's cache ever after.

They are kept by everything that the result depends on: sources, flags, compiler, processor, torch. What is loaded was compiled by
this user on this machine and read whole (`trm.files.own_cache`): it is loaded from memory, for a file may change under its name.
"""

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch

from trm.console.long_work import shown
from trm.console.redaction import shortened
from trm.console.streams import say
from trm.errors import ResourceError
from trm.files.own_cache import alone, keep, kept

SOURCES = Path(__file__).parent
UNITS = ("recursion.cpp", "optimizer.cpp")
COMPILERS = ("c++", "g++", "clang++")
"""Tried in this order after the environment's CXX, which may have arguments."""
FLAGS = (
    *("-std=c++17", "-O3", "-march=native", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"),
    *("-fopenmp-simd", "-shared", "-fPIC", "-Wno-psabi"),
)
COMPILE_SECONDS = 300
COMPLAINTS = ("error: ", "cannot find", "undefined reference")
"""What the line of a compiler or linker has that says what is wrong; a linker's last line says only that it failed."""
NO_PRODUCTS = 0
"""`trm_prepare` found no matrix products in this build of torch."""
REMEDY = "set training.kernels: plain, or auto, which takes what there is"


@functools.cache
def library() -> ctypes.CDLL:
    """The loaded kernels; compiled first where that was never done. ResourceError with the reason where they cannot be had."""
    name = f"kernels-{_key()[:32]}.so"
    try:
        content = kept(name)
        loaded = _loaded(content if content is not None else _compiled_alone(name))
    except OSError as error:
        raise ResourceError(f"the fused kernels cannot be had: {type(error).__name__}: {error}", remedy=REMEDY) from error
    for name in ("kept", "sums", "scratch"):
        getattr(loaded, f"trm_{name}_floats").restype = ctypes.c_int64
    if loaded.trm_prepare() == NO_PRODUCTS:
        raise ResourceError("fused kernels need the matrix products of torch, and this build of torch has none", remedy=REMEDY)
    return loaded


@functools.cache
def why_missing() -> str | None:
    """Why the kernels cannot be had in this process, in one line; None when they can (they are compiled for that)."""
    try:
        library()
    except ResourceError as error:
        return error.problem
    return None


def _loaded(content: bytes) -> ctypes.CDLL:
    """The library with this content; OSError when this machine cannot load it."""
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "kernels.so"
            path.write_bytes(content)
            return ctypes.CDLL(str(path))
    handle = os.memfd_create("trm-kernels")  # stays open: the loader takes two libraries of one name for one
    with os.fdopen(handle, "wb", closefd=False) as file:
        file.write(content)
    return ctypes.CDLL(f"/proc/self/fd/{handle}")


def _compiler() -> list[str]:
    """The compiler's path and the arguments that come with it."""
    given = os.environ.get("CXX", "").strip()
    for name, *arguments in [given.split()] if given else [[name] for name in COMPILERS]:
        if path := shutil.which(name):
            return [path, *arguments]
    wanted = f"CXX={given}" if given else ", ".join(COMPILERS)
    raise ResourceError(f"fused kernels need a C++ compiler, and {wanted} is not there", remedy=f"install one, or {REMEDY}")


def _flags() -> list[str]:
    wide = ["-mprefer-vector-width=512"] if platform.machine() in ("x86_64", "AMD64") else []
    libraries = Path(torch.__file__).parent / "lib"
    return [*FLAGS, *wide, f"-L{libraries}", f"-Wl,-rpath,{libraries}", "-Wl,--no-as-needed", "-ltorch_cpu", "-lc10"]


def _key() -> str:
    """What the compiled file depends on, digested."""
    digest = hashlib.sha256()
    for path in sorted([*SOURCES.glob("*.cpp"), *SOURCES.glob("*.hpp")]):
        digest.update(path.name.encode() + path.read_bytes())
    compiler = _compiler()
    version = _run([*compiler, "--version"]).stdout
    digest.update(repr((compiler, version, _flags(), torch.__version__, platform.machine(), _processor())).encode())
    return digest.hexdigest()


def _processor() -> str:
    """What -march=native looks at."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return repr(sorted({line for line in lines if line.startswith(("model", "cpu family", "flags", "Features", "vendor_id"))}))


def _compiled_alone(name: str) -> bytes:
    with alone():  # the others of a node wait for the first
        if (content := kept(name)) is None:
            with shown("compiling the kernels for this machine", say):
                content = _compiled()
            keep(name, content)
        return content


def _compiled() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernels.so"
        command = [*_compiler(), *(str(SOURCES / unit) for unit in UNITS), *_flags(), "-o", str(path)]
        run = _run(command)
        if run.returncode:
            complaint = next((line for line in run.stderr.splitlines() if any(word in line for word in COMPLAINTS)), run.stderr)
            raise ResourceError(f"the fused kernels do not compile with {command[0]}: {shortened(complaint, 300)}", remedy=REMEDY)
        return path.read_bytes()


def _run(command: list[str]) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=COMPILE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ResourceError(f"{command[0]} took more than {COMPILE_SECONDS} s for the fused kernels", remedy=REMEDY) from None
