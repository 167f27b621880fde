"""A Ray of this job alone keeps to this machine and this user, says why it does not start, and its end is an orderly one."""

import os
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from ray.tune.execution import class_cache

from trm.cluster.connection import _no_cluster
from trm.cluster.embedded import check_locale, not_started, private_session
from trm.cluster.tune_hooks import inherited_variables, legs_take_any_process
from trm.errors import ResourceError, SweepError

ROOT = Path(__file__).resolve().parents[2]


def test_legs_take_processes_of_the_job_and_no_secret_is_copied_into_what_ray_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("RAY_TRAIN_V2_ENABLED", "1")
    monkeypatch.setenv("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "600")
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", '{"runtime_env": {"env_vars": {"RAY_TRAIN_V2_ENABLED": "1"}}}')

    def environment() -> Any:
        class Trainable:
            pass

        return class_cache._ActorClassCache().get(Trainable)._default_options.get("runtime_env")

    assert "secret" in environment()["env_vars"].values(), "Tune copies none any more: the patch can go"
    with legs_take_any_process():
        assert not environment()
    assert inherited_variables() == {"RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "600"}  # the other the job gives itself


def test_the_session_is_this_users_and_the_environment_comes_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "theirs")
    before = dict(os.environ)
    with private_session() as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        token = Path(os.environ["RAY_AUTH_TOKEN_PATH"])
        assert token.parent == folder
        assert stat.S_IMODE(token.stat().st_mode) == 0o600
        assert re.fullmatch(r"[0-9a-f]{64}", token.read_text())
        assert os.environ["RAY_AUTH_MODE"] == "token"
        assert "RAY_AUTH_TOKEN" not in os.environ
    assert not folder.exists()
    assert dict(os.environ) == before
    assert "RAY_AUTH_MODE=disabled is for clusters" in capsys.readouterr().err


def test_the_session_goes_after_a_message_and_stays_after_what_nobody_foresaw() -> None:
    with pytest.raises(SweepError), private_session() as folder:
        raise SweepError("a", remedy="b")
    assert not folder.exists()
    with pytest.raises(KeyError), private_session() as folder:
        raise KeyError("a")
    assert folder.exists()
    assert not (folder / "token").exists()
    folder.rmdir()


def test_a_long_or_closed_folder_for_temporary_files_is_done_without(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 60)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with private_session() as folder:
        assert folder.parent == Path("/tmp")
    monkeypatch.setenv("RAY_TMPDIR", str(long))
    with (
        pytest.raises(ResourceError, match=r"is longer than .*; set RAY_TMPDIR to"),
        private_session(),
    ):
        pass
    monkeypatch.setenv("RAY_TMPDIR", "/nowhere")
    with pytest.raises(ResourceError, match="/nowhere: No such file or directory"), private_session():
        pass


@pytest.mark.parametrize(
    ("error", "logged", "message"),
    [
        (ValueError("exceeds /dev/shm size (0.1 GB)"), "", "could not start on this machine: .*/dev/shm.*; make room in /dev/shm"),
        (
            Exception("timed out during startup"),
            "E 1 bind: Address already in use",
            r"raylet.out: .*in use\); start again",
        ),
        (Exception("timed out"), "mmap failed: No space left on device", "No space left.*; make room in "),
        (RuntimeError("can't start new thread"), "", "can't start new thread; free memory and processes"),
        (UnicodeEncodeError("utf-8", "\udcc3", 0, 1, "surrogates"), "", "in this locale .*; set LC_ALL=C.UTF-8"),
    ],
)
def test_every_failed_start_has_its_own_reason(error: Exception, logged: str, message: str, tmp_path: Path) -> None:
    logs = tmp_path / "r" / "session_latest" / "logs"
    logs.mkdir(parents=True)
    (logs / "raylet.out").write_text(f"I 1 all is well\n{logged}\n")
    with pytest.raises(ResourceError, match=message) as told:
        raise not_started(tmp_path, error)
    assert "cluster must answer" not in str(told.value)


def test_a_cluster_of_another_version_is_told_from_one_that_does_not_answer() -> None:
    mismatch = RuntimeError("Version mismatch: The cluster was started with: Ray: 2.1 Python: 3.8")
    assert _no_cluster("h:1", mismatch).remedy == "run the job with the Ray and Python that the cluster has"
    assert "ray start --head" in _no_cluster("h:1", ConnectionRefusedError("refused")).remedy


def test_a_path_that_the_locale_cannot_say_is_the_locales_fault(tmp_path: Path) -> None:
    check_locale("/tmp/ö")
    with pytest.raises(ResourceError, match=r"Ray needs paths as UTF-8 text, and in this locale .*/tmp/\\xc3\\xb6"):
        check_locale("/tmp/\udcc3\udcb6")


JOB = """
import os, sys, time, ray
from trm.cluster.connection import connected
from trm.console.streams import say
from trm.terminal.command_line import run_job, show
def main():
    with connected(needs_dashboard=True, address="local", goes_on="go on with --resume"):
        @ray.remote(num_cpus=0)
        class Worker:
            def pid(self): return os.getpid()
        worker = Worker.remote()
        show(f"{ray.get(worker.pid.remote())} {os.environ['RAY_AUTH_TOKEN_PATH']}")
        time.sleep(120)
sys.exit(run_job(main))
"""


@pytest.mark.ray
def test_it_listens_here_alone_and_a_killed_part_ends_the_job_in_order() -> None:
    """Only a real Ray shows at which addresses its processes listen, and what its library does when one of them is gone."""
    environment = {**os.environ, "AWS_SECRET_ACCESS_KEY": "sentinel-of-a-secret", "RAY_AUTH_MODE": "disabled"}
    command = [sys.executable, "-c", JOB]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as job:
        try:
            assert job.stdout is not None
            worker, token = job.stdout.readline().split()
            time.sleep(2)  # the agents open their ports a moment later
            family = [psutil.Process(job.pid), *psutil.Process(job.pid).children(recursive=True)]
            assert int(worker) in {process.pid for process in family}
            listening = [one for process in family for one in process.net_connections("inet") if one.status == "LISTEN"]
            assert len(listening) > 5
            assert {one.laddr.ip.removeprefix("::ffff:") for one in listening} == {"127.0.0.1"}
            session = Path(token).parent
            assert stat.S_IMODE(session.stat().st_mode) == 0o700
            assert stat.S_IMODE(Path(token).stat().st_mode) == 0o600
            logs = [path.read_text(errors="replace") for path in session.rglob("*") if path.is_file() and path.name != "token"]
            assert not any("sentinel-of-a-secret" in text or Path(token).read_text() in text for text in logs)
            next(process for process in family if process.name() == "gcs_server").kill()
            assert job.wait(30) == 130
            said = job.stderr.read() if job.stderr is not None else ""
            assert "was ended by SIGKILL: the job stops" in said
        finally:
            if job.poll() is None:
                os.killpg(job.pid, signal.SIGKILL)
