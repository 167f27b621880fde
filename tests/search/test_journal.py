"""The journal: what was appended is read back; torn tails are cut, broken middles refused."""

import errno
import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from search_simulator import cost_of
from sweep_cases import space

from trm.errors import SweepError
from trm.search.journal.events import EVENT, Asked, Decided, Event, LegEnded, LegStarted, SweepEnded, SweepStarted
from trm.search.journal.journal import Journal, read_events, set_aside, unread
from trm.search.journal.lines import holds_events
from trm.search.log import FILE, SweepLog
from trm.search.search import Search

EVENTS: list[Event] = [
    SweepStarted(name="é x", seed=1, space_digest="d", versions={"trm": "0"}, at=1.5),
    Asked(
        trial=0, params={"optim.lr": 1e-4, "b": None, "c": "x\n"}, source="sampler", digest="a", seed=2**62, max_steps=9,
        step_flops=1.5e9, params_count=3, at=2.0,
    ),
    LegStarted(trial=0, rung=0, attempt=0, until_steps=9, from_checkpoint=None, at=3.0),
    LegEnded(trial=0, rung=0, attempt=0, status="completed", objective=0.25, metrics={"a": 0.1}, at=4.0),
    Decided(trial=0, rung=0, status="finished", reason="done", at=4.0),
    SweepEnded(reason="all", at=5.0),
]  # fmt: skip


def filled(path: Path, events: list[Event] = EVENTS) -> bytes:
    journal = Journal(path)
    for event in events:
        journal.append(event)
    journal.close()
    return path.read_bytes()


def test_events_come_back_equal_in_order_with_numbers_and_offsets(tmp_path: Path) -> None:
    data = filled(tmp_path / "j")
    entries = list(read_events(tmp_path / "j"))
    assert [entry.event for entry in entries] == EVENTS
    assert [entry.n for entry in entries] == list(range(6))
    assert entries[-1].end == len(data)
    for entry in entries:
        assert [later.event for later in read_events(tmp_path / "j", entry.end)] == EVENTS[entry.n + 1 :]


def test_every_line_is_json_that_other_tools_can_read(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in filled(tmp_path / "j").splitlines()]
    assert [line["n"] for line in lines] == list(range(6))
    assert [EVENT.validate_python(line["event"]) for line in lines] == EVENTS


def test_a_batch_is_the_same_lines_as_one_by_one(tmp_path: Path) -> None:
    one_by_one = filled(tmp_path / "a")
    journal = Journal(tmp_path / "b")
    journal.append(*EVENTS[:4])
    journal.append()
    journal.append(*EVENTS[4:])
    journal.close()
    assert (tmp_path / "b").read_bytes() == one_by_one


