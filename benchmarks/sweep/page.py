"""How large is the page of a thousand trials, how fast does it open in Chromium, and what does writing it cost a sweep that runs?

Rows: the page (bytes, seconds to write it), seven openings (what is in the window is painted; all sections are drawn), and the
writer's processor seconds against the workers' in a real sweep on this machine.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / "fixtures")]

from browser import chromium  # noqa: E402  # tests/fixtures is on the path from here on
from page_cases import large_space, simulated_sweep  # noqa: E402

from benchmarks.rows import emit, parser, spread  # noqa: E402
from benchmarks.sweep.sweep_runs import POLL_SECONDS, Watched, legs_of  # noqa: E402
from trm.pages.page import page_bytes  # noqa: E402
from trm.sweeps.report import FollowedSweep  # noqa: E402

OPENINGS = 7
SEEN = "performance.getEntriesByName('trm:seen')[0].startTime"
DRAWN = "performance.getEntriesByName('trm:drawn')[0].startTime"


def main() -> int:
    made = parser(__doc__)
    made.add_argument("--trials", type=int, default=1000)
    made.add_argument(
        "--sweep-trials", type=int, default=64, help="of the real sweep; the writer begins after 400 workers' seconds"
    )
    made.add_argument("--only", choices=("page", "writer"))
    arguments = made.parse_args()
    with tempfile.TemporaryDirectory() as place:
        if arguments.only != "writer":
            page = Path(place) / "report.html"
            emit(written(Path(place) / "many", page, arguments.trials), arguments.out)
            emit(openings(page, arguments.trials), arguments.out)
        if arguments.only != "page":
            emit(writer(Path(place), arguments.sweep_trials), arguments.out)
    return 0


def written(folder: Path, page: Path, trials: int) -> dict[str, object]:
    """The page of a simulated sweep, made as often as the writer makes it: what is read stays, figures are found anew."""
    simulated_sweep(folder, large_space(trials))
    followed, seconds = FollowedSweep(folder), list[float]()
    followed.read()
    for _ in range(OPENINGS):
        start = time.process_time()
        page.write_bytes(page_bytes(followed.page()))
        seconds.append(time.process_time() - start)
    size = page.stat().st_size
    return {"figure": "page_written_cpu_seconds", "trials": trials, "bytes": size, "first": round(seconds[0], 3), **spread(seconds)}


def openings(page: Path, trials: int) -> dict[str, object]:
    """Seconds from the navigation to the window's sections painted, and to all of them drawn, each in a fresh browser."""
    from playwright.sync_api import sync_playwright

    seen, drawn = list[float](), list[float]()
    with sync_playwright() as playwright:
        for _ in range(OPENINGS):
            browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
            shown = browser.new_page(viewport={"width": 1280, "height": 900})
            shown.goto(page.as_uri())
            shown.wait_for_selector("html[data-drawn=all]", timeout=120_000)
            seen.append(shown.evaluate(SEEN) / 1000)
            drawn.append(shown.evaluate(DRAWN) / 1000)
            browser.close()
    load = [round(value, 1) for value in os.getloadavg()]
    return {"figure": "page_opens_seconds", "trials": trials, **spread(seen), "all_sections": spread(drawn), "load": load}


def writer(storage: Path, trials: int) -> dict[str, object]:
    """A real sweep, and what its writer's process took of a processor."""
    options = ("search_spaces/sudoku4x4.yaml", "--storage", str(storage), "--name", "real", "--trials", str(trials))
    sweep, folder, taken = Watched(*options, "--set", "tracking.enabled=false"), storage / "real", dict[int, tuple[float, int]]()
    while sweep.process.poll() is None:
        for process in psutil.process_iter(["cmdline"]):
            if "trm.sweeps.report_writer" in (process.info["cmdline"] or []) and str(folder) in process.info["cmdline"]:
                times = process.cpu_times()
                taken[process.pid] = times.user + times.system, process.memory_info().rss
        time.sleep(POLL_SECONDS)
    legs = legs_of(folder)
    workers = sum(leg.train_seconds + leg.eval_seconds + leg.overhead_seconds for leg in legs)
    seconds = sum(one for one, _ in taken.values())
    return {
        "figure": "page_writer_share_of_worker_seconds",
        "share": float(f"{seconds / workers:.3g}"),
        "cpu_seconds": round(seconds, 2),
        "worker_seconds": round(workers, 1),
        "peak_bytes": max((size for _, size in taken.values()), default=0),
        "exit_code": sweep.process.returncode,
    }


if __name__ == "__main__":
    sys.exit(main())
