"""Bad input to the other jobs: exit code 2, one message of rule, value and remedy; nothing starts, is lost, or is left."""

import shutil
from pathlib import Path

import pytest
from bad_input_cases import AGAIN, NEW, RUN, UNVALIDATED, assert_refused, prepared, run

from trm.config.files import load_yaml
from trm.config.run import RunConfig


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory.mktemp("bad input, ümlaut"))


TRAININGS = [
    ((), "a run needs a configuration; give one"),
    ((*RUN, "--set", "model.hidden_sze=3"), "did you mean model.hidden_size?"),
    ((*RUN, "--set", "training.steps=null"), "a run needs a length"),
    ((*RUN, "--set", "training.epochs=3"), "a run has one length, got epochs 3 and steps 2"),
    ((*RUN, "--set", "optim.lr=.nan"), "must be a finite number"),
    (
        (*RUN, *UNVALIDATED, "--set", "evaluation.split=validation"),
        "recipe.yaml has only train, test; hold some out: --set data.ov",
    ),
    ((*RUN, "--set", "evaluation.split=testt"), "evaluation.split must be one of auto, validation, test, none, got 'testt'"),
    ((*AGAIN, "--set", "evaluation.split=test"), "was on validation so far, evaluation.split asks for test"),
    ((*RUN, "--set", "data.folder=nowhere"), "nowhere/manifest.json does not"),
    ((*RUN, "--workers", "0"), "workers must be >= 1, got 0"),
    ((*RUN, "--workers", "-1"), "workers must be >= 1, got -1"),
    ((*RUN, "--workers", "3"), "global batch 10 must divide by 3 workers; try 9 or 12"),
    ((*RUN, "--workers", "2", "--gpus", "-1"), "gpus must be >= 0, got -1"),
    ((*RUN, "--workers", "2", "--gpus", "nan"), "gpus must be a finite number"),
    ((*RUN, "--workers", "2", "--address", "nonsense"), "the address of a Ray cluster is HOST:PORT"),
    ((*RUN, "--workers", "1000", "--set", "training.global_batch_size=1000"), "a trial asks for 1000 workers with 1 CPUs each"),
    ((*RUN, "--gpus", "1"), "--gpus is for a gang"),
    ((*RUN, "--out", "{place}/data"), "{place}/data is taken"),
    ((*RUN, "--out", "{place}/file"), "--out must be a folder that can be written"),
    ((*RUN, "--out", "/proc/x"), "--out must be a folder that can be written"),
    ((*RUN, "--out", "s3://x/y"), "--out must be a folder of a POSIX file system"),
    (("{place}/config.yaml", "--storage", "{place}/file/x"), "--storage must be a folder that can be written"),
    (("{place}/space.yaml",), "must be a run configuration, but is a search space; ray_jobs/sweep.py takes it"),
    (("{place}/list.yaml",), "must hold a mapping of keys to values, but holds a list"),
    (("--resume", "{place}/nowhere"), "{place}/nowhere' is no run: it holds no config.yaml"),
    (("--resume", "{place}/run/best"), "a run is continued from a checkpoint, and {place}/run/best has none"),
    ((*RUN, "--set", "start.from={place}/nowhere.pt"), "start.from must name weights, and {place}/nowhere.pt does not exist"),
    ((*RUN, "--set", "start.from={place}/file"), "{place}/file holds no plain weights"),
    ((*RUN, "--set", "start.from={place}/run", "--set", "model.hidden_size=16"), "they tell of model.hidden_size 8: give that"),
    ((*RUN, *UNVALIDATED, "--set", "start.from={place}/run", "--set", "model.hidden_size=16"), "hidden_size 8: give that"),
    ((*RUN, *UNVALIDATED, "--set", "start.from={place}/run/best", "--set", "start.weights=raw"), "an export holds the averaged"),
    ((*RUN, "--set", "start.weihts=raw"), "did you mean start.weights?"),
    ((*RUN, "--set", "optim={type: muon, trained: heads}"), "optim.trained heads trains none; set optim.type: adamw"),
    ((*AGAIN, "--out", "{place}/new/out"), "a run goes on in its own folder"),
    ((*AGAIN, "--set", "model.hidden_size=16"), "has model.hidden_size 8, this run 16; set model.hidden_size to 8"),
    ((*AGAIN, "--set", "seed=4"), "has seed 0, this run 4"),
    ((*AGAIN, "--set", "training.global_batch_size=20", "--workers", "2"), "has training.global_batch_size 10, this run 20"),
    (("search_spaces/recipes/sudoku_mlp.yaml", *AGAIN), "a run continues only a checkpoint of its own configuration"),
]