@given(st.data())
def test_a_file_cut_anywhere_keeps_its_whole_lines_and_goes_on(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("j") / "j"
    whole = filled(path)
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    kept = whole[:cut].count(b"\n")
    assert [entry.event for entry in read_events(path)] == EVENTS[:kept]
    journal = Journal(path)
    assert journal.take_events() == EVENTS[:kept]
    assert journal.take_events() == []
    journal.append(*EVENTS[kept:])
    journal.close()
    assert path.read_bytes() == whole


@pytest.mark.parametrize("tail", [b'{"n":6', b"{", b"\x00" * 64, b'{"n":6,"fence":2,"crc":"0' + b"\x00" * 64])
def test_what_an_append_left_half_done_is_set_aside_and_told(tmp_path: Path, tail: bytes) -> None:
    whole = filled(tmp_path / "j")
    (tmp_path / "j").write_bytes(whole + tail)
    assert len(list(read_events(tmp_path / "j"))) == 6
    (left,) = unread(tmp_path / "j")
    assert (left.start, left.end, left.kind) == (len(whole), len(whole) + len(tail), "zeroed" if b"\x00" in tail else "unfinished")
    said: list[str] = []
    journal = Journal(tmp_path / "j", say=said.append)
    assert (journal.count, journal.end) == (6, len(whole))
    journal.close()
    assert (tmp_path / "j").read_bytes() == whole
    assert (tmp_path / "j.torn-1").read_bytes() == tail
    assert set_aside(tmp_path / "j") == [tmp_path / "j.torn-1"]
    assert said == [f"{tmp_path / 'j'} does not count {left.text}; kept as j.torn-1"]
    assert unread(tmp_path / "j") == []


def respaced(whole: bytes) -> bytes:
    return b"".join(json.dumps(json.loads(line)).encode() + b"\n" for line in whole.splitlines())


def lines(whole: bytes) -> list[bytes]:
    return whole.splitlines(keepends=True)


DAMAGED: dict[str, tuple[Callable[[bytes], bytes], int]] = {
    "CRLF": (lambda whole: whole.replace(b"\n", b"\r\n"), 0),
    "CRLF from line 4": (lambda whole: b"".join(lines(whole)[:4]) + b"".join(lines(whole)[4:]).replace(b"\n", b"\r\n"), 4),
    "CR": (lambda whole: whole.replace(b"\n", b"\r"), 0),
    "spaced": (respaced, 0),
    "a flipped bit in the last line": (lambda whole: whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:], 5),
    "the last newline flipped": (lambda whole: whole[:-1] + b"\x0b", 5),
    "a wrong checksum at the end": (lambda whole: whole + b'{"n":6,"crc":"00000000","event":{}}\n', 6),
    "zeros within": (lambda whole: b"".join([*lines(whole)[:4], b"\0" * len(lines(whole)[4][:-1]) + b"\n", lines(whole)[5]]), 4),
    "zeros with newlines at the end": (lambda whole: whole + b"\0" * 64 + b"\n\0\n", 6),
    "an empty line": (lambda whole: whole + b"\n", 6),
    "a line twice": (lambda whole: whole + lines(whole)[-1], 6),
    "two lines in turn": (lambda whole: b"".join([*lines(whole)[:4], lines(whole)[5], lines(whole)[4]]), 4),
    "something else behind it": (lambda whole: whole + b"hello", 6),
    "something else": (lambda whole: b"hello", 0),
    "a byte order mark": (lambda whole: b"\xef\xbb\xbf" + whole, 0),
    "UTF-16": (lambda whole: whole.decode().encode("utf-16"), 0),
    "two lines joined": (lambda whole: whole.replace(b"\n", b" ", 1), 0),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_whole_line_that_is_not_as_it_was_written_is_damage_and_nothing_is_cut(tmp_path: Path, damage: str) -> None:
    change, line = DAMAGED[damage]
    whole = filled(tmp_path / "j")
    (tmp_path / "j").write_bytes(change(whole))
    place = len(b"".join(lines(whole)[:line]))
    for use in (Journal, lambda path: list(read_events(path)), unread, lambda path: Journal(path, guard=lambda: None)):
        with pytest.raises(SweepError, match=rf"j is corrupt at byte {place}: .*restore it from a copy"):
            use(tmp_path / "j")
    assert (tmp_path / "j").read_bytes() == change(whole)
    assert [path.name for path in tmp_path.iterdir()] == ["j"]
    assert holds_events(tmp_path / "j")


@pytest.mark.parametrize("content", [b"", b"{", b'{"n":0,"cr'])
def test_a_first_line_that_was_never_finished_is_no_event(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "j").write_bytes(content)
    assert not holds_events(tmp_path / "j")
    assert not holds_events(tmp_path / "nowhere")
    assert list(read_events(tmp_path / "j")) == []


def test_a_journal_of_zeros_held_events(tmp_path: Path) -> None:
    (tmp_path / "j").write_bytes(b"\0" * 4096)
    assert holds_events(tmp_path / "j")


def test_a_journal_of_before_fences_is_read_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "j"
    payloads = [EVENT.dump_json(event) for event in EVENTS[:2]]
    written = b"".join(
        b'{"n":%d,"crc":"%08x","event":%b}\n' % (n, zlib.crc32(b"%d:%b" % (n, payload)), payload)
        for n, payload in enumerate(payloads)
    )
    path.write_bytes(written)
    journal = Journal(path, guard=lambda: None)
    journal.fence = 7
    journal.append(*EVENTS[2:])
    journal.close()
    assert path.read_bytes().startswith(written)
    assert [(entry.n, entry.fence, entry.event) for entry in read_events(path)] == [
        (n, 0 if n < 2 else 7, event) for n, event in enumerate(EVENTS)
    ]


@given(st.data())
def test_a_changed_byte_in_the_middle_is_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("j") / "j"
    whole = bytearray(filled(path))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.sampled_from([1, 2, 4, 8, 128]))
    path.write_bytes(whole)
    with pytest.raises(SweepError, match="corrupt at byte"):
        Journal(path)
    with pytest.raises(SweepError, match="corrupt at byte"):
        list(read_events(path))


def test_a_missing_line_is_refused(tmp_path: Path) -> None:
    lines = filled(tmp_path / "j").splitlines(keepends=True)
    (tmp_path / "j").write_bytes(b"".join(lines[:2] + lines[3:]))
    with pytest.raises(SweepError, match="event 2 is missing"):
        Journal(tmp_path / "j")


