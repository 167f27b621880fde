"""Long work: silent while it is short, then lines with the time left in a log, and a bar on a terminal that goes away again."""

import os
import pty
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from trm.console import long_work
from trm.console.long_work import shown


def test_short_work_says_nothing() -> None:
    said: list[str] = []
    with shown("building", said.append, is_live=False) as report:
        for done in range(1000):
            report("puzzles", done, 1000)
    assert said == []
    assert not [thread for thread in threading.enumerate() if thread.name == "long work"]


def lines_of(monkeypatch: pytest.MonkeyPatch, *reports: tuple[str, int, int]) -> list[str]:
    """What is said of work that stands there for a while."""
    monkeypatch.setattr(long_work, "FIRST_LINE_SECONDS", 0.05)
    monkeypatch.setattr(long_work, "LINE_SECONDS", 0.05)
    said: list[str] = []
    with shown("scoring", said.append, is_live=False) as report:
        for one in reports:
            report(*one)
        deadline = time.monotonic() + 30
        while len(said) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    return said


def test_work_that_says_nothing_of_itself_tells_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lines_of(monkeypatch)[0] == "scoring: 0 s so far"


def test_a_line_has_the_newest_stage_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    first = lines_of(monkeypatch, ("validation", 10, 10), ("test", 1000, 4000))[0]
    assert re.fullmatch(r"scoring: 1,000 of 4,000 test, \d+ s left", first)
    assert lines_of(monkeypatch, ("events", 12345, 0))[0] == "scoring: 12,345 events"
    assert lines_of(monkeypatch, ("test", 7, 7))[0] == "scoring: 7 of 7 test"


def test_work_that_fails_ends_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyError), shown("scoring", print, is_live=False):
        raise KeyError("no")
    assert not [thread for thread in threading.enumerate() if thread.name == "long work"]


WORK = """
import time
from trm.console import long_work
long_work.FIRST_SECONDS = 0.01
with long_work.shown("scoring", print) as report:
    report("validation", 3, 10)
    time.sleep(1.0)
"""


def test_a_terminal_gets_a_bar_that_goes_away() -> None:
    terminal, end = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TERM": "xterm", "COLUMNS": "100"}
    done = subprocess.run([sys.executable, "-c", WORK], env=environment, stderr=end, stdout=subprocess.PIPE, check=True)
    os.close(end)
    said = b""
    try:
        while part := os.read(terminal, 1 << 16):
            said += part
    except OSError:  # its other end is closed
        pass
    os.close(terminal)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", said.decode())
    assert "scoring: validation" in text
    assert "3/10" in text
    assert said.rstrip().endswith(b"\x1b[2K")  # erased
    assert done.stdout == b""
