"""The weights that are evaluated can be exported, and are found in whatever holds weights."""

import json
import os
import tracemalloc
from pathlib import Path

import pytest
import torch
import training_cases as cases
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from trm.errors import CheckpointError, ConfigError, DivergedError
from trm.models.build import to_published
from trm.training.checkpoint import read_meta, read_tensors, write_checkpoint
from trm.training.run import fit
from trm.training.state import TrainingState
from trm.training.weights import (
    EXPORT,
    TrainedModel,
    export_weights,
    load_for_evaluation,
    read_foreign_weights,
    read_weights,
    trained_model,
)


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
    torch.save(to_published(state.model.state_dict(), None, state.config.model), tmp_path / "step_5.pt")
    found = trained_model(read_foreign_weights(tmp_path / "step_5.pt", state.config, state.shape))
    assert_evaluates_as(found, state)
    with pytest.raises(CheckpointError, match="do not say what they were trained as; give a run, a sweep, a checkpoint"):
        load_for_evaluation(tmp_path / "step_5.pt")
    with pytest.raises(CheckpointError, match=r"puzzle_emb\.weights missing; .*--set model\.pos_encodings=learned"):
        read_foreign_weights(tmp_path / "step_5.pt", cases.config_of(), state.shape)


class Foreign:
    """Something that unpickling would have to run code for."""

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("unpickled"),))


def test_nothing_foreign_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weights": Foreign()}, tmp_path / "bad.pt")
    with pytest.raises(CheckpointError, match="holds no plain weights"):
        read_foreign_weights(tmp_path / "bad.pt", cases.config_of(), cases.manifest().shape)
    assert not (tmp_path / "unpickled").exists()
    (tmp_path / "text.pt").write_text("not a checkpoint")
    with pytest.raises(CheckpointError, match="holds no plain weights"):
        read_foreign_weights(tmp_path / "text.pt", cases.config_of(), cases.manifest().shape)


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
    with pytest.raises(CheckpointError, match=r"blocks\.1\.down, .* and 1 more missing; they tell of model\.L_layers 1 \(not 2\)"):
        load_for_evaluation(tmp_path)
    (tmp_path / "config.yaml").write_text(text.replace("L_cycles: ", "L_cycles: 1"))
    with pytest.raises(CheckpointError, match=r"its weights say model\.L_cycles (\d), .*config\.yaml has 1\1; undo that, or"):
        load_for_evaluation(tmp_path)
    (tmp_path / "config.yaml").unlink()
    with pytest.raises(ConfigError, match="does not exist"):
        load_for_evaluation(tmp_path)


def test_a_folder_without_weights_says_what_would_do(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"is none; give a folder with meta\.json"):
        load_for_evaluation(tmp_path)
    with pytest.raises(CheckpointError, match="is missing"):
        load_for_evaluation(tmp_path / "nowhere")


