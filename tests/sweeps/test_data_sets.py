"""The data sets of a sweep: chosen by knobs, built first, scored on the same puzzles, told in its folder."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from data_cases import random_tasks, write_arc_json

from trm.config.data import DataConfig
from trm.config.files import dump_yaml, merged
from trm.data.batches.split import load_split
from trm.errors import ConfigError, DatasetError, SweepError
from trm.jobs.dry_run import print_dry_run
from trm.search.planning.survey import Survey
from trm.search.planning.validation_subset import with_subset
from trm.search.space.candidates import Candidate, Facts, Resolver
from trm.search.space.loading import load_space
from trm.search.space.space import SearchSpace
from trm.sweeps.data_sets import DataSets, ensured_sets
from trm.sweeps.folder import check_same_data, write_sweep_file
from trm.sweeps.search import costs_on, sweep_search
from trm.sweeps.shared_puzzles import require_shared
from trm.tasks.counts import data_counts
from trm.tasks.recipes import recipe_of_data

SUDOKU = {"name": "s", "task": "sudoku", "size": 4, "train": 60, "validation": 20, "test": 20}
MAZES = {"name": "m", "task": "maze", "size": 7, "min_path": 4, "train": 60, "validation": 10, "test": 10}
SPACE: dict[str, Any] = {
    "name": "sets",
    "data": {"recipe": "sudoku.yaml"},
    "base": {"model": {"hidden_size": 64, "mlp_t": True, "pos_encodings": "none", "puzzle_emb_ndim": 64, "halt_max_steps": 2}},
    "search": {
        "data.train": {"type": "choice", "values": [20, 40]},
        "optim.lr": {"type": "float", "low": 1e-3, "high": 1e-2, "log": True},
    },
    "fidelity": "epochs",
    "budget": {"trials": 4, "per_trial": 1000},
    "scheduler": "none",
    "sampler": "random",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recipes, and the data sets that tests build of them."""
    folder = tmp_path_factory.mktemp("sets")
    (folder / "arc").mkdir()
    write_arc_json(folder / "arc", "training", random_tasks(5))
    write_arc_json(folder / "arc", "evaluation", random_tasks(3, 1, "evaluation"))
    arc = {"name": "a", "task": "arc", "path": "arc", "num_aug": 3}
    for name, values in {"sudoku": SUDOKU, "mazes": MAZES, "arc": arc, "other": SUDOKU | {"seed": 1}}.items():
        dump_yaml(folder / f"{name}.yaml", values)
    dump_yaml(folder / "few.yaml", SUDOKU | {"augment": False})
    return folder


def space(place: Path, **changes: Any) -> SearchSpace:
    dump_yaml(place / "space.yaml", merged(SPACE, changes))
    return load_space(place / "space.yaml")


def built(place: Path, made: SearchSpace) -> DataSets:
    return ensured_sets(made, made.data, str(place / "data"), lambda text: None)


@pytest.mark.parametrize("recipe", ["sudoku", "mazes"])
def test_sets_of_several_sizes_have_the_validation_and_test_puzzles_of_their_recipe(place: Path, recipe: str) -> None:
    path = str(place / f"{recipe}.yaml")
    sets = built(place, space(place, data={"recipe": path}))
    assert [one.manifest.splits["train"].rows for one in sets.sets] == [20, 40]
    require_shared(sets)
    made = space(
        place, data={"recipe": path}, search={"data.train": None, "optim.lr": {"type": "float", "low": 1e-3, "high": 1e-2}}
    )
    plain = built(place, made).first
    for one in sets.sets:
        for name in ("validation", "test"):
            assert one.manifest.splits[name].content_sha256 == plain.manifest.splits[name].content_sha256
    small, large = (load_split(one.folder, one.manifest, "train") for one in sets.sets)
    assert (small.inputs == large.inputs[:20]).all()


def test_a_pool_that_changes_nothing_is_no_other_set(place: Path) -> None:
    data = DataConfig(recipe=str(place / "sudoku.yaml"))
    digest = recipe_of_data(data).digest()
    assert recipe_of_data(data.model_copy(update={"train": 60, "train_pool": 40})).digest() == digest
    assert recipe_of_data(data.model_copy(update={"train": 20})).digest() != digest
    assert recipe_of_data(data.model_copy(update={"train": 20})).model_dump()["train_pool"] == 60, "its file's other puzzles"


