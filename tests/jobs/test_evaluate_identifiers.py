"""evaluate.py where identifiers are others than in training: matched by name, given the mean, or refused; never by number."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from arrays_cases import write_arc_set
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from trm.config.files import dump_yaml
from trm.config.run import RunConfig
from trm.data.format import storage
from trm.data.format.manifest import read_manifest
from trm.errors import CheckpointError, DatasetError
from trm.jobs.evaluate import run_evaluation
from trm.jobs.evaluation.data import DataAsked, on_data
from trm.jobs.evaluation.options import EvaluateOptions
from trm.models.build import to_published
from trm.tasks.making.writing import write_dataset
from trm.tasks.published.arrays import build_arrays
from trm.tasks.published.export import export_dataset
from trm.tasks.published.recipe import ArraysRecipe
from trm.training.state import TrainingState
from trm.training.weights import EXPORT, export_weights, read_weights

MODEL = {"H_cycles": 1, "L_cycles": 1, "L_layers": 1, "hidden_size": 16, "num_heads": 2, "puzzle_emb_len": 1, "halt_max_steps": 1}
ORDER = (3, 1, 5, 0, 4, 2)


def config_of(folder: Path) -> RunConfig:
    values = {"data": {"folder": str(folder)}, "model": MODEL, "training": {"steps": 5, "global_batch_size": 16}}
    return RunConfig.model_validate(values)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sets of six ARC tasks: `own`, `other` in another order, `few` and `fewer` with fewer forms, `arrays` and what is imported.

    And a checkpoint of `own` whose answers hang on the puzzle's row, and its weights by published names.
    """
    folder = tmp_path_factory.mktemp("identifiers")
    write_arc_set(folder / "own")
    write_arc_set(folder / "other", order=ORDER)
    write_arc_set(folder / "few", num_aug=1)
    write_arc_set(folder / "fewer", num_aug=1, order=ORDER)
    write_arc_set(folder / "more", count=7)
    export_dataset(str(folder / "own"), str(folder / "arrays"), joins_validation=True)
    recipe = ArraysRecipe(name="imported", path=str(folder / "arrays"), puzzle="arc", validation=3)
    write_dataset(build_arrays(recipe), recipe, str(folder / "imported"))
    manifest, config = read_manifest(str(folder / "own")), config_of(folder / "own")
    state = TrainingState(config, manifest.shape, data_hash=manifest.content_hash, names=manifest.names, max_steps=5)
    assert state.table is not None
    assert state.average is not None
    draws = torch.Generator().manual_seed(5)
    state.table.weight.copy_(torch.randn(state.table.weight.shape, generator=draws) * 3)
    state.step = 5
    state.save(folder / "run" / "checkpoints" / "step-00000005")
    export_weights(state, folder / "export")
    torch.save(to_published(state.model.state_dict(), state.table.weight, config.model), folder / "step_5")
    dump_yaml(folder / "config.yaml", config.model_dump(mode="json"))
    return folder


def report_of(place: Path, path: str, data: str | None = None, **changes: Any) -> dict[str, Any]:
    is_foreign = (place / path).is_file() and not path.endswith("safetensors")
    options = EvaluateOptions(
        path=str(place / path),
        split="test",
        overrides=() if data is None else (f"data.folder={place / data}",),
        config=str(place / "config.yaml") if is_foreign else None,
        votes=None,
        out=str(place / "report.json"),
        storage=str(place / "runs"),
    )
    assert run_evaluation(replace(options, **changes)) == 0
    return json.loads((place / "report.json").read_text())


def test_identifiers_in_another_order_have_the_rows_of_their_names(place: Path) -> None:
    expected = report_of(place, "run")
    assert expected["notes"] == []
    for path in ("run", "export"):
        found = report_of(place, path, "other")
        assert found["metrics"] == pytest.approx(expected["metrics"], rel=1e-9)
        assert found["notes"] == ["25 of 25 identifiers have the row of their name"]
    mistaken = read_weights(place / "run").tensors["puzzle_embedding"]
    assert not torch.equal(mistaken[1], mistaken[5]), "taken by number, the rows would have been other ones"


