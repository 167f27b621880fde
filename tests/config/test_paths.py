"""One path, however it is spelled; one file, from wherever it is named."""

from pathlib import Path
from typing import Any

import pytest
from space_cases import DEMO

from trm.config.files import dump_yaml, load_run_config, merged
from trm.config.paths import beside, flat, nested
from trm.errors import ConfigError
from trm.search.knobs.knobs import IntKnob
from trm.search.space.loading import load_space
from trm.search.space.space import SearchSpace
from trm.tasks.mixture.recipe import MixtureRecipe
from trm.tasks.recipes import load_recipe

KNOB = {"type": "int", "low": 1, "high": 2}
ROOT = Path(__file__).parents[2]
RECIPE = {"name": "small", "task": "sudoku", "size": 4, "train": 8, "validation": 2, "test": 2}


def loaded(folder: Path, *overrides: str, **sections: Any) -> SearchSpace:
    dump_yaml(folder / "space.yaml", {**DEMO, "constraints": [], "search": {"model.H_cycles": KNOB}, **sections})
    return load_space(folder / "space.yaml", overrides)


def test_a_dotted_key_beside_the_sections_says_where_it_goes(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"objective\.metric is not a key; write metric below objective, or --set objective\.metric="
    ):
        loaded(tmp_path, **{"objective.metric": "loss"})


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        (
            {"search": {"model": {"H_cycles": KNOB}, "model.H_cycles": KNOB}},
            "search.model.H_cycles stands there twice, as `model: H_cycles` and as `model.H_cycles`; keep one",
        ),
        ({"search": {"model.H_cycles": KNOB, "model": {"H_cycles": None}}}, "search.model.H_cycles stands there twice"),
        (
            {"base": {"optim.lr": 1e-3, "optim": {"lr": 1e-2}}},
            "base.optim.lr stands there twice, as `optim: lr` and as `optim.lr`",
        ),
        ({"base": {"optim": 3, "optim.lr": 1e-3}}, "base.optim.lr stands there twice"),
        (
            {"start_points": [{"model.H_cycles": 1, "model": {"H_cycles": 2}}]},
            "start_points.0.model.H_cycles stands there twice",
        ),
        (
            {
                "search": {
                    "model.H_cycles": KNOB,
                    "optim.lr": {"type": "float", "low": 1, "high": 2, "when": {"model.H_cycles": 1, "model": {"H_cycles": 2}}},
                }
            },
            "when.model.H_cycles stands there twice",
        ),
    ],
)
def test_a_path_that_is_spelled_twice_is_refused(tmp_path: Path, sections: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        loaded(tmp_path, **sections)


def test_dotted_and_nested_paths_are_one(tmp_path: Path) -> None:
    knobs = {"model.H_cycles": KNOB, "model.L_cycles": KNOB, "optim.lr": {"type": "float", "low": 1e-4, "high": 1e-3}}
    point = {"model.H_cycles": 1, "model.L_cycles": 2, "optim.lr": 1e-3}
    dotted = loaded(tmp_path, search=knobs, start_points=[point], base={"optim.beta1": 0.8, "model.L_layers": 1})
    mixed = {"model": {"H_cycles": KNOB}, "model.L_cycles": KNOB, "optim": {"lr": knobs["optim.lr"]}}
    spread = {"model": {"H_cycles": 1}, "model.L_cycles": 2, "optim": {"lr": 1e-3}}
    base = {"optim": {"beta1": 0.8}, "model": {"L_layers": 1}}
    assert loaded(tmp_path, search=mixed, start_points=[spread], base=base).frozen() == dotted.frozen()
    assert loaded(tmp_path, "search.model.H_cycles.high=3", search=mixed).search["model.H_cycles"] == IntKnob(
        type="int", low=1, high=3
    )


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("search.model.h_cycles.high=3", r"model.h_cycles is not in the run configuration; did you mean model.H_cycles\?"),
        ("search.lr={type: float, low: 1, high: 2}", r"lr is not in the run configuration; did you mean optim.lr\?"),
        ("search.training.steps.low=1", "search: training.steps cannot be searched"),
    ],
)
def test_a_knob_that_is_none_is_named_before_its_parts_are_asked_for(tmp_path: Path, override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        loaded(tmp_path, override)


def test_a_run_configuration_takes_both_spellings_once(tmp_path: Path) -> None:
    run = {"data": {"folder": "x"}, "optim.lr": 1e-3, "optim": {"beta1": 0.8}, "training.steps": 3}
    dump_yaml(tmp_path / "run.yaml", run)
    config = load_run_config(tmp_path / "run.yaml", ["optim.lr=2e-3"])
    assert (config.optim.lr, config.optim.beta1, config.training.steps) == (2e-3, 0.8, 3)
    dump_yaml(tmp_path / "run.yaml", merged(run, {"training": {"steps": 4}}))
    with pytest.raises(ConfigError, match=r"training.steps stands there twice, as `training: steps` and as `training.steps`"):
        load_run_config(tmp_path / "run.yaml")


def test_flat_and_nested_leave_their_input_alone() -> None:
    section = {"a": {"b": {"c": 1}}, "d": 2}
    assert flat(section, "x") == {"a.b.c": 1, "d": 2}
    changes = {"model": {"H_cycles": 1}, "model.L_cycles": 2}
    assert nested(changes) == {"model": {"H_cycles": 1, "L_cycles": 2}}
    assert changes == {"model": {"H_cycles": 1}, "model.L_cycles": 2}


def test_files_are_named_from_beside_the_file_that_names_them_or_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    dump_yaml(there / "small.yaml", RECIPE)
    dump_yaml(here / "other.yaml", {**RECIPE, "name": "other"})
    for key in ("small.yaml", "other.yaml"):
        expected = str(there / key) if key == "small.yaml" else key
        assert loaded(there, data={"recipe": key}).data.recipe == expected
        dump_yaml(there / "run.yaml", {"data": {"recipe": key}, "training": {"steps": 1}})
        assert load_run_config(there / "run.yaml").data.recipe == expected
    parts = [{"recipe": "small.yaml", "overrides": {"seed": 1}}, {"recipe": "other.yaml"}]
    dump_yaml(there / "mixed.yaml", {"name": "mixed", "task": "mixture", "parts": parts})
    recipe = load_recipe(there / "mixed.yaml")
    assert isinstance(recipe, MixtureRecipe)
    assert [part.source().name for part in recipe.parts] == ["small", "other"]
    monkeypatch.chdir(tmp_path)
    assert loaded(there, data={"recipe": "small.yaml"}).data.recipe == "there/small.yaml"
    assert loaded(there, "data.recipe=small.yaml", data={"recipe": "small.yaml"}).data.recipe == "small.yaml"


def test_sources_are_named_from_beside_the_recipe_or_space_that_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    for folder, name in ((there, "own.csv"), (there, "own.json"), (here, "working.csv")):
        folder.mkdir(exist_ok=True)
        (folder / name).touch()
    monkeypatch.chdir(here)
    for path, expected in (("own.csv", str(there / "own.csv")), ("working.csv", "working.csv"), ("s3://a/b", "s3://a/b")):
        dump_yaml(there / "table.yaml", {"name": "mine", "task": "table", "path": path})
        assert load_recipe(there / "table.yaml").model_dump()["path"] == expected
        space = loaded(there, data={"recipe": "table.yaml", "overrides": {"path": path}})
        assert space.data.overrides == {"path": expected}
    assert load_recipe(there / "table.yaml", ["path=own.csv"]).model_dump()["path"] == "own.csv", "typed here"
    dump_yaml(there / "arc.yaml", {"name": "arc", "task": "arc", "paths": {"training": "own.json"}})
    assert load_recipe(there / "arc.yaml").model_dump()["paths"] == {"training": str(there / "own.json")}
    monkeypatch.chdir("/")
    assert load_recipe(ROOT / "datasets" / "table.yaml").model_dump()["path"] == f"{ROOT}/datasets/table_example.csv".lstrip("/")


@pytest.mark.parametrize("named", ["s3://bucket/data", "", 3, None, "x" * 5000])
def test_what_is_no_local_path_stays(named: Any) -> None:
    assert beside(named, Path()) == named
