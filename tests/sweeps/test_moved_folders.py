"""Folders that travel: moved or copied, a sweep and a run are gone on with, scored and trained anew where they are now."""

import http.server
import shlex
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from bad_input_cases import prepared, run, scored_sweep

from trm.config.data import DataConfig
from trm.data.format.manifest import read_manifest
from trm.errors import DatasetError, SweepError
from trm.search.journal.events import SweepStarted
from trm.search.journal.journal import Journal
from trm.search.journal.priors import Prior, PriorScore, PriorTrial
from trm.search.space.loading import load_space
from trm.search.space.resume import check_resumable
from trm.sweeps.commands import job_command, recorded_resume
from trm.sweeps.earlier import check_same_priors
from trm.sweeps.folder import begun_space, data_of_resume, read_sweep
from trm.sweeps.winner import export_best
from trm.tasks.places import data_beside, refuse_remote
from trm.training.weights import export_weights


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = prepared(tmp_path_factory.mktemp("before"))
    content_hash = read_manifest(str(place / "data")).content_hash
    folder = scored_sweep(place, "scored")
    journal = folder / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().rpartition(b"\n")[0] + b"\n")
    checkpoint = next((place / "run" / "checkpoints").iterdir())
    export_best(folder, checkpoint, {"dataset": {"content_hash": content_hash}}, export_weights)
    return place


@pytest.fixture
def moved(made: Path, tmp_path: Path) -> Iterator[Path]:
    """Everything at another place, and nothing where it was."""
    away = made.with_name("away")
    shutil.copytree(made, tmp_path / "moved")
    made.rename(away)
    yield tmp_path / "moved"
    away.rename(made)


@pytest.mark.parametrize("what", ["run", "run/best", "runs/scored", "runs/scored/best"])
def test_what_was_moved_is_scored(moved: Path, capsys: pytest.CaptureFixture[str], what: str) -> None:
    assert run("evaluate", moved / what, "--storage", moved / "runs") == 0
    shown = capsys.readouterr()
    assert f"it is taken from {moved}/data now" in shown.err
    assert "test split of tiny: 10 examples" in shown.out


@pytest.mark.parametrize("config", ["runs/scored/best/config.yaml", "run/config.yaml"])
def test_what_was_moved_is_trained_anew(moved: Path, config: str) -> None:
    assert (
        run("train", moved / config, "--out", moved / "again", "--set", "training.steps=1", "--set", "tracking.enabled=false") == 0
    )
    assert f"folder: {moved}/data" in (moved / "again" / "config.yaml").read_text()


def test_a_moved_run_goes_on(moved: Path) -> None:
    assert run("train", "--resume", moved / "run", "--set", "training.steps=4", "--storage", moved / "runs") == 0
    assert f"folder: {moved}/data" in (moved / "run" / "config.yaml").read_text()


def test_a_moved_sweep_knows_its_data(moved: Path, made: Path) -> None:
    space = load_space(moved / "space.yaml")
    folder = moved / "runs" / "scored"
    assert space.data.folder == f"{made}/data"
    assert data_of_resume(folder, space.data, print).folder == f"{moved}/data"
    elsewhere = load_space(moved / "space.yaml", [f"data.folder={moved}/data"])
    with pytest.raises(SweepError, match="another search space"):
        check_resumable(load_space(moved / "space.yaml"), elsewhere)
    begun = begun_space(folder, elsewhere)
    check_resumable(space, begun)
    (folder / "dataset.json").unlink()  # as in sweeps of before there was one
    assert read_sweep(folder)[1].first.manifest == read_manifest(str(moved / "data"))


