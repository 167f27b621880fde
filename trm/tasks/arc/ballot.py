"""What the votes for an ARC split come to: pass@K by task and by pair, as the published scorer counts, and a submission."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Int64, Integer

from trm.data.batches.split import Split
from trm.evaluation.answers_file import AnsweredBatch
from trm.evaluation.scores import Columns
from trm.stats.intervals import mean_of, wilson
from trm.tasks.arc.augment import CANVAS, FIRST_COLOUR, crop, invert, sizes
from trm.tasks.arc.votes import ABSENT, Candidates, grid_hashes, hashes_of, pass_at, tally, voted_grids
from trm.tasks.task import Cells, CellsOf

PASSES = (1, 2, 5, 10, 100, 1000)
"""K of the published pass@K."""
ATTEMPTS = 2
"""Answers to a test pair that a submission has."""
NOTHING = [[0]]
"""What is submitted where there is no grid."""


@dataclass(frozen=True, eq=False)
class ArcBallot:
    """The votes of an evaluation: every answer is one, `row`, `identifier`, `vote` and `halting_probability`.

    Where a row has several answers under an identifier, `number` says which.

    `pairs` are the test pairs that were to be answered, rows of `split`: one without a vote is not solved.
    """

    split: Split
    rows: Columns
    pairs: Int64[np.ndarray, " pairs"]

    @cached_property
    def candidates(self) -> Candidates:
        """Who was voted for."""
        return tally(self.rows["row"].astype(np.int64), self.rows["vote"], self.rows["halting_probability"])

    @cached_property
    def ranks(self) -> Int64[np.ndarray, " pairs"]:
        """Of each pair's true grid, from 0, or `ABSENT`."""
        truths, found = hashes_of(self.split.labels), self.candidates
        is_true = found.grids == truths[found.pairs]
        ranks = np.full(len(self.split), ABSENT)
        ranks[found.pairs[is_true]] = found.ranks[is_true]
        return np.asarray(ranks[self.pairs])

    def figures(self) -> dict[str, Any]:
        """JSON: tasks, pairs, votes, and pass@K by task and by pair with Wilson's interval, each by its own number."""
        tasks, ranks = self.split.groups[self.pairs], self.ranks
        passes: dict[str, Any] = {}
        for k in PASSES:
            by_task = pass_at(k, ranks, tasks)
            by_pair = ((ranks >= 0) & (ranks < k)).astype(np.float64)
            passes[str(k)] = {"by_task": _share(by_task), "by_pair": _share(by_pair)}
        counts = {"tasks": len(np.unique(tasks)), "pairs": len(self.pairs), "votes": len(self.rows["row"])}
        return {**counts, "pairs_without_votes": int((~np.isin(self.pairs, self.candidates.pairs)).sum()), "pass": passes}

    def by_pair(self) -> Columns:
        """A row a test pair: task, number within it, votes, distinct grids, rank of the truth, margin of the first over the second.

        `rank` counts from 1; 0: nobody voted for the truth. `margin` is in votes.
        """
        found, count = self.candidates, len(self.split)
        votes, distinct, first, second, right = (np.zeros(count, dtype=np.int64) for _ in range(5))
        np.add.at(votes, found.pairs, found.votes)
        np.add.at(distinct, found.pairs, 1)
        for rank, of in ((0, first), (1, second)):
            at = found.ranks == rank
            of[found.pairs[at]] = found.votes[at]
        is_true = found.grids == hashes_of(self.split.labels)[found.pairs]
        right[found.pairs[is_true]] = found.votes[is_true]
        columns = {"votes": votes, "distinct_grids": distinct, "votes_for_truth": right, "margin": first - second}
        own = {"puzzle": self.split.groups[self.pairs], "pair": self._numbers(), "rank": self.ranks + 1}
        return own | {name: column[self.pairs] for name, column in columns.items()}

    def submission(self, names: Sequence[str], cells_of: CellsOf) -> dict[str, list[dict[str, Any]]]:
        """{task: [{attempt_1, attempt_2} a test pair]}: with one candidate it stands twice, with none, or an empty one, [[0]]."""
        found = self.candidates
        firsts = found.firsts[found.ranks < ATTEMPTS]
        own = self.rows | {"number": self.rows.get("number", np.zeros_like(self.rows["row"]))}
        keys = list(zip(*(own[name][firsts].tolist() for name in ("row", "identifier", "number")), strict=True))
        cells = cells_of(keys)
        attempts: dict[int, list[list[list[int]]]] = {}
        for key in keys:  # best first within a pair
            attempts.setdefault(key[0], []).append(self._grid(cells[key], key[1]))
        made: dict[str, list[dict[str, Any]]] = {}
        for pair in self.pairs.tolist():
            grids = attempts.get(pair) or [NOTHING]
            padded = [*grids, *[grids[0]] * (ATTEMPTS - len(grids))]
            made.setdefault(names[self.split.groups[pair]], []).append(
                {f"attempt_{number}": grid for number, grid in enumerate(padded, 1)}
            )
        return made

    def _numbers(self) -> np.ndarray:
        """Of each pair within its task, from 0."""
        _, firsts, of_pair = np.unique(self.split.groups[self.pairs], return_index=True, return_inverse=True)
        return np.arange(len(self.pairs)) - firsts[of_pair]

    def _grid(self, cells: np.ndarray, identifier: int) -> list[list[int]]:
        """The grid of colours that a prediction is for."""
        codes = self.split.identifier_codes
        code = np.zeros(1, dtype=np.int32) if codes is None else codes[[identifier]]
        return grids_of(invert(crop(cells[None]), code))[0]


def claimed_votes(split: Split, answered: AnsweredBatch, claimed: Integer[np.ndarray, " batch"]) -> Columns:
    """The votes that count if the rows were of the `claimed` identifiers, undone as these say.

    The published scorer finds the pair of a vote by the identifier's task and by the question, undone like the answer. A vote
    counts for its row's pair where both are right; the blank identifier names no task.
    """
    assert split.identifier_codes is not None
    assert split.identifier_starts is not None
    batch, codes = answered.batch, split.identifier_codes[claimed]
    owners = np.searchsorted(split.identifier_starts, claimed, side="right") - 1
    asked = voted_grids(batch.batch.inputs.astype(np.uint8), codes)
    is_counted = (owners == split.groups[batch.rows]) & (asked == grid_hashes(split.inputs[batch.rows])) & (claimed > 0)
    columns = {
        "row": batch.rows,
        "identifier": batch.batch.puzzle_identifiers,
        "vote": voted_grids(answered.cells, codes),
        "halting_probability": answered.columns["halting_probability"],
    }
    return {name: column[is_counted] for name, column in columns.items()}


def grids_of(canvases: Cells) -> list[list[list[int]]]:
    """Grids as ARC's files have them; an empty one as `NOTHING`."""
    heights, widths = sizes(canvases)
    whole = canvases.reshape(-1, CANVAS, CANVAS).astype(np.int64) - FIRST_COLOUR
    return [
        grid[:height, :width].tolist() if height and width else NOTHING
        for grid, height, width in zip(whole, heights.tolist(), widths.tolist(), strict=True)
    ]


def _share(values: np.ndarray) -> dict[str, float]:
    share = mean_of(values)
    interval = wilson(share, len(values))
    return {"share": share, "low": interval.low, "high": interval.high, "count": len(values)}
