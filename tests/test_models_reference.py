"""Published key names, both ways."""

from pathlib import Path

import pytest
import torch

from trm import parity
from trm.config import DataShape, ModelConfig
from trm.errors import CheckpointError
from trm.models.reference import from_reference, to_reference
from trm.models.trm import TinyRecursiveModel

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


def test_half_split_pairs_become_adjacent_pairs() -> None:
    config = ModelConfig(hidden_size=8, num_heads=2, L_layers=1, expansion=1.0, puzzle_emb_ndim=0, puzzle_emb_len=0)
    shape = DataShape(4, 5, 1)
    theirs = to_reference(TinyRecursiveModel(config, shape, dtype=torch.float32).state_dict(), None, config, prefix="")
    key = "L_level.layers.0.self_attn.qkv_proj.weight"
    theirs[key] = torch.arange(24.0)[:, None].expand(24, 8).contiguous()
    ours, table = from_reference(theirs, config, shape)
    rows = ours["blocks.0.mix_in"][:, 0].tolist()
    assert rows[:8] == [0, 2, 1, 3, 4, 6, 5, 7]
    assert rows[8:16] == [8, 10, 9, 11, 12, 14, 13, 15]
    assert rows[16:] == list(range(16, 24))
    assert table is None


def test_what_does_not_fit_is_named() -> None:
    case = parity.read_case(GOLDEN / "trm_attention")
    short = {key: value for key, value in case.weights.items() if not key.endswith("lm_head.weight")}
    with pytest.raises(CheckpointError, match=r"lm_head\.weight missing"):
        from_reference(short, case.model, case.shape)
    with pytest.raises(CheckpointError, match="extra unknown"):
        from_reference(case.weights | {"extra": torch.zeros(1)}, case.model, case.shape)
    with pytest.raises(CheckpointError, match=r"embedding_weight must be \(7, 32\), the checkpoint has \(6, 32\)"):
        from_reference(case.weights, case.model, DataShape(16, 7, 5))
