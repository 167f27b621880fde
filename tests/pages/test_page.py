"""A page is one file that opens from disk: nothing it is told runs, its tables and keys do what they say, its theme is kept."""

import json
from pathlib import Path

import pytest
from browser import opened

from trm.errors import ConfigError
from trm.jobs.view import run_view
from trm.pages.page import Page, Section, finite, page_bytes, write_page

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>{{blocks}}"
ROWS = [{"name": f"row {number}", "value": number % 7 + 0.5, "kind": "odd" if number % 2 else "even"} for number in range(80)]


def hostile_page() -> Page:
    rows = [*ROWS, {"name": HOSTILE, "value": float("nan"), "kind": HOSTILE}]
    sections = [
        Section("values", HOSTILE, {"lines": [HOSTILE], "pairs": [[HOSTILE, HOSTILE]]}),
        Section("values", "Rows", {"rows": rows}, needs_charts=True),
    ]
    return Page(HOSTILE, "test", sections, about=HOSTILE)


def test_a_page_is_equal_for_equal_data_and_holds_only_finite_numbers() -> None:
    assert page_bytes(hostile_page()) == page_bytes(hostile_page())
    assert len(page_bytes(hostile_page())) < 2.5e6
    assert len(page_bytes(Page("t", "test", [Section("values", "s", {})]))) < 0.25e6
    assert json.dumps(finite({"a": [float("inf"), 1.5, (float("nan"),)], 3: None})) == '{"a": [null, 1.5, [null]], "3": null}'


def test_a_page_in_a_browser(tmp_path: Path) -> None:
    write_page(hostile_page(), tmp_path / "page.html")
    with opened(tmp_path / "page.html", scheme="dark") as found:
        page = found.page
        page.wait_for_selector("html[data-drawn=all]")
        assert page.title() == HOSTILE
        assert page.locator("h1").text_content() == HOSTILE
        assert page.locator("img, .failed").count() == 0
        # the system's theme first, then what was chosen, which a reload keeps
        assert page.evaluate("TRM.theme") == "dark"
        page.keyboard.press("t")
        page.reload()
        page.wait_for_selector("html[data-drawn=all]")
        assert page.evaluate("TRM.theme") == "light"
        # the table: filter by key, sort by heading, rows without a value last whatever the direction
        page.keyboard.press("j")
        page.keyboard.press("/")
        page.keyboard.type("row 7")
        assert page.locator(".count").text_content() == "11 of 81 rows"
        page.locator("input[type=search]").fill("")
        for direction, first in (("ascending", "0.5"), ("descending", "6.5")):
            page.get_by_role("button", name="value").click()
            assert page.locator("th[aria-sort=" + direction + "]").text_content() == "value"
            assert page.locator("tbody tr:first-child td").first.text_content() == first
        page.get_by_role("button", name="show all 81").click()
        assert page.locator("tbody tr").count() == 81
        assert page.locator("tbody tr:last-child th").text_content() == HOSTILE
        page.locator("tbody tr").first.focus()
        page.keyboard.press("ArrowDown")
        assert page.evaluate("document.activeElement.rowIndex") == 2
        # plotly runs under the page's policy, and what was injected would not
        assert page.evaluate("TRM.plotly().then((plotly) => plotly.version.length > 0)")
        page.evaluate("TRM.plotly().then((p) => p.newPlot(document.querySelector('.body'), [{y: [1, 2, 3]}]))")
        assert page.locator(".js-plotly-plot .main-svg").count() > 0


@pytest.mark.parametrize(
    ("path", "options", "said"),
    [
        ("nowhere", {}, "nowhere must be a folder"),
        (".", {}, "must be a sweep"),
        (".", {"is_live": True, "out": "x.html"}, "--live serves a page"),
        (".", {"port": 5}, "--port belongs to --live"),
        (".", {"is_live": True, "port": 70000}, "a port is a number"),
    ],
)
def test_what_cannot_be_shown_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, options: dict[str, object], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=said):
        run_view(path, **{"out": None, "is_live": False, "port": None, **options})  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
