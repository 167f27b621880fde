"""Several sweeps on one page: what each bought, winners side by side, and no comparison of what cannot be compared."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from browser import opened
from page_cases import MORE_KNOBS, large_space, simulated_sweep
from space_cases import demo

from trm.errors import InputError
from trm.jobs.view import run_view, shortened_name
from trm.jobs.view_sweeps import read_side
from trm.pages.sweeps import Side, _knobs, best_so_far, sentences, welch, why_not_comparable
from trm.search.state import SweepState

HOSTILE = "other <img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sweeps `one` and HOSTILE, of one question; `cells` of another metric and subset; `empty`, that has no score."""
    folder = tmp_path_factory.mktemp("sweeps")
    fewer = {path: knob for path, knob in MORE_KNOBS.items() if path != "optim.beta2"}
    simulated_sweep(folder / "one", large_space(12), has_curves=False)
    simulated_sweep(folder / HOSTILE, large_space(8, seed=3, search=fewer), has_curves=False)
    changes: dict[str, Any] = {
        "objective": {"metric": "cell_accuracy"},
        "confirm": None,
        "base": {"evaluation": {"max_examples": 50}},
    }
    simulated_sweep(folder / "cells", large_space(3, **changes), has_curves=False)
    failing = {"outcome": lambda leg: {"status": "failed", "error": "no"}}
    simulated_sweep(folder / "empty", large_space(2), has_curves=False, **failing)
    return folder


def test_what_the_data_support_of_two_sweeps_is_said_and_no_more(place: Path) -> None:
    one, other, cells = (read_side(letter, place / name) for letter, name in (("A", "one"), ("B", HOSTILE), ("C", "cells")))
    assert why_not_comparable(one, other) == []
    (told,) = sentences([one, other])
    a, b = ([*side.winner.confirmed.scores] for side in (one, other) if side.winner and side.winner.confirmed)
    difference, half = welch(a, b)
    assert difference == pytest.approx(sum(a) / len(a) - sum(b) / len(b))
    supported = abs(difference) > half
    assert ("is better" in told, "no difference between the winners is supported" in told) == (supported, not supported)
    assert f"{len(a)} and {len(b)} fresh seeds" in told
    reasons = why_not_comparable(one, cells)
    assert [reason.split(",")[0] for reason in reasons] == ["different metrics", "another validation subset"]
    assert all("cannot be compared" in line for line in sentences([one, cells]))
    same = read_side("D", place / "cells")
    assert ["is not supported: fewer than two fresh seeds of C and D" in line for line in sentences([cells, same])] == [True]


@dataclass(frozen=True)
class Known(Side):
    """A sweep whose fresh seeds are known."""

    @property
    def winner(self) -> Any:
        scores = {"A": (0.9, 0.9, 0.9), "B": (0.8, 0.8)}[self.letter]
        return SimpleNamespace(confirmed=SimpleNamespace(scores=scores))


def test_fresh_seeds_that_do_not_scatter_prove_nothing(place: Path) -> None:
    state = read_side("A", place / "one").state
    (told,) = sentences([Known(letter, "x", state, (), {}) for letter in "AB"])
    assert "not supported: fresh seeds of A all score 0.9000, those of B 0.8000" in told


def test_what_decides_no_score_keeps_no_sweeps_apart(place: Path) -> None:
    side = read_side("A", place / "one")

    def asking(**evaluation: Any) -> Side:
        state = SweepState(side.state.space.model_copy(update={"base": {"evaluation": evaluation}}))
        return replace(side, letter="B", state=state)

    assert why_not_comparable(side, asking(metrics=["loss@4"], batch_size=7, reports_halted=True, forms=1)) == []
    assert why_not_comparable(side, asking(noise=0.1)) == ["other questions, evaluation.noise 0 and 0.1"]
    near = why_not_comparable(asking(noise=0.1), asking(noise=0.10000001))
    assert near == ["other questions, evaluation.noise 0.1 and 0.10000001"]


