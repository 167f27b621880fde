"""What a network is told in place of an identifier."""

from typing import Any

import numpy as np
import pytest
import torch
from evaluation_cases import config_of, manifest_of

from trm.config.networks import DataShape
from trm.data.batches.plan import EvaluationPlan
from trm.data.batches.split import Split
from trm.errors import ConfigError
from trm.evaluation.identifiers import (
    WAYS,
    OtherIdentifiers,
    other_identifiers,
    puzzles_told_their_own,
    require_identifiers,
)
from trm.models.puzzle_embedding import PuzzleEmbedding
from trm.tasks.arc.augment import canvas
from trm.tasks.augment import augmenter_for


def split_of(starts: list[int]) -> Split:
    puzzles = len(starts) - 1
    grids = canvas([np.full((1, 1), 3)] * puzzles)
    codes = np.arange(starts[-1], dtype=np.int32)
    return Split("test", grids, grids, np.arange(puzzles, dtype=np.int32), np.array(starts, dtype=np.int64), codes)


SPLIT = split_of([1, 4, 5, 12])
MANIFEST = manifest_of("arc", (30, 30), 12, SPLIT)
OWNERS = np.array([-1, 0, 0, 0, 1, *[2] * 7])


def test_each_way_tells_what_it_says() -> None:
    told = {way: other_identifiers(way, SPLIT, MANIFEST, seed=0) for way in WAYS}
    assert told["mean"] is None
    blank, random, form = (told[way] for way in ("blank", "random", "other_form"))
    assert blank is not None
    assert random is not None
    assert form is not None
    assert blank.tolist() == [0] * 12
    assert (OWNERS[random[1:]] != OWNERS[1:]).all()
    assert (random[1:] > 0).all()
    assert (OWNERS[form] == OWNERS).all()
    assert form[4] == 4  # the one form of its puzzle
    assert (np.delete(form, [0, 4]) != np.delete(np.arange(12), [0, 4])).all()
    assert other_identifiers("random", SPLIT, MANIFEST, seed=1).tolist() != random.tolist()  # type: ignore[union-attr]


def test_puzzles_that_have_no_other_form_are_counted() -> None:
    plan = EvaluationPlan(SPLIT, MANIFEST, augmenter_for, batch_size=4, max_examples=None, seed=0)
    counts = {way: puzzles_told_their_own(other_identifiers(way, SPLIT, MANIFEST, seed=0), plan) for way in WAYS}
    assert counts == {"blank": 0, "random": 0, "other_form": 1, "mean": 0}


def test_random_ones_are_of_all_puzzles_alike() -> None:
    many = split_of([1, *range(2, 4003)])
    told = other_identifiers("random", many, manifest_of("arc", (30, 30), 12, many), seed=0)
    assert told is not None
    assert len(np.unique(told)) == pytest.approx(4001 * (1 - np.exp(-1)), rel=0.05)


def test_a_network_is_handed_their_rows() -> None:
    config: Any = config_of(1, puzzle_emb_ndim=16, puzzle_emb_len=1)
    table = PuzzleEmbedding(config.model, DataShape(900, 12, 12))
    table.weight.copy_(torch.arange(12.0)[:, None].expand(12, 16))
    identifiers = torch.tensor([3, 4, 5], dtype=torch.int32)
    assert OtherIdentifiers(table, np.arange(12)[::-1].copy()).rows(identifiers)[:, 0].tolist() == [8, 7, 6]
    assert OtherIdentifiers(table, None).rows(identifiers)[:, 0].tolist() == [6, 6, 6]  # of 1 to 11


@pytest.mark.parametrize(
    ("way", "starts", "message"), [("random", [1, 5], "another puzzle"), ("other_form", [1, 2, 3], "num_aug 0")]
)
def test_what_there_is_not_is_refused(way: Any, starts: list[int], message: str) -> None:
    split = split_of(starts)
    with pytest.raises(ConfigError, match=message):
        other_identifiers(way, split, manifest_of("arc", (30, 30), 12, split), seed=0)


def test_a_network_without_a_puzzle_embedding_is_told_nothing() -> None:
    with pytest.raises(ConfigError, match="needs a network with a puzzle embedding"):
        require_identifiers(None, MANIFEST)
