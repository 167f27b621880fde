"""What breaks a rule in a source: refused by name, or left out and counted."""

from collections import Counter

from trm.errors import DatasetError


class Faults:
    """Raises at the first fault, or with `skip_bad` counts it by rule in `skipped`, and the caller leaves the bad part out."""

    def __init__(self, *, skip_bad: bool) -> None:
        self.skip_bad = skip_bad
        self.skipped: Counter[str] = Counter()

    def found(self, rule: str, value: str, *, remedy: str) -> None:
        """Note that `value`, which says where, breaks `rule`. Raises DatasetError unless bad parts are skipped."""
        if not self.skip_bad:
            raise DatasetError(f"{rule}: {value}", remedy=f"{remedy}, or leave it out with skip_bad: true")
        self.skipped[rule] += 1