def test_a_second_writer_is_noticed(tmp_path: Path) -> None:
    first, second = Journal(tmp_path / "j"), Journal(tmp_path / "j")
    first.append(EVENTS[0])
    with pytest.raises(SweepError, match="written by another process"):
        second.append(EVENTS[0])
    first.append(EVENTS[1])
    first.close()
    second.close()
    assert [entry.event for entry in read_events(tmp_path / "j")] == EVENTS[:2]


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    journal = Journal(tmp_path / "j")
    journal.append(EVENTS[0])
    before = (tmp_path / "j").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="no space left"):
            journal.append(EVENTS[1])
    assert (tmp_path / "j").read_bytes() == before
    journal.append(*EVENTS[1:])
    journal.close()
    assert [entry.event for entry in read_events(tmp_path / "j")] == EVENTS


def test_a_line_that_is_being_written_is_left_for_later(tmp_path: Path) -> None:
    whole = filled(tmp_path / "j")
    (tmp_path / "growing").write_bytes(whole[:-20])
    entries = read_events(tmp_path / "growing")
    assert [next(entries).event for _ in range(5)] == EVENTS[:5]
    (tmp_path / "growing").write_bytes(whole)
    assert [entry.n for entry in entries] in ([], [5])


def test_the_guard_is_asked_before_every_write(tmp_path: Path) -> None:
    is_lost = False

    def refuse() -> None:
        if is_lost:
            raise SweepError("lost", remedy="stop")

    journal = Journal(tmp_path / "j", guard=refuse)
    is_lost = True
    with pytest.raises(SweepError, match="lost"):
        journal.append(EVENTS[0])
    journal.close()
    assert os.path.getsize(tmp_path / "j") == 0


def test_an_event_of_another_version_is_named(tmp_path: Path) -> None:
    path = tmp_path / "j"
    payload = b'{"event":"danced","at":1.0}'
    path.write_bytes(b'{"n":0,"crc":"%08x","event":%b}\n' % (zlib.crc32(b"0:" + payload), payload))
    with pytest.raises(SweepError, match="event 0 of the journal is not one this version knows"):
        Journal(path)


def test_a_journal_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SweepError, match=r"nowhere does not exist"):
        list(read_events(tmp_path / "nowhere"))


def test_numbers_that_are_not_finite_never_reach_the_journal() -> None:
    event = LegEnded(
        trial=0, rung=0, attempt=0, status="completed", objective=float("nan"), loss=float("inf"), standard_error=0.5,
        metrics={"a": 1.0, "b": float("nan")}, at=0.0,
    )  # fmt: skip
    assert (event.objective, event.loss, event.standard_error, event.metrics) == (None, None, 0.5, {"a": 1.0})
    assert EVENT.validate_json(EVENT.dump_json(event)) == event


def full(event: Event) -> None:
    """Tells on a terminal whose file is on a disk that is full."""
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_leg_that_was_journaled_as_started_is_handed_out_though_telling_fails(tmp_path: Path) -> None:
    log = SweepLog(tmp_path, Search(space(), cost_of))
    log.start(0.0, driver="here:1", fence=1, slots=1, versions={})
    log.on_event = lambda event: full(event) if isinstance(event, LegStarted) else None
    with pytest.raises(OSError, match="No space left"):
        log.advance(1.0, 1)
    log.on_event = lambda event: None
    assert log.advance(1.0, 0) == []
    [leg] = log.advance(2.0, 1)
    log.journal.close()
    assert [leg] == log.search.state.open_legs


def test_the_fold_is_that_of_the_journal_though_telling_fails(tmp_path: Path) -> None:
    log = SweepLog(tmp_path, Search(space(), cost_of))
    log.start(0.0, driver="here:1", fence=1, slots=9, versions={})
    for leg in log.advance(1.0, 9):
        result = LegEnded(trial=leg.trial, rung=0, attempt=0, status="completed", objective=0.1 * leg.trial, checkpoint="x", at=2.0)
        log.append(result)
    log.on_event = full
    with pytest.raises(OSError, match="No space left"):
        log.advance(3.0, 0)
    log.on_event = lambda event: None
    log.advance(4.0, 0)
    log.journal.close()
    events = [entry.event for entry in read_events(tmp_path / FILE)]
    paused = [event.trial for event in events if isinstance(event, Decided) and event.status == "paused"]
    assert paused == list(range(9)), "nothing is decided twice"
