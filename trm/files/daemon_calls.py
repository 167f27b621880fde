"""Calls in threads that hold no process back from its end: what hangs in a network is left behind."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def begun(call: Callable[[], T], name: str) -> "Future[T]":
    """What `call` will come to, begun in a thread called `name`; also what is no Exception is raised to whoever asks for it."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # its waiter's
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
