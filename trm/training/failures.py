"""A device that refuses memory ends a trial, not the process: foreign errors become ours here, at the trial's edge."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from trm.errors import OutOfMemoryError

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