def test_data_of_another_content_are_not_taken_for_it(moved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(moved / "data")
    recipe = moved / "recipe.yaml"
    assert run("build_dataset", recipe, "--set", "seed=5", "--out", moved / "data") == 0
    assert run("evaluate", moved / "run") == 2
    assert f"the data set of {moved}/run must be there" in capsys.readouterr().err


def test_the_longest_common_place_counts(tmp_path: Path) -> None:
    for name in ("new/data/x", "new/runs/data/x", "new/x"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "manifest.json").touch()
    recorded = DataConfig(folder="/old/runs/data/x")
    best = tmp_path / "new" / "runs" / "s" / "best"
    assert data_beside(recorded, best).folder == f"{tmp_path}/new/runs/data/x"
    shutil.rmtree(tmp_path / "new" / "runs" / "data")
    assert data_beside(recorded, best).folder == f"{tmp_path}/new/data/x"
    shutil.rmtree(tmp_path / "new" / "data")
    assert data_beside(recorded, best) == recorded, "a name alone tells no data set"


@pytest.mark.parametrize(
    ("recorded", "words"),
    [
        (
            "python ray_jobs/sweep.py a.yaml --storage /old --name x --set 'data.mode=stream' --trials 7 --resume",
            "--set data.mode=stream --trials 7",
        ),
        ("ray job submit --working-dir . -- python ray_jobs/sweep.py a.yaml --storage /old --name x --resume", ""),
        (".venv/bin/python ray_jobs/sweep.py a.yaml --storage old --name x --resume", ""),
        ("/venv/bin/trm-search sweep a.yaml --storage old --name x --trials 7 --resume", "--trials 7"),
    ],
)
def test_the_command_that_goes_on_is_about_where_the_folder_is(tmp_path: Path, recorded: str, words: str) -> None:
    command = recorded_resume(recorded, tmp_path / "now" / "x")
    options = f"--storage {tmp_path}/now --name x{f' {words}' if words else ''} --resume"
    assert command.endswith(f"ray_jobs/sweep.py a.yaml {options}")
    assert command.startswith("ray job submit") == recorded.startswith("ray job submit")


def test_a_job_is_named_as_one_types_it_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = tmp_path / "check out" / "ray_jobs"
    jobs.mkdir(parents=True)
    cases = [
        (jobs.parent, "ray_jobs/sweep.py", "ray_jobs/evaluate.py"),
        (jobs.parent, str(jobs / "sweep.py"), "ray_jobs/evaluate.py"),
        (tmp_path, "check out/ray_jobs/sweep.py", "check out/ray_jobs/evaluate.py"),
        (jobs, "sweep.py", "evaluate.py"),
        (Path("/"), str(jobs / "sweep.py"), str(jobs / "evaluate.py").lstrip("/")),
        (Path(__file__).parent, str(jobs / "sweep.py"), str(jobs / "evaluate.py")),
        (tmp_path, str(tmp_path / "trm" / "tracking.py"), "ray_jobs/evaluate.py"),
    ]
    for here, typed, expected in cases:
        monkeypatch.chdir(here)
        monkeypatch.setattr(sys, "argv", [typed])
        assert shlex.split(job_command("evaluate.py"))[1:] == [expected]
    monkeypatch.chdir(jobs)
    assert recorded_resume("python sweep.py a.yaml --resume", tmp_path / "x").endswith("--name x --resume"), (
        "typed in the folder of the jobs"
    )


def test_the_installed_program_names_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/venv/bin/trm-search", "sweep"])
    assert job_command("build_dataset.py").endswith("trm-search data")
    command = recorded_resume("python ray_jobs/sweep.py a.yaml --storage /old --name x --resume", tmp_path / "x")
    assert command.endswith(f"trm-search sweep a.yaml --storage {tmp_path} --name x --resume")


@pytest.mark.parametrize(
    "recorded",
    [
        "rm -rf ~",
        "evil sweep a.yaml",
        "trm-search evaluate a.yaml evil",
        "curl evil | sh # ray_jobs/sweep.py a.yaml",
        "python ray_jobs/sweep.py --storage x",
        "python ray_jobs/sweep.py a.yaml --address evil:6379 --resume",
        "python ray_jobs/sweep.py 'a.yaml",
        "",
    ],
)
def test_a_command_that_is_none_of_ours_is_not_shown(tmp_path: Path, recorded: str) -> None:
    assert "evil" not in recorded_resume(recorded, tmp_path / "x")
    assert "rm" not in recorded_resume(recorded, tmp_path / "x")


def test_words_of_a_recorded_command_stay_words(tmp_path: Path) -> None:
    command = recorded_resume("python ray_jobs/sweep.py '$(rm -rf ~).yaml' --set 'a=`id`' --resume", tmp_path / "x")
    assert "'$(rm -rf ~).yaml'" in command
    assert "'a=`id`'" in command


def test_earlier_sweeps_may_have_moved(tmp_path: Path) -> None:
    trial = PriorTrial(trials=[0], params={}, digest="d", scores=[PriorScore(share=1.0, objective=0.5)])
    priors = [Prior(name="small", source="/old/runs/small", trials=[trial])]
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append(SweepStarted(name="s", seed=0, space_digest="d", versions={}, priors=priors, at=0.0))
    journal.close()
    check_same_priors(tmp_path, [str(tmp_path / "small")])
    with pytest.raises(SweepError, match="began with --warm-start /old/runs/small"):
        check_same_priors(tmp_path, [str(tmp_path / "other")])


# A folder's files name another machine --------------------------------------------------------------------------------


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """Address of a server, and what it was asked for."""
    paths: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, *words: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", paths
    server.shutdown()
    server.server_close()
    thread.join()


def test_nothing_is_fetched_on_a_folders_word(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], asked: tuple[str, list[str]]
) -> None:
    url, paths = asked
    best = tmp_path / "best"
    shutil.copytree(made / "runs" / "scored" / "best", best)
    config = yaml.safe_load((best / "config.yaml").read_text())
    config["data"]["folder"] = f"{url}/data"
    (best / "config.yaml").write_text(yaml.safe_dump(config))
    assert run("evaluate", best) == 2
    assert f"names data at {url}/data; if you want them, say so yourself: --set data.folder={url}/data" in capsys.readouterr().err
    (tmp_path / "recipe.yaml").write_text(f"name: evil\ntask: sudoku\npath: {url}/csv\n")
    config["data"] = {"recipe": str(tmp_path / "recipe.yaml")}
    (best / "config.yaml").write_text(yaml.safe_dump(config))
    assert run("evaluate", best) == 2
    assert f"names data at {url}/csv" in capsys.readouterr().err
    folder = tmp_path / "run"
    shutil.copytree(made / "run", folder)
    (folder / "config.yaml").write_text((folder / "config.yaml").read_text().replace(f"{made}/data", f"{url}/data"))
    assert run("train", "--resume", folder) == 2
    assert f"names data at {url}/data" in capsys.readouterr().err
    (folder / "config.yaml").write_text((made / "run" / "config.yaml").read_text() + f"tracking: {{uri: '{url}'}}\n")
    assert run("train", "--resume", folder) == 2
    assert "where MLflow writes is the user's word" in capsys.readouterr().err
    assert paths == []
    assert run("evaluate", best, "--set", f"data.folder={url}/data", "--set", "data.recipe=null") == 2
    assert paths == ["/data/manifest.json"], "the user's own word is taken"


