"""Output that nobody takes: a job that says much goes on to its end, whatever became of its standard streams."""

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

JOB = """
import sys
from trm.console.streams import say
from trm.terminal.command_line import run_job, show

def main():
    for number in range(4_000):  # twice what a pipe takes while nobody reads
        say(f"line {number} of progress: \\u00d7 \\u00f6 \\udcff")
    show("the result \\u00d7 \\udcff")
    open(sys.argv[1], "w").write("whole")
    return 0

sys.exit(run_job(main))
"""


def job(tmp_path: Path, redirection: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the job by a shell with its streams redirected; the shell's own code is the job's."""
    (tmp_path / "job.py").write_text(JOB)
    command = f"'{sys.executable}' '{tmp_path}/job.py' '{tmp_path}/mark' {redirection}"
    root = str(Path(__file__).parents[2])
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        env={**os.environ, "PYTHONPATH": root, **environment},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
        check=False,
    )


def is_whole(tmp_path: Path) -> bool:
    return (tmp_path / "mark").read_text() == "whole"


@pytest.mark.parametrize(
    "redirection", ["2>&1 | head -4", "2>/dev/full", ">&- 2>&-", "<&- >&- 2>&-", "2>&1 | head -0", "| head -0", "2> >(exit)"]
)
def test_a_job_goes_on_when_nobody_takes_what_it_says(tmp_path: Path, redirection: str) -> None:
    done = job(tmp_path, redirection)
    assert (done.returncode, is_whole(tmp_path)) == (0, True)
    assert "Traceback" not in done.stdout + done.stderr
    assert "Exception" not in done.stdout + done.stderr


def test_a_result_that_found_no_room_is_failed_work(tmp_path: Path) -> None:
    done = job(tmp_path, ">/dev/full 2>/dev/null")
    assert (done.returncode, is_whole(tmp_path)) == (1, True)
    done = job(tmp_path, ">/dev/full")
    assert done.stderr.splitlines()[-1] == "failed: the result could not be written to standard output: No space left on device"


@pytest.mark.parametrize("environment", [{"LC_ALL": "C", "PYTHONUTF8": "0"}, {"PYTHONIOENCODING": "ascii:strict"}, {"LC_ALL": "C"}])
def test_letters_that_the_locale_lacks_are_written_in_another_way(tmp_path: Path, environment: dict[str, str]) -> None:
    done = job(tmp_path, "", **environment)
    assert (done.returncode, is_whole(tmp_path)) == (0, True)
    assert done.stdout in ("the result \\xd7 \\udcff\n", "the result × \\udcff\n")


@pytest.mark.parametrize("columns", ["0", "1"])
def test_a_width_that_is_none_empties_no_table(columns: str) -> None:
    code = (
        "from trm.console.streams import steady_output; steady_output(); "
        "from rich.console import Console; Console().print('leaderboard')"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": columns}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "leaderboard\n"


def test_what_is_opened_later_never_gets_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    code = (
        "from trm.console.streams import steady_output; steady_output(); "
        "import sys, os; f = open(sys.argv[1], 'w'); os.write(2, b'noise')"
    )
    root = str(Path(__file__).parents[2])
    subprocess.run(
        ["bash", "-c", f"'{sys.executable}' -c \"{code}\" '{tmp_path}/file' <&- >&- 2>&-"],
        env={**os.environ, "PYTHONPATH": root},
        check=True,
    )
    assert (tmp_path / "file").read_text() == ""


@pytest.mark.parametrize("kind", ["pipe", "terminal"])
def test_a_reader_that_does_not_read_on_holds_up_nobody(tmp_path: Path, kind: str) -> None:
    """A pager at its first page, a terminal after Ctrl-S: later lines are lost, and that is said when it reads again."""
    reader, writer = os.pipe() if kind == "pipe" else pty.openpty()
    if kind == "terminal":
        termios.tcflow(writer, termios.TCOOFF)
    (tmp_path / "job.py").write_text(
        JOB.replace('show("the', 'open(sys.argv[1] + ".said", "w"); sys.stdin.read(); say("last"); show("the')
    )
    root = str(Path(__file__).parents[2])
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "job.py"), str(tmp_path / "mark")],
        env={**os.environ, "PYTHONPATH": root},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=writer,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "mark.said").exists():
        assert time.monotonic() < deadline, "it waits for its reader"
        time.sleep(0.05)
    if kind == "terminal":
        termios.tcflow(writer, termios.TCOON)
    os.close(writer)
    fcntl.fcntl(reader, fcntl.F_SETFL, os.O_NONBLOCK)
    said = drained(reader)
    process.communicate(timeout=60)
    said += drained(reader)
    os.close(reader)
    assert (process.returncode, is_whole(tmp_path)) == (0, True)
    assert said.replace(b"\r", b"").endswith(b"\n[some lines are missing here: nobody read on]\nlast\n")


def drained(reader: int) -> bytes:
    found = b""
    try:
        while part := os.read(reader, 1 << 16):
            found += part
    except OSError:  # empty, or its other end closed
        pass
    return found


WAITING = """
import sys, time
from trm.console.streams import say
from trm.terminal.command_line import run_job

def main():
    say("ready")
    while True:
        time.sleep(0.05)

sys.exit(run_job(main))
"""


@pytest.mark.parametrize("is_nohup", [False, True])
def test_a_terminal_that_goes_away_ends_a_job_in_order_unless_it_was_told_to_stay(tmp_path: Path, is_nohup: bool) -> None:
    (tmp_path / "job.py").write_text(WAITING)
    terminal, end = pty.openpty()

    def own_terminal() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        if is_nohup:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "job.py")],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdin=end,
        stdout=end,
        stderr=end,
        preexec_fn=own_terminal,
    )
    os.close(end)
    assert b"ready" in os.read(terminal, 100)
    os.close(terminal)
    if is_nohup:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.0)
        process.terminate()
    assert process.wait(30) == 130
