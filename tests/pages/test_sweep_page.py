"""The page of a sweep: whatever a sweep has come to, Chromium shows it without a fault, and it names the winner of all views."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Opened, opened
from page_cases import large_space, simulated_sweep
from search_simulator import KilledError, LegOrder

from trm.jobs.view import run_view
from trm.pages.page import Page, write_page
from trm.search.findings.confirmed import winner
from trm.search.findings.ledger import ledger
from trm.sweeps.report import FollowedSweep

DRAWN = "html[data-drawn=all]"


def followed(folder: Path) -> FollowedSweep:
    found = FollowedSweep(folder)
    found.read()
    return found


def data_of(page: Page) -> dict[str, Any]:
    return {section.name: section.data for section in page.sections}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated_sweep(tmp_path_factory.mktemp("pages") / "many", large_space(40))


@pytest.fixture(scope="module")
def shown(folder: Path) -> Iterator[Opened]:
    assert run_view(str(folder), out=None, is_live=False, port=None) == 0
    with opened(folder / "report.html") as found:
        found.page.wait_for_selector(DRAWN)
        yield found


def all_fail(leg: LegOrder) -> dict[str, Any]:
    return {"status": "failed", "error": "<img src=x onerror=alert(1)>"}


STAGES: dict[str, dict[str, Any]] = {
    "nothing asked": {"kill_after": 2},
    "one trial": {"trials": 1},
    "killed on its way": {"kill_after": 60},
    "all failed": {"outcome": all_fail},
}


def made_at(stage: str, place: Path) -> FollowedSweep:
    options = dict(STAGES[stage])
    space = large_space(options.pop("trials", 20))
    try:
        simulated_sweep(place, space, has_curves=False, **options)
    except KilledError:
        assert "kill_after" in options
    found = followed(place)
    write_page(found.page(), place / "report.html")
    return found


def test_a_sweep_at_any_moment_has_a_page(tmp_path: Path) -> None:
    found = {stage: made_at(stage, tmp_path / stage) for stage in STAGES}
    first = next(iter(STAGES))
    with opened(tmp_path / first / "report.html", width=500) as shown:
        page = shown.page
        for stage, sweep in found.items():
            if stage != first:
                page.goto((sweep.folder / "report.html").as_uri())
            page.wait_for_selector(DRAWN)
            assert page.locator(".failed").count() == 0, stage
            assert page.locator("#s-leaderboard tbody tr[data-key]").count() == len(sweep.state.searched), stage
            assert page.evaluate("document.documentElement.scrollWidth") <= 500, f"{stage}: it is wider than the window"
        assert page.locator("img").count() == 0
        assert "<img src=x onerror=alert(1)>" in (page.locator("#s-leaderboard tbody").text_content() or "")


def test_every_figure_is_made_and_names_one_winner(folder: Path) -> None:
    found = followed(folder)
    page, best = found.page(), winner(found.state)
    assert best is not None
    data = data_of(page)
    assert [name for name, one in data.items() if isinstance(one, dict) and one.get("failed")] == []
    everything = (
        "summary leaderboard curves training parallel slices importance depth_map confirmation audit more_search ledger about"
    )
    assert set(everything.split()) <= set(data)
    board = data["leaderboard"]["rows"]
    assert {board[0]["trial"], page.shared["best"], data["summary"]["best"]["trial"], data["confirmation"]["rows"][0]["trial"]} == {
        best.trial.number
    }
    assert [row["trial"] for row in board if row["rank"] is None] == [
        trial.number for trial in found.state.searched if not trial.scores
    ]


def test_the_ledger_has_every_flop_once(folder: Path) -> None:
    state = followed(folder).state
    found = ledger(state)
    assert sum(entry.train_flops for entry in found.entries) == pytest.approx(state.spending.train_flops, rel=1e-12)
    seconds = sum(trial.train_seconds + trial.eval_seconds + trial.overhead_seconds for trial in state.trials)
    told = sum(entry.train_seconds + entry.eval_seconds + entry.overhead_seconds for entry in found.entries)
    assert told == pytest.approx(seconds)
    kinds = {entry.what: entry.trials for entry in found.entries}
    assert kinds["audit"] == sum(trial.is_control for trial in state.searched)
    assert kinds["confirmation"] == sum(trial.is_confirmation for trial in state.trials)
    stopped = [trial for trial in state.searched if trial.status == "stopped"]
    assert found.saved_flops >= sum(trial.asked.step_flops * trial.asked.max_steps - trial.spent_flops for trial in stopped) > 0
    assert 0 < found.saved_flops < found.full_flops


def test_a_paused_trial_has_saved_nothing_while_it_may_go_on(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        simulated_sweep(tmp_path / "s", large_space(20), has_curves=False, kill_after=60)
    state = followed(tmp_path / "s").state
    assert {"paused"} <= {trial.status for trial in state.searched}
    decided = [trial for trial in state.searched if trial.status in ("finished", "stopped")]
    assert ledger(state).full_flops == sum(trial.asked.step_flops * trial.asked.max_steps for trial in decided)


def test_the_page_by_mouse_and_keys(shown: Opened) -> None:
    page = shown.page
    assert page.locator(".failed").count() == 0
    assert page.locator("[role=img]:not([aria-label])").count() == 0
    # a row opens by a key, and the filter by status leaves the others out
    row = page.locator("#s-leaderboard tbody tr.marked")
    row.focus()
    page.keyboard.press("Enter")
    assert row.get_attribute("aria-expanded") == "true"
    assert page.locator("#s-leaderboard tr.opened dl").count() == 1
    page.locator("#s-leaderboard select").select_option("failed")
    assert page.locator("#s-leaderboard tbody tr[data-key]").count() == 2
    assert "<script>alert(7)</script> no luck" in (page.locator("#s-leaderboard tbody").text_content() or "")
    # a range on an axis: by keys, then by the mouse
    said = page.locator("#s-parallel [role=status]")
    everything = said.text_content()
    axis = page.locator('#s-parallel [data-axis="objective"]')
    axis.focus()
    page.keyboard.press("ArrowUp")
    assert said.text_content() != everything
    page.keyboard.press("Escape")
    assert said.text_content() == everything
    axis.scroll_into_view_if_needed()
    box = axis.locator(".hit").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 16, box["y"] + 8)
    page.mouse.down()
    page.mouse.move(box["x"] + 16, box["y"] + 120)
    page.mouse.up()
    assert "range" in (page.locator("#s-parallel .axis .range").get_attribute("class") or "")
    # slices at another rung; the theme, which charts take on
    page.locator("#s-slices .choice button").last.click()
    page.wait_for_selector("#s-slices figcaption:has-text('at rung 2')")
    page.keyboard.press("t")
    page.wait_for_selector("html[data-theme=dark]")
    assert page.locator("#s-curves .plot text").first.evaluate("e => getComputedStyle(e).fill") == "rgb(228, 232, 237)"
    page.keyboard.press("t")


MARKS = """() => document.querySelectorAll("#s-slices .point").length + [...document.querySelectorAll("#s-slices .many")]
    .reduce((sum, path) => sum + path.getAttribute("d").split("M").length - 1, 0)"""
A_MARK = """() => {
    const path = [...document.querySelectorAll("#s-slices .many")].at(-1);
    const at = path.getPointAtLength(0).matrixTransform(path.getScreenCTM());
    return [at.x, at.y];
}"""


def test_marks_of_many_points_are_one_path_and_are_hovered_and_hidden_as_points_are(shown: Opened) -> None:
    from playwright.sync_api import expect

    page = shown.page
    page.locator("#s-slices .choice button").first.click()
    page.wait_for_selector("#s-slices figcaption:has-text('at rung 0')")
    marks = page.evaluate("""() => TRM.page.shared.trials.filter((one) => one.confirms === null && one.rungs[0])
        .reduce((sum, one) => sum + Object.keys(one.params).length, 0)""")
    paths, charts = page.locator("#s-slices .many"), page.locator("#s-slices .cartesianlayer > .subplot")
    assert charts.count() == 10
    assert paths.count() > 5
    assert page.evaluate(MARKS) == marks, "a trial has one mark in the chart of each of its knobs"
    paths.last.scroll_into_view_if_needed()
    page.mouse.move(*page.evaluate(A_MARK))
    page.wait_for_selector("#s-slices .hovertext:has-text('trial ')")
    before = paths.count()
    page.locator("#s-slices .legendtoggle").first.click()  # plotly waits whether a second click comes
    expect(paths).not_to_have_count(before)
    page.locator("#s-slices .legendtoggle").first.click()
    expect(paths).to_have_count(before)


OPEN_MARKS = """async () => {
    const holder = document.body.appendChild(document.createElement("div")), x = [...Array(30).keys()];
    const marks = (c) => ({ type: "scatter", mode: "markers", x, y: x, marker: { symbol: "circle-open", size: 4, color: c.bad } });
    await TRM.chart(holder, { label: "open marks", draw: (c) => ({ traces: [marks(c)], layout: {} }) });
    const widths = [...holder.querySelectorAll(".point, .many")].map((one) => getComputedStyle(one).strokeWidth);
    holder.remove();
    return widths;
}"""


def test_open_marks_have_a_line_whoever_draws_them(shown: Opened) -> None:
    assert shown.page.evaluate(OPEN_MARKS) == ["1px"] * 3, "two outermost ones are plotly's, the others one path"


def test_a_trial_that_is_chosen_anywhere_is_marked_everywhere(shown: Opened) -> None:
    from playwright.sync_api import expect

    page = shown.page
    said, rings, rows = page.locator(".chosen-bar [role=status]"), page.locator(".chosen-marks"), page.locator("tr.chosen")
    charts = "['curves', 'training', 'slices'].filter((one) => document.querySelector(`#s-${one} .chosen-marks`)).length"
    # a row, by key: its charts, tables, address and words follow; Escape takes all of it back
    page.locator("#s-leaderboard select").select_option("")
    if (ranges := page.get_by_role("button", name="clear ranges")).is_visible():
        ranges.click()
    row = page.locator("#s-leaderboard tbody tr[data-trial]").nth(1)
    number = row.get_attribute("data-trial")
    row.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == f"#trial={number}"
    expect(said).to_contain_text(f"Trial {number} is marked in all charts and tables")
    assert page.evaluate(charts) == 3
    assert {one.get_attribute("data-trial") for one in rows.all()} == {number}
    assert rows.count() >= 2 == page.locator("#s-leaderboard tr[aria-current], #s-parallel tr[aria-current]").count()
    page.keyboard.press("Escape")
    assert (page.evaluate("location.hash"), rings.count(), rows.count()) == ("", 0, 0)
    # a point, by the mouse, in a chart that is drawn anew; what an address names; trials by rank
    page.locator("#s-slices .many").last.scroll_into_view_if_needed()
    page.mouse.move(*page.evaluate(A_MARK))
    page.wait_for_selector("#s-slices .hovertext:has-text('trial ')")
    page.mouse.down()
    page.mouse.up()
    expect(said).to_contain_text("is marked")
    page.locator("#s-slices .choice button").nth(1).click()
    page.wait_for_selector("#s-slices figcaption:has-text('at rung 1')")
    page.evaluate("location.hash = '#s-curves&trial=0'")
    expect(said).to_contain_text("Trial 0 is marked")
    for key, rank in (("m", 1), ("m", 2), ("M", 1)):
        page.evaluate("TRM.choose(null)") if (key, rank) == ("m", 1) else None
        page.keyboard.press(key)
        expect(said).to_contain_text(f"rank {rank} of")
    assert page.locator("#s-slices .chosen-marks").count() > 0
    assert page.evaluate("location.hash").startswith("#s-curves&trial=")
    page.evaluate("location.hash = '#trial=9999'")
    expect(said).to_have_text("There is no trial 9999 here.")
    page.keyboard.press("Escape")
    assert not page.locator(".chosen-bar").is_visible()


def test_any_two_knobs_have_a_mark_a_trial_and_a_smooth_only_where_trials_are_near(shown: Opened) -> None:
    page = shown.page
    for label, path in (("across", "optim.lr"), ("up", "optim.weight_decay")):
        page.locator("#s-pairs").get_by_label(f"knob {label}").select_option(path)
    page.wait_for_selector("#s-pairs figcaption:has-text('over optim.lr and optim.weight_decay')")
    page.locator("#s-pairs .choice button").first.click()
    page.wait_for_selector("#s-pairs figcaption:has-text('at rung 0')")
    scores = page.evaluate(
        "TRM.page.shared.trials.filter((one) => one.confirms === null && one.rungs[0]).map((one) => one.rungs[0][1])"
    )
    marks, ground = page.evaluate("""() => {
        const [ground, ...marks] = document.querySelector("#s-pairs .plot").data;
        return [marks.filter((one) => !one.uid?.startsWith("few")).flatMap((one) => one.customdata), ground.z.flat()];
    }""")
    assert len(marks) == len(set(marks)) == len(scores)
    known = [value for value in ground if value is not None]
    assert min(scores) <= min(known) <= max(known) <= max(scores)
    assert 0.05 < len(known) / len(ground) < 0.95, "where no trial is near nothing is said"


def test_the_page_on_paper_is_whole(shown: Opened) -> None:
    content = shown.page.pdf()
    assert content.startswith(b"%PDF")
    assert 3 <= content.count(b"/Type /Page\n") <= 20
