"""Published key names, both ways."""

from pathlib import Path

import pytest
import torch

from trm import parity
from trm.config import DataShape
from trm.errors import CheckpointError
from trm.models.reference import from_reference, to_reference

GOLDEN = Path(__file__).parent / "golden"
CASES = sorted(path.stem for path in GOLDEN.glob("*.json"))


@pytest.mark.parametrize("name", CASES)
def test_there_and_back_is_the_published_checkpoint(name: str) -> None:
    case = parity.read_case(GOLDEN / name)
    state, table = from_reference(case.weights, case.model, case.shape)
    back = to_reference(state, table, case.model)
    assert back.keys() == case.weights.keys()
    assert all(torch.equal(back[key], value) for key, value in case.weights.items())


@pytest.mark.parametrize("prefix", ["_orig_mod.model.inner.", "model.inner.", "inner.", ""])
def test_every_wrapping_of_the_keys_is_read(prefix: str) -> None:
    case = parity.read_case(GOLDEN / "trm_mlp")
    state, table = from_reference(case.weights, case.model, case.shape)
    again, same = from_reference(to_reference(state, table, case.model, prefix=prefix), case.model, case.shape)
    assert all(torch.equal(again[key], value) for key, value in state.items())
    assert torch.equal(same, table)


def test_what_does_not_fit_is_named() -> None:
    case = parity.read_case(GOLDEN / "trm_attention")
    short = {key: value for key, value in case.weights.items() if not key.endswith("lm_head.weight")}
    with pytest.raises(CheckpointError, match=r"lm_head\.weight missing"):
        from_reference(short, case.model, case.shape)
    with pytest.raises(CheckpointError, match="extra unknown"):
        from_reference(case.weights | {"extra": torch.zeros(1)}, case.model, case.shape)
    with pytest.raises(CheckpointError, match=r"embedding_weight must be \(7, 32\), the checkpoint has \(6, 32\)"):
        from_reference(case.weights, case.model, DataShape(16, 7, 5))
