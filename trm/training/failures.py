"""A device that refuses memory, a compiler that fails, end a trial, not the process: foreign errors become ours here."""

import os
import shutil
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from trm.console.redaction import reason_of
from trm.errors import OutOfMemoryError, TrialError
from trm.files.own_cache import kept_folder

COMPILED_FOLDER, COMPILED_VARIABLE = "inductor", "TORCHINDUCTOR_CACHE_DIR"
"""Where torch keeps what it compiled: of `trm.files.own_cache`, unless the environment says otherwise."""

SIGNS = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")
"""What a RuntimeError says that is really a lack of memory: torch's CPU allocator, CUDA, cuBLAS and cuDNN."""


@contextmanager
def memory_failures() -> Iterator[None]:
    """Raises `trm.errors.OutOfMemoryError` for every way in which memory can be refused inside the block.

    The frames of the failed call are emptied first, so that a process that goes on with another trial has its memory back.
    """
    try:
        yield
        return
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        is_memory = not isinstance(error, RuntimeError) or isinstance(error, torch.OutOfMemoryError)
        if not is_memory and not any(sign in str(error) for sign in SIGNS):
            raise
        message = (str(error).strip() or type(error).__name__).splitlines()[0]
        traceback.clear_frames(error.__traceback__)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    raise OutOfMemoryError(f"the device refused memory: {message}")


@contextmanager
def compiler_failures() -> Iterator[None]:
    """What torch's compiler raises becomes a TrialError that names the cause, and its cache is emptied.

    A file of that cache that was cut would end every run after this one too; the next compiles anew.
    """
    try:
        yield
    except Exception as error:
        if not _is_compilers(error):
            raise
        folder = kept_folder(COMPILED_FOLDER)
        if folder is not None and os.environ.get(COMPILED_VARIABLE) == str(folder):
            shutil.rmtree(folder, ignore_errors=True)
        raise TrialError(
            f"torch could not compile the network, or not load what it had compiled: {reason_of(error)}; its cache was emptied, "
            "so another try compiles anew"
        ) from error


def _is_compilers(error: Exception) -> bool:
    """Whether torch's compiler raised it, which no process imports that compiles nothing: that takes a second."""
    known = sys.modules.get("torch._dynamo.exc")
    return known is not None and isinstance(error, known.TorchDynamoException)
