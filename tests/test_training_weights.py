"""The weights that are evaluated can be exported, and are found in whatever holds weights."""

from pathlib import Path

import pytest
import torch
import training_cases as cases
from torch import Tensor

from trm.errors import CheckpointError, ConfigError
from trm.models.reference import to_reference
from trm.training.run import fit
from trm.training.state import TrainingState
from trm.training.weights import TrainedModel, export_weights, load_for_evaluation


def trained(variant: str = "attention") -> TrainingState:
    state = cases.begin(cases.config_of(variant))
    cases.advance(state, 5)
    return state


def answers(model: torch.nn.Module, table: torch.nn.Module | None) -> Tensor:
    """Logits of one supervision step on fixed puzzles."""
    draws = torch.Generator().manual_seed(0)
    inputs = torch.randint(0, 4, (5, 6), generator=draws, dtype=torch.int32)
    rows = None if table is None else table.rows(torch.arange(5))
    with torch.no_grad():
        return model(model.initial_latents(5), inputs, rows)[1].logits


def assert_evaluates_as(found: TrainedModel, state: TrainingState) -> None:
    with state.averaged():
        expected = answers(state.model, state.table)
    assert torch.equal(answers(found.model, found.table), expected)
    assert (found.config, found.shape) == (state.config, state.shape)


@pytest.mark.parametrize("variant", cases.VARIANTS)
def test_checkpoint_and_exports_hold_the_evaluated_weights(tmp_path: Path, variant: str) -> None:
    state = trained(variant)
    state.save(tmp_path / "checkpoint")
    export_weights(state, tmp_path / "from_state")
    export_weights(tmp_path / "checkpoint", tmp_path / "from_checkpoint")
    for name in ("checkpoint", "from_state", "from_checkpoint"):
        found = load_for_evaluation(tmp_path / name)
        assert_evaluates_as(found, state)
        assert (found.step, found.train_flops, found.data_hash) == (5, state.train_flops, cases.manifest().content_hash)
        assert not found.model.training
    assert (tmp_path / "from_state" / "model.safetensors").read_bytes() == (
        tmp_path / "from_checkpoint" / "model.safetensors"
    ).read_bytes()


def test_exporting_leaves_the_state_as_it_was() -> None:
    state = trained()
    before = cases.everything(state)
    with state.averaged():
        assert not torch.equal(state.model.token_embedding, before["model.safetensors/token_embedding"])
    after = cases.everything(state)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_run_is_evaluated_by_its_best(tmp_path: Path) -> None:
    config = cases.config_of(training={"eval_every_steps": 10})
    best = fit(config, cases.SPLITS, cases.manifest(), folder=tmp_path / "run").best
    assert load_for_evaluation(tmp_path / "run").step == best.step
    assert load_for_evaluation(tmp_path / "run" / "best").step == best.step


def test_the_reference_checkpoint_is_taken_with_its_configuration(tmp_path: Path) -> None:
    state = trained("plain")
    torch.save(to_reference(state.model.state_dict(), None, state.config.model), tmp_path / "step_5.pt")
    found = load_for_evaluation(tmp_path / "step_5.pt", config=state.config, shape=state.shape)
    assert_evaluates_as(found, state)
    with pytest.raises(CheckpointError, match="do not say what they were trained as; give its configuration too"):
        load_for_evaluation(tmp_path / "step_5.pt")
    with pytest.raises(CheckpointError, match="missing; give the configuration that the checkpoint was trained with"):
        load_for_evaluation(tmp_path / "step_5.pt", config=cases.config_of(), shape=state.shape)


class Foreign:
    """Something that unpickling would have to run code for."""

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("unpickled"),))


def test_nothing_foreign_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weights": Foreign()}, tmp_path / "bad.pt")
    with pytest.raises(CheckpointError, match="holds no plain weights"):
        load_for_evaluation(tmp_path / "bad.pt", config=cases.config_of(), shape=cases.manifest().shape)
    assert not (tmp_path / "unpickled").exists()
    (tmp_path / "text.pt").write_text("not a checkpoint")
    with pytest.raises(CheckpointError, match="holds no plain weights"):
        load_for_evaluation(tmp_path / "text.pt", config=cases.config_of(), shape=cases.manifest().shape)


@pytest.mark.parametrize("position", [0, 0.5, 1])
def test_a_damaged_export_is_refused(tmp_path: Path, position: float) -> None:
    export_weights(trained(), tmp_path)
    path = tmp_path / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[int(position * (len(data) - 1))] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="exported weights must be whole"):
        load_for_evaluation(tmp_path)


def test_an_export_needs_its_configuration(tmp_path: Path) -> None:
    state = trained()
    export_weights(state, tmp_path)
    text = (tmp_path / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(text.replace("L_layers: 1", "L_layers: 2"))
    with pytest.raises(CheckpointError, match=r"Missing key.*blocks\.1"):
        load_for_evaluation(tmp_path)
    (tmp_path / "config.yaml").unlink()
    with pytest.raises(ConfigError, match="does not exist"):
        load_for_evaluation(tmp_path)


def test_a_folder_without_weights_says_what_would_do(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"is none; give a folder with meta\.json"):
        load_for_evaluation(tmp_path)
    with pytest.raises(CheckpointError, match="is missing"):
        load_for_evaluation(tmp_path / "nowhere")
