"""Two users of one group on one storage: with a umask of 002 the second goes on where the first was; else it is told before."""

import os
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from search_simulator import cost_of
from sweep_cases import events_of, space
from training_cases import config_of

from trm.config.networks import DataShape
from trm.errors import SweepError
from trm.files.atomic import fsync_folder, locked, write_text_atomic
from trm.search.journal.events import DriverStarted
from trm.search.log import FILE, SweepLog
from trm.search.search import Search
from trm.sweeps.places import held_folder, refuse_unwritable
from trm.sweeps.trial_files import clear_unfinished
from trm.training.checkpoint import CheckpointMeta, write_checkpoint

FIRST, SECOND, GROUP = 41_001, 41_002, 41_000
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")


@pytest.fixture
def storage() -> Iterator[Path]:
    """A folder that others can reach, of the group and for it."""
    folder = Path(tempfile.mkdtemp(prefix="trm-two-users-"))
    os.chown(folder, FIRST, GROUP)
    folder.chmod(0o2775)
    yield folder
    shutil.rmtree(folder)


def as_user(uid: int, umask: int, work: Callable[[], object]) -> str:
    """What `work` says in a process of that user: "done", or the error."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups([])
            os.setgid(GROUP)
            os.setuid(uid)
            os.umask(umask)
            work()
            os.write(writing, b"done")
            code = 0
        except SweepError as error:
            os.write(writing, str(error).encode())
        except BaseException:
            os.write(writing, traceback.format_exc()[-3000:].encode())
        os._exit(code)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as said:
        return said.read()


def drive(folder: Path, number: int) -> None:
    """What a driver and its legs write in a sweep folder."""
    with held_folder(folder, lambda place: (place / FILE).exists()) as lease:
        log = SweepLog(folder, Search(space(), cost_of), guard=lease.check)
        clear_unfinished(folder)
        log.start(float(number), driver=f"here:{number}", fence=lease.fence, slots=1, versions={})
        write_text_atomic(folder / "sweep.yaml", f"{number}\n")
        meta = CheckpointMeta(config=config_of(), shape=DataShape(16, 6, 1), data_hash="x", step=number, train_flops=0.0)
        write_checkpoint(folder / "trials" / "0000" / f"step-{number}", {"model.safetensors": {"a": torch.zeros(2)}}, meta)
        log.journal.close()


def test_with_a_umask_for_the_group_the_second_user_goes_on(storage: Path) -> None:
    folder = storage / "mine"
    assert as_user(FIRST, 0o002, lambda: drive(folder, 1)) == "done"

    def second() -> None:
        refuse_unwritable(folder, "a sweep")
        drive(folder, 2)

    assert as_user(SECOND, 0o002, second) == "done"
    assert as_user(FIRST, 0o002, lambda: drive(folder, 3)) == "done"
    assert [event.fence for event in events_of(folder) if isinstance(event, DriverStarted)] == [1, 2, 3]
    for path in folder.rglob("*"):
        wanted = 0o775 if path.is_dir() else 0o664
        assert path.stat().st_mode & 0o777 == wanted, path


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_with_a_umask_that_shuts_the_group_out_the_second_user_is_told_and_nothing_changes(storage: Path, umask: int) -> None:
    folder = storage / "mine"
    assert as_user(FIRST, umask, lambda: drive(folder, 1)) == "done"
    before = (folder / FILE).read_bytes()
    said = as_user(SECOND, umask, lambda: refuse_unwritable(folder, "a sweep"))
    assert "a sweep goes on only for a user who may write all of it" in said
    assert f"belongs to user {FIRST}" in said
    assert "chmod -R g+rwX" in said
    assert (folder / FILE).read_bytes() == before
    for path in folder.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o777 if path.is_dir() else 0o666) & ~umask, path


def test_a_lock_that_the_other_user_made_is_held_all_the_same(storage: Path) -> None:
    def hold() -> None:
        with locked(storage / ".lock"):
            pass

    assert [as_user(user, 0o022, hold) for user in (FIRST, SECOND)] == ["done", "done"]
    assert (storage / ".lock").stat().st_mode & 0o777 == 0o644


def test_one_folder_below_that_the_second_user_may_not_write_is_named(storage: Path) -> None:
    folder = storage / "mine"
    assert as_user(FIRST, 0o002, lambda: drive(folder, 1)) == "done"
    (folder / "trials" / "0000").chmod(0o755)
    assert f"{folder}/trials/0000 belongs to user {FIRST} (mode 755)" in as_user(
        SECOND, 0o002, lambda: refuse_unwritable(folder, "a")
    )
    (folder / "trials" / "0000").chmod(0o2775)
    folder.chmod(0o3775)
    assert f"{folder}/" in as_user(SECOND, 0o002, lambda: refuse_unwritable(folder, "a"))


def test_every_folder_of_a_new_trial_is_a_durable_name(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr("trm.files.atomic.fsync_folder", lambda folder: (synced.append(str(folder)), fsync_folder(folder)))
    drive(storage / "mine", 1)
    folder = storage / "mine"
    assert {str(place) for place in (storage, folder, folder / "trials", folder / "trials" / "0000")} <= set(synced)
