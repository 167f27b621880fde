"""Functions that numba compiles, kept by `trm.files.own_cache` for the next process.

Numba's own cache wants a folder beside the source or in the home, unpickles whatever lies there, and falls over what was cut.
"""

import functools
import hashlib
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from trm.files.own_cache import keep, kept

SOURCES = Path(__file__).parents[1]
"""The folder of all tasks: generators call each other across its folders."""


def compiled(*, nogil: bool = False) -> Callable[[Callable[..., Any]], Any]:
    """A decorator: the function compiled by numba at its first call, or taken from what an earlier process compiled."""

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(nogil=nogil)(function)
        dispatcher._cache = _Kept(function)
        return dispatcher

    return decorate


class _Kept(NullCache):  # type: ignore[misc]  # numba has no types
    """What numba asks for compiled code, and gives it to; whatever goes wrong, it compiles."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._name = f"{function.__module__}.{function.__qualname__}"

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        target_context.refresh()
        content = kept(self._key(sig, target_context.codegen()))
        try:
            return None if content is None else CompileResult._rebuild(target_context, *pickle.loads(content))  # noqa: S301
        except Exception:  # of another numba that calls itself the same
            return None

    def save_overload(self, sig: Any, result: Any) -> None:
        if not result.lifted and not result.library.has_dynamic_globals:
            keep(self._key(sig, result.codegen), dumps(result._reduce()))

    def _key(self, sig: Any, codegen: Any) -> str:
        said = (self._name, str(sig), codegen.magic_tuple(), _sources(), numba.__version__, sys.version)
        return f"numba-{hashlib.sha256(repr(said).encode()).hexdigest()[:32]}"


@functools.cache
def _sources() -> str:
    """Digest of all tasks' sources: a compiled function has those inside that it calls."""
    digest = hashlib.sha256()
    for path in sorted(SOURCES.rglob("*.py")):
        digest.update(path.relative_to(SOURCES).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()
