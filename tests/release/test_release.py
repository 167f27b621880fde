"""A release: its card says what the sweep's one state says, its folder is whole and enough, wrong input is told before anything."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from data_cases import sudoku_split
from released_cases import won_sweep
from training_cases import manifest

from trm.config.data import DataConfig
from trm.config.shipped import named_file
from trm.console.streams import say
from trm.data.batches.split import load_split
from trm.data.format.built import BuiltDataset, BuiltSplit
from trm.data.format.manifest import SplitName, SudokuAugmentation, read_manifest
from trm.errors import CheckpointError, ConfigError, QuestionError, SweepError
from trm.jobs.release import ReleaseOptions, run_release
from trm.release.all_data import all_data
from trm.release.card import card, summary
from trm.release.champion import Standing, choice
from trm.release.data_card import UNKNOWN, data_card, parsed
from trm.release.facts import Facts, Maker, release_facts
from trm.release.folder import write_release
from trm.release.handed_on import config_handed_on, place_name, report_handed_on
from trm.release.registered import registered_release
from trm.release.registry import VERSIONS_TAG, RegistryPlace, _Registry, model_scores, version_tags
from trm.release.source import read_release_source
from trm.search.findings.tables import write_leaderboard
from trm.tasks.making.writing import write_dataset
from trm.tasks.sudoku.recipe import SudokuRecipe
from trm.training.weights import read_weights


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return won_sweep("confirmed", tmp_path_factory.mktemp("storage"))


@pytest.fixture(scope="module")
def facts(sweep: Path) -> Facts:
    return release_facts(read_release_source(sweep), Maker("c0ffee", 1.8e9))


def options(sweep: Path, **changes: Any) -> ReleaseOptions:
    plain: dict[str, Any] = {"out": None, "retrain": None, "overrides": (), "name": None, "is_champion": False}
    return ReleaseOptions(**{"sweep": str(sweep), "is_registered": False, "uri": None, **plain, **changes})


def test_every_figure_is_the_leaderboards_and_the_reports(sweep: Path, facts: Facts) -> None:
    source = read_release_source(sweep)
    write_leaderboard(source.state, sweep)
    board = json.loads((sweep / "leaderboard.json").read_text())
    first, report = board["trials"][0], json.loads((sweep / "best" / "report.json").read_text())
    scores = facts["scores"]
    assert (scores["trial"], scores["run"]) == (first["trial"], report["run"]) == (report["trial"], scores["run"])
    assert scores["confirmed"] == first["confirmed"]
    assert (scores["sentence"], scores["supported"]) == (board["sentence"], board["supported"])
    assert (scores["search_objective"], scores["search_interval_95"]) == (first["objective"], first["interval_95"])
    assert (scores["validation"], scores["test"]) == (report["validation"], report["test"]) == (first["validation"], first["test"])
    assert facts["cost"]["released"] == {"train_flops": report["train_flops"], "steps": report["steps"]}
    assert facts["cost"]["sweep"]["train_flops"] == source.state.spending.train_flops
    assert facts["seeds"]["released"] == report["seed"]
    assert {knob["path"]: knob["value"] for knob in facts["knobs"] if knob["is_active"]} == report["params"]


def test_the_card_says_the_figures(facts: Facts) -> None:
    text, scores, metric = card(facts), facts["scores"], facts["objective"]["metric"]
    for name in ("validation", "test"):
        low, high = scores[name][f"{metric}_low"], scores[name][f"{metric}_high"]
        assert f"{scores[name][metric]:.4f} ({low:.4f} to {high:.4f})" in text
    confirmed = scores["confirmed"]
    assert f"Over {confirmed['seeds']} seeds" in text
    assert f"P(best), is {confirmed['p_best']:.2f}." in text
    assert all(str(one["seed"]) in text for one in facts["seeds"]["confirmation"])
    assert all(f"| `{knob['path']}` | " in text and knob["range"].replace("|", "") in text for knob in facts["knobs"])
    for told in (facts["data"]["licence"], facts["data"]["content_hash"], "c0ffee", *facts["digests"].values()):
        assert told in text
    assert facts["data"]["licence"] != UNKNOWN
    assert "exactly 4 x 4 cells" in text
    assert summary(facts) in text


def test_the_folder_is_enough_where_nothing_else_is(sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_release(options(sweep)) == 0
    assert "no examples" in capsys.readouterr().err
    moved = shutil.move(sweep / "release", tmp_path / "elsewhere")
    there, here = read_weights(moved), read_weights(sweep / "best")
    assert there.tensors.keys() == here.tensors.keys()
    assert all((there.tensors[name] == here.tensors[name]).all() for name in here.tensors)
    assert there.config == here.config
    assert json.loads((Path(moved) / "dataset.json").read_text()) == json.loads((sweep / "dataset.json").read_text())
    assert json.loads((Path(moved) / "report.json").read_text()) == json.loads((sweep / "best" / "report.json").read_text())
    assert "Licence" in (Path(moved) / "data_card.md").read_text()


def test_a_release_is_made_again_and_replaces_nothing_else(sweep: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run_release(options(sweep, out=str(out))) == run_release(options(sweep, out=str(out))) == 0
    (other := tmp_path / "other").mkdir()
    (other / "thesis.tex").write_text("mine")
    with pytest.raises(ConfigError, match="replaces a release and nothing else"):
        run_release(options(sweep, out=str(other)))
    assert [path.name for path in other.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"overrides": ("training.steps=5",)}, "--set is of a winner that is trained anew"),
        ({"name": "a/b", "is_registered": True}, "--name must be letters"),
        ({"is_champion": True}, "--no-registry writes the folder alone"),
        ({"retrain": "all"}, "a winner is trained anew on its sweep's data"),
    ],
)
def test_wrong_input_is_told_before_anything_is_made(sweep: Path, tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises((ConfigError, CheckpointError, SweepError, ValueError), match=told):
        run_release(options(sweep, out=str(tmp_path / "out"), **changes))
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_without_a_winner_or_with_that_of_another_moment_is_refused(sweep: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(sweep, tmp_path / "s")
    report = json.loads((copy / "best" / "report.json").read_text())
    (copy / "best" / "report.json").write_text(json.dumps({**report, "trial": 99}))
    with pytest.raises(SweepError, match=r"the winner that the journal names, trial 5.*is of trial 99"):
        read_release_source(copy)
    shutil.rmtree(copy / "best")
    with pytest.raises(SweepError, match="has none yet"):
        read_release_source(copy)
    with pytest.raises(SweepError, match="is no sweep"):
        read_release_source(tmp_path)


@pytest.mark.parametrize(("model", "told"), [("models:/demo", "named models:/NAME@ALIAS"), ("models:/demo@a", "there is none at")])
def test_a_registered_model_that_is_not_there_is_told(
    tmp_path: Path, model: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(ConfigError, match=told), registered_release(model, tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


MINE = Standing("2", "data", "exact_accuracy", "max", 0.9, (0.87, 0.92))


@pytest.mark.parametrize(
    ("holder", "is_asked", "moves", "told"),
    [
        (None, False, True, "no other was"),
        (MINE, False, False, "as before"),
        (
            Standing("1", "data", "exact_accuracy", "max", 0.8),
            False,
            True,
            "0.9000 (0.8700 to 0.9200) on validation against 0.8000",
        ),
        (Standing("1", "data", "exact_accuracy", "max", 0.8, (0.77, 0.83)), False, True, "(0.7700 to 0.8300) on the same data"),
        (Standing("1", "data", "exact_accuracy", "max", 0.89, (0.86, 0.91)), False, True, "overlap, so the lead may be luck"),
        (Standing("1", "data", "exact_accuracy", "max", 0.9), False, False, "not better"),
        (Standing("1", "other", "exact_accuracy", "max", 0.1), False, False, "other data"),
        (Standing("1", "data", "loss", "min", 0.1), False, False, "judged by loss"),
        (Standing("1", "data", "exact_accuracy", "max", None), False, False, "version 1 has no validation score"),
        (Standing("1", "other", "loss", "min", 0.1), True, True, "as asked"),
    ],
)
def test_the_alias_moves_to_what_is_better_on_the_same_data(
    holder: Standing | None, is_asked: bool, moves: bool, told: str
) -> None:
    found, said = choice(MINE, holder, is_asked=is_asked)
    assert found is moves
    assert told in said
    assert ("luck" in said) is ("luck" in told)


def test_a_winners_setting_at_test_time_is_on_the_card_and_what_versions_are_compared_by(facts: Facts) -> None:
    score = {"exact_accuracy": 0.75, "exact_accuracy_low": 0.7, "exact_accuracy_high": 0.8}
    look = {"evaluation": {"steps": 16, "rollouts": 8, "noise": 0.3}, "validation": score, "test": score}
    told = {**facts, "scores": {**facts["scores"], "at_test_time": look}}
    assert "steps 16, rollouts 8, noise 0.3: exact_accuracy 0.7500 (0.7000 to 0.8000) on test and" in card(told)
    assert "plain answer" not in card(facts)
    assert Standing.of("1", version_tags(told, "")).words == "0.7500 (0.7000 to 0.8000)"
    assert Standing.of("1", version_tags(facts, "")).score == facts["scores"]["validation"]["exact_accuracy"]


def test_a_card_counts_the_winners_that_test_was_looked_at_for(facts: Facts) -> None:
    def counted(winners: int) -> str:
        return card({**facts, "scores": {**facts["scores"], "winners_tested": winners}})

    assert "once, after the choice.\n" in counted(1)
    assert "the choice; the sweep had 2 other winners before, which were tested too.\n" in counted(3)


def test_a_card_names_modules_that_the_wheel_has_not(facts: Facts) -> None:
    assert "TRM_IMPORTS" not in card(facts)
    own = {**facts, "config": {**facts["config"], "imports": ["my_lab.optims"]}}
    assert "with them on the path, set `TRM_IMPORTS=my_lab.optims`" in card(own)


def test_weights_that_change_while_they_are_released_are_not_released(sweep: Path, facts: Facts, tmp_path: Path) -> None:
    before = {**facts, "digests": {**facts["digests"], "model.safetensors": "0" * 64}}
    with pytest.raises(SweepError, match="became another while it was released"):
        write_release(read_release_source(sweep), before, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def boards(folder: Path) -> BuiltDataset:
    """Three splits of a few boards, written; groups are numbered through them, each in two rows."""
    rows = sudoku_split(24)
    splits: dict[SplitName, BuiltSplit] = {}
    for name, numbers in (("train", [0, 0, 3, 3, 5, 5]), ("validation", [1, 1, 4, 4]), ("test", [2, 2])):
        first = sum(len(split.groups) for split in splits.values())
        chosen = slice(first, first + len(numbers))
        extras = {"rating": np.arange(first, first + len(numbers), dtype=np.int32)}
        splits[name] = BuiltSplit(rows.inputs[chosen], rows.labels[chosen], np.array(numbers, dtype=np.int32), extras)  # type: ignore[index, arg-type]
    built = BuiltDataset("sudoku", (4, 4), ("pad", ".", "1", "2", "3", "4"), splits, SudokuAugmentation())
    write_dataset(built, SudokuRecipe(name="boards", size=4, train=6, validation=4, test=2), str(folder))
    return built


def test_all_data_are_training_and_validation_and_test_stays(tmp_path: Path) -> None:
    built, folder, data = boards(tmp_path / "boards"), str(tmp_path / "boards"), DataConfig(recipe="boards.yaml")
    manifest = read_manifest(folder)
    found = all_data(data, folder, manifest, tmp_path, say)
    assert all_data(data, folder, manifest, tmp_path, say) == found
    whole = read_manifest(found)
    assert {name: split.rows for name, split in whole.splits.items()} == {"train": 10, "test": 2}
    assert whole.splits["test"].content_sha256 == manifest.splits["test"].content_sha256
    assert (whole.task, whole.augmentation, whole.recipe["size"]) == (manifest.task, manifest.augmentation, 4)
    train = load_split(found, whole, "train")
    assert train.groups.tolist() == [0, 0, 1, 1, 3, 3, 4, 4, 5, 5]
    assert train.extras["rating"].tolist() == [0, 1, 6, 7, 2, 3, 8, 9, 4, 5]
    rows = np.concatenate([built.splits["train"].inputs, built.splits["validation"].inputs])
    assert (np.asarray(train.inputs) == rows[train.extras["rating"]]).all()
    with pytest.raises(ConfigError, match="is of data with validation puzzles"):
        all_data(data, found, whole, tmp_path, say)


def test_what_is_handed_on_names_data_and_says_no_place(facts: Facts) -> None:
    assert place_name("/home/me/runs/data/sudoku4x4-1a2b3c") == "data/sudoku4x4-1a2b3c"
    assert (place_name("/lab/puzzles"), place_name("s3://lab/puzzles")) == ("puzzles", "s3://lab/puzzles")
    config = {**facts["config"], "data": {**facts["config"]["data"], "folder": "/lab/puzzles"}}
    assert config_handed_on(config)["data"] == {**config["data"], "folder": "puzzles"}
    assert report_handed_on({"dataset": {"folder": "/lab/puzzles", "content_hash": "c"}})["dataset"]["folder"] == "puzzles"


def test_a_logged_model_has_the_cards_scores(facts: Facts) -> None:
    told, test = model_scores(facts), facts["scores"]["test"]
    assert [told[f"test/exact_accuracy{end}"] for end in ("", "_low", "_high")] == [
        test[f"exact_accuracy{end}"] for end in ("", "_low", "_high")
    ]
    assert told["confirmed.mean"] == facts["scores"]["confirmed"]["mean"]
    assert told["params_count"] == facts["network"]["params_count"]


def test_a_model_that_was_released_before_gets_what_is_new(facts: Facts) -> None:
    held: list[Any] = []

    class Client:
        def get_logged_model(self, _: str) -> SimpleNamespace:
            return SimpleNamespace(metrics=list(held))

        def get_metric_history(self, *_: str) -> list[Any]:
            return []

        def log_batch(self, _: str, metrics: list[Any]) -> None:
            held.extend(metrics)

        def search_logged_models(self, *_: object) -> list[SimpleNamespace]:
            texts = ("somebody's own", "7", json.dumps([{"name": "x", "version": "2"}]))
            return [SimpleNamespace(model_id=str(n), tags={VERSIONS_TAG: text}) for n, text in enumerate(texts)]

    registry = _Registry(Client(), RegistryPlace("sqlite:///x", "x", "x", None, {}))
    registry._tell_scores("m", "run", facts)
    count = len(held)
    confirmed = {**facts["scores"]["confirmed"], "mean": 0.125}  # the sweep went on: more fresh seeds
    registry._tell_scores("m", "run", {**facts, "scores": {**facts["scores"], "confirmed": confirmed}})
    assert [(one.key, one.value) for one in held[count:]] == [("confirmed.mean", 0.125)]
    assert registry._model_of(SimpleNamespace(version=2), "1", "digest") == "2"


@pytest.mark.filterwarnings("ignore:.*type hint is inferred as AnyType")
def test_a_served_model_says_what_was_wrong_with_a_question() -> None:
    """MLflow's server answers an exception of another kind by a stack of calls."""
    from mlflow.exceptions import MlflowException

    from trm.release.pyfunc_model import ReleasedModel

    def refuse(*_: object) -> None:
        raise QuestionError("a cell must be 0 to 5, got 400", remedy="mend it")

    model = ReleasedModel()
    model._answering = SimpleNamespace(frame=refuse)
    with pytest.raises(MlflowException, match="a cell must be 0 to 5, got 400; mend it") as told:
        model.predict(None, np.zeros((1, 16), np.int64))
    assert told.value.error_code == "INVALID_PARAMETER_VALUE"


