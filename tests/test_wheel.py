"""The wheel as somebody has it who has nothing else: its files, its program, what is shipped, and a winner out of the registry."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from trm import __version__

ROOT = Path(__file__).parents[1]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir", "-q"]
ALONE = ["--no-deps", "--no-index"]
SUFFIXES = (".py", ".cpp", ".hpp", ".typed", ".yaml", ".html", ".css", ".js")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, because a build leaves its own folder beside the sources."""
    place = tmp_path_factory.mktemp("wheel")
    for name in ("trm", "search_spaces", "datasets"):
        shutil.copytree(ROOT / name, place / "source" / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, place / "source")
    command = [*PIP, "wheel", *ALONE, "--no-build-isolation", "-w", str(place), "."]
    subprocess.run(command, cwd=place / "source", check=True, timeout=300)
    return next(place.glob("*.whl"))


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`trm-search` of an installation that holds the wheel alone; its dependencies are those of the tests."""
    place = tmp_path_factory.mktemp("installed")
    subprocess.run([*PIP, "install", *ALONE, "--target", str(place), str(wheel)], check=True, timeout=300)
    return place / "bin" / "trm-search"


def called(program: Path, folder: Path, *arguments: str) -> tuple[int, str]:
    run = subprocess.run(
        [program, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(program.parents[1])},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return run.returncode, run.stdout + run.stderr


def shipped_files() -> set[str]:
    found = [path for folder in ("search_spaces", "datasets") for path in (ROOT / folder).rglob("*") if path.is_file()]
    return {f"trm/{path.relative_to(ROOT).as_posix()}" for path in found}


def test_the_wheel_has_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    about = f"trm_search-{__version__}.dist-info"
    code = [path for path in (ROOT / "trm").rglob("*") if path.suffix in SUFFIXES]
    own = {path.relative_to(ROOT).as_posix() for path in code if "__pycache__" not in path.parts}
    told = {f"{about}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "top_level.txt", "licenses/LICENSE")}
    assert names == own | shipped_files() | told


def test_the_program_works_in_an_empty_folder(program: Path, tmp_path: Path) -> None:
    assert called(program, tmp_path, "--version") == (0, f"trm-search {__version__}\n")
    code, said = called(program, tmp_path, "data", "table", "--out", "mine")
    assert code == 0, said
    assert (tmp_path / "mine" / "manifest.json").is_file()
    code, said = called(program, tmp_path, "sweep", "sudoku4x5")
    assert (code, said) == (2, "error: sudoku4x5 does not exist; did you mean sudoku4x4?\n")
    code, said = called(program, tmp_path, "sweep")
    assert (code, said) == (2, "error: the following arguments are required: space; see trm-search sweep --help\n")


LOADED = """
import json, sys
import mlflow, numpy, trm
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
found = model.predict(numpy.array(json.loads(sys.argv[3])), params={"steps": 3})
print(json.dumps([trm.__file__, found["answer"].tolist(), found["halt_probability"].tolist(), found["valid"].tolist()]))
"""


def test_a_registered_winner_answers_where_the_wheel_is_all_there_is(
    program: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from released_cases import won_sweep

    from trm.errors import ConfigError
    from trm.jobs.release import ReleaseOptions, run_release, run_tags
    from trm.release import registered, registry
    from trm.release.registered import registered_release
    from trm.release.source import read_release_source
    from trm.serving.solver import Solver
    from trm.tracking.artifact_places import artifact_location

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    plain = ReleaseOptions("", None, None, (), "demo", is_champion=False, is_registered=True, uri=None)
    sweeps = [won_sweep(name, tmp_path) for name in ("confirmed", "finished")]
    uri, said = f"sqlite:///{tmp_path}/mlflow.db", []
    source = read_release_source(sweeps[0])
    with registry.mlflow_of(uri) as client:  # the winner's run, with a point of the report's
        experiment = client.create_experiment("mini", artifact_location=artifact_location(tmp_path, "mini"))
        run = client.create_run(experiment, tags=run_tags(source)).info.run_id
        client.log_metric(run, "test/exact_accuracy", source.report["test"]["exact_accuracy"], timestamp=7, step=0)
    for sweep in (sweeps[0], sweeps[0], sweeps[1]):
        assert run_release(replace(plain, sweep=str(sweep), out=str(tmp_path / "handed-on"))) == 0
        said.append(capsys.readouterr().out)
    assert "models:/demo/1\n" in said[0]
    assert "version 1 is champion: no other was" in said[0]
    assert "models:/demo/1, which was there" in said[1]
    assert "models:/demo/2\n" in said[2]
    assert "version 1 stays champion: exact_accuracy 0.9940 (" in said[2]
    assert ") on validation against 1.0000 (" in said[2]
    assert "), which is not better" in said[2]
    rows = [[1, 2, 1, 4, 1, 1, 2, 1, 5, 1, 1, 3, 1, 1, 4, 1], [2, 1, 1, 1, 1, 3, 1, 1, 1, 1, 4, 1, 1, 1, 1, 5]]
    there = subprocess.run(
        [sys.executable, "-c", LOADED, uri, "models:/demo@champion", json.dumps(rows)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(program.parents[1])},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert there.returncode == 0, there.stderr
    file, cells, probabilities, valid = json.loads(there.stdout)
    here = Solver.open(sweeps[0] / "best", data=None).solve([{"row": row} for row in rows], steps=3)
    assert file == str(program.parents[1] / "trm" / "__init__.py")
    assert cells == [answer.cells.tolist() for answer in here]
    assert probabilities == [answer.halting_probability for answer in here]
    assert valid == [answer.verdict.is_valid for answer in here]
    with registry.mlflow_of(uri) as client:
        (logged,) = client.search_logged_models([experiment], f"source_run_id = '{run}'")
        told = {one.key: (one.value, one.step, one.timestamp, one.dataset_name) for one in logged.metrics}
        assert told["test/exact_accuracy"] == (source.report["test"]["exact_accuracy"], 0, 7, "sudoku4x4")
        assert len(client.get_metric_history(run, "test/exact_accuracy")) == 1  # MLflow gives a model's metrics to its run too
        client.create_registered_model("a lab's other model")
    monkeypatch.setattr(registered, "MOST_NAMED", 1)  # a registry of more models than a page names
    with pytest.raises(ConfigError, match="choose of a lab's other model and others"), registered_release("models:/x/1", tmp_path):
        pass
    with registered_release("models:/demo@champion", tmp_path) as folder:
        assert (folder / "model.safetensors").read_bytes() == (sweeps[0] / "best" / "model.safetensors").read_bytes()
    monkeypatch.undo()
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for model, told in (
        ("demo@best", "choose of champion"),
        ("demo/7", "choose of 1, 2"),
        ("other/1", "choose of a lab's other model, demo"),
    ):
        with pytest.raises(ConfigError, match=told), registered_release(f"models:/{model}", tmp_path):
            pass
