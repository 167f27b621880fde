"""Identifiers ablated: the network is told another puzzle than the row's, and scored by the row's own."""

from dataclasses import dataclass
from typing import Literal, Protocol, get_args, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from trm.data.batches.keyed_random import below, hashed
from trm.data.batches.plan import EvaluationPlan
from trm.data.batches.split import Split
from trm.data.format.manifest import Manifest
from trm.errors import ConfigError
from trm.models.puzzle_embedding import PuzzleEmbedding

Way = Literal["blank", "random", "other_form", "mean"]
WAYS: tuple[Way, ...] = get_args(Way)
BLANK = 0
"""The identifier of no puzzle, whose row no example trains."""
_OTHER_PUZZLE, _OTHER_FORM = 0x52, 0x46


@runtime_checkable
class IdentifierRows(Protocol):
    """What a network is told of identifiers: `PuzzleEmbedding` itself, or another word on it."""

    def rows(self, identifiers: Int[Tensor, " batch"]) -> Float[Tensor, "batch ndim"]:
        """The rows of the puzzle embedding that the network is handed."""


@dataclass(frozen=True, eq=False)
class OtherIdentifiers:
    """A puzzle embedding that is asked for other identifiers than the rows'."""

    table: PuzzleEmbedding
    told: Int64[np.ndarray, " identifiers"] | None
    """Which identifier the network is told in place of each; None: the mean of all rows but the blank one's."""

    def rows(self, identifiers: Int[Tensor, " batch"]) -> Float[Tensor, "batch ndim"]:
        """The rows that the network is handed."""
        if self.told is None:
            weight = self.table.weight
            return weight[1:].mean(0, dtype=torch.float64).to(weight.dtype).expand(len(identifiers), -1)
        return self.table.rows(torch.from_numpy(self.told).to(identifiers.device)[identifiers.long()])


def other_identifiers(way: Way, split: Split, manifest: Manifest, *, seed: int) -> Int64[np.ndarray, " identifiers"] | None:
    """Which identifier the network is told in place of each, a function of the seed; None for the mean.

    `random`: any of another puzzle's; `other_form`: another one of the puzzle's own. ConfigError where there is none.
    """
    owners = _owners(split, manifest.num_puzzle_identifiers)
    if way == "mean":
        return None
    if way == "blank":
        return np.full(len(owners), BLANK, dtype=np.int64)
    order = np.argsort(owners, kind="stable")
    order = order[np.searchsorted(owners[order], 0) :]  # those of puzzles, a puzzle's together
    puzzles, starts, counts = np.unique(owners[order], return_index=True, return_counts=True)
    own = np.searchsorted(puzzles, np.clip(owners, 0, None)).clip(max=len(puzzles) - 1)
    numbers = np.arange(len(owners))
    if way == "random":
        if len(puzzles) < 2:
            raise ConfigError("--identifiers random needs another puzzle, and the data set has one", remedy="choose blank or mean")
        shift = 1 + below(hashed(seed, _OTHER_PUZZLE, numbers), len(puzzles) - 1)
        chosen = (own + shift) % len(puzzles)
        told = order[starts[chosen] + below(hashed(seed, _OTHER_FORM, numbers), counts[chosen])]
    else:
        if counts.max() < 2:
            raise ConfigError(
                "--identifiers other_form needs puzzles with several identifiers, and each has one (num_aug 0)",
                remedy="choose blank, random or mean",
            )
        places = np.empty(len(owners), dtype=np.int64)
        places[order] = np.arange(len(order))
        within = places - starts[own]
        shift = 1 + below(hashed(seed, _OTHER_FORM, numbers), np.maximum(counts[own] - 1, 1))
        told = order[starts[own] + (within + shift) % counts[own]]
    return np.where(owners < 0, numbers, told)


def puzzles_told_their_own(told: Int64[np.ndarray, " identifiers"] | None, plan: EvaluationPlan) -> int:
    """How many of the scored puzzles have rows of which the network is told the row's own identifier; 0 of the mean (None)."""
    if told is None:
        return 0
    rows, own = plan.passes
    return len(np.unique(plan.split.clusters[rows[told[own] == own]]))


def require_identifiers(table: PuzzleEmbedding | None, manifest: Manifest) -> PuzzleEmbedding:
    """The table; ConfigError where a network is told nothing of identifiers, or the data set has one for all."""
    if table is None:
        raise ConfigError(
            "--identifiers needs a network with a puzzle embedding, and this one has none (model.puzzle_emb_len 0)",
            remedy="leave it out",
        )
    if manifest.num_puzzle_identifiers < 2:
        raise ConfigError(
            f"--identifiers needs a data set with identifiers, and {manifest.name} has one for all", remedy="leave it out"
        )
    return table


def _owners(split: Split, count: int) -> Int64[np.ndarray, " identifiers"]:
    """The puzzle of each identifier; -1: of none that is known here."""
    owners = np.full(count, -1, dtype=np.int64)
    if split.identifier_starts is not None:
        starts = split.identifier_starts
        owners[starts[0] : starts[-1]] = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    if split.puzzle_identifiers is not None:
        is_known = split.puzzle_identifiers >= 0
        owners[split.puzzle_identifiers[is_known]] = split.groups[is_known]
    owners[BLANK] = -1
    return owners
