"""What is kept between processes is this user's own and whole, and a user without a home or a name runs every job."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from trm.errors import SweepError
from trm.files import own_cache
from trm.files.own_cache import alone, keep, kept, kept_folder
from trm.sweeps.places import writable_folder
from trm.tasks.making import compiled as numba_cache
from trm.tasks.making.compiled import compiled

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The only place for a cache."""
    monkeypatch.setattr(own_cache, "_places", lambda: iter([tmp_path / "cache"]))
    return tmp_path / "cache"


def test_what_was_kept_comes_back_and_is_private(place: Path) -> None:
    assert kept("a") is None
    keep("a", b"content")
    with alone():
        assert kept("a") == b"content"
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in place.iterdir()} == {0o600}
    assert kept_folder("library") == place / "library"


def test_what_is_not_whole_or_not_ours_is_none(place: Path) -> None:
    keep("a", b"content")
    whole = (place / "a").read_bytes()
    for damaged in (b"", whole[:-1], whole[1:], b"x" + whole[1:], whole + b"\n"):
        (place / "a").write_bytes(damaged)
        assert kept("a") is None
    (place / "a").write_bytes(whole)
    (place / "b").write_bytes(whole)
    assert kept("b") is None, "of another name"
    (place / "link").symlink_to("a")
    assert kept("link") is None
    os.mkfifo(place / "pipe")
    assert kept("pipe") is None
    (place / "a").chmod(0o620)
    assert kept("a") is None
    (place / "a").chmod(0o600)
    assert kept("a") == b"content"


@pytest.mark.skipif(os.getuid() != 0, reason="gives files to another user")
def test_another_users_file_or_folder_is_none(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    keep("a", b"planted")
    os.chown(place / "a", 12345, 12345)
    assert kept("a") is None
    os.chown(place / "a", 0, 0)
    os.chown(place, 12345, 12345)
    own_cache._opened.cache_clear()
    assert kept("a") is None
    assert f"remove it (rm -r {place})" in caplog.text


def test_a_folder_that_changes_its_name_meanwhile_is_still_the_one_that_was_checked(place: Path, tmp_path: Path) -> None:
    keep("a", b"content")
    place.rename(tmp_path / "moved")
    place.mkdir(mode=0o777)
    (place / "a").write_bytes(b"planted")
    assert kept("a") == b"content"


def test_code_that_numba_compiled_is_kept_and_what_was_cut_is_compiled_anew(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    load = numba_cache._Kept.load_overload

    def loaded(self: numba_cache._Kept, sig: object, target_context: object) -> object:
        found = load(self, sig, target_context)
        asked.append(found is not None)
        return found

    monkeypatch.setattr(numba_cache._Kept, "load_overload", loaded)

    def total(values: np.ndarray) -> int:
        sum = 0
        for value in values:
            sum += value
        return sum

    def computed() -> int:
        return int(compiled(nogil=True)(total)(np.arange(10)))

    assert [computed(), computed()] == [45, 45]
    assert asked == [False, True]
    (path,) = place.glob("numba-*")
    path.write_bytes(path.read_bytes()[:-100])
    assert [computed(), computed()] == [45, 45]
    assert asked == [False, True, False, True]


def test_a_user_without_home_name_and_place_builds_and_asks_for_help(tmp_path: Path) -> None:
    """As a number in a container, in an install folder that it may not write to."""
    code = (
        "import os, pwd, sys\n"
        "pwd.getpwuid = {}.__getitem__\n"
        "from trm.terminal.command_line import run_job\n"
        "def main():\n"
        "    from trm.tasks.making.random_bits import count_bits\n"
        "    print(os.environ['HOME'], os.environ['USER'], count_bits(7))\n"
        "    return 0\n"
        "sys.exit(run_job(main))\n"
    )
    environment = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    environment |= {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd="/", check=False)
    uid = os.getuid()
    assert done.stdout == f"{tmp_path}/trm-search-{uid}/home uid{uid} 3\n", done.stderr


def test_a_home_that_is_not_there_is_told() -> None:
    with pytest.raises(SweepError, match="--storage names a home that is not there: ~nobody-of-that-name/x; write the whole path"):
        writable_folder("~nobody-of-that-name/x", "--storage")
