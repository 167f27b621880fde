"""Puzzles on a page: a bounded choice that says what it is, legends of every task, and their browser in a real one."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import opened

from trm.evaluation.kept_answers import cells_text
from trm.evaluation.puzzle_scores import write_puzzles
from trm.pages.chosen import chosen_puzzles, most_shown
from trm.pages.page import Page, Section, write_page
from trm.pages.puzzles import Answered, Form, ShownPuzzle, puzzles_section
from trm.pages.winner import cells_of, winner_sections
from trm.tasks.arc.draw import SAFE_COLOURS
from trm.tasks.choice import TASKS
from trm.tasks.voted import Candidate, Votes

HOSTILE = "<img src=x onerror=alert(1)>"
BOARD = np.array([2, 3, 4, 5, 4, 5, 2, 3, 3, 2, 5, 4, 5, 4, 3, 2])
MAZE = np.array([[3, 2, 1], [1, 2, 1], [1, 2, 4]]).reshape(-1)
MANY = 1500


def test_a_choice_is_of_every_kind_bounded_and_says_what_it_is() -> None:
    kinds = ["failed"] * 3 + ["solved"] * 97
    found = chosen_puzzles(kinds, 100, 10)
    assert [kinds[place] for place in found.places] == ["failed"] * 3 + ["solved"] * 7
    assert found == chosen_puzzles(kinds, 100, 10)
    assert found.words.startswith("10 of 100 puzzles, ")
    assert found.words.endswith("(3 of 3 failed, 7 of 97 solved).")
    assert chosen_puzzles(kinds, 100, 100).places == tuple(range(100))
    assert len(set(chosen_puzzles(None, 1000, 50).places)) == 50
    assert most_shown(900, 18) * 900 * 18 <= 1 << 21
    assert most_shown(1 << 20, 20) == 1


def test_cells_are_read_as_they_were_written_and_nothing_else_is() -> None:
    cells = np.arange(256)
    assert (cells_of(cells_text(cells), 256, 256) == cells).all()
    for text in (cells_text(cells)[1:], cells_text(cells)[:-1] + "/"):
        with pytest.raises(ValueError, match="a grid of"):
            cells_of(text, 256, 256)


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_a_legend_has_every_token_and_no_two_that_look_alike(task: Any) -> None:
    side, tokens = {"sudoku": (9, 11), "maze": (30, 6), "arc": (30, 12)}.get(task.name, (5, 7))
    vocabulary = task.arrays.vocabulary(side, tokens)
    legend = task.legend((side, side), vocabulary)
    assert tuple(token.name for token in legend.tokens) == vocabulary
    looks = [(token.role, token.shown, token.colour) for token in legend.tokens]
    assert len(set(looks)) == len(looks)
    assert len({token.said for token in legend.tokens if token.role != "end"}) >= tokens - 1


def test_safe_colours_are_apart_in_whoevers_eyes() -> None:
    """Least distance in CIELAB under simulated dichromacy (Machado et al. 2009, severity 1); the published ones come to 8 and 9."""
    seen = {
        "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
        "all": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    }
    for matrix in seen.values():
        assert least_distance(SAFE_COLOURS, np.array(matrix)) > 16


def least_distance(colours: tuple[str, ...], matrix: np.ndarray) -> float:
    rgb = np.array([[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in colours]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ matrix.T, 0, 1)
    xyz = linear @ np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]).T
    scaled = xyz / np.array([0.9505, 1.0, 1.089])
    root = np.where(scaled > 216 / 24389, np.cbrt(scaled), (24389 / 27 * scaled + 16) / 116)
    lab = np.stack([116 * root[:, 1] - 16, 500 * (root[:, 0] - root[:, 1]), 200 * (root[:, 1] - root[:, 2])], axis=1)
    return min(float(np.linalg.norm(one - other)) for one, other in itertools.combinations(lab, 2))


def board(number: int) -> ShownPuzzle:
    """A board that A solves after its second step where the number is even, and B where it is divisible by three."""
    question, wrong = BOARD.copy(), BOARD.copy()
    question[[0, 5, number % 16]], wrong[0] = 1, 3
    sides = []
    for of in (2, 3):
        is_solved = number % of == 0
        steps, breaks = [wrong, BOARD if is_solved else wrong], None if is_solved else ["row 1 has 3 twice"]
        sides.append(Answered(steps, [0.25, 0.75], is_solved, breaks=breaks))
    return ShownPuzzle(f"row {number}", question, BOARD, sides, {"rating": number % 7, "part": "odd" if number % 2 else "even"})


def sections() -> Iterator[Section]:
    sudoku, maze, arc, table = (TASKS[name] for name in ("sudoku", "maze", "arc", "other"))
    legend = sudoku.legend((4, 4), ("pad", ".", *"1234"))
    yield puzzles_section(
        "Boards", legend, (4, 4), [board(number) for number in range(MANY)], chosen="All.", sides=["one", "two"], key="boards"
    )
    solved = MAZE.copy()
    solved[[1, 4, 7]] = 5
    mazes = [ShownPuzzle("maze", MAZE, solved, [Answered([MAZE], [0.1], False, 4)])]
    yield puzzles_section("Mazes", maze.legend((3, 3), ()), (3, 3), mazes, chosen="One.", sides=["run"], key="mazes")
    grids = np.zeros((3, 900), dtype=np.uint8)
    grids[:, [0, 1, 30, 31]] = [[2, 3, 4, 5], [6, 7, 8, 9], [2, 2, 2, 2]]
    grids[:, [2, 32, 60, 61]] = 1
    ballot = Votes(5, 2, 2, [Candidate(grids[2], 3, 0.5, False), Candidate(grids[1], 2, 0.4, True)])
    task = ShownPuzzle(HOSTILE, grids[0], grids[1], [Answered([grids[2]], [0.5], True, 1)], {HOSTILE: HOSTILE})
    task = ShownPuzzle(**{**vars(task), "demonstrations": [(grids[0], grids[1])], "ballots": [ballot]})
    yield puzzles_section(HOSTILE, arc.legend((30, 30), ()), (30, 30), [task], chosen=HOSTILE, sides=[HOSTILE], key="arc")
    row = np.array([1, 2, 3, 0])
    words = [ShownPuzzle("word", row, row[::-1], forms=[Form("turned", row, None)])]
    yield puzzles_section("Words", table.legend((1, 4), ("pad", HOSTILE, "b", "c")), (1, 4), words, chosen="One.", key="words")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    path = tmp_path_factory.mktemp("pages") / "page.html"
    write_page(Page("Puzzles", "test", list(sections())), path)
    assert path.stat().st_size < 0.5e6
    with opened(path, width=500) as found:
        found.page.wait_for_selector("html[data-drawn=all]")
        yield found.page


def shown(page: Any, section: int = 0) -> str:
    return str(page.locator("section").nth(section).locator(".puzzles-head h3").text_content())


def test_many_puzzles_are_drawn_only_where_they_are_looked_at(page: Any) -> None:
    boards = page.locator("section").first
    assert boards.locator(".puzzles-list button").count() < MANY / 2
    assert 0 < boards.locator(".puzzles-list svg").count() < 100
    assert page.evaluate("document.documentElement.scrollWidth") <= 500


def test_puzzles_are_chosen_by_who_solves_them_by_part_order_and_name(page: Any) -> None:
    boards = page.locator("section").first
    show, part, third, order = boards.locator("select").all()
    count = boards.locator(".count").first
    for value, expected in (("a", 500), ("b", 250), ("both", 250), ("neither", 500)):
        show.select_option(value)
        assert count.text_content() == f"{expected} of {MANY} puzzles shown"
    assert shown(page) == "row 1"
    part.select_option("even")
    assert count.text_content() == f"0 of {MANY} puzzles shown"
    show.select_option("all")
    order.select_option("-rating")
    third.select_option("2 rating")  # of 0 to 6 the highest third begins at 4
    assert count.text_content() == f"{sum(number % 7 >= 4 for number in range(0, MANY, 2))} of {MANY} puzzles shown"
    third.select_option("")
    boards.locator("input[type=search]").fill("row 12")
    assert count.text_content() == "56 of 1500 puzzles shown"
    boards.locator("input[type=search]").fill("")
    part.select_option("")
    order.select_option("given")


def test_keys_and_links_go_to_puzzles_and_steps(page: Any) -> None:
    page.evaluate("location.hash = '#puzzle=boards%2Frow%203&step=1'")
    page.wait_for_function("() => document.querySelector('.puzzles-head h3').textContent === 'row 3'")
    boards = page.locator("section").first
    assert "A failed, 1 cell wrong; B solved" in str(boards.locator(".puzzles-head").text_content())
    assert "A's last answer breaks the rules: row 1 has 3 twice." in str(boards.locator(".puzzles-one").text_content())
    boards.locator(".puzzles-list").press("n")
    assert shown(page) == "row 4"
    boards.locator(".puzzles-list").press("p")
    slider = boards.locator("input[type=range]")
    assert slider.input_value() == "2"
    assert boards.locator("svg[aria-label*='nothing wrong']").count() == 1
    slider.press("ArrowLeft")
    assert "step 1 of 2: A: halting 0.250, 1 cell wrong" in str(slider.get_attribute("aria-valuetext"))
    assert boards.locator("figcaption").all_text_contents().count("A's answer after step 1 of 2") == 1
    assert boards.locator(".puzzles-row svg[aria-label*='1 wrong. row 1, column 1']").count() == 2
    buttons = boards.locator(".puzzles-list button")
    assert boards.locator(".puzzles-list button[tabindex='0']").count() == 1
    buttons.nth(3).focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "Enter"):
        page.keyboard.press(key)
    assert shown(page) == "row 4"
    page.keyboard.press("p")
    slider.fill("1")
    boards.get_by_role("button", name="Copy link").click()
    assert page.evaluate("location.hash") == "#puzzle=boards%2Frow%203&step=1"


def test_every_kind_is_drawn_said_and_harmless(page: Any) -> None:
    assert page.locator("img, .failed").count() == 0
    maze = page.locator("section").nth(1)
    told = maze.locator("svg[aria-label^='right answer']").get_attribute("aria-label")
    assert str(told).endswith("3 by 3 cells. start path wall. wall path wall. wall path goal")
    assert maze.locator(".missing").count() == 1
    task = page.locator("section").nth(2)
    assert shown(page, 2) == HOSTILE
    assert "5 votes for 2 grids; the right grid has place 2. Solved within two attempts." in str(task.text_content())
    assert task.locator("details figure").count() == 1
    published = task.locator("svg[aria-label^='question'] path[fill='#0074d9']")
    assert published.count() == 1
    task.get_by_label("colour-blind safe").check()
    task.get_by_label("numbers").check()
    assert published.count() == 0
    assert task.locator("svg[aria-label^='question'] text").all_text_contents() == ["0", "1", "2", "3"]
    assert HOSTILE in page.locator("section").nth(3).locator("svg").first.get_attribute("aria-label")


def test_a_puzzle_is_edited_by_pointer_and_keyboard(page: Any) -> None:
    page.evaluate("""() => {
        const token = (shown) => ({role: shown ? "symbol" : "empty", shown, said: shown || "blank"});
        const tokens = ["", "", "1", "2", "3", "4"].map(token);
        window.told = [];
        const legend = {kind: "board", box: [2, 2], tokens};
        const spec = {legend, height: 4, width: 4, cells: Array(16).fill(1), question: Array(16).fill(1)};
        const onCell = (index, how) => window.told.push([index, how.kind]);
        const onKey = (index, key) => {
            if (!/[1-4]/.test(key)) return false;
            spec.cells[index] = Number(key) + 1;
            made.redraw(spec);
            return true;
        };
        const made = TRM.puzzle(spec, {label: "board", onCell, onKey});
        made.id = "edited";
        document.querySelector("main").prepend(made);
    }""")
    svg = page.locator("#edited svg")
    svg.scroll_into_view_if_needed()
    box = svg.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.4)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + box["height"] * 0.4)
    page.mouse.up()
    for key in ("ArrowDown", "3", "Home", "Enter"):
        page.keyboard.press(key)
    assert page.evaluate("window.told") == [[6, "press"], [7, "drag"], [8, "enter"]]
    assert svg.locator("text").all_text_contents() == ["3"]
    assert page.locator("#edited [aria-live]").text_content() == "row 3, column 1: blank"


def test_a_page_of_puzzles_prints(page: Any, tmp_path: Path) -> None:
    page.pdf(path=tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")


def test_a_sweeps_page_has_its_winners_puzzles_or_says_what_brings_them(tmp_path: Path) -> None:
    row = {"row": 7, "puzzle": 7, "question": "1222", "right": "2222", "is_exact": False, "halting": [0.5], "steps": ["3222"]}
    known = {"task": "other", "data": "d", "split": "validation", "grid": [1, 4], "vocabulary": ["pad", *"abc"], "run": 3}
    values: dict[str, Any] = {**known, "solved": 0, "failed": 9, "puzzles": [row]}
    assert winner_sections(tmp_path, {}, "exact_accuracy") == []
    (tmp_path / "best").mkdir()
    for number, seeds in enumerate(([1.0, 0.0], [1.0, 1.0])):
        write_puzzles(tmp_path / f"{number}.parquet", {"puzzle": np.array([5, 7]), "exact_accuracy": np.array(seeds)})
    runs = {4: [tmp_path / "0.parquet", tmp_path / "1.parquet"]}
    said = []
    for text in (None, json.dumps(values), json.dumps(values | {"puzzles": [row | {"steps": ["9222"]}]}), "{"):
        if text is not None:
            (tmp_path / "best" / "puzzles.json").write_text(text)
        said.append(winner_sections(tmp_path, runs, "exact_accuracy")[0])
    assert (
        said[1].data["chosen"]
        == "1 puzzles of validation of d, by chance among those solved and failed (0 of 0 solved, 1 of 9 failed)."
    )
    assert said[1].data["puzzles"][0]["facts"] == {"trial 4 (mean of 2 seeds)": 0.5}
    assert said[1].data["puzzles"][0]["answers"][0]["wrong"] == [1]
    for section, told in zip([said[0], *said[2:]], ("were not kept", "4 of 4 tokens", "must be JSON"), strict=True):
        assert told in section.data["lines"][0]
        assert "--split validation --steps all" in section.data["lines"][1]