def test_a_trial_is_its_own_data_set_s_cost_epoch_and_run(place: Path) -> None:
    arc = {"data": {"recipe": str(place / "arc.yaml")}, "search": {"data.train": None, "data.num_aug": _values(1, 3)}}
    made = space(place, **arc)
    sets = built(place, made)
    few, many = (one.manifest for one in sets.sets)
    assert few.num_puzzle_identifiers < many.num_puzzle_identifiers
    require_shared(sets)
    found = [_resolved(made, sets, {"data.num_aug": number, "optim.lr": 1e-3}) for number in (1, 3)]
    identifiers = [one.num_puzzle_identifiers for one in (few, many)]
    assert found[1].params_count - found[0].params_count == 64 * (identifiers[1] - identifiers[0])
    assert found[0].digest != found[1].digest
    train = (
        _resolved(made := space(place), sets := built(place, made), {"data.train": 20, "optim.lr": 1e-3}),
        _resolved(made, sets, {"data.train": 40, "optim.lr": 1e-3}),
    )
    assert [one.max_steps for one in train] == [27, 53], "1,000 epochs of 20 and 40 rows, by 768"
    search = sweep_search(made, sets, knows_places=True)
    params = {"data.train": 40, "optim.lr": 1e-3}
    assert search._folder_of(params) == sets.sets[1].folder


def test_two_ways_to_say_one_data_set_are_one_run(place: Path) -> None:
    recipes = {"type": "choice", "values": ["sudoku.yaml", "same.yaml"]}
    dump_yaml(place / "same.yaml", SUDOKU)
    made = space(place, search={"data.train": None, "data.recipe": recipes})
    sets = built(place, made)
    assert made.data.recipe == made.search["data.recipe"].values_in_order[0]
    digests = [_resolved(made, sets, {"data.recipe": one.data.recipe, "optim.lr": 1e-3}).digest for one in sets.sets]
    assert digests[0] == digests[1]
    assert len({one.folder for one in sets.sets}) == 1


def test_all_sets_are_scored_by_as_many_votes(place: Path) -> None:
    made = space(place, data={"recipe": str(place / "arc.yaml")}, search={"data.train": None, "data.num_aug": _values(1, 3)})
    sets = built(place, made)
    forms = [data_counts(made.data.built(one.folder), "", print).forms for one in sets.sets]
    survey, _ = with_subset(_survey(made, sets), examples=3, forms=forms)
    assert survey.space.base["evaluation"]["votes"] == int(min(forms)) < max(forms)
    with pytest.raises(ConfigError, match=r"scored by as many votes: evaluation.votes may be 3, and one set has 2 forms"):
        with_subset(_survey(made, sets).scored_on({"votes": 3}), examples=3, forms=[2.0, 4.0])


def test_other_puzzles_or_trained_ones_are_refused(place: Path) -> None:
    def recipes(*names: str) -> DataSets:
        knob = {"type": "choice", "values": [str(place / f"{name}.yaml") for name in names]}
        return built(place, space(place, search={"data.train": None, "data.recipe": knob}))

    require_shared(recipes("sudoku", "few"))  # the same puzzles, varied and not
    with pytest.raises(DatasetError, match=r"share their validation puzzles: .*sudoku.yaml and .*other.yaml have others \(row"):
        require_shared(recipes("sudoku", "other"))
    with pytest.raises(DatasetError, match=r"are of one task: .*sudoku.yaml has sudoku, .*mazes.yaml maze"):
        require_shared(recipes("sudoku", "mazes"))


def test_a_set_that_trains_on_a_scored_puzzle_is_refused(place: Path) -> None:
    """Its own build refuses most of them; here one whose training rows are the validation's."""
    knob = {"type": "choice", "values": [str(place / "sudoku.yaml"), str(place / "few.yaml")]}
    whole, few = built(place, space(place, search={"data.train": None, "data.recipe": knob})).sets
    splits = few.manifest.splits
    leaky = few.manifest.model_copy(update={"splits": {**splits, "train": splits["validation"]}})
    with pytest.raises(DatasetError, match=r"trains on a validation puzzle: .*few.yaml does in 20 rows, the first of them row 0"):
        require_shared(DataSets((whole, replace(few, manifest=leaky))))


