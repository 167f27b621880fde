"""What do kills cost a sweep? Killed at every event, around renames and at random, it is the sweep that never was.

Real driver, real training, real files; only Ray is left out (tests/fixtures/rayless.py), so that hundreds of kills take minutes.
"""

import argparse
import itertools
import json
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "fixtures")]

from crash_cases import check_replay, check_whole, events_of, facts, write_space  # noqa: E402
from rayless import Kill, Killed, Nursery, Point  # noqa: E402

from trm.search.journal.events import Asked, LegEnded, SweepEnded  # noqa: E402

POINTS: tuple[Point, ...] = ("before", "torn", "written", "before", "torn", "durable")


def until_its_end(folder: Path, kills: Iterator[Kill]) -> Iterator[Kill | None]:
    """`kills` up to the sweep's last decision, then none."""
    for kill in kills:
        if any(isinstance(event, SweepEnded) for event in events_of(folder)):
            break
        yield kill
    yield None


def row(name: str, killed: Killed, kills: Iterator[Kill | float | None], trials: int, whole: Path | None) -> dict[str, object]:
    """Kill one sweep as told and compare it with the whole one, or with its own journal."""
    began = time.time()
    lives = killed.run(name, kills)
    folder = killed.storage / name
    check_whole(folder, trials)
    check_replay(folder)
    asked = sum(isinstance(event, Asked) for event in events_of(folder))
    done = Counter((event.trial, event.rung) for event in events_of(folder) if isinstance(event, LegEnded))
    return {
        "kills": lives - 1,
        "trials_lost": trials - asked,
        "legs_repeated": sum(count - 1 for count in done.values()),
        "same_as_never_killed": None if whole is None else facts(folder) == facts(whole),
        "replays": True,
        "events": len(events_of(folder)),
        "seconds": round(time.time() - began, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--random", type=int, default=20, help="kills at random moments")
    parser.add_argument("--results", default=str(ROOT / "benchmarks" / "results" / "kills.jsonl"))
    arguments = parser.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    common = {"commit": commit, "device": f"{platform.machine()} CPU", "trials": arguments.trials}
    generator = random.Random(4)
    with tempfile.TemporaryDirectory() as place:
        storage = Path(place)
        nursery = Nursery(storage / "log")
        options = ("--trials", str(arguments.trials))
        one = Killed(nursery, write_space(storage), storage, options)
        two = Killed(nursery, one.space, storage, (*options, "--set", "resources.slots=2"))
        one.run("whole", iter([None]))
        whole = storage / "whole"
        every = (Kill("event", 1, point) for point in itertools.cycle(POINTS))
        renames = itertools.cycle([Kill("checkpoint", count, point) for count in (1, 2) for point in ("before", "durable")])
        moments = [*(generator.uniform(0.3, 2.5) for _ in range(arguments.random)), None]
        others = [*(generator.uniform(0.3, 2.5) for _ in range(arguments.random)), None]
        for name, question, killed, kills, same in (
            ("random-one", "random moments, one at a time", one, iter(moments), whole),
            ("random-two", "random moments, two at a time", two, iter(others), None),
            ("every-event", "every event, one at a time", one, until_its_end(storage / "every-event", every), whole),
            (
                "renames",
                "around every checkpoint's renames, one at a time",
                one,
                until_its_end(storage / "renames", renames),
                whole,
            ),
        ):
            line = {"question": question, **row(name, killed, kills, arguments.trials, same), **common}
            print(json.dumps(line), flush=True)
            with Path(arguments.results).open("a") as results:
                results.write(json.dumps(line) + "\n")
        nursery.close()


if __name__ == "__main__":
    main()
