"""Names are claimed: of many that ask at one instant each gets one of its own, and nobody removes what another made."""

import itertools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trm.errors import FolderError, SweepError
from trm.files.atomic import claim_folder, locked, make_folders, remove_folder, replacing, replacing_folder, usual_mode
from trm.sweeps.places import held_folder, numbered_folder
from trm.tasks.ensure import build_into
from trm.tasks.recipes import load_recipe

AT_ONCE = 8


def at_once(work: Callable[[int], Any], count: int = AT_ONCE) -> list[Any]:
    """What `work` returns or raises in each of so many threads that begin at one instant."""
    barrier, results = threading.Barrier(count), list[Any](range(count))

    def run(number: int) -> None:
        barrier.wait()
        try:
            results[number] = work(number)
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def numbered(storage: Path) -> Any:
    return (storage / f"x-{number}" for number in itertools.count(1))


def test_unnamed_ones_at_one_instant_get_a_number_each(tmp_path: Path) -> None:
    for turn in range(10):
        storage = tmp_path / str(turn) / "runs"

        def work(number: int, storage: Path = storage) -> str:
            with numbered_folder(numbered(storage), lambda folder: (folder / "mine").exists()) as lease:
                (lease.folder / "mine").write_text(str(number))
                return lease.folder.name

        names = at_once(work)
        assert sorted(names) == sorted(f"x-{number}" for number in range(1, AT_ONCE + 1))
        assert [(storage / name / "mine").read_text() for name in names] == [str(number) for number in range(AT_ONCE)]


def test_those_that_come_to_nothing_take_back_only_their_own(tmp_path: Path) -> None:
    for turn in range(10):
        storage = tmp_path / str(turn) / "runs"

        def work(number: int, storage: Path = storage) -> str | None:
            with numbered_folder(numbered(storage), lambda folder: (folder / "mine").exists()) as lease:
                if number % 2:
                    return None
                (lease.folder / "mine").write_text(str(number))
                return lease.folder.name

        names = at_once(work)
        assert not [name for name in names if isinstance(name, Exception)]
        kept = [name for name in names if name is not None]
        assert len(set(kept)) == AT_ONCE / 2
        assert sorted(path.name for path in storage.iterdir()) == sorted(kept)
    with numbered_folder(numbered(tmp_path / "none" / "runs"), lambda folder: False):
        pass
    assert not (tmp_path / "none").exists()


def test_one_name_at_one_instant_is_one_driver_and_losers_remove_nothing(tmp_path: Path) -> None:
    for turn in range(10):
        folder, done = tmp_path / str(turn), threading.Barrier(AT_ONCE)

        def work(number: int, folder: Path = folder, done: threading.Barrier = done) -> int | str:
            try:
                with held_folder(folder, lambda place: (place / "mine").exists()):
                    (folder / "mine").write_text(str(number))
                    done.wait()
                    return number
            except SweepError as error:
                done.wait()
                return str(error)

        results = at_once(work)
        (winner,) = [result for result in results if isinstance(result, int)]
        assert sum("held by a living driver" in str(result) for result in results) == AT_ONCE - 1
        assert (folder / "mine").read_text() == str(winner)


def test_who_waits_for_a_name_that_is_taken_back_makes_it_again(tmp_path: Path) -> None:
    def work(number: int) -> str:
        for _ in range(2000):
            try:
                with held_folder(tmp_path / "a" / "b", lambda folder: False):
                    (tmp_path / "a" / "b" / "mine").touch()
                return "held"
            except SweepError:
                continue
        return "never"

    assert at_once(work, 4) == ["held"] * 4


def test_what_was_there_before_stays(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with held_folder(tmp_path / "there", lambda folder: False):
        pass
    assert (tmp_path / "there" / "driver.json").exists()


def test_one_data_set_is_built_once_by_all_that_want_it_at_one_instant(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("name: tiny\ntask: sudoku\nsize: 4\ntrain: 40\nvalidation: 10\ntest: 10\n")
    recipe = load_recipe(str(tmp_path / "recipe.yaml"), {})
    outcomes = at_once(lambda number: build_into(recipe, str(tmp_path / "new" / "data"), lambda *words: None)[1], 4)
    assert sorted(map(str, outcomes)) == ["built", "verified", "verified", "verified"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["data"]


def test_folders_that_others_take_back_are_made_again(tmp_path: Path) -> None:
    def work(number: int) -> bool:
        return all(claim_folder(tmp_path / "p" / "q" / f"{number}-{turn}") for turn in range(200))

    stop = threading.Event()

    def meddle() -> None:
        while not stop.is_set():
            for name in ("p/q", "p"):
                try:
                    (tmp_path / name).rmdir()
                except OSError:
                    continue

    meddler = threading.Thread(target=meddle)
    meddler.start()
    results = at_once(work, 4)
    stop.set()
    meddler.join()
    assert results == [True] * 4


def test_a_folder_is_claimed_by_one(tmp_path: Path) -> None:
    assert sum(at_once(lambda number: claim_folder(tmp_path / "deep" / "down"))) == 1
    assert not claim_folder(tmp_path / "deep" / "down")
    (tmp_path / "file").touch()
    assert not claim_folder(tmp_path / "file")
    with pytest.raises(OSError, match="exists"):
        make_folders(tmp_path / "file")
    assert make_folders(tmp_path / "deep" / "er" / "est") == [tmp_path / "deep/er/est", tmp_path / "deep/er"]


def test_every_new_name_of_a_folder_is_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def watched(handle: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{handle}"))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", watched)
    make_folders(tmp_path / "a" / "b")
    assert synced == [str(tmp_path), str(tmp_path / "a")]
    synced.clear()
    claim_folder(tmp_path / "c" / "d")
    assert synced == [str(tmp_path), str(tmp_path / "c")]
    synced.clear()
    with replacing_folder(tmp_path / "best") as new:
        pass
    assert synced == [str(new), str(tmp_path)]


def test_a_folder_is_replaced_whole_or_stays(tmp_path: Path) -> None:
    for text in ("old", "new"):
        with replacing_folder(tmp_path / "best") as new:
            (new / "file").write_text(text)
    assert (tmp_path / "best" / "file").read_text() == "new"

    def interrupted() -> None:
        with replacing_folder(tmp_path / "best") as new:
            (new / "file").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (tmp_path / "best" / "file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["best"]
    remove_folder(tmp_path / "best")
    assert list(tmp_path.iterdir()) == []


def test_writers_of_one_file_at_one_instant_leave_one_of_theirs_whole(tmp_path: Path) -> None:
    def work(number: int) -> None:
        for _ in range(20):
            with replacing(tmp_path / "file") as temporary:
                temporary.write_text(str(number) * 5000)

    assert at_once(work) == [None] * AT_ONCE
    assert len(set((tmp_path / "file").read_text())) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o077])
def test_modes_are_those_of_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with replacing(tmp_path / "file") as temporary, usual_mode(temporary):
            temporary.unlink()
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT, 0o600))
        with locked(tmp_path / "lock"):
            pass
        make_folders(tmp_path / "folder")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~umask
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o666 & ~umask
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o777 & ~umask


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "lock").symlink_to(tmp_path / "precious")
    with pytest.raises(FolderError, match="links below a folder"), locked(tmp_path / "lock"):
        pass
    assert (tmp_path / "precious").read_text() == "mine"
