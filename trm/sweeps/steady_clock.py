"""The time that a driver journals: a wall clock that nobody sets while it runs."""

import time


def _uptime() -> float:
    """Seconds that only go forward, those in which the machine slept included where the system counts them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


_BEGAN = time.time() - _uptime()


def steady_now() -> float:
    """Unix seconds by the wall clock when this process began, counted on from there.

    A clock that is set while a sweep runs moves neither its budget of wall-clock time nor the order of its events.
    """
    return _BEGAN + _uptime()
