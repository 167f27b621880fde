"""Where runs, their files and credentials go: where the user says, never where a folder's own files say; also after a move."""

import json
import os
import shutil
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from other_user import as_nobody, give_back, place_for_all, show_only

from tests.tracking.test_mlflow import PATIENCE, runs_of, sweep_folder, target
from tests.tracking.test_updates import sweep_space, whole_sweep
from trm.config.files import dump_yaml
from trm.tracking import show
from trm.tracking.artifact_places import artifact_folder, artifact_location, bring_home
from trm.tracking.handle import MlflowWriter
from trm.tracking.outbox_state import OutboxState
from trm.tracking.places import Target, model_lines, page_lines, tracking_uri
from trm.tracking.writer import main

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own


@pytest.fixture(autouse=True)
def no_store_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def storage(tmp_path: Path, empty_store: Path) -> Path:
    storage = tmp_path / "my runs"
    storage.mkdir()
    shutil.copy(empty_store, storage / "mlflow.db")
    return storage


@pytest.mark.parametrize(
    ("experiment", "folder"),
    [
        ("space", "space"),
        ("a/b c", "a/b c"),
        ("/Shared/x", "Shared/x"),
        ("../../up", "%2E%2E/%2E%2E/up"),
        ("a/../../b", "a/%2E%2E/%2E%2E/b"),
        (".", "%2E"),
        ("/", "%2F"),
        ("a\\..\\b", "a%5C..%5Cb"),
    ],
)
def test_an_experiments_files_stay_below_the_storage(tmp_path: Path, experiment: str, folder: str) -> None:
    assert artifact_folder(experiment) == folder
    place = (tmp_path / "mlartifacts" / folder).resolve()
    assert place.is_relative_to(tmp_path.resolve() / "mlartifacts")
    assert artifact_location(tmp_path, experiment) == (tmp_path / "mlartifacts" / folder).as_uri()


def test_long_names_are_shortened_and_stay_apart() -> None:
    one, other = artifact_folder("x" * 300 + "1"), artifact_folder("x" * 300 + "2")
    assert one != other
    assert len(one) < 255


def files_of(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("experiment", ["/Shared/x", "../../up"])
def test_a_sweep_under_any_experiment_keeps_its_files_in_the_storage(storage: Path, experiment: str) -> None:
    folder = sweep_folder(storage, whole_sweep())
    (folder / "leaderboard.json").write_text("{}")
    where = Target(tracking_uri(None, storage, {}), str(folder), str(storage), experiment)
    assert MlflowWriter(where).close(PATIENCE) is None
    assert files_of(storage / "mlartifacts") >= {"leaderboard.json", "journal.jsonl"}
    assert sorted(path.name for path in storage.parent.iterdir()) == ["my runs"]


def test_links_are_not_uploaded(storage: Path, tmp_path: Path) -> None:
    folder, home = sweep_folder(storage, whole_sweep()), tmp_path / "home"
    home.mkdir()
    (home / "id").write_text("private")
    (folder / "best").mkdir()
    (folder / "best" / "report.json").write_text("{}")
    (folder / "best" / "id.json").symlink_to(home / "id")
    (folder / "curves.png").symlink_to(home / "id")
    assert main([str(folder)]) == 0
    assert files_of(storage / "mlartifacts") == {"sweep.yaml", "journal.jsonl", "report.json"}
    assert "private" not in "".join(path.read_text() for path in (storage / "mlartifacts").rglob("*.*") if path.is_file())
    shutil.rmtree(folder / "best")
    (folder / "best").symlink_to(home)
    assert main([str(folder)]) == 0
    assert "id" not in files_of(storage / "mlartifacts")


@pytest.mark.parametrize("name", ["journal.jsonl", "metrics.jsonl", "run.json", "curves", "tracking.json"])
def test_what_is_followed_is_no_link(storage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    folder = sweep_folder(storage, whole_sweep())
    (tmp_path / "home").mkdir()
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(tmp_path / "home")
    assert main([str(folder)]) == 2
    assert f"{folder / name} is one, to {tmp_path / 'home'}" in capsys.readouterr().err


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "sqlite:////home/other/their.db", "https://***@host/mlflow"])
def test_a_store_that_only_the_folder_names_is_asked_for(storage: Path, capsys: pytest.CaptureFixture[str], uri: str) -> None:
    folder = sweep_folder(storage, whole_sweep())
    OutboxState(uri, "digest", "space", 3).save(folder)
    before = (folder / "tracking.json").read_bytes(), (storage / "mlflow.db").read_bytes()
    assert main([str(folder)]) == 2
    said = capsys.readouterr().err
    assert f"{folder} says that its runs are kept at {uri}, and a folder's word does not decide where they go" in said
    assert "--uri" in said
    assert before == ((folder / "tracking.json").read_bytes(), (storage / "mlflow.db").read_bytes())


