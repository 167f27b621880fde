"""No secret of an address or of the environment is stored or shown, and of a long error the end says why."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from trm.config.data import DataConfig
from trm.config.files import dump_yaml
from trm.config.run import RunConfig
from trm.console.redaction import in_addresses, is_secret_name, reason_of, redacted, shortened, without_secrets
from trm.data.format.storage import read_bytes
from trm.errors import ConfigError, DatasetError
from trm.search.space.resume import check_resumable
from trm.search.space.space import SearchSpace
from trm.tasks.sudoku.recipe import SudokuRecipe
from trm.tracking.outbox_state import OutboxState
from trm.tracking.places import tracking_uri

SECRET = "hunter2hunter2"
ADDRESSES = (
    f"https://me:{SECRET}@host/x",
    f"https://{SECRET}@host/x",
    f"postgresql+psycopg://me:{SECRET}@db:5432/x",
    f"s3://AKIA:{SECRET}/a+b/c@bucket/x",
    f"ftp://me:a@{SECRET}@host/x",
    f"simplecache::https://me:{SECRET}@host/x",
    f"https://host/x?key={SECRET}",
    f"https://host/x?a=1&X-Amz-Signature={SECRET}&b=2",
    f"https://a.blob.core.windows.net/x?sv=1&sig={SECRET}",
    f"https://host/x?AWSAccessKeyId={SECRET}",
    f"https://host/x#access_token={SECRET}",
    f"https://host:8080/x?api_key={SECRET}&pw={SECRET}",
    f"abfs://container:{SECRET}@account.dfs.core.windows.net/folder",
    f"redis://:{SECRET}@host:6379/0",
    f"mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BUID%3Dsa%3BPWD%3D{SECRET}",
    f"https://host/x;jwt={SECRET}",
)
HARMLESS = (
    "https://host:8080/path@v1?a=b",
    "sqlite:////a/b@c/mlflow.db",
    "s3://bucket/folder@2024/x=1",
    "abfss://container@account.dfs.core.windows.net/folder",
    "runs/data/sudoku4x4",
    "mail me@here: the key = 5",
)


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_address_keeps_its_secret(address: str) -> None:
    text = f'cannot read \'{address}\', as {{"uri": "{address}"}} says'
    assert SECRET not in redacted(text)
    assert SECRET not in in_addresses(address)
    assert SECRET not in without_secrets(address)
    assert "***" not in without_secrets(address)
    assert in_addresses(in_addresses(address)) == in_addresses(address)


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted(text) == in_addresses(text) == text
    assert without_secrets(text) == text


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        ("AWS_SECRET_ACCESS_KEY", True),
        ("AWS_ACCESS_KEY_ID", True),
        ("AWS_SESSION_TOKEN", True),
        ("MLFLOW_TRACKING_PASSWORD", True),
        ("HF_TOKEN", True),
        ("WANDB_API_KEY", True),
        ("GOOGLE_APPLICATION_CREDENTIALS_JSON", True),
        ("PGPASSWORD", True),
        ("GITHUB_PAT", True),
        ("AZURE_STORAGE_CONNECTION_STRING", True),
        ("PWD", False),
        ("MONKEY", False),
        ("PYTHONPATH", False),
        ("TOKENIZERS_PARALLELISM", False),
        ("RAY_AUTH_MODE", False),
        ("PASSAGE", False),
    ],
)
def test_secrets_of_the_environment_go_by_their_names(name: str, is_secret: bool) -> None:
    assert is_secret_name(name) == is_secret


def test_secrets_of_the_environment_are_shown_in_no_spelling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "p/w+d&9 0")
    monkeypatch.setenv("SHORT_TOKEN", "true")
    assert redacted("p/w+d&9 0, p%2Fw%2Bd%269%200 and p%2Fw%2Bd%269+0 are true") == "***, *** and *** are true"


def test_quoted_arguments_of_an_error_hold_no_secret() -> None:
    text = f"connect({{'user': 'me', \"password\": '{SECRET} x'}}, password='{SECRET} y', AccountKey={SECRET})"
    assert redacted(text) == "connect({'user': 'me', \"password\": '***'}, password='***', AccountKey=***)"


def test_a_long_text_takes_no_longer_than_it_is_long() -> None:
    before = time.process_time()
    for text in (
        "://" * 30_000,
        "a@" + "://" * 30_000,
        "://a:" * 20_000,
        "://a/" * 20_000 + "@",
        "x" * 1_000_000,
        "password=" * 20_000,
    ):
        redacted(text)
    assert time.process_time() - before < 20  # it was a minute and more for the first alone


def test_nothing_that_a_job_prints_shows_a_secret() -> None:
    """Our lines, a library's and the traceback of what nobody foresaw."""
    code = (
        "import sys; from trm.terminal.command_line import run_job, say, show\n"
        "def main():\n"
        f"    say('said {ADDRESSES[0]}'); show('shown {ADDRESSES[0]}'); print('{ADDRESSES[0]}', file=sys.stderr)\n"
        f"    print('env {SECRET}-env')\n"
        f"    raise KeyError('{ADDRESSES[0]}')\n"
        "sys.exit(run_job(main))\n"
    )
    environment = {**os.environ, "MY_API_KEY": f"{SECRET}-env"}
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=root, check=False)
    assert done.returncode == 1
    assert done.stdout == "shown https://***@host/x\nenv ***\n"
    assert done.stderr.startswith("said https://***@host/x\nhttps://***@host/x\nTraceback")
    assert "KeyError: 'https://***@host/x'" in done.stderr
    assert SECRET not in done.stderr.replace(code, "")