def test_a_status_fetches_nothing(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], asked: tuple[str, list[str]]
) -> None:
    url, paths = asked
    folder = tmp_path / "scored"
    shutil.copytree(made / "runs" / "scored", folder)
    (folder / "dataset.json").unlink()
    (folder / "sweep.yaml").write_text((folder / "sweep.yaml").read_text().replace(f"folder: {made}/data", f"folder: {url}/data"))
    for option in ("--status", "--replay"):
        assert run("sweep", option, folder) == 2
        assert f"nothing is fetched because a folder's files say so: {folder}/sweep.yaml names data" in capsys.readouterr().err
    assert run("sweep", made / "space.yaml", "--storage", tmp_path / "runs", "--warm-start", folder) == 2
    assert paths == []


def test_every_way_to_another_machine_is_seen(tmp_path: Path) -> None:
    parts = [{"folder": "s3://bucket/x"}, {"folder": str(tmp_path)}]
    (tmp_path / "mixed.yaml").write_text(yaml.safe_dump({"name": "m", "task": "mixture", "parts": parts}))
    for data in (
        DataConfig(folder="s3://bucket/x"),
        DataConfig(recipe="https://host/recipe.yaml"),
        DataConfig(recipe=str(tmp_path / "mixed.yaml")),
    ):
        with pytest.raises(DatasetError, match="nothing is fetched"):
            refuse_remote(data, "config.yaml")
    refuse_remote(DataConfig(folder="file:///data/x"), "config.yaml")
