"""The published implementation's numbers, replayed; and that the replay would notice a wrong number."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from trm import parity
from trm.errors import EXIT_DONE, EXIT_FAILED, EXIT_INPUT

GOLDEN = Path(__file__).parent / "golden"
CASES = sorted(path.stem for path in GOLDEN.glob("*.json"))


@pytest.fixture(scope="module")
def attention() -> tuple[parity.Case, parity.Arrays]:
    case = parity.read_case(GOLDEN / "trm_attention")
    return case, parity.Replay(case).arrays()


@pytest.mark.parametrize("name", CASES)
def test_every_array_of_a_golden_case_is_within_its_tolerance(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert parity.main([str(GOLDEN / name)]) == EXIT_DONE
    printed = capsys.readouterr().out
    recorded = [a for a in parity.read_case(GOLDEN / name).arrays if not a.startswith("spread/") and a not in parity.GIVEN]
    assert all(f"\n{array} " in f"\n{printed}" for array in recorded)


def test_every_case_is_here() -> None:
    assert CASES == [
        "hier6",
        "hrm",
        "singlez",
        "transformer",
        "trm_attention",
        "trm_exact_rows",
        "trm_mlp",
        "trm_no_puzzle_embedding",
    ]


@pytest.mark.parametrize("name", ["first_logits", "loss", "halted", "steps", "eval_metrics", "final/inner.q_head.bias"])
def test_a_wrong_number_is_noticed(name: str, attention: tuple[parity.Case, parity.Arrays]) -> None:
    case, found = attention
    wrong = dict(found)
    wrong[name] = np.logical_not(found[name]) if found[name].dtype == bool else found[name] + 1.0
    verdicts = {d.name: d.is_within for d in parity.compare(wrong, case)}
    assert not verdicts.pop(name)
    assert all(verdicts.values())


def test_a_number_that_is_not_finite_is_noticed(attention: tuple[parity.Case, parity.Arrays]) -> None:
    case, found = attention
    assert not all(d.is_within for d in parity.compare(found | {"loss": found["loss"] * np.nan}, case))


def test_a_flipped_sign_in_the_puzzle_table_is_tolerated_once_but_not_often(attention: tuple[parity.Case, parity.Arrays]) -> None:
    case, found = attention
    flipped = found[parity.PUZZLE_TABLE].copy()
    flipped[[0, 5]] += 2 * 0.01
    verdicts = {d.name: d.is_within for d in parity.compare(found | {parity.PUZZLE_TABLE: flipped}, case)}
    assert verdicts[parity.PUZZLE_TABLE]
    flipped[6:12] += 2 * 0.01
    verdicts = {d.name: d.is_within for d in parity.compare(found | {parity.PUZZLE_TABLE: flipped}, case)}
    assert not verdicts[parity.PUZZLE_TABLE]


def test_a_case_beyond_tolerance_exits_1(tmp_path: Path) -> None:
    for file in GOLDEN.glob("trm_exact_rows.*"):
        shutil.copy(file, tmp_path)
    described = json.loads((tmp_path / "trm_exact_rows.json").read_text())
    described["train"]["weight_decay"] = 0.2
    (tmp_path / "trm_exact_rows.json").write_text(json.dumps(described))
    assert parity.main([str(tmp_path / "trm_exact_rows")]) == EXIT_FAILED


def test_a_missing_case_exits_2_and_says_what_to_give(capsys: pytest.CaptureFixture[str]) -> None:
    assert parity.main(["nowhere/nothing"]) == EXIT_INPUT
    assert "give PATH/NAME" in capsys.readouterr().err


def test_weights_of_another_configuration_exit_2_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in GOLDEN.glob("trm_exact_rows.*"):
        shutil.copy(file, tmp_path)
    described = json.loads((tmp_path / "trm_exact_rows.json").read_text())
    described["model"]["L_layers"] = 2
    (tmp_path / "trm_exact_rows.json").write_text(json.dumps(described))
    assert parity.main([str(tmp_path / "trm_exact_rows")]) == EXIT_INPUT
    assert "L_level.layers.1.mlp.down_proj.weight" in capsys.readouterr().err