def test_what_a_folder_tells_of_its_sets_is_read_again_and_another_set_is_refused(place: Path, tmp_path: Path) -> None:
    made = space(place)
    sets = built(place, made)
    write_sweep_file(tmp_path, made, sets, {}, mode="resident")
    check_same_data(tmp_path, sets)
    told = json.loads((tmp_path / "datasets.json").read_text())
    assert [one["content_hash"] for one in told] == [one.content_hash for one in sets.manifests]
    with pytest.raises(SweepError, match=r"began with the data set of content hash \w+ \(.*sudoku.yaml, train 40\), .* has"):
        check_same_data(tmp_path, DataSets((sets.sets[1], sets.sets[1])))
    with pytest.raises(SweepError, match="there is none now"):
        check_same_data(tmp_path, DataSets(sets.sets[:1]))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"data": {"recipe": "arc.yaml"}},
            r"data.train means nothing for .*arc.yaml, whose recipe of task arc has no train; .* sudoku or maze",
        ),
        ({"search": {"data.train": None, "data.num_aug": {"type": "int", "low": 1, "high": 40}}}, r"at most 32 data sets"),
        ({"search": {"data.train": {"type": "choice", "values": [0, 40]}}}, r"search.data.train reaches 0"),
        ({"search": {"data.recipe": {"type": "choice", "values": ["sudoku.yaml", None]}}}, r"null is none"),
        (
            {"data": {"recipe": None, "folder": "data"}},
            r"search.data.train chooses of a recipe, but data.folder '.*' is built already",
        ),
        ({"search": {"data.mode": {"type": "choice", "values": ["stream"]}}}, r"data.mode cannot be searched; where rows wait"),
        ({"search": {"data.recipe": {"type": "choice", "values": ["sudoku.yaml", "gone.yaml"]}}}, r"gone.yaml"),
        (
            {"search": {"data.train": None, "data.num_aug": {"type": "choice", "values": [1]}}, "data": {"recipe": "mazes.yaml"}},
            r"data.num_aug means nothing for .*mazes.yaml",
        ),
    ],
)
def test_what_means_nothing_is_told(place: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises((ConfigError, DatasetError), match=said):
        built(place, space(place, **changes))


def test_null_is_the_recipes_own_number(place: Path) -> None:
    made = space(place, search={"data.train": {"type": "choice", "values": [None, 20]}})
    sets = built(place, made)
    assert [one.manifest.splits["train"].rows for one in sets.sets] == [60, 20]
    require_shared(sets)


def test_a_dry_run_refuses_sets_of_other_cells(place: Path) -> None:
    dump_yaml(place / "large.yaml", SUDOKU | {"size": 6, "minimal": True})
    recipes = {"type": "choice", "values": [str(place / "sudoku.yaml"), str(place / "large.yaml")]}
    made = space(place, search={"data.train": None, "data.recipe": recipes})
    with pytest.raises(DatasetError, match=r"share validation puzzles: .*has 16 cells of 6 tokens and 20 .*large.yaml 36 cells"):
        print_dry_run(made, place, [])


def test_difficulty_is_a_knob_of_one_data_set(place: Path) -> None:
    knob = {"type": "float", "low": 0.0, "high": 4.0}
    made = space(place, search={"data.train": None, "data.difficulty.strength": knob}, data={"difficulty": {"floor": 0.3}})
    assert len(made.data_choices) == 1
    assert made.data_of({"data.difficulty.strength": 2.0}).difficulty.model_dump() == {"strength": 2.0, "floor": 0.3}
    sets = built(place, made)
    digests = {_resolved(made, sets, {"data.difficulty.strength": one, "optim.lr": 1e-3}).digest for one in (0.0, 2.0)}
    assert len(digests) == 2
    with pytest.raises(ConfigError, match=r"data.difficulty.strength weighs puzzles, and data.mode stream takes each row once"):
        space(place, search={"data.train": None, "data.difficulty.strength": knob}, data={"mode": "stream"})


def test_conditions_leave_out_sets_that_no_trial_has(place: Path) -> None:
    knobs = {
        "data.recipe": {"type": "choice", "values": ["sudoku.yaml", "few.yaml"]},
        "data.train": {"type": "choice", "values": [20, 40], "when": {"data.recipe": "few.yaml"}},
    }
    made = SearchSpace.model_validate(merged(SPACE, {"search": {"data.train": None}}) | {"search": knobs, "data": {}})
    found = [(one.recipe, one.train) for one in made.data_choices]
    assert found == [("sudoku.yaml", None), ("few.yaml", 20), ("few.yaml", 40)]
    assert made.data_of({"data.recipe": "few.yaml", "data.train": 20}).train_pool == 40


def test_recipes_beside_the_space_are_found_wherever_they_are_named(place: Path) -> None:
    knobs = {
        "data.recipe": {"type": "choice", "values": ["sudoku.yaml", "few.yaml"]},
        "data.train": {"type": "choice", "values": [20, 40], "when": {"data": {"recipe": "few.yaml"}}},
        "optim.lr": SPACE["search"]["optim.lr"],
    }
    made = space(place, search=knobs, start_points=[{"data": {"recipe": "few.yaml", "train": 20}, "optim.lr": 2e-3}])
    few = str(place / "few.yaml")
    assert made.search["data.recipe"].contains(few)
    assert made.search["data.train"].when == {"data.recipe": few}
    assert made.data_of(made.start_points[0]).words == f"{few}, train 20"


def _values(*values: int) -> dict[str, Any]:
    return {"type": "choice", "values": list(values)}


def _survey(made: SearchSpace, sets: DataSets) -> Survey:
    return Survey(made, costs_on(sets, made.resources), Facts(epoch_rows=10.0, sets=sets.facts(is_streamed=False)))


def _resolved(made: SearchSpace, sets: DataSets, params: dict[str, Any]) -> Candidate:
    facts = Facts(epoch_rows=10.0, sets=sets.facts(is_streamed=False))
    found = Resolver(made, costs_on(sets, made.resources), facts).resolve(params)
    assert isinstance(found, Candidate), found
    return found