@pytest.mark.parametrize("note", ["{", "[]", '{"uri": 5}', '{"uri": "", "sent": "many"}', '{"colour": "red"}'])
def test_a_note_that_cannot_be_understood_is_none(storage: Path, note: str) -> None:
    folder = sweep_folder(storage, whole_sweep())
    (folder / "tracking.json").write_text(note)
    assert main([str(folder)]) == 0
    assert json.loads((folder / "tracking.json").read_text())["sent"] == len(whole_sweep())


def test_a_database_that_sends_files_elsewhere_is_refused(
    storage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = sweep_folder(storage, whole_sweep(), "space")  # without a note, the experiment has the folder's name
    assert main([str(folder)]) == 0
    (tmp_path / "home").mkdir()
    with sqlite3.connect(storage / "mlflow.db") as connection:
        connection.execute("UPDATE runs SET artifact_uri = ?", ((tmp_path / "home").as_uri(),))
    (folder / "leaderboard.json").write_text("{}")
    assert main([str(folder)]) == 2
    assert f"would send the files of experiment 'space' to {(tmp_path / 'home').as_uri()}" in capsys.readouterr().err
    assert files_of(tmp_path / "home") == set()


@pytest.mark.parametrize("link", ["mlartifacts", "mlartifacts/space", "mlartifacts/space/0123", "mlartifacts/space/0123/artifacts"])
def test_a_storage_that_links_elsewhere_is_refused(
    storage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], link: str
) -> None:
    folder = sweep_folder(storage, whole_sweep(), "space")
    (tmp_path / "home").mkdir()
    (storage / link).parent.mkdir(parents=True, exist_ok=True)
    (storage / link).symlink_to(tmp_path / "home")
    assert main([str(folder)]) == 2
    assert f"{storage / link} is one, to {tmp_path / 'home'}" in capsys.readouterr().err
    assert files_of(tmp_path / "home") == set()


@pytest.mark.parametrize("is_copied", [False, True])
def test_a_moved_storage_keeps_its_files(storage: Path, tmp_path: Path, is_copied: bool) -> None:
    folder = sweep_folder(storage, whole_sweep())
    (folder / "leaderboard.json").write_text("{}")
    assert MlflowWriter(target(folder)).close(PATIENCE) is None
    moved = tmp_path / "moved"
    if is_copied:
        shutil.copytree(storage, moved)
    else:
        storage.rename(moved)
    (moved / "s-1" / "audit.json").write_text("{}")
    assert main([str(moved / "s-1")]) == 0
    assert storage.exists() == is_copied
    assert "audit.json" not in files_of(storage)
    assert files_of(moved / "mlartifacts") == {"leaderboard.json", "sweep.yaml", "audit.json", "journal.jsonl"}
    client, runs = runs_of(f"sqlite:///{moved}/mlflow.db")
    run = runs[None].info
    assert {file.path for file in client.list_artifacts(run.run_id)} == files_of(moved / "mlartifacts")
    assert client.get_experiment(run.experiment_id).artifact_location == artifact_location(moved, "space")


