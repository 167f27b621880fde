"""A run that starts from weights takes what it says and lists the rest, refuses what does not fit, knows the weights again."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import training_cases as cases
from torch import Tensor

from trm.config.files import dump_yaml, load_run_config
from trm.config.parts import part_of
from trm.config.run import RunConfig
from trm.data.format.manifest import Manifest
from trm.errors import CheckpointError
from trm.files.weight_files import weights_digest
from trm.models.build import to_published
from trm.training.run import fit
from trm.training.start import start_state
from trm.training.starting import read_source, require_beginning, start_of
from trm.training.state import TrainingState
from trm.training.weights import export_weights


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingState, Path]:
    """A run whose average and puzzle embedding are their own: as a checkpoint, an export and a published file."""
    folder = tmp_path_factory.mktemp("source")
    state = cases.begin(cases.config_of())
    cases.advance(state, 6)
    state.save(folder / "checkpoint")
    export_weights(state, folder / "export")
    assert state.table is not None
    assert state.average is not None
    plain = to_published(dict(state.model.state_dict()), state.table.weight, state.config.model, prefix="model.inner.")
    torch.save({f"_orig_mod.module.{key}": value for key, value in plain.items()}, folder / "published.pt")
    return state, folder


def begun(start: dict[str, Any], manifest: Manifest | None = None, **sections: Any) -> TrainingState:
    config = cases.config_of(**sections)
    config = RunConfig.model_validate({**config.model_dump(), "start": start})
    known = cases.manifest() if manifest is None else manifest
    return start_state(config, known, None, max_steps=cases.STEPS, device="cpu", gang=cases.SOLO)


def weights(state: TrainingState) -> dict[str, Tensor]:
    assert state.table is not None
    return {**state.model.state_dict(), "puzzle_embedding": state.table.weight}


def averaged(state: TrainingState) -> dict[str, Tensor]:
    assert state.average is not None
    return {**weights(state), **state.average.average}


def differing(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    return [name for name, value in one.items() if not torch.equal(value, other[name])]


@pytest.mark.parametrize(
    ("place", "which"), [("checkpoint", "average"), ("checkpoint", "raw"), ("export", "average"), ("published.pt", "average")]
)
def test_all_of_it_is_taken_bit_for_bit(trained: tuple[TrainingState, Path], place: str, which: str) -> None:
    source, folder = trained
    expected = averaged(source) if which == "average" and place != "published.pt" else weights(source)
    state = begun({"from": str(folder / place), "weights": which}, seed=99)
    assert differing(weights(state), expected) == []
    assert differing(averaged(state), expected) == [], "the average begins with them"
    assert state.step == 0
    assert not state.optimizer.saved()
    assert state.start_lines[0] == f"starts from {folder / place}{' (raw)' if which == 'raw' else ''}: 11 of 11 tensors are taken"


def test_raw_weights_are_not_in_an_export(trained: tuple[TrainingState, Path]) -> None:
    with pytest.raises(CheckpointError, match=r"an export holds the averaged weights, .* give a checkpoint"):
        begun({"from": str(trained[1] / "export"), "weights": "raw"})


def test_fresh_heads_are_the_run_s_own_draws(trained: tuple[TrainingState, Path]) -> None:
    source, folder = trained
    state = begun({"from": str(folder / "checkpoint"), "heads": "fresh"}, seed=5)
    drawn = weights(TrainingState(cases.config_of(seed=5), cases.manifest().shape, max_steps=1))
    expected = {name: (drawn if part_of(name) == "head" else averaged(source))[name] for name in drawn}
    assert differing(weights(state), expected) == []
    text = "\n".join(state.start_lines)
    assert "not taken: answer_head (4, 16), halting_bias (2,), halting_head (2, 16)" in text
    assert "answer_head (as start.heads says)" in text


def table_of(state: TrainingState) -> Tensor:
    assert state.table is not None
    return state.table.weight


def test_rows_of_the_puzzle_embedding_are_kept_meant_or_dropped(trained: tuple[TrainingState, Path]) -> None:
    source, folder = trained
    path = str(folder / "checkpoint")
    table = table_of(source)
    assert table.any()
    mean = table_of(begun({"from": path, "puzzle_embedding": "mean"}))
    torch.testing.assert_close(mean, table.mean(0).expand(mean.shape))
    assert not table_of(begun({"from": path, "puzzle_embedding": "zero"})).any()
    smaller = cases.manifest().model_copy(update={"num_puzzle_identifiers": 4})
    with pytest.raises(
        CheckpointError, match=r"puzzle_embedding is \(9, 16\), not \(4, 16\); set start.puzzle_embedding: mean or zero"
    ):
        begun({"from": path}, smaller)
    assert len(table_of(begun({"from": path, "puzzle_embedding": "mean"}, smaller))) == 4
    with pytest.raises(CheckpointError, match=r"rows are matched by the names of identifiers, .* have none"):
        begun({"from": path, "puzzle_embedding": "by_name"}, smaller)


@pytest.mark.parametrize("model", [{}, {"puzzle_emb_ndim": 8}])
@pytest.mark.parametrize("is_named", [True, False])
def test_every_mode_that_a_message_names_does(
    trained: tuple[TrainingState, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: dict[str, Any], is_named: bool
) -> None:
    start, manifest = {"from": str(trained[1] / "checkpoint")}, cases.manifest().model_copy(update={"num_puzzle_identifiers": 4})
    if is_named:
        (tmp_path / "identifiers.json").write_text('["<blank>", "a", "b", "c", "d", "e", "f", "g", "h"]')
        start |= {"trained_on": str(tmp_path)}
        monkeypatch.setattr("trm.training.starting.identifier_names", lambda folder, manifest: ["<blank>", "a", "b", "x"])
    with pytest.raises(CheckpointError, match=r"set start\.puzzle_embedding: ") as error:
        begun(start, manifest, model=model)
    modes = error.value.remedy.partition("set start.puzzle_embedding: ")[2].replace(" or ", ", ").split(", ")
    assert modes == (["zero"] if model else ["by_name", "mean", "zero"] if is_named else ["mean", "zero"])
    for mode in modes:
        assert begun({**start, "puzzle_embedding": mode}, manifest, model=model).start_lines


def begins(start: dict[str, Any], **sections: Any) -> None:
    config = RunConfig.model_validate({**cases.config_of(**sections).model_dump(), "start": start})
    require_beginning(config, read_source(config.start, config))


@pytest.mark.parametrize(
    ("place", "start", "sections", "message"),
    [
        ("checkpoint", {}, {"model": {"hidden_size": 32}}, r"hidden_size 16: give that"),
        ("checkpoint", {"missing": "fresh"}, {"model": {"hidden_size": 32}}, r"hidden_size 16: give that"),
        ("checkpoint", {}, {"model": {"L_layers": 2}}, r"blocks\.1\.down is missing.*; .*or set start.missing: fresh$"),
        ("published.pt", {"weights": "raw"}, {}, r"holds one network alone; set start.weights: average"),
        ("export", {"weights": "raw"}, {}, r"an export holds the averaged weights"),
        ("nan.pt", {}, {}, r"weights must be finite numbers: token_embedding"),
    ],
)
def test_what_is_wrong_whatever_the_data_are_is_known_before_they_are_built(
    trained: tuple[TrainingState, Path], place: str, start: dict[str, Any], sections: dict[str, Any], message: str
) -> None:
    folder = trained[1]
    found = torch.load(folder / "published.pt")
    torch.save({key: value * float("nan") if "embed_tokens" in key else value for key, value in found.items()}, folder / "nan.pt")
    with pytest.raises(CheckpointError, match=message):
        begins({"from": str(folder / place), **start}, **sections)


def test_a_file_of_both_has_raw_weights(trained: tuple[TrainingState, Path], tmp_path: Path) -> None:
    plain = torch.load(trained[1] / "published.pt")
    torch.save({"model": plain, "ema": dict(plain)}, tmp_path / "nested.pt")
    torch.save({**plain, **{f"ema.{key}": value for key, value in plain.items()}}, tmp_path / "flat.pt")
    for name in ("nested.pt", "flat.pt"):
        begins({"from": str(tmp_path / name), "weights": "raw"})


def test_a_start_that_takes_nothing_is_none(trained: tuple[TrainingState, Path]) -> None:
    other = {**cases.config_of().model_dump(), "model": {"architecture": "cnn", "puzzle_emb_ndim": 0, "puzzle_emb_len": 0}}
    for start in ({"missing": "fresh"}, {}):
        run = RunConfig.model_validate({**other, "start": {"from": str(trained[1] / "checkpoint"), **start}})
        with pytest.raises(CheckpointError, match=r"would take none of the 11 tensors of .* leave start.from out$"):
            require_beginning(run, read_source(run.start, run))
    begins({"from": str(trained[1] / "checkpoint"), "missing": "fresh"}, model={"L_layers": 2})


def test_rows_follow_their_names(trained: tuple[TrainingState, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["<blank>", "a", "a|||t1|||0123456789", "b", "c", "d", "e", "f", "g"]
    dump_yaml(tmp_path / "identifiers.json", {})
    (tmp_path / "identifiers.json").write_text(str(names).replace("'", '"'))
    here = ["<blank>", "b", "x", "a|||t1|||0123456789"]
    monkeypatch.setattr("trm.training.starting.identifier_names", lambda folder, manifest: here)
    start = {"from": str(trained[1] / "published.pt"), "puzzle_embedding": "by_name", "trained_on": str(tmp_path)}
    state = begun(start, cases.manifest().model_copy(update={"num_puzzle_identifiers": 4}))
    there = table_of(trained[0])
    torch.testing.assert_close(table_of(state), torch.stack((there[0], there[3], there.mean(0), there[2])))
    assert "3 of 4 identifiers have the row of their name, 1 the mean of its 9 rows" in state.start_lines


def test_everything_that_does_not_fit_is_listed_at_once(trained: tuple[TrainingState, Path]) -> None:
    path = str(trained[1] / "checkpoint")
    with pytest.raises(CheckpointError) as error:
        begun({"from": path}, model={"hidden_size": 32})
    listed = [name for name, value in weights(trained[0]).items() if value.dim() == 2 or name.endswith("_init")]
    assert [name for name in listed if f"{name} is (" not in str(error.value)] == []
    assert "they tell of model.hidden_size 16: give that" in str(error.value)


def test_what_is_missing_is_refused_or_drawn(trained: tuple[TrainingState, Path]) -> None:
    path = str(trained[1] / "checkpoint")
    deeper = {"L_layers": 2}
    with pytest.raises(CheckpointError, match=r"blocks\.1\.mix_in is missing; .*model.L_layers 1.* or set start.missing: fresh"):
        begun({"from": path}, model=deeper)
    state = begun({"from": path, "missing": "fresh"}, model=deeper)
    assert torch.equal(state.model.get_parameter("blocks.0.down"), averaged(trained[0])["blocks.0.down"])
    assert "blocks.1.down (missing there)" in state.start_lines[-1]


def test_fields_that_shapes_do_not_tell_are_named_where_they_differ(trained: tuple[TrainingState, Path]) -> None:
    same = {"halt_exploration_prob": 0.5, "forward_dtype": "float32"}
    other = {"H_cycles": 3, "activation": "relu2"}
    said = "trained in another network than here: model.activation silu there, relu2 here, model.H_cycles 2 there, 3 here"
    for place in ("checkpoint", "export"):
        path = str(trained[1] / place)
        assert len(begun({"from": path}, model=same).start_lines) == 1
        assert begun({"from": path}, model=other).start_lines[1:] == (said,)
    assert len(begun({"from": str(trained[1] / "published.pt")}, model=other).start_lines) == 1, "it does not say"


def test_what_another_network_has_more_of_is_listed(trained: tuple[TrainingState, Path]) -> None:
    state = begun({"from": str(trained[1] / "published.pt")}, model={"architecture": "single_z"})
    assert "not taken: H_init (16,)" in state.start_lines


def test_weights_of_another_digest_are_refused(trained: tuple[TrainingState, Path], tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    shutil.copy(trained[1] / "published.pt", path)
    digest = weights_digest(path)
    assert begun({"from": str(path), "digest": digest}).start_lines
    path.write_bytes((trained[1] / "published.pt").read_bytes() + b"\0")
    with pytest.raises(CheckpointError, match=f"must have digest {digest[:12]}, .* restore it from a copy"):
        begun({"from": str(path), "digest": digest})


def test_the_digest_counts_and_the_place_does_not() -> None:
    plain = cases.config_of()

    def digest_of(**start: Any) -> str:
        return RunConfig.model_validate({**plain.model_dump(), "start": start}).network_digest()

    known = {"digest": "0" * 64}
    assert digest_of(weights="raw") == plain.network_digest(), "without weights to start from the rest means nothing"
    assert digest_of(**{"from": "/a"}, **known) == digest_of(**{"from": "/b"}, **known) != plain.network_digest()
    assert digest_of(**{"from": "/a"}, digest="1" * 64) != digest_of(**{"from": "/a"}, **known)
    assert digest_of(**{"from": "/a"}, heads="fresh", **known) != digest_of(**{"from": "/a"}, **known)


def test_a_run_goes_on_when_its_start_is_gone(trained: tuple[TrainingState, Path], tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    shutil.copy(trained[1] / "published.pt", path)
    start = {"from": str(path), "digest": weights_digest(path)}
    config = RunConfig.model_validate({**cases.config_of(training={"eval_every_steps": 10}).model_dump(), "start": start})
    whole = fit(config, cases.SPLITS, cases.manifest(), folder=tmp_path / "whole")
    half = config.model_copy(update={"training": config.training.model_copy(update={"steps": 10})})
    fit(half, cases.SPLITS, cases.manifest(), folder=tmp_path / "half")
    assert "11 of 11 tensors" in (tmp_path / "half" / "start.txt").read_text()
    path.unlink()
    again = fit(config, cases.SPLITS, cases.manifest(), folder=tmp_path / "half", is_resumed=True)
    assert [report.scores for report in (again.last, again.best)] == [report.scores for report in (whole.last, whole.best)]
    with pytest.raises(CheckpointError, match="missing"):
        start_of(config, cases.manifest())


def test_a_file_names_weights_beside_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "w.pt").write_bytes(b"x")
    (tmp_path / "lab" / "run.yaml").write_text("data: {folder: x}\ntraining: {steps: 1}\nstart: {from: w.pt, heads: fresh}\n")
    monkeypatch.chdir(tmp_path)
    config = load_run_config("lab/run.yaml")
    assert (config.start.path, config.start.heads) == (str(tmp_path / "lab" / "w.pt"), "fresh")
    assert config.model_dump(mode="json")["start"]["from"] == config.start.path
