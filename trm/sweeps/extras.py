"""What is good to have: pictures, tables and progress are made after the results, and none of them fails a sweep."""

from collections.abc import Callable
from typing import TypeVar

from trm.errors import InterruptedRun
from trm.files.disk import is_disk_full
from trm.tracking.outbox import cause_of

T = TypeVar("T")


class Extras:
    """Makes one thing after another; of what cannot be made `lines` tells, and `tell` once a name, as soon as it is met."""

    def __init__(self, tell: Callable[[str], None] = lambda line: None) -> None:
        self._tell = tell
        self._failures: dict[str, str] = {}

    def make(self, name: str, job: Callable[[], T]) -> T | None:
        """What `job` returns; None where it raised. A signal and a full disk stop the sweep, which then goes on with --resume."""
        try:
            return job()
        except InterruptedRun:
            raise
        except Exception as error:  # the edge: whatever a library raises, the results are there
            if is_disk_full(error):
                raise
            self._note(name, cause_of(error))
            return None

    @property
    def lines(self) -> list[str]:
        """What could not be made and why, a line a reason."""
        names: dict[str, list[str]] = {}
        for name, reason in self._failures.items():
            names.setdefault(reason, []).append(name)
        return [f"could not be made: {', '.join(of_reason)} ({reason})" for reason, of_reason in names.items()]

    def _note(self, name: str, reason: str) -> None:
        if name not in self._failures:
            self._failures[name] = reason
            self._tell(f"{name} could not be made, the work goes on ({reason})")
