"""Published weights come in and go out again bit for bit, and what the published code cannot hold stays."""

from pathlib import Path

import pytest
import torch
import training_cases as cases
from bad_input_cases import run
from safetensors.torch import load_file

from trm.config.data import DataConfig
from trm.config.grid_networks import CnnConfig
from trm.config.run import RunConfig
from trm.config.start import StartConfig
from trm.config.training import TrainingConfig
from trm.errors import EXIT_DONE, EXIT_INPUT
from trm.parity import read_case
from trm.training.starting import start_of
from trm.training.state import TrainingState

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = sorted(path.stem for path in GOLDEN.glob("*.pt"))


def begun(case: str, folder: Path, **model: object) -> Path:
    """A checkpoint, before its first step, of a run that starts from a golden case's published weights."""
    golden = read_case(GOLDEN / case)
    config = RunConfig(
        data=DataConfig(folder="x"),
        model=golden.model.model_copy(update=model),
        training=TrainingConfig(global_batch_size=2, steps=1),
        start=StartConfig.model_validate({"from": str(GOLDEN / f"{case}.pt")}),
    )
    shape = golden.shape
    said = {"seq_len": shape.seq_len, "vocabulary": tuple(map(str, range(shape.vocab_size)))}
    said["num_puzzle_identifiers"] = shape.num_puzzle_identifiers
    state = TrainingState(config, shape, max_steps=1)
    state.begin_with(start_of(config, cases.manifest().model_copy(update=said)).tensors)
    state.save(folder / "checkpoint")
    return folder / "checkpoint"


def test_a_file_says_by_its_ending_which_format_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("export_weights", str(tmp_path), "--out", str(tmp_path / "w.bin")) == EXIT_INPUT
    assert "name it w.pt, as torch saves, or w.safetensors" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize("case", CASES)
def test_there_and_back_changes_no_bit(case: str, suffix: str, tmp_path: Path) -> None:
    source, out = begun(case, tmp_path), tmp_path / f"out.{suffix}"
    assert run("export_weights", str(source), "--out", str(out)) == EXIT_DONE
    there = load_file(out) if suffix == "safetensors" else torch.load(out, weights_only=True)
    golden = torch.load(GOLDEN / f"{case}.pt", weights_only=True)
    bare = {key.partition("inner.")[2]: value for key, value in golden.items()}
    assert {key.removeprefix("_orig_mod.model.inner.") for key in there} == bare.keys()
    differing = [key for key, value in there.items() if not torch.equal(value, bare[key.partition("inner.")[2]].to(value.dtype))]
    assert differing == []


@pytest.mark.parametrize(
    ("model", "named"),
    [
        ({"activation": "gelu"}, "no place for model.activation gelu, with"),
        ({"relaxation": 0.9}, "no place for model.relaxation 0.9, with"),
        ({"answers_after": "every_cycle"}, "no place for model.answers_after every_cycle, with"),
        ({"architecture": "cnn"}, "cnn has no published names"),
    ],
)
def test_what_the_published_code_does_not_compute_is_refused_by_name(
    model: dict[str, object], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    golden = read_case(GOLDEN / CASES[-1])
    config = RunConfig(
        data=DataConfig(folder="x"),
        model=CnnConfig() if "architecture" in model else type(golden.model).model_validate({**golden.model.model_dump(), **model}),
        training=TrainingConfig(global_batch_size=2, steps=1, kernels="plain"),
    )
    TrainingState(config, golden.shape, max_steps=1).save(tmp_path / "checkpoint")
    out = tmp_path / "out.pt"
    assert run("export_weights", str(tmp_path / "checkpoint"), "--out", str(out)) == EXIT_INPUT
    said = capsys.readouterr().err
    assert named in said
    assert "keep the export of this project (best/)" in said
    assert not out.exists()


def test_an_option_of_training_alone_is_no_hindrance(tmp_path: Path) -> None:
    source = begun("trm_mlp", tmp_path, dropout=0.3, gradient="last_call", halt_bias=-3.0)
    assert run("export_weights", str(source), "--out", str(tmp_path / "out.pt"), "--weights", "raw") == EXIT_DONE