def test_names_are_found_after_a_move_and_fetched_from_nowhere(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = place / "moved" / "deep"
    shutil.copytree(place / "run", moved / "run")
    shutil.copytree(place / "own", moved / "own")
    (place / "own").rename(place / "away")
    try:
        assert report_of(place, "moved/deep/run", "other")["notes"] == ["25 of 25 identifiers have the row of their name"]
    finally:
        (place / "away").rename(place / "own")
    weights = read_weights(place / "export")
    far = weights.config.model_copy(update={"data": weights.config.data.model_copy(update={"folder": "memory://far/away"})})
    asked = DataAsked(str(place / "other"), read_manifest(str(place / "other")), is_chosen=True)
    monkeypatch.setattr(storage, "read_bytes", None)  # whoever asks for a file now fails
    with pytest.raises(CheckpointError, match="mean nothing without their names"):
        on_data(replace(weights, config=far), asked)


def test_fewer_forms_are_scored_by_their_names(place: Path) -> None:
    found, again = (report_of(place, "run", data) for data in ("few", "fewer"))
    assert found["notes"] == again["notes"] == ["13 of 13 identifiers have the row of their name"]
    assert found["metrics"] == pytest.approx(again["metrics"], rel=1e-9)


def test_unknown_identifiers_have_the_mean_of_the_rows_and_it_is_said(place: Path) -> None:
    (note,) = report_of(place, "run", "more")["notes"]
    assert note.startswith("25 of 29 identifiers have the row of their name, 4 are unknown to ")
    assert note.endswith("and have the mean of its 25 rows")


def test_a_bare_file_needs_a_word_on_what_it_was_trained_on(place: Path) -> None:
    expected = report_of(place, "run")["metrics"]
    for data in ("own", "other"):
        with pytest.raises(
            CheckpointError, match=r"mean nothing without their names: .*step_5 .* its 25 rows are.*--trained-on DATA"
        ):
            report_of(place, "step_5", data)
        for known in ("own", "arrays", "arrays/identifiers.json", "imported"):
            found = report_of(place, "step_5", data, trained_on=str(place / known))
            assert found["metrics"] == pytest.approx(expected, rel=1e-9), (data, known)


def test_the_same_arrays_under_another_split_are_the_same_identifiers(place: Path) -> None:
    found = report_of(place, "export", "imported")
    assert found["notes"] == ["25 of 25 identifiers have the row of their name"] or found["notes"] == []
    assert found["metrics"]["loss"] == pytest.approx(report_of(place, "run")["metrics"]["loss"], rel=1e-9)


def test_a_bare_file_of_another_size_gets_the_mean(place: Path) -> None:
    found = report_of(place, "step_5", "more")
    (note,) = found["notes"]
    assert note.startswith("all 29 identifiers have the mean of the 25 rows of ")
    assert "--trained-on DATA" in note
    table = read_weights(place / "run").tensors["puzzle_embedding"]
    weights = read_weights(place / "run").for_identifiers(torch.full((3,), -1).numpy())
    assert torch.allclose(weights.tensors["puzzle_embedding"], table.double().mean(0).float().expand(3, -1))
    assert weights.shape.num_puzzle_identifiers == 3


def _forgotten(place: Path) -> dict[str, Any]:
    """An export of an older release, whose data set is gone."""
    shutil.copytree(place / "export", place / "older", dirs_exist_ok=True)
    path = place / "older" / "model.safetensors"
    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()[EXPORT])
    del about["names"]
    save_file(load_file(path), path, {EXPORT: json.dumps(about)})
    config = (place / "older" / "config.yaml").read_text()
    (place / "older" / "config.yaml").write_text(config.replace(str(place / "own"), str(place / "gone")))
    return report_of(place, "older", "other")


def _names(place: Path, names: Any) -> dict[str, Any]:
    (place / "names.json").write_text(json.dumps(names))
    return report_of(place, "step_5", "own", trained_on=str(place / "names.json"))


BAD: dict[str, tuple[Callable[[Path], dict[str, Any]], type[Exception], str]] = {
    "an older export without its data": (_forgotten, CheckpointError, "mean nothing without their names: .*older"),
    "names of another table": (
        lambda place: report_of(place, "step_5", "own", trained_on=str(place / "more")),
        CheckpointError,
        "has 25 identifiers, the names given 29",
    ),
    "not what it was trained on": (
        lambda place: report_of(place, "run", "own", trained_on=str(place / "other")),
        CheckpointError,
        "was trained on data of content hash",
    ),
    "no names": (lambda place: _names(place, {"a": 1}), DatasetError, "must hold a list, and holds an object"),
    "numbers": (lambda place: _names(place, [1, 2]), DatasetError, "must be a list of names"),
    "nowhere": (
        lambda place: report_of(place, "step_5", "own", trained_on=str(place / "nowhere")),
        DatasetError,
        "list of identifiers must exist",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_not_known_is_refused(place: Path, case: str) -> None:
    call, kind, message = BAD[case]
    with pytest.raises(kind, match=message):
        call(place)