def test_an_export_that_claims_a_larger_network_is_refused_before_one_is_made(tmp_path: Path) -> None:
    export_weights(trained(), tmp_path)
    text = (tmp_path / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(text.replace("hidden_size: 16", "hidden_size: 16384"))
    tracemalloc.start()
    with pytest.raises(CheckpointError, match=r"they tell of model\.hidden_size 16 \(not 16384\)"):
        load_for_evaluation(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()


@pytest.mark.parametrize(
    "said",
    ["{", "{}", "[]", "null", "[" * 200_000, '{"shape": {"seq_len": -1}}', '{"shape": 1e400}'],
    ids=["torn", "empty", "list", "null", "deep", "negative", "infinite"],
)
def test_metadata_that_say_nothing_are_one_message(tmp_path: Path, said: str) -> None:
    export_weights(trained(), tmp_path)
    path = tmp_path / "model.safetensors"
    save_file(load_file(path), path, {EXPORT: said})
    with pytest.raises(CheckpointError, match=r"the metadata of .*model\.safetensors.*; export them again"):
        load_for_evaluation(tmp_path)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_named_wherever_they_lie(tmp_path: Path, number: float) -> None:
    state = trained()
    state.save(tmp_path / "whole")
    with torch.no_grad():
        state.model.answer_head[2, 1] = number
    export_weights(state, tmp_path / "export")  # the average is what is exported, and it is whole
    assert load_for_evaluation(tmp_path / "export").step == 5
    assert state.average is not None
    state.average.average["answer_head"][2, 1] = number
    export_weights(state, tmp_path / "export")
    with pytest.raises(CheckpointError, match=r"must be finite numbers: answer_head of .*export"):
        load_for_evaluation(tmp_path / "export")
    with pytest.raises(DivergedError, match="the weights answer_head are no finite numbers any more at step 5"):
        state.save(tmp_path / "whole")
    assert load_for_evaluation(tmp_path / "whole").step == 5, "what was there stays"


def test_a_checkpoint_of_a_run_that_diverged_before_it_was_saved_does_not_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = trained()
    with torch.no_grad():
        state.model.answer_head[2, 1] = float("nan")
    monkeypatch.setattr(TrainingState, "_require_finite", lambda self: None)  # as older releases saved
    state.save(tmp_path / "checkpoint")
    with pytest.raises(DivergedError, match=r"the weights answer_head of .*checkpoint are no finite numbers any more"):
        cases.resume(tmp_path / "checkpoint", state.config)


def test_a_checkpoint_that_claims_more_slots_than_it_carries_is_refused_before_they_are_made(tmp_path: Path) -> None:
    state = trained()
    state.save(tmp_path / "checkpoint")
    meta = read_meta(tmp_path / "checkpoint")
    larger = cases.config_of(training={"global_batch_size": 1 << 20})
    files = {name: read_tensors(tmp_path / "checkpoint", meta, name) for name in meta.files}
    write_checkpoint(tmp_path / "claims", files, meta.model_copy(update={"config": larger}))
    with pytest.raises(CheckpointError, match=r"the carry of its 1048576 slots: .* has 8"):
        cases.resume(tmp_path / "claims", larger)


def test_an_infinite_sum_of_the_metrics_comes_back(tmp_path: Path) -> None:
    state = trained()
    state.metrics.totals["grad_norm"] = float("inf")
    state.save(tmp_path / "checkpoint")
    assert cases.resume(tmp_path / "checkpoint", state.config).metrics.totals["grad_norm"] == float("inf")


def test_what_lies_beside_checkpoints_is_none(tmp_path: Path) -> None:
    state = trained()
    for name in ("step-00000099", "step-0100000000"):
        state.save(tmp_path / "checkpoints" / name)
    for name in (".DS_Store", "step-99999999999", "step-x"):
        (tmp_path / "checkpoints" / name).touch()
    assert Path(read_weights(tmp_path).source).name == "step-0100000000"
    assert read_weights(tmp_path / "checkpoints" / "step-00000099" / "model.safetensors").step == 5


@pytest.mark.parametrize("name", ["config.yaml", "model.safetensors"])
def test_a_pipe_where_a_file_of_an_export_belongs_is_not_waited_for(tmp_path: Path, name: str) -> None:
    export_weights(trained(), tmp_path / "best")
    (tmp_path / "best" / name).unlink()
    os.mkfifo(tmp_path / "best" / name)
    for path in (tmp_path, tmp_path / "best", tmp_path / "best" / "model.safetensors"):
        with pytest.raises(CheckpointError, match=f"{name} must be a file"):
            read_weights(path if path.is_dir() or path.is_file() else path.parent)


def test_a_renamed_export_is_known_by_what_it_says(tmp_path: Path) -> None:
    state = trained()
    export_weights(state, tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "winner.safetensors")
    assert_evaluates_as(load_for_evaluation(tmp_path / "winner.safetensors"), state)


def test_an_export_of_an_older_release_is_read(tmp_path: Path) -> None:
    state = trained()
    export_weights(state, tmp_path)
    path = tmp_path / "model.safetensors"
    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()[EXPORT])
    assert about["names"] == {"identifiers": state.names.identifiers, "vocabulary": list(state.names.vocabulary)}
    del about["names"], about["model"]
    save_file(load_file(path), path, {EXPORT: json.dumps(about)})
    assert_evaluates_as(load_for_evaluation(tmp_path), state)