def test_a_data_card_without_fields_is_unknown() -> None:
    assert parsed("# mine\n\nNothing.").licence == UNKNOWN
    found = parsed("- **Source**: here\n  and there.\n- **Licence**: CC0.\n\nMore.")
    assert (found.source, found.licence, found.cite) == ("here and there.", "CC0.", UNKNOWN)


def test_what_a_killed_release_left_goes_and_no_version_under_another_name(tmp_path: Path) -> None:
    gone: list[str] = []

    class Client:
        def search_logged_models(self, *_: object) -> list[SimpleNamespace]:
            return [SimpleNamespace(model_id="a", tags={VERSIONS_TAG: "[]"}), SimpleNamespace(model_id="b", tags={})]

        def delete_logged_model(self, model: str) -> None:
            gone.append(model)

    registry = _Registry(Client(), RegistryPlace("sqlite:///x", "other", "x", None, {}))
    with pytest.raises(AttributeError):  # this client makes no new one
        registry._logged_model(tmp_path, {}, "1", None, "digest")
    assert gone == ["b"]


@pytest.mark.parametrize(("path", "is_known"), [(None, True), ("mine.csv", False)])
def test_the_licence_of_a_shipped_recipe_is_not_said_of_other_data(path: str | None, is_known: bool) -> None:
    recipe = {"name": "sudoku9x9", "path": path}
    own = manifest("train").model_copy(update={"name": "x", "recipe": recipe})
    told = data_card(DataConfig(recipe="datasets/sudoku9x9.yaml"), own)
    plain = parsed(named_file("datasets/sudoku9x9.yaml", "data set recipe").with_suffix(".md").read_text())
    assert plain.licence != UNKNOWN
    assert (told == plain) == is_known
    assert told.licence.startswith("unknown: what lies at mine.csv") != is_known
