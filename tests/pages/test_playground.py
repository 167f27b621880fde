"""The playground in a real Chromium: puzzles of every kind are posed, edited and asked by mouse and by keyboard."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Opened, chromium, opened
from served_cases import exported, served

from trm.serving.guard import Rules, digest_of
from trm.serving.solver import Solver

TOKEN = "a-token-of-this-test"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    chromium()
    return tmp_path_factory.mktemp("served")


def ready(found: Opened) -> Any:
    found.page.wait_for_selector("html[data-ready]")
    return found.page


def asked(page: Any) -> None:
    """Waits until everything that was asked is there."""
    page.wait_for_selector("#playground:not([aria-busy])")


def posted(url: str, path: str, values: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(url + path, json.dumps(values).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def digits(page: Any, where: str) -> list[str]:
    """What stands in a board, row by row; blanks are left out."""
    return [text.text_content() for text in page.locator(f"{where} .puzzle text").all()]


def written(tokens: list[int]) -> list[str]:
    """Tokens as a board shows them; blanks are left out."""
    return [str(token - 1) if token else "?" for token in tokens if token != 1]


def corner(page: Any, where: str, cell: tuple[int, int], side: int) -> tuple[float, float]:
    """The middle of a cell on the screen."""
    box = page.locator(f"{where} svg").first.bounding_box()
    return box["x"] + (cell[1] + 0.5) * box["width"] / side, box["y"] + (cell[0] + 0.5) * box["height"] / side


def press(page: Any, where: str, cell: tuple[int, int], side: int) -> None:
    page.mouse.click(*corner(page, where, cell, side))


@pytest.fixture(scope="module")
def sudoku(place: Path) -> Iterator[str]:
    with served(Solver.open(exported("sudoku", place / "sudoku"), device="cpu")) as url:
        yield url


def test_a_board_is_filled_asked_and_stepped_through_by_keyboard_and_mouse(sudoku: str) -> None:
    with opened(sudoku, is_spotless=False) as found:
        page = ready(found)
        page.locator("#editor svg").focus()
        for key in ("1", "ArrowRight", "2", "ArrowDown", "4", "Backspace", "3"):
            page.keyboard.press(key)
        assert digits(page, "#editor") == ["1", "2", "3"]
        page.keyboard.press("Control+z")
        page.keyboard.press("Control+z")
        assert digits(page, "#editor") == ["1", "2", "4"]
        page.keyboard.press("Control+y")
        page.keyboard.press("Control+y")
        press(page, "#editor", (3, 3), 4)
        page.click("#tools button:has-text('4')")
        assert digits(page, "#editor") == ["1", "2", "3", "4"]
        page.locator("#editor svg").focus()
        page.keyboard.press("Control+Enter")
        asked(page)
        row = [2, 3, 1, 1, 1, 4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 5]
        told = posted(sudoku, "predict", {"row": row, "trace": True, "tokens": True})
        assert digits(page, "#answer") == written(told["tokens"])
        assert ("Valid: it keeps" if told["valid"] else "Not valid:") in page.inner_text("#verdict")
        assert [rule.inner_text() for rule in page.locator("#verdict li").all()] == told["broken"]
        assert page.inner_text("#step-label").startswith(f"step 4 of 4: halting probability {told['halting_probability']:.3f}")
        page.locator("#step").focus()
        page.keyboard.press("ArrowLeft")
        third = told["trace"][2]
        assert page.inner_text("#step-label").startswith(f"step 3 of 4: halting probability {third['halting_probability']:.3f}")
        assert digits(page, "#answer") == written(third["tokens"])
        page.click("#play")
        page.wait_for_selector("#play[aria-pressed=true]")
        page.wait_for_selector("#play[aria-pressed=false]")
        assert page.inner_text("#step-label").startswith("step 4 of 4")
        with pytest.raises(urllib.error.HTTPError) as refused:  # four clues are of many boards
            posted(sudoku, "solve", {"row": row})
        assert page.inner_text("#solution") == json.load(refused.value)["error"]
        assert [problem for problem in found.problems if "400" not in problem] == []


def test_what_a_board_breaks_is_said_in_the_servers_words_and_random_ones_are_solved(sudoku: str) -> None:
    with opened(sudoku, is_spotless=False) as found:
        page = ready(found)
        page.click("#random")
        asked(page)
        assert len(digits(page, "#solution")) == 16
        assert "By our own solver" in page.inner_text("#solution")
        wrong = page.locator("#answer .wrong-frame").get_attribute("d").count("M")
        label = page.inner_text("#step-label")
        assert f"{wrong} cell" in label or (wrong == 0 and "no cell differs" in label)
        page.click("#clear")
        assert digits(page, "#editor") == []
        assert "has changed since" in page.inner_text("#answer")
        page.locator("#editor svg").focus()
        page.keyboard.type("1")
        page.keyboard.press("ArrowRight")
        page.keyboard.type("1")
        page.keyboard.press("Control+Enter")
        asked(page)
        with pytest.raises(urllib.error.HTTPError) as refused:
            posted(sudoku, "predict", {"row": [2, 2, *[1] * 14]})
        assert page.inner_text("#problem") == json.load(refused.value)["error"]
        assert [problem for problem in found.problems if "400" not in problem] == []


def test_a_maze_is_drawn_by_dragging_in_the_dark_on_a_narrow_screen(place: Path) -> None:
    solver = Solver.open(exported("maze", place / "maze"), device="cpu")
    with served(solver) as url, opened(url, scheme="dark", width=500) as found:
        page = ready(found)
        assert "takes 6 x 6 cells" in page.inner_text("#hint")
        page.mouse.move(*corner(page, "#editor", (2, 0), 6))
        page.mouse.down()
        for x in range(5):
            page.mouse.move(*corner(page, "#editor", (2, x), 6))
        page.mouse.up()
        assert page.locator("#editor .wall").get_attribute("d").count("M") == 5
        press(page, "#editor", (2, 4), 6)  # a wall that is pressed opens
        page.mouse.move(*corner(page, "#editor", (0, 0), 6))
        page.mouse.down()
        page.mouse.move(*corner(page, "#editor", (1, 3), 6))
        page.mouse.up()
        page.locator("#editor svg").focus()
        for key in ("End", "ArrowDown", "w", "ArrowDown", "ArrowLeft", "g"):
            page.keyboard.press(key)
        page.click("#ask")
        asked(page)
        grid = ["      ", "   S  ", "#### #", "    G ", "      ", "      "]
        told = posted(url, "predict", {"grid": grid, "tokens": True})
        ours = posted(url, "solve", {"grid": grid})
        assert [rule.inner_text() for rule in page.locator("#verdict li").all()] == told["broken"]
        length = sum(row.count("o") for row in ours["answer"])
        assert page.locator("#solution .way").get_attribute("d").count("h0.01") == length
        assert page.evaluate("() => [document.documentElement.scrollWidth, document.documentElement.dataset.theme]") == [
            500,
            "dark",
        ]
        page.click("#random")
        asked(page)
        assert page.locator("#editor .start").count() == page.locator("#solution .goal").count() == 1


def test_an_arc_task_is_shown_by_demonstrations_behind_a_token(place: Path) -> None:
    solver = Solver.open(exported("arc", place / "arc", steps=2), device="cpu")
    with served(solver, Rules(token_digest=digest_of(TOKEN))) as url, opened(url, is_spotless=False) as found:
        page = found.page
        page.wait_for_selector("#token-dialog[open]")
        page.fill("#token", TOKEN)
        page.keyboard.press("Enter")
        ready(found)
        page.reload()
        ready(found)  # the token is asked once a tab
        assert page.evaluate("() => [localStorage.length, sessionStorage.length]") == [0, 1]
        page.locator("#editor > figure input[aria-label$=columns]").fill("2")
        page.keyboard.press("Enter")
        page.click("#tools button[title=red]")
        press(page, "#editor", (0, 1), 3)
        page.locator("#pairs svg").nth(1).focus()
        page.keyboard.press("8")
        page.click("#add-pair")
        assert page.locator(".pair").count() == 2
        assert (
            page.locator("#ask").bounding_box()["y"] < page.locator(".pair").first.bounding_box()["y"]
        )  # what it says is in sight
        page.click("button[aria-label='remove demonstration 2']")
        asked_for = []
        page.on("request", lambda request: asked_for.append(request))
        page.click("#ask")
        asked(page)
        bodies = {request.url.rsplit("/", 1)[1]: request.post_data_json for request in asked_for}
        empty = [[0, 0, 0]] * 3
        pair = {"input": empty, "output": [[8, 0, 0], *empty[1:]]}
        sent = {"grid": [[0, 2], [0, 0], [0, 0]], "demonstrations": [pair]}
        assert bodies["solve"] == sent
        assert bodies["predict"] == {**sent, "identifier": "mean", "steps": 2, "trace": True, "tokens": True}
        assert "nobody here solves arc puzzles" in page.inner_text("#solution")
        assert "the network never learned this task" in page.inner_text("#verdict")
        assert [problem for problem in found.problems if "401" not in problem and "404" not in problem] == []