def test_knobs_that_differ_are_said_to(place: Path) -> None:
    side = read_side("A", place / "one")
    told = []
    for changed in (
        {"type": "int", "low": 1, "high": 7},
        {"type": "int", "low": 1, "high": 7, "step": 2},
        {"type": "int", "low": 1, "high": 7, "prior": 3},
        {"type": "int", "low": 1, "high": 7, "when": {"model.mlp_t": True}},
    ):
        space = demo({"search": {"model.mlp_t": {"type": "choice", "values": [True, False]}, "optim.lr_warmup_steps": changed}})
        told.append(_knobs(replace(side, state=SweepState(space)))["optim.lr_warmup_steps"])
    assert len(set(told)) == len(told), told


def test_the_interval_of_two_samples_is_welchs() -> None:
    # spreads that differ by far: two degrees of freedom, those of the wider sample, and not five as of pooled ones
    first, second = [3.0, 4.0, 1.0, 2.1], [490.0, 340.0, 433.0]
    difference, half = welch(first, second)
    variances = [
        sum((value - sum(some) / len(some)) ** 2 for value in some) / (len(some) - 1) / len(some) for some in (first, second)
    ]
    freedom = sum(variances) ** 2 / sum(one**2 / (len(some) - 1) for one, some in zip(variances, (first, second), strict=True))
    assert difference == pytest.approx(2.525 - 421.0)
    assert freedom == pytest.approx(2.0, abs=0.01)
    assert half / math.sqrt(sum(variances)) == pytest.approx(4.303, abs=0.01)
    assert welch([1.0, 1.0], [1.0, 1.0]) == (0.0, 0.0)


def test_the_best_so_far_only_rises_and_every_flop_of_the_search_counts_once(place: Path) -> None:
    side = read_side("A", place / "one")
    found = best_so_far(side)
    for name in ("flops", "seconds", "best"):
        values = [point[name] for point in found]
        assert values == sorted(values), name
    scored = [trial for trial in side.state.searched if trial.results]
    assert found[-1]["flops"] == pytest.approx(sum(max(leg.train_flops for leg in trial.results.values()) for trial in scored))
    assert found[-1]["best"] == max(
        leg.objective for trial in scored for leg in trial.results.values() if leg.objective is not None
    )
    assert 0 < found[0]["seconds"] < found[-1]["seconds"]


def test_sweeps_on_one_page_in_a_browser(place: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert run_view(*(str(place / name) for name in ("one", HOSTILE, "cells")), out=str(page), is_live=False, port=None) == 0
    with opened(page, width=500) as shown:
        shown.page.wait_for_selector("html[data-drawn=all]")
        assert shown.page.locator(".failed, img").count() == 0
        assert shown.page.locator(".plot").count() == 4, "what cannot be compared has charts of its own"
        assert HOSTILE in (shown.page.locator("h1").text_content() or "")
        assert shown.page.evaluate("document.documentElement.scrollWidth") <= 500
        assert shown.page.locator("[data-trial]").count() == 0, "a number means a trial of one sweep, and here are several"
        differ = shown.page.locator("section", has_text="Where the spaces differ").last
        assert "optim.beta2" in (differ.locator("tbody").text_content() or "")


@pytest.mark.parametrize(
    ("names", "said"),
    [(("one", "one"), "is named twice"), (("one", "empty"), "empty has no score yet"), (("one", "nowhere"), "must be a folder")],
)
def test_what_cannot_be_put_beside_each_other_is_refused(place: Path, tmp_path: Path, names: tuple[str, ...], said: str) -> None:
    with pytest.raises(InputError, match=said):
        run_view(*(str(place / name) for name in names), out=str(tmp_path / "x.html"), is_live=False, port=None)
    assert not (tmp_path / "x.html").exists()


def test_a_page_has_a_place(place: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a page lies in a folder that exists, .*nowhere is none; make it"):
        run_view(str(place / "one"), str(place / HOSTILE), out=str(tmp_path / "nowhere" / "x.html"), is_live=False, port=None)
    for folders in ((place / "one", place / HOSTILE), (place / HOSTILE,)):  # MLflow would have it as the page of `one`
        with pytest.raises(InputError, match=r"report.html is the own page of .*one, and shows that alone"):
            run_view(*map(str, folders), out=str(place / "one" / "report.html"), is_live=False, port=None)
    assert shortened_name("é" * 150) == "é" * 100
    assert shortened_name("x" + "é" * 150) == "x" + "é" * 99
