"""What a job says is kept in files, with its time and without secrets."""

import json
from pathlib import Path

import pytest

from trm.console.lines import _Form, keep, recorded
from trm.console.streams import say


def test_what_is_said_while_it_is_recorded_stands_in_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    say("before")
    for word in ("first", "second"):
        with recorded(tmp_path / "log"):
            say(f"{word} at postgres://me:secret@host/db")
            keep(f"{word} in the file alone")
    say("after")
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line[21:].split(" ")[0] for line in lines] == ["first", "first", "second", "second"]
    assert "secret" not in "".join(lines)
    assert "alone" not in capsys.readouterr().err


def test_a_record_follows_no_link_and_a_missing_one_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "log").symlink_to(tmp_path / "precious")
    for path in (tmp_path / "log", tmp_path / "nowhere" / "log"):
        with recorded(path):
            keep("lost")
    assert (tmp_path / "precious").read_text() == "mine"


def test_lines_for_a_machine_are_objects(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(_Form, "is_json", True)
    say('error: "quoted"\nand\x1b[2J')
    told = json.loads(capsys.readouterr().err)
    assert set(told) == {"time", "message"}
    assert told["message"].startswith('error: "quoted"')