def test_the_pages_of_a_moved_storage_are_served_with_its_files(
    storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = sweep_folder(storage, whole_sweep(), "space-1")
    assert main([str(folder)]) == 0
    storage.rename(tmp_path / "moved")
    started: list[str] = []

    def become(program: str, words: list[str], environment: dict[str, str]) -> None:
        started.extend([*words, environment["MLFLOW_BACKEND_STORE_URI"]])
        raise SystemExit(0)

    monkeypatch.setattr(os, "execve", become)
    with pytest.raises(SystemExit):
        show.main([str(tmp_path / "moved"), "--port", "5999"])
    assert f"sqlite:///{tmp_path}/moved/mlflow.db" in started
    with closing(sqlite3.connect(tmp_path / "moved" / "mlflow.db")) as connection:
        places = {place for (place,) in connection.execute("select artifact_uri from runs")}
    assert all(place.startswith((tmp_path / "moved" / "mlartifacts").as_uri()) for place in places)
    said = capsys.readouterr().out
    assert "space-1  http://127.0.0.1:5999/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=trm" in said
    assert show.main([str(tmp_path)]) == 2
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert show.main([str(tmp_path / "moved"), "--port", str(port)]) == 2
    assert f"port {port} must be free" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        show.main([str(tmp_path / "moved"), "--port", "99999"])


def test_an_address_of_another_store_is_not_said(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = OutboxState("http://***@here:1", experiment="x", experiment_id="7", run_id="r", view="v")
    assert [line[:30] for line in page_lines(state, "http://me:word@here:1")] == ["http://***@here:1/#/experiment"] * 2
    assert page_lines(state, f"sqlite:///{storage}/mlflow.db") == []
    folder = sweep_folder(storage, whole_sweep(), "space-1")
    state.save(folder)
    assert show.main([str(storage), "--uri", "http://there:2"]) == 0
    assert capsys.readouterr().out == "space-1  is kept at http://***@here:1, which --uri shows\nopen http://there:2\n"
    assert model_lines("a b", "3", "http://there:2") == ["http://there:2/#/models/a%20b/versions/3"]


def test_a_place_that_was_chosen_stays_while_it_is(storage: Path, tmp_path: Path) -> None:
    """Though it is called like a storage's own; without the user's word nothing goes there any more."""
    chosen = tmp_path / "big" / "mlartifacts" / "space"
    first = sweep_folder(storage, whole_sweep())
    where = target(first)
    chosen_target = Target(**{**vars(where), "artifact_location": chosen.as_uri()})
    assert MlflowWriter(chosen_target).close(PATIENCE) is None
    (first / "leaderboard.json").write_text("{}")
    left = MlflowWriter(where).close(0.5)
    assert left is not None
    assert files_of(chosen) == {"journal.jsonl", "sweep.yaml"}
    assert MlflowWriter(chosen_target).close(PATIENCE) is None
    assert files_of(chosen) == {"journal.jsonl", "leaderboard.json", "sweep.yaml"}
    assert not (storage / "mlartifacts").exists()


def test_one_who_may_only_read_is_told() -> None:
    with place_for_all() as place:
        folder = sweep_folder(storage := place / "storage", whole_sweep())
        show_only(storage)
        call = "from trm.tracking.writer import main; sys.exit(main(sys.argv))"
        done = as_nobody(call, folder, imports=("trm.tracking.writer",))
        give_back(storage)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert f"the storage's own store must be writable: {storage}/mlflow.db (Permission denied)" in done.stderr
    assert "--uri" in done.stderr


def test_one_who_may_only_read_sends_to_a_store_of_his_own(storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told as the folder itself would tell a superuser's test: it cannot be written."""
    folder = sweep_folder(storage, whole_sweep(), "space")
    named = sweep_space().model_copy(update={"name": "space"})
    dump_yaml(folder / "sweep.yaml", {"space": named.model_dump(mode="json")})
    for module in ("places", "store_files", "writer"):
        monkeypatch.setattr(f"trm.tracking.{module}.why_unwritable", lambda place: "Permission denied")
    shutil.copy(storage / "mlflow.db", tmp_path / "mine.db")
    assert main([str(folder), "--uri", f"sqlite:///{tmp_path}/mine.db"]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["journal.jsonl", "sweep.yaml"]
    assert sorted(path.name for path in storage.iterdir()) == ["mlflow.db", "space"]
    assert files_of(tmp_path / "mlartifacts") == {"journal.jsonl", "sweep.yaml"}
    assert set(runs_of(f"sqlite:///{tmp_path}/mine.db")[1]) == {None, "0", "1"}


def test_a_moved_storage_keeps_its_registered_models(tmp_path: Path) -> None:
    before, storage = artifact_location(tmp_path / "before", "space"), tmp_path / "now"
    (storage / "mlartifacts" / "space").mkdir(parents=True)
    tables = {"logged_models": "artifact_location", "model_versions": "storage_location"}
    with closing(sqlite3.connect(storage / "mlflow.db")) as connection, connection:
        connection.execute("CREATE TABLE experiments (experiment_id INTEGER, name TEXT, artifact_location TEXT)")
        connection.execute("INSERT INTO experiments VALUES (1, 'space', ?)", (before,))
        for table, column in tables.items():
            connection.execute(f"CREATE TABLE {table} ({column} TEXT)")
            connection.executemany(f"INSERT INTO {table} VALUES (?)", [(f"{before}/models/m-1",), ("s3://bucket/models/m-2",)])
    bring_home(storage / "mlflow.db", storage)
    with closing(sqlite3.connect(storage / "mlflow.db")) as connection:
        for table, column in tables.items():
            found = [one for (one,) in connection.execute(f"SELECT {column} FROM {table}")]
            assert found == [f"{artifact_location(storage, 'space')}/models/m-1", "s3://bucket/models/m-2"]