@pytest.mark.parametrize(("arguments", "words"), TRAININGS, ids=[" ".join(arguments)[-70:] for arguments, _ in TRAININGS])
def test_train_refuses(place: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str) -> None:
    assert_refused(place, capsys, words, "train", *arguments)


BUILD = ("{place}/recipe.yaml", "--out", "{place}/new/data")
OTHERS = [
    ("build_dataset", (), "one of a recipe and --show DIR is needed, neither was given"),
    ("build_dataset", (*BUILD, "--set", "tain=3"), "tain is not a key; did you mean train?"),
    ("build_dataset", (*BUILD, "--set", "train=true"), "train must be a whole number, got true"),
    ("build_dataset", (*BUILD, "--set", "train=null"), "train and test must be numbers"),
    ("build_dataset", (*BUILD, "--set", "size=5"), "size must be one of 4, 6, 9, got 5"),
    (
        "build_dataset",
        (*BUILD, "--set", "task=chess"),
        "task must be one of sudoku, maze, arc, table, arrays, mixture, got",
    ),
    ("build_dataset", (*BUILD, "--set", "size=9", "--set", "path=/nowhere"), "/nowhere"),
    ("build_dataset", ("datasets/arc1.yaml", *BUILD[1:], "--set", "path=/nowhere"), "the folder of ARC files must exist: /nowhere"),
    ("build_dataset", ("datasets/arc1.yaml", *BUILD[1:], "--set", "path=nosuch://x"), "Protocol not known"),
    ("build_dataset", ("datasets/maze_hard.yaml", *BUILD[1:], "--set", "path=/nowhere"), "/nowhere holds neither"),
    ("build_dataset", ("{place}/recipe.yaml", "--out", "{place}"), "{place} exists and holds something else"),
    ("build_dataset", ("{place}/recipe.yaml", "--out", "/proc/x"), "a data set's folder must be writable: /proc/x"),
    ("build_dataset", ("{place}/recipe.yaml", "--out", "nosuch://x"), "Protocol not known"),
    ("build_dataset", ("{place}/recipe.yaml", "--out", "{place}/data", "--set", "seed=3"), "{place}/data holds tiny"),
    ("build_dataset", ("{place}/space.yaml",), "must be a data set recipe, but is a search space"),
    ("build_dataset", ("{place}/binary.yaml",), "{place}/binary.yaml cannot be read: it is not UTF-8 text"),
    ("evaluate", ("{place}/nowhere",), "{place}/nowhere does not exist"),
    ("evaluate", ("{place}/data",), "weights lie in a checkpoint, an export, a run or a sweep, and {place}/data is none"),
    ("evaluate", ("{place}/run", "--split", "tset"), "invalid choice: 'tset'"),
    ("evaluate", ("{place}/run", "--votes", "0"), "--votes must be >= 1, got 0"),
    ("evaluate", ("{place}/run", "--workers", "0"), "workers must be >= 1, got 0"),
    ("evaluate", ("{place}/run", "--workers", "1000"), "--workers must be at most the CPUs of this machine, "),
    ("evaluate", ("{place}/run", "--workers", "2", "--gpus", "1"), "--gpus is for workers in a Ray cluster, got 1"),
    ("evaluate", ("{place}/run", "--workers", "2", "--address", "nonsense"), "the address of a Ray cluster is HOST:PORT"),
    ("evaluate", ("{place}/run", "--address", "localhost:1"), "--gpus and --address are for several workers, got one"),
    ("evaluate", ("{place}/run", "--workers", "2", "--quick"), "--quick is of one worker, got --workers 2"),
    ("evaluate", ("{place}/run", "--steps", "all"), "--steps all writes answers.parquet into the folder of the evaluation"),
    ("evaluate", ("{place}/run", "--steps", "all", "--folder", "{place}/new", "--stop-halted"), "--steps all is of every"),
    ("evaluate", ("{place}/run", "--forward-dtype", "float16"), "invalid choice: 'float16'"),
    ("evaluate", ("{place}/run", "--set", "evaluation.steps=0"), "evaluation.steps must be >= 1, got 0"),
    ("evaluate", ("{place}/run", "--set", "evaluation.rollouts=100000"), "evaluation.rollouts must be <= 4096, got 100000"),
    ("evaluate", ("{place}/run", "--out", "{place}/no/r.json"), "--out must name a file in a folder that exists"),
    ("evaluate", ("{place}/run", "--out", "/proc/r.json"), "--out must name a file that can be written"),
    ("evaluate", ("{place}/run", "--set", "model.hidden_size=16"), "has model.hidden_size 8, 16 is asked for"),
    ("evaluate", ("{place}/run", "--config", "{place}/space.yaml"), "must be a run configuration, but is a search space"),
    ("evaluate", ("{place}/file", "--config", "{place}/config.yaml"), "holds no plain weights"),
    ("export_weights", ("{place}/nowhere", "--out", "{place}/new.pt"), "{place}/nowhere does not exist"),
    ("export_weights", ("{place}/data", "--out", "{place}/new.pt"), "weights lie in a checkpoint, an export, a run or a sweep"),
    ("export_weights", ("{place}/run", "--out", "{place}/file"), "--out must say by its ending which format it is"),
    ("export_weights", ("{place}/run", "--out", "{place}/run/best/model.safetensors"), "--out must name a new file, and"),
    ("export_weights", ("{place}/run", "--out", "{place}/no/w.pt"), "--out must name a file in a folder that exists"),
    ("export_weights", ("{place}/run/best", "--out", "{place}/new.pt", "--weights", "raw"), "an export holds the averaged weights"),
]


