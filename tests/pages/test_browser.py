"""The browser of the tests notices what a page must not do."""

from pathlib import Path

import pytest
from browser import opened


def test_a_page_that_fails_or_asks_elsewhere_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<!doctype html><title>fine</title>")
    with opened(page) as found:
        assert found.page.title() == "fine"
    for body in (
        "<script>throw new Error('no')</script>",
        "<img src='http://127.0.0.1:9/x.png'>",
        "<script>console.warn('x')</script>",
    ):
        page.write_text(f"<!doctype html><title>not fine</title>{body}")
        with pytest.raises(AssertionError):
            look(page)


def look(page: Path) -> None:
    with opened(page) as found:
        found.page.wait_for_load_state()
