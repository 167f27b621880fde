"""What a training process sets of itself: its device, its share of that device's memory, how freed memory is kept."""

import ctypes

import torch

MALLOPT = {-1: 1 << 30, -3: 1 << 25}
"""glibc: M_TRIM_THRESHOLD, bytes that may lie free at the heap's end; M_MMAP_THRESHOLD, at its greatest."""


CONTEXT_BYTES = 600 * 2**20
"""About what a process takes of a GPU's memory before its first tensor."""


def training_device() -> str:
    """The device of this process: the GPU that it was given, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def limit_gpu_memory(share: float) -> None:
    """Has this process refuse itself more than its `share` of a GPU, when that is below 1: the rest is for those beside it.

    So a trial that grows too large is the one that runs out of memory. What CUDA itself takes of a process is left out of it.
    """
    if 0 < share < 1 and torch.cuda.is_available():
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(max(0.01, share - CONTEXT_BYTES / total))


def keep_freed_memory() -> bool:
    """Has this process keep freed memory for its next step instead of giving it back; True where the C library can.

    Without it glibc returns a step's activations to the system after every backward pass, and the next step's first touch
    of each page costs about 4 % of a small network's time. Process-wide, so the job calls it, not the network.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return all(mallopt(option, value) == 1 for option, value in MALLOPT.items())