@pytest.mark.parametrize(
    ("name", "arguments", "words"), OTHERS, ids=[f"{name} {' '.join(arguments)}"[-70:] for name, arguments, _ in OTHERS]
)
def test_build_and_evaluate_refuse(
    place: Path, capsys: pytest.CaptureFixture[str], name: str, arguments: tuple[str, ...], words: str
) -> None:
    assert_refused(place, capsys, words, name, *arguments)


def test_a_ray_job_needs_a_storage_that_lasts(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    for name, file in (("sweep", "space"), ("train", "config")):
        assert_refused(place, capsys, "a Ray job needs --storage", name, f"{{place}}/{file}.yaml")
        relative = (f"{{place}}/{file}.yaml", "--storage", "somewhere")
        assert_refused(place, capsys, "a Ray job needs an absolute --storage, got somewhere", name, *relative)


def test_a_data_folder_is_known_by_its_absolute_path(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    assert run("train", "config.yaml", "--set", "data.folder=data", "--out", "relative") == 0
    values = load_yaml(place / "relative" / "config.yaml")
    assert RunConfig.model_validate(values).data.folder == str(place / "data")
    shutil.rmtree(place / "relative")


@pytest.mark.ray
def test_a_sweep_that_can_never_be_scheduled_is_refused_and_leaves_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "a trial asks for 1 CPUs and 1000 GPUs, and the cluster has"
    assert_refused(place, capsys, words, "sweep", *NEW, "--set", "resources.gpus=1000", may_connect=True)
