"""Rows of tokens answered by a release's folder, as a table: what MLflow's python function calls."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trm.errors import QuestionError
from trm.serving.solver import Solver

PUZZLES_AT_ONCE = 256


class Answering:
    """A release that is open."""

    def __init__(self, folder: str | Path) -> None:
        """Raises InputError for a folder that is no release, or is not whole."""
        self._solver = Solver.open(folder)

    def frame(self, puzzles: Any, asked: Mapping[str, Any]) -> pd.DataFrame:
        """A row a puzzle: `answer` (tokens), `valid` by our own rules, `reason` where it is not, `steps`, `halt_probability`.

        `puzzles`: rows of tokens, as numbers, as lists, or as a table with a column of lists or a column a cell. `asked`: `steps`,
        `rollouts`, `forms` (0: as the network is evaluated) and `identifier` (a name or a number; "": none). QuestionError for
        what breaks a rule.
        """
        rows, shared = rows_of(puzzles), _asked(asked)
        found: list[dict[str, Any]] = []
        for first in range(0, len(rows), PUZZLES_AT_ONCE):
            answers = self._solver.solve([{"row": row} for row in rows[first : first + PUZZLES_AT_ONCE]], **shared)
            found += [
                {
                    "answer": answer.cells.tolist(),
                    "valid": answer.verdict.is_valid,
                    "reason": "; ".join(answer.verdict.broken),
                    "steps": answer.steps,
                    "halt_probability": answer.halting_probability,
                }
                for answer in answers
            ]
        return pd.DataFrame(found, columns=["answer", "valid", "reason", "steps", "halt_probability"])


def rows_of(puzzles: Any) -> list[list[int]]:
    """Rows of whole numbers, whatever holds them."""
    if isinstance(puzzles, pd.DataFrame):
        puzzles = puzzles.iloc[:, 0].tolist() if puzzles.shape[1] == 1 else puzzles.to_numpy()
    try:
        found = np.array([np.asarray(row) for row in puzzles])
    except ValueError:
        found = np.empty(0, dtype=object)
    if found.ndim != 2 or found.dtype.kind not in "iuf" or (found.dtype.kind == "f" and not (found == np.floor(found)).all()):
        raise QuestionError(
            "puzzles must be rows of whole numbers, all of one length", remedy="give an array of shape (puzzles, cells)"
        )
    return [[int(cell) for cell in row] for row in found]


def _asked(asked: Mapping[str, Any]) -> dict[str, Any]:
    shared: dict[str, Any] = {name: int(asked[name]) for name in ("steps", "rollouts", "forms") if asked.get(name)}
    identifier = str(asked.get("identifier") or "")
    if identifier:
        shared["identifier"] = int(identifier) if identifier.isdecimal() else identifier
    return shared
