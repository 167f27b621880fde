"""What breaks a rule in a source: refused by name, or left out and counted."""

from collections import Counter

import numpy as np
from jaxtyping import Bool

from trm.errors import DatasetError


class Faults:
    """Raises at the first fault, or with `skip_bad` counts it by rule in `skipped`, and the caller leaves the bad part out."""

    def __init__(self, *, skip_bad: bool) -> None:
        self.skip_bad = skip_bad
        self.skipped: Counter[str] = Counter()

    def found(self, rule: str, value: str, *, remedy: str, count: int = 1) -> None:
        """Note that `value`, which says where, breaks `rule`, as `count` parts do. Raises DatasetError unless they are skipped."""
        if not self.skip_bad:
            raise DatasetError(f"{rule}: {value}", remedy=f"{remedy}, or leave it out with skip_bad: true")
        self.skipped[rule] += count

    def good(self, rule: str, is_bad: Bool[np.ndarray, "rows"], path: str, numbers: np.ndarray) -> Bool[np.ndarray, "rows"]:
        """Which rows of a file keep `rule`; `numbers` are their places in it: from 1 in a CSV file, from 0 in an array.

        Raises DatasetError unless bad ones are skipped.
        """
        if is_bad.any():
            value = f"{path} row {numbers[np.argmax(is_bad)]} breaks that"
            self.found(rule, value, remedy="mend or remove the row", count=int(is_bad.sum()))
        return ~is_bad
