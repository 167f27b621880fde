"""A sweep that is killed and resumed is the sweep that never was: real driver, real training, real files; only Ray is left out."""

import itertools
import json
import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash_cases import check_replay, check_whole, events_of, facts, write_space
from rayless import Kill, Killed, Life, Nursery, Point

from trm.search.journal.events import LegEnded, LegStarted, SweepEnded, TestTimeChosen, TestTimePassed

TRIALS = 2
POINTS: tuple[Point, ...] = ("before", "torn", "written", "before", "torn", "durable")


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    nursery = Nursery(tmp_path_factory.mktemp("nursery") / "log")
    yield nursery
    nursery.close()


@pytest.fixture(scope="module")
def killed(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Killed:
    storage = tmp_path_factory.mktemp("runs")
    return Killed(nursery, write_space(storage), storage, ("--trials", str(TRIALS)))


@pytest.fixture(scope="module")
def whole(killed: Killed) -> Path:
    assert killed.run("whole", [None]) == 1
    folder = killed.storage / "whole"
    check_whole(folder, TRIALS)
    check_replay(folder)
    return folder


def until_its_end(folder: Path, kills: Iterator[Kill]) -> Iterator[Kill | None]:
    """`kills` again and again up to the sweep's last decision, then its report is killed too."""
    for kill in kills:
        if any(isinstance(event, SweepEnded) for event in events_of(folder)):
            break
        yield kill
    yield from (Kill("event", 2, point) for point in ("before", "torn", "durable"))
    yield None


def test_killed_at_every_event_of_the_journal(killed: Killed, whole: Path) -> None:
    folder = killed.storage / "events"
    lives = killed.run("events", until_its_end(folder, (Kill("event", 1, point) for point in itertools.cycle(POINTS))))
    assert lives > 3 * (len(events_of(whole)) - 3), "some events were written in a life that was not killed there"
    assert facts(folder) == facts(whole)
    check_whole(folder, TRIALS)
    check_replay(folder)


def test_killed_around_the_renames_of_every_checkpoint_and_of_every_file_at_the_end(killed: Killed, whole: Path) -> None:
    folder = killed.storage / "renames"
    around: list[Kill] = [Kill("checkpoint", count, point) for count in (1, 2) for point in ("before", "durable")]
    killed.run("renames", until_its_end(folder, itertools.cycle(around)))
    assert facts(folder) == facts(whole)
    check_whole(folder, TRIALS)
    (folder / "leaderboard.json").unlink()
    killed.run("renames", (Kill("rename", count, point) for count in range(4, 40) for point in ("before", "durable")))
    assert facts(folder) == facts(whole)
    check_replay(folder)


def test_killed_with_checkpoints_as_objects_it_is_the_sweep_in_a_folder(killed: Killed, whole: Path, tmp_path: Path) -> None:
    options = ("--trials", str(TRIALS), "--set", f"storage.checkpoints=file://{tmp_path}/objects")
    away = Killed(killed.nursery, killed.space, killed.storage, options)
    kills = [Kill("event", 4, "durable"), Kill("rename", 30, "before"), Kill("event", 5, "before"), Kill("rename", 41, "durable")]
    away.run("objects", [*kills, None])
    folder, objects = killed.storage / "objects", tmp_path / "objects" / "objects"
    assert facts(folder) == facts(whole)
    check_whole(folder, TRIALS)
    check_replay(folder)
    assert not (folder / "trials").exists()
    last = {row["checkpoint"] for row in json.loads((folder / "leaderboard.json").read_text())["trials"]}
    assert {path.parent.relative_to(objects).as_posix() for path in objects.glob("trials/*/*/meta.json")} == last
    away.run("objects", [None])  # a sweep that has ended, once more
    assert facts(folder) == facts(whole)


def test_killed_and_gone_on_with_on_a_fresh_head_each_time_it_is_the_sweep_in_a_folder(
    killed: Killed, whole: Path, tmp_path: Path
) -> None:
    url = f"file://{tmp_path}/objects"
    words, given = (str(killed.space), "--trials", str(TRIALS)), ("--set", f"storage.checkpoints={url}")
    kills = [
        Kill("event", count, point) for count, point in ((2, "before"), (4, "durable"), (2, "before"), (3, "torn"), (2, "written"))
    ]
    for number, kill in enumerate([*kills, None]):
        storage = tmp_path / f"head-{number}"
        shutil.copytree(killed.storage / "data", storage / "data")
        how = ("--name", "away", "--go-on", *given) if number in (0, 2) else ("--resume", f"{url}/away")
        code = killed.nursery.live(Life((*words, "--storage", str(storage), *how), kill))
        assert code == (0 if kill is None else -signal.SIGKILL), killed.nursery.output()
    folder = storage / "away"
    assert facts(folder) == facts(whole)
    check_whole(folder, TRIALS)
    check_replay(folder)
    mirrored = tmp_path / "objects" / "away"
    assert (
        b"".join(path.read_bytes() for path in sorted((mirrored / "journal").iterdir())) == (folder / "journal.jsonl").read_bytes()
    )
    for name in ("leaderboard.json", "best/model.safetensors", "sweep.yaml", "trials.parquet"):
        assert (mirrored / name).read_bytes() == (folder / name).read_bytes()
    late = Life(("--resume", *words, *given, "--storage", str(tmp_path / "head-0"), "--name", "away"))
    assert killed.nursery.live(late) == 2  # its folder is not where the sweep went on
    assert "went on from" in killed.nursery.output()


def test_killed_at_random_with_two_legs_open_no_trial_is_lost_and_none_is_run_twice(killed: Killed) -> None:
    generator = random.Random(7)
    two = Killed(killed.nursery, killed.space, killed.storage, ("--trials", "5", "--set", "resources.slots=2"))
    kills = [Kill("event", generator.randint(2, 9), generator.choice(POINTS)) for _ in range(8)]
    two.run("two", [*kills, None])
    folder = two.storage / "two"
    check_whole(folder, 5)
    check_replay(folder)
    done = [event for event in events_of(folder) if isinstance(event, LegEnded)]
    assert {event.status for event in done} == {"completed"}


def test_an_ended_sweep_searches_at_test_time_on_its_weights_killed_in_every_pass(killed: Killed, whole: Path) -> None:
    shutil.copytree(whole, folder := killed.storage / "later")
    asked = ("test_time.noise=[0.5]", "test_time.rollouts=2", "test_time.steps=3", "test_time.forms=2")
    options = ("--trials", str(TRIALS), *(word for one in asked for word in ("--set", one)))
    later = Killed(killed.nursery, killed.space, killed.storage, options)
    later.run("later", [*(Kill("event", 2, point) for point in ("torn", "durable", "durable")), None])
    events = events_of(folder)
    assert [(one.noise, one.starts) for one in events if isinstance(one, TestTimePassed)] == [(0.0, "own"), (0.5, "own")]
    assert sum(isinstance(event, TestTimeChosen) for event in events) == 1
    assert [event for event in events if isinstance(event, LegStarted)] == [
        event for event in events_of(whole) if isinstance(event, LegStarted)
    ], "nothing is trained again"
    check_replay(folder)
    board = json.loads((folder / "leaderboard.json").read_text())
    (found,) = board.pop("test_time")
    assert (found["tried"], found["plain"]["steps"]) == (3 * (1 + 4) + 3 * (1 + 3 * 4), 2)
    assert (folder / "test_time.png").is_file()
    assert board["trials"] == json.loads((whole / "leaderboard.json").read_text())["trials"]


def test_one_command_starts_and_goes_on_and_says_whether_to_try_again(killed: Killed, whole: Path) -> None:
    storage, told = killed.storage, killed.storage / "again.exit.json"
    words = (str(killed.space), "--storage", str(storage), "--name", "again", "--trials", str(TRIALS), "--go-on")
    assert killed.nursery.live(Life(words, Kill("event", 3, "durable"))) == -signal.SIGKILL
    assert not told.exists(), "what was killed is to be tried again"
    assert killed.nursery.live(Life((*words, "--set", "optim.lr=1"))) == 2
    refused = json.loads(told.read_text())
    assert (refused["code"], refused["try_again"]) == (2, False)
    assert "optim" in refused["message"]
    assert killed.nursery.live(Life(words)) == 0
    assert json.loads(told.read_text())["code"] == 0
    assert facts(storage / "again") == facts(whole)
    log = (storage / "again" / "driver.log").read_text()
    assert [line[21:].split(", ")[1] for line in log.splitlines() if "  driver " in line] == [
        f"number {n} of this folder" for n in (1, 2)
    ]
    assert log.endswith("  done\n")
