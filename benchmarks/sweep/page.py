"""How large is the page of a thousand trials, how fast does it open in Chromium, and what does writing it cost a sweep that runs?

Rows: the page (bytes, seconds to write it), seven openings each (what is in the window is painted; all sections are drawn) with
nobody attached to the browser, as a person opens it, and under playwright, whose inspector takes stacks of all that plotly throws
and catches as it starts; and the writer's processor seconds against the workers' in a real sweep on this machine. `--page FILE`
measures pages that were written before, by turns.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / "fixtures")]

from browser import chromium  # noqa: E402  # tests/fixtures is on the path from here on
from page_cases import large_space, simulated_sweep  # noqa: E402

from benchmarks.rows import emit, parser, spread  # noqa: E402
from benchmarks.sweep.sweep_runs import POLL_SECONDS, Watched, legs_of  # noqa: E402
from trm.pages.page import page_bytes  # noqa: E402
from trm.sweeps.report import FollowedSweep  # noqa: E402

if TYPE_CHECKING:
    from playwright.sync_api import BrowserType
    from playwright.sync_api import Page as BrowserPage

OPENINGS = 7
REST_SECONDS, LEAST_CPU_SECONDS = 2.0, 0.5
SEEN = "performance.getEntriesByName('trm:seen')[0].startTime"
DRAWN = "performance.getEntriesByName('trm:drawn')[0].startTime"


def main() -> int:
    made = parser(__doc__)
    made.add_argument("--trials", type=int, default=1000)
    made.add_argument(
        "--sweep-trials", type=int, default=64, help="of the real sweep; the writer begins after 400 workers' seconds"
    )
    made.add_argument("--page", type=Path, action="append", help="open this file instead, by turns with others that are given")
    made.add_argument("--only", choices=("page", "writer"))
    arguments = made.parse_args()
    with tempfile.TemporaryDirectory() as place:
        if arguments.only != "writer":
            page = Path(place) / "report.html"
            if not arguments.page:
                emit(written(Path(place) / "many", page, arguments.trials), arguments.out)
            pages = arguments.page or [page]
            for row in openings(pages, arguments.trials):
                emit(row, arguments.out)
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


@dataclass
class Opening:
    """Seconds from the navigation until it was so, and of the processor that the page's own process took."""

    seen: float
    drawn: float
    cpu: float


def openings(pages: Sequence[Path], trials: int) -> Iterator[dict[str, object]]:
    """A row a page and way: openings in fresh browsers, the pages by turns."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        for way, opened in (("alone", opened_alone), ("under playwright", opened_attached)):
            found: dict[Path, list[Opening]] = {page: [] for page in pages}
            for _ in range(OPENINGS):
                for page, some in found.items():
                    some.append(opened(playwright.chromium, page))
            load = [round(value, 1) for value in os.getloadavg()]
            for page, some in found.items():
                seen, drawn, cpu = (spread([getattr(one, name) for one in some]) for name in ("seen", "drawn", "cpu"))
                more = {"all_sections": drawn, "renderer_cpu_seconds": cpu, "bytes": page.stat().st_size, "load": load}
                yield {"figure": "page_opens_seconds", "way": way, "page": page.stem, "trials": trials, **seen, **more}


def opened_attached(chrome: "BrowserType", page: Path) -> Opening:
    """By playwright's own browser, which listens from the start."""
    browser = chrome.launch(executable_path=chromium(), args=["--no-sandbox"])
    try:
        shown = browser.new_page(viewport={"width": 1280, "height": 900})
        shown.goto(page.absolute().as_uri())
        return told_by(shown, psutil.Process())
    finally:
        browser.close()


def opened_alone(chrome: "BrowserType", page: Path) -> Opening:
    """By a browser that nobody is attached to until its processes rest."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:  # the browser may still write there
        options = (
            "--headless=new",
            "--no-sandbox",
            "--window-size=1280,900",
            "--remote-debugging-port=0",
            f"--user-data-dir={home}",
        )
        process = subprocess.Popen([chromium(), *options, page.absolute().as_uri()], stderr=subprocess.DEVNULL)
        try:
            wait_for_rest(psutil.Process(process.pid))
            port = (Path(home) / "DevToolsActivePort").read_text().split()[0]
            browser = chrome.connect_over_cdp(f"http://127.0.0.1:{port}")
            shown = next(one for context in browser.contexts for one in context.pages if one.url.startswith("file:"))
            return told_by(shown, psutil.Process(process.pid))
        finally:
            process.terminate()
            process.wait()


def told_by(shown: "BrowserPage", parent: psutil.Process) -> Opening:
    """What an open page says of its opening."""
    shown.wait_for_selector("html[data-drawn=all]", timeout=120_000)
    return Opening(shown.evaluate(SEEN) / 1000, shown.evaluate(DRAWN) / 1000, max(renderer_seconds(parent)))


def renderer_seconds(parent: psutil.Process) -> list[float]:
    """Processor seconds of each process below that draws pages."""
    found = [0.0]
    for process in parent.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "--type=renderer" in process.cmdline():
                found.append(process.cpu_times().user + process.cpu_times().system)
    return found


def wait_for_rest(parent: psutil.Process) -> None:
    """Until no page's process has computed anything to speak of for a while."""
    last, since = -1.0, time.monotonic()
    while time.monotonic() - since < REST_SECONDS or last < LEAST_CPU_SECONDS:
        time.sleep(0.2)
        if (now := max(renderer_seconds(parent))) > last + 0.03:
            last, since = now, time.monotonic()


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
