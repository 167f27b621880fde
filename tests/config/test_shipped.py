"""Shipped files by name: from any folder the same, and never in the way of a file of one's own."""

import shutil
from pathlib import Path

import pytest

from trm.config.files import load_run_config
from trm.config.shipped import FOLDERS, HOME, Kind, named_file, shipped_names
from trm.errors import ConfigError
from trm.search.space.loading import load_space
from trm.tasks.recipes import load_recipe

ROOT = Path(__file__).parents[2]


def test_every_shipped_space_is_the_same_from_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    here = {name: load_space(f"search_spaces/{name}.yaml").model_dump() for name in shipped_names("search space")}
    assert len(here) >= 12
    monkeypatch.chdir(tmp_path)
    assert {name: load_space(name).model_dump() for name in here} == here


def test_runs_and_recipes_are_found_from_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("sudoku_mlp", "sudoku_mlp.yaml", "recipes/sudoku_mlp.yaml", "search_spaces/recipes/sudoku_mlp"):
        assert load_run_config(name).data.recipe == "datasets/sudoku_extreme.yaml"
    assert load_recipe("datasets/sudoku_mixed.yaml").digest() == load_recipe("sudoku_mixed").digest(), "its parts are shipped too"
    (tmp_path / "mine.yaml").write_text("base: sudoku_mlp\nsearch: {optim.lr: {type: choice, values: [1e-4, 1e-3]}}\n")
    space = load_space("mine.yaml", ["budget.per_trial=1e12", "budget.trials=2", "data.recipe=sudoku9x9"])
    assert space.base["model"]["mlp_t"] is True


def test_ones_own_file_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "datasets" / "sudoku4x4.yaml", "sudoku4x4.yaml")
    assert named_file("sudoku4x4.yaml", "data set recipe") == Path("sudoku4x4.yaml")
    assert named_file("sudoku4x4", "data set recipe") == (ROOT / "datasets" / "sudoku4x4.yaml")


@pytest.mark.parametrize("named", ["elsewhere/sudoku4x4", "../sudoku4x4", "datasets/../../sudoku4x4", "/sudoku4x4.yaml", "arc2"])
def test_only_names_are_looked_up(named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the kind that is asked for: `arc2` is a run and a recipe, and no space."""
    monkeypatch.chdir(tmp_path)
    assert named_file(named, "search space") == Path(named)


def test_a_misspelt_name_names_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="soduku_extreme does not exist; did you mean sudoku_extreme"):
        load_space("soduku_extreme")


@pytest.mark.parametrize("kind", FOLDERS)
def test_the_package_leads_to_the_repositorys_folders(kind: Kind) -> None:
    assert (HOME / FOLDERS[kind]).resolve() == ROOT / FOLDERS[kind]
