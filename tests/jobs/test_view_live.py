"""A live page: follows a sweep's journal in place, answers only who asks by a name of this machine, and writes nothing."""

import http.client
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from browser import opened
from page_cases import large_space, simulated_sweep, troubled
from search_simulator import KilledError, Simulator

from trm.errors import ConfigError, InputError
from trm.jobs.live import LiveServer
from trm.jobs.view import run_view
from trm.jobs.view_sweep import followed_page
from trm.search.journal.lease import Lease

SPACE = large_space(20)


@contextmanager
def served(folder: Path) -> Iterator[LiveServer]:
    with LiveServer(followed_page(folder), 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with pytest.raises(KilledError):
        simulated_sweep(tmp_path / "s", SPACE, has_curves=False, kill_after=60)
    return tmp_path / "s"


def answer(server: LiveServer, path: str, host: str, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=30)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", host)
    connection.endheaders()
    found = connection.getresponse()
    content = found.read()
    connection.close()
    return found.status, content


def test_only_names_of_this_machine_are_answered_and_nothing_is_written(folder: Path) -> None:
    before = sorted(path.name for path in folder.rglob("*"))
    with served(folder) as server:
        for host in ("127.0.0.1:1", "localhost", f"LOCALHOST:{server.server_address[1]}", "[::1]:9"):
            assert answer(server, "/", host)[0] == 200
        for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", ""):
            assert answer(server, "/", host)[0] == 403
            assert answer(server, "/data", host)[0] == 403
        assert answer(server, "/../../etc/passwd", "localhost")[0] == 404
        assert answer(server, "/", "localhost", "POST")[0] == 501
        assert answer(server, "/", "localhost", "HEAD") == (200, b"")
        version = server.followed.newest().version
        assert answer(server, f"/data?since={version}", "localhost") == (204, b"")
    assert sorted(path.name for path in folder.rglob("*")) == before


def test_a_browser_sees_a_sweep_go_on(folder: Path) -> None:
    with served(folder) as server, opened(server.url) as found:
        page = found.page
        page.wait_for_selector("html[data-drawn=all]")
        assert page.locator("#s-legs tbody tr").count() > 0
        assert page.locator("#s-confirmation").count() == 0
        asked = page.locator("#s-leaderboard .count").text_content()
        page.locator("#s-leaderboard input[type=search]").fill("finished")
        page.get_by_role("button", name="compute").first.click()
        page.evaluate("window.scrollTo(0, 300)")
        Simulator(SPACE, folder, outcome=troubled, slots=4, now=5000.0).run()
        page.wait_for_selector("#s-confirmation .plot", state="attached")
        page.wait_for_selector(".about:has-text('ended')")
        count = page.locator("#s-leaderboard .count").text_content()
        assert count.endswith("of 20 rows")
        assert count != asked
        assert page.locator("#s-leaderboard input[type=search]").input_value() == "finished"
        assert page.locator("#s-leaderboard th[aria-sort=ascending]").first.text_content() == "compute"
        assert page.evaluate("window.scrollY") == 300
        assert page.locator("#s-legs, .failed").count() == 0
        assert page.locator("#contents a").count() == page.locator("main > section").count()


def test_a_sweep_that_has_just_begun_is_waited_for(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its driver holds the folder for seconds before it journals."""
    new = tmp_path / "new"
    new.mkdir()
    with Lease(new), LiveServer(followed_page(folder), 0) as taken:
        copy = threading.Timer(
            0.3, lambda: [shutil.copy(folder / name, new) for name in ("dataset.json", "sweep.yaml", "journal.jsonl")]
        )
        copy.start()
        with pytest.raises(ConfigError, match="must be free"):  # so it came to serving
            run_view(str(new), out=None, is_live=True, port=taken.server_address[1])
        copy.join()
    assert f"waiting for the journal of {new}" in capsys.readouterr().err


def test_what_cannot_be_followed_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    with pytest.raises(InputError, match="must be a sweep"):
        run_view(str(tmp_path / "d"), out=None, is_live=True, port=None)
    journal = (folder / "journal.jsonl").read_bytes()
    with pytest.raises(InputError, match="takes the place of no other file"):
        run_view(str(folder), out=str(folder / "journal.jsonl"), is_live=False, port=None)
    assert (folder / "journal.jsonl").read_bytes() == journal
    with LiveServer(followed_page(folder), 0) as taken, pytest.raises(ConfigError, match="must be free"):
        run_view(str(folder), out=None, is_live=True, port=taken.server_address[1])