def space_of(address: str) -> SearchSpace:
    """A space whose data and MLflow are behind an address."""
    return SearchSpace.model_validate(
        {
            "name": "x",
            "data": {"folder": address},
            "search": {"optim.lr": {"type": "float", "low": 1e-4, "high": 1e-2}},
            "budget": {"trials": 1, "per_trial": 1e9},
            "tracking": {"uri": address, "artifact_location": address},
        }
    )


@pytest.mark.parametrize("address", ADDRESSES)
def test_what_is_written_holds_no_secret_and_a_resume_still_fits(address: str, tmp_path: Path) -> None:
    space = space_of(address)
    assert space.data.folder == address
    kept = {"space": space.model_dump(mode="json"), "command": [f"--set=tracking.uri={address}"]}
    dump_yaml(tmp_path / "sweep.yaml", kept)
    assert SECRET not in (tmp_path / "sweep.yaml").read_text() + space.model_dump_json()
    again = SearchSpace.model_validate(yaml.safe_load((tmp_path / "sweep.yaml").read_text())["space"])
    check_resumable(again, space)
    assert again.frozen_digest() == space.frozen_digest()


def test_recipes_and_overrides_hold_no_secret_and_are_one_data_set_when_it_changes() -> None:
    values: dict[str, Any] = {"name": "x", "path": ADDRESSES[0]}
    recipe = SudokuRecipe.model_validate(values)
    assert recipe.path == ADDRESSES[0]
    assert SECRET not in recipe.model_dump_json()
    other = SudokuRecipe.model_validate({**values, "path": ADDRESSES[0].replace(SECRET, "another")})
    assert other.digest() == recipe.digest()
    data = DataConfig(recipe="datasets/x.yaml", overrides={"path": ADDRESSES[0], "more": [ADDRESSES[1]]})
    run = RunConfig.model_validate({"data": data, "training": {"steps": 1}})
    assert SECRET not in json.dumps(run.model_dump(mode="json"))
    assert run.data.overrides["path"] == ADDRESSES[0]


def test_an_address_without_its_secret_is_told_from_one_that_never_had_one(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"has \*\*\* where the secret of its address stood"):
        read_bytes(in_addresses(ADDRESSES[0]), what="manifest", remedy="build it")
    with pytest.raises(ConfigError, match=r"tracking.uri has \*\*\* where its secret stood"):
        tracking_uri(in_addresses(ADDRESSES[2]), tmp_path, {})


def test_a_store_is_the_same_one_when_its_password_changes(tmp_path: Path) -> None:
    state = OutboxState.load(tmp_path, ADDRESSES[0], "e")
    state.sent = 7
    state.save(tmp_path)
    assert SECRET not in (tmp_path / "tracking.json").read_text()
    assert OutboxState.load(tmp_path, ADDRESSES[0].replace(SECRET, "another"), "e").sent == 7
    assert OutboxState.load(tmp_path, "https://me:x@elsewhere/x", "e").sent == 0


def test_of_a_long_error_both_ends_stay() -> None:
    text = shortened("the beginning " + "x " * 500 + "the reason", 100)
    assert len(text) <= 100
    assert text.startswith("the beginning x x")
    assert text.endswith("x x the reason")
    assert shortened("a  b\n c") == "a b c"


def raised(error: Exception, cause: Exception | None) -> Exception:
    """The error as it is caught."""
    error.__cause__ = cause
    return error


def test_a_reason_names_the_cause_and_of_a_workers_traceback_the_last_error() -> None:
    caused = raised(RuntimeError("a worker failed"), OSError("no interface nosuch0"))
    assert reason_of(caused) == "RuntimeError: a worker failed (from OSError: no interface nosuch0)"
    assert reason_of(raised(ValueError("so: no room"), OSError("no room"))) == "ValueError: so: no room"
    lines = [
        "Worker 0 failed:",
        "Traceback (most recent call last):",
        *["  File x"] * 300,
        "torch.DistError: bad device",
        "See docs",
    ]
    assert reason_of(raised(ValueError("\n".join(lines)), None)) == "torch.DistError: bad device See docs"
    assert reason_of("\n".join(lines)) == "torch.DistError: bad device See docs"
    assert reason_of("trm.errors.TrialError: trm.errors.DatasetError: the shard must exist") == "the shard must exist"
    assert reason_of(ValueError()) == "ValueError"
