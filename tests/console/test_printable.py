"""Words from files and folders reach a terminal as words: nothing in them is obeyed by it, hidden, or taken for a line of ours."""

import json
import zlib
from pathlib import Path

import pytest
from bad_input_cases import prepared, run, scored_sweep
from hypothesis import given
from hypothesis import strategies as st

from trm.console.streams import one_line, one_message, printable, say
from trm.errors import InputError
from trm.search.journal.events import Asked
from trm.terminal.command_line import run_job, show
from trm.terminal.display import SweepDisplay

HOSTILE = "a\x1b[2Jb\x9b31mc\u202ed\rf\x07\x08\x7f\u2028g\ud800h\U000e0041"
SHOWN = r"a\x1b[2Jb\x9b31mc\u202ed\rf\x07\x08\x7f\u2028g\ud800h\U000e0041"
OBEYED = [*map(chr, range(32)), *map(chr, range(0x7F, 0xA0)), "\u202a", "\u202e", "\u2066", "\u2069", "\u200f", "\u2028"]


def test_what_a_terminal_obeys_is_shown() -> None:
    assert printable(HOSTILE) == SHOWN
    assert printable("ä ß 中 🎉 é\tx\ny") == "ä ß 中 🎉 é\tx\ny"
    assert one_line("a\nerror: b\tc") == r"a\nerror: b\tc"
    assert one_message("two problems:\n  one\n  two") == "two problems:\n  one\n  two"
    assert one_message("no such file: a\nerror: gone") == r"no such file: a\nerror: gone"


@given(st.text())
def test_one_line_is_one_line_and_stays(text: str) -> None:
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert not set(OBEYED) & set(line)
    assert one_line(line) == line
    line.encode()


def test_what_jobs_say_is_words(capsys: pytest.CaptureFixture[str]) -> None:
    say(HOSTILE)
    show(HOSTILE)

    def refused() -> int:
        raise InputError(f"{HOSTILE}\nerror: another", remedy="x")

    assert run_job(refused) == 2
    shown = capsys.readouterr()
    assert shown.out == f"{SHOWN}\n"
    assert shown.err == f"{SHOWN}\nerror: {SHOWN}\\nerror: another; x\n"


def asked() -> Asked:
    params = {"optim.optimizer": f"[bold]{HOSTILE}[/nothing] :tada:\nnext"}
    return Asked(trial=0, params=params, source="sampler", digest="d", seed=0, max_steps=1, step_flops=1.0, params_count=1, at=0.0)


@pytest.mark.parametrize("is_live", [False, True])
def test_a_display_shows_words(tmp_path: Path, is_live: bool) -> None:
    file = tmp_path / "shown"
    with (
        file.open("w") as stream,
        SweepDisplay("s", "exact_accuracy", trials=1, stream=stream, is_live=is_live) as display,
    ):
        display.event(asked())
        display.message(f"[/x]{HOSTILE}\nnext")
        display.summary([], [HOSTILE], [(HOSTILE, HOSTILE)])
    text = file.read_text()
    assert f"[bold]{SHOWN}[/nothing] :tada:\\nnext" in text.replace("\n", "")
    assert f"[/x]{SHOWN}\\nnext" in text.replace("\n", "")
    for piece in ("\x1b[2J", "\x9b", "\u202e", "\x07"):
        assert piece not in text


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory.mktemp("words"))


def renamed(journal: Path, old: str, new: str) -> None:
    """The journal with other words, its checksums right: whoever made it made them so."""
    lines = []
    for line in journal.read_bytes().splitlines(keepends=True):
        head, _, rest = line.partition(b',"event":')
        event = rest[:-2].replace(json.dumps(old).encode(), json.dumps(new).encode())
        number = json.loads(head + b"}")
        counted = b"%d:%d:%b" % (number["n"], number["fence"], event) if "fence" in number else b"%d:%b" % (number["n"], event)
        fence = b'"fence":%d,' % number["fence"] if "fence" in number else b""
        lines.append(b'{"n":%d,%b"crc":"%08x","event":%b}\n' % (number["n"], fence, zlib.crc32(counted), event))
    journal.write_bytes(b"".join(lines))


def test_a_journals_words_do_not_command_the_terminal(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = scored_sweep(place, "theirs")
    journal = folder / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().rpartition(b"\n")[0] + b"\n")  # without the half line
    renamed(journal, "elsewhere:1", "x\x1b]0;owned\x07\ndriver     you")
    assert run("sweep", "--status", folder) == 0
    shown = capsys.readouterr().out
    assert r"driver     x\x1b]0;owned\x07\ndriver     you" in shown
    assert "\x1b" not in shown


def test_a_file_name_does_not_either(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("sweep", tmp_path / "no\x1b[31mred.yaml") == 2
    assert r"no\x1b[31mred.yaml does not exist" in capsys.readouterr().err
    (tmp_path / "keys.yaml").write_text('name: x\nsearch: {}\n"\\e[2Jkey": 1\n')
    assert run("sweep", tmp_path / "keys.yaml") == 2
    assert "\x1b" not in capsys.readouterr().err


def test_an_unreadable_place_is_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    def refused() -> int:
        raise PermissionError(13, "Permission denied", "/home/other/runs")

    assert run_job(refused) == 2
    assert capsys.readouterr().err.startswith("error: /home/other/runs must be there for this user: Permission denied; ask")
