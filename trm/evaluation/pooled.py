"""One ballot of all answers to rows that vote for their question. No torch."""

from collections.abc import Mapping

import numpy as np

NUMBER = "number"
"""Column of which of several answers to a row it is."""
VOTE, POOLED = "vote", "pooled."
"""Column of what a row votes for, where rows vote for their question; before the names of columns of all answers' votes."""


def pooled(own: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The votes of all answers to each row, (rows, answers): what they vote for, and their halting probabilities."""
    return {f"{POOLED}{name}": np.ascontiguousarray(own[name].T) for name in (VOTE, "halting_probability")}


def votes_of(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The votes of scored rows: `row`, `identifier`, `number` of several answers, what for, and `halting_probability`.

    Answers to a row vote one after the other where they were pooled.
    """
    if f"{POOLED}{VOTE}" not in columns:
        return dict(columns)
    rows, answers = columns[f"{POOLED}{VOTE}"].shape
    own = {name: np.repeat(columns[name], answers) for name in ("row", "identifier")}
    cast = {name: columns[f"{POOLED}{name}"].reshape(-1) for name in (VOTE, "halting_probability")}
    return own | cast | {NUMBER: np.tile(np.arange(answers), rows)}
