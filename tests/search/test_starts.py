"""A sweep of fine-tunings: paths beside the space, digests with the trials, a resume that knows its weights again."""

from pathlib import Path
from typing import Any

import pytest

from trm.errors import CheckpointError, SweepError
from trm.files.weight_files import weights_digest
from trm.search.space.loading import load_space
from trm.search.space.resume import diff_frozen
from trm.search.space.starts import start_paths, starts_as_begun, with_starts

SPACE = """
data: {recipe: datasets/sudoku4x4.yaml}
base: {start: {from: one.pt, heads: fresh}}
search: {optim.lr: {type: float, low: 0.001, high: 0.01}}
budget: {trials: 2, per_trial: 1e9}
"""
SEARCHED = "search: {start: {from: {type: choice, values: [null, one.pt, two.pt]}}}\nstart_points: [{start: {from: two.pt}}]\n"


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "lab"
    folder.mkdir()
    for name in ("one.pt", "two.pt"):
        (folder / name).write_bytes(name.encode())
    (folder / "fixed.yaml").write_text(SPACE)
    (folder / "searched.yaml").write_text(
        SPACE.replace("{from: one.pt, heads: fresh}", "{weights: raw}").replace(
            "search: {optim.lr: {type: float, low: 0.001, high: 0.01}}\n", SEARCHED
        )
    )
    monkeypatch.chdir(tmp_path)
    return folder


def start_of(space: Any, params: dict[str, Any]) -> Any:
    return space.run_config(params, seed=0, folder="x").start


def test_paths_are_those_beside_the_space_and_trials_have_their_digests(lab: Path) -> None:
    space = with_starts(load_space(lab / "fixed.yaml"))
    start = start_of(space, {"optim.lr": 0.002})
    assert (start.path, start.heads, start.digest) == (str(lab / "one.pt"), "fresh", weights_digest(lab / "one.pt"))


def test_what_to_start_from_may_be_searched(lab: Path) -> None:
    space = with_starts(load_space(lab / "searched.yaml"))
    places = [str(lab / "one.pt"), str(lab / "two.pt")]
    assert start_paths(space) == places
    assert space.search["start.from"].values_in_order == [None, *places]
    assert [start_of(space, {"start.from": path}).digest for path in places] == [weights_digest(path) for path in places]
    assert list(space.start_points) == [{"start.from": places[1]}]
    plain = start_of(space, {"start.from": None})
    assert (plain.path, plain.digest, plain.weights) == (None, None, "average"), "of nothing, nothing is taken"


def test_where_a_knob_is_not_active_the_base_holds_and_is_known_too(lab: Path) -> None:
    knob = "start.from: {type: choice, values: [two.pt], when: {optim.trained: heads}}"
    (lab / "both.yaml").write_text(
        SPACE.replace("search: {", f"search: {{optim.trained: {{type: choice, values: [all, heads]}}, {knob}, ")
    )
    space = with_starts(load_space(lab / "both.yaml"))
    assert start_paths(space) == [str(lab / "two.pt"), str(lab / "one.pt")]
    found = [
        start_of(space, params)
        for params in ({"optim.trained": "all"}, {"optim.trained": "heads", "start.from": str(lab / "two.pt")})
    ]
    assert [one.digest for one in found] == [weights_digest(lab / name) for name in ("one.pt", "two.pt")]


def test_a_space_without_a_start_is_frozen_as_before(lab: Path) -> None:
    (lab / "plain.yaml").write_text(SPACE.replace("base: {start: {from: one.pt, heads: fresh}}\n", ""))
    space = load_space(lab / "plain.yaml")
    assert "starts" not in with_starts(space).frozen()
    assert with_starts(space).frozen_digest() == space.frozen_digest()


def test_a_resume_refuses_other_weights_and_does_without_those_that_are_gone(lab: Path) -> None:
    begun = with_starts(load_space(lab / "fixed.yaml"))
    again = starts_as_begun(load_space(lab / "fixed.yaml"), begun)
    assert diff_frozen(begun, again) is None
    (lab / "one.pt").write_bytes(b"another")
    with pytest.raises(SweepError, match=r"one\.pt had digest .* now; restore it from a copy"):
        starts_as_begun(load_space(lab / "fixed.yaml"), begun)
    (lab / "one.pt").unlink()
    assert diff_frozen(begun, starts_as_begun(load_space(lab / "fixed.yaml"), begun)) is None
    with pytest.raises(CheckpointError, match=r"start\.from must name weights, and .*one\.pt does not exist"):
        with_starts(load_space(lab / "fixed.yaml"))
