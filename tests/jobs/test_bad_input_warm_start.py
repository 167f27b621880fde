"""Earlier sweeps and recipes to start from: what is refused, and what a dry run says of one that is not."""

from pathlib import Path

import pytest
from bad_input_cases import assert_refused, contents, nothing_starts, prepared, run, scored_sweep


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory.mktemp("bad input, ümlaut"))


@pytest.fixture(scope="module")
def earlier(place: Path) -> Path:
    return scored_sweep(place, "scored")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--warm-start", "{place}/runs/mien"], "--warm-start {place}/runs/mien does not exist; the sweeps there are mine, scored"),
        (["--warm-start", "{place}/data"], "--warm-start {place}/data is no sweep: it has no journal; give the folder of a sweep"),
        (
            ["--warm-start", "{place}/runs/mine"],
            "has no trial with a score (0 were begun); wait until it has some, or leave it out",
        ),
        (["--warm-start", "{place}/runs/scored", "{place}/runs/scored"], "names {place}/runs/scored twice; name it once"),
        (["--set", "sampler=carried"], "sampler carried tries an earlier sweep's configurations, and none was given; add"),
        (
            ["--warm-start", "{place}/runs/scored", "--set", "search={optim.beta1: {type: float, low: 0.8, high: 0.9}}"],
            "must search a knob of this space, and has none of optim.beta1; leave it out, or search one of its model.hidden_size",
        ),
        (
            ["--warm-start", "{place}/runs/scored", "--set", "search.optim.lr={type: float, low: 0.5, high: 0.6}"],
            "none of its 1 scored trials is a configuration of this space, optim.lr was",
        ),
        (
            ["--resume", "--name", "mine", "--warm-start", "{place}/runs/scored"],
            "began without --warm-start, and now it is {place}/runs/scored; leave --warm-start out of a resume",
        ),
    ],
)
def test_a_warm_start_that_cannot_be_is_refused(
    place: Path, earlier: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert earlier.exists()
    assert_refused(place, capsys, words, "sweep", "{place}/space.yaml", "--storage", "{place}/runs", *arguments)


def test_a_dry_run_tells_what_an_earlier_sweep_would_bring(
    place: Path, earlier: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trm.jobs.dry_run.TIMED_SECONDS", 0.02)
    before = contents(place)
    arguments = (place / "space.yaml", "--storage", place / "runs", "--dry-run", "--warm-start", earlier)
    with nothing_starts():
        assert run("sweep", *arguments, "--set", "base.model.H_cycles=2", "--set", "data={recipe: datasets/sudoku4x4.yaml}") == 0
    assert contents(place) == before
    text = " ".join(capsys.readouterr().out.split())
    assert "warm start from tiny: 1 configurations it was about something else, and counts for less: data: tiny (" in text
    assert "datasets/sudoku4x4.yaml, not built yet here; model.H_cycles: 1 there, 2 here scored 0.5: hidden_size" in text


def test_a_start_point_names_a_recipe_that_exists(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    setting = "start_points=[{recipe: search_spaces/recipes/sudoku_mpl.yaml}]"
    words = "search_spaces/recipes/sudoku_mpl.yaml does not exist; did you mean search_spaces/recipes/sudoku_mlp.yaml?"
    assert_refused(place, capsys, words, "sweep", "{place}/space.yaml", "--storage", "{place}/runs", "--set", setting)
