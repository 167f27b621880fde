"""Judges: the optimum that is known is one, every tool pays what it trained, and what is kept is not looked at by accident."""

import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from own_members import forgotten

from benchmarks.search.confirmation import of_judge
from benchmarks.search.judges import grids
from benchmarks.search.judges.boards import ranks
from benchmarks.search.judges.choice import judge_of
from benchmarks.search.judges.data import MissingDataError, data_file
from benchmarks.search.judges.families import FAMILIES, INSTANCES
from benchmarks.search.judges.figures import by_judge, figures, lacking, markdown
from benchmarks.search.judges.hartmann import OPTIMA
from benchmarks.search.judges.judge import Judge, Knob, Limits, Sweep, drawn
from benchmarks.search.judges.ours import run
from benchmarks.search.judges.plain import read_plain
from benchmarks.search.judges.run import names_of
from benchmarks.search.judges.scan import LANGUAGE, Scan, process_of
from benchmarks.search.judges.split import drawn_split, judges_in
from benchmarks.search.judges.tools import grid_of, random
from benchmarks.search.judges.traces import Trace, limits_of, read, trace_of, write
from trm.config.imports import VARIABLE

UNUSED = 1000
"""Numbers from here on are in no part of the split."""


@pytest.fixture(scope="module")
def costly() -> Judge:
    return judge_of(f"costly_{UNUSED}")


@pytest.mark.parametrize("family", FAMILIES)
def test_no_random_configuration_is_better_than_the_optimum_that_is_known(family: str) -> None:
    for number in (UNUSED, UNUSED + 1):
        judge, draw = FAMILIES[family](number), np.random.default_rng(number)
        truths = [judge.truth(drawn(judge.knobs, draw)) for _ in range(700)]
        assert max(truths) < judge.best == judge.truth(judge.landscape.optimum) <= 100
        assert max(truths) < judge.truth(judge.default) + 40
        assert np.median(truths) < judge.truth(judge.default) < judge.best
        assert judge.default != judge.landscape.optimum


@pytest.mark.parametrize("family", FAMILIES)
def test_the_truth_is_what_seeds_come_to_at_the_end(family: str) -> None:
    judge = FAMILIES[family](UNUSED)
    finals = np.array([judge.score(judge.default, seed, judge.epochs).score for seed in range(500)])
    assert finals.mean() == pytest.approx(judge.truth(judge.default), abs=4 * finals.std() / np.sqrt(500))
    first, again = (judge.score(judge.default, 3, 2) for _ in range(2))
    assert first == again, "the same whenever it is asked"


def test_the_families_are_what_they_are_called() -> None:
    late, crossing, failing, costly = (make(UNUSED) for make in FAMILIES.values())
    optimum = late.landscape.optimum
    early, middle, end = (late.score(optimum, 0, epoch) for epoch in (1, late.epochs // 10, late.epochs))
    assert early.score == 0.0 < middle.score < 10 < 60 < end.score
    assert end.loss < middle.loss < early.loss - 0.02, "the loss falls before"
    draw = np.random.default_rng(0)
    random_ones = [drawn(crossing.knobs, draw) for _ in range(200)]
    finals, starts = ([crossing.score(one, 0, epoch).score for one in random_ones] for epoch in (crossing.epochs, 1))
    ahead = np.sign(np.subtract.outer(starts, starts)) * np.sign(np.subtract.outer(finals, finals))
    assert (ahead < 0).mean() > 0.05, "pairs that change places"
    ends = [failing.score(failing.landscape.optimum, seed, failing.epochs).score for seed in range(400)]
    assert 0.01 < np.mean([one <= failing.chance for one in ends]) < 0.15
    costs = [costly.cost(drawn(costly.knobs, draw)) for _ in range(400)]
    assert max(costs) / min(costs) > 50
    assert np.mean(costs) == pytest.approx(1, abs=0.15)
    assert min(costs) < costly.cost(costly.landscape.optimum) < max(costs)


def test_a_value_lies_where_its_place_is() -> None:
    for knob in (Knob("a", "float", 1e-4, 1e-1, is_log=True), Knob("b", "int", 2, 9), Knob("c", "choice", values=(8, 16, 64))):
        assert [knob.place(knob.at(place)) for place in (0.0, 1.0)] == [0.0, 1.0]
        assert knob.at(knob.place(knob.at(0.4))) == knob.at(0.4)


def test_differences_are_paid_and_confirmations_are_no_trials(costly: Judge) -> None:
    sweep = Sweep(costly, 0, Limits(trials=2))
    one, again = sweep.begin(costly.default), sweep.begin(costly.default, is_confirmation=True)
    for epoch in (4, 8, 2):
        one.train_to(epoch)
    assert sweep.compute == pytest.approx(costly.cost(costly.default) * 8 / costly.epochs)
    again.train_to(costly.epochs)
    sweep.report(one)
    assert sweep.compute == pytest.approx(costly.cost(costly.default) * (1 + 8 / costly.epochs))
    assert (sweep.moments[0].trials, sweep.moments[0].confirmations, sweep.is_over) == (1, 1, False)
    assert sweep.moments[0].regret == costly.best - costly.truth(costly.default)
    assert one.seed != again.seed
    with pytest.raises(AssertionError, match="active are"):
        sweep.begin({"width": 64})


@pytest.fixture
def no_imports_stay(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(VARIABLE, "")
    with forgotten():
        yield


@pytest.mark.usefixtures("no_imports_stay")
def test_a_sweep_of_ours_pays_what_it_trained_and_ends_in_time(costly: Judge) -> None:
    small, rungs = Limits(trials=6), {"type": "asha", "eta": 2, "rungs": 3}
    sweep, again = (Sweep(costly, 5, small) for _ in range(2))
    for one in (sweep, again):
        run(one, scheduler=rungs, confirm={"top": 1, "seeds": 2})
    assert sweep.moments == again.moments
    assert (sweep.trials, sweep.confirmations) == (6, 2)
    assert sweep.compute == pytest.approx(sum(costly.cost(one.params) * one.epoch / costly.epochs for one in sweep.runs))
    assert min(one.epoch for one in sweep.runs) < costly.epochs, "not all are trained to the end"
    by_compute = Sweep(costly, 5, Limits(compute=2))
    run(by_compute, scheduler=rungs)
    assert by_compute.compute <= 2


def test_a_trace_is_read_as_it_was_written(costly: Judge, tmp_path: Path) -> None:
    sweep, path = Sweep(costly, 2, limits_of("compute:3")), tmp_path / "traces.jsonl"
    random(sweep)
    trace = trace_of("random", "compute:3", sweep, 0.1)
    write(trace, path)
    write(replace(trace, seed=3), path)
    path.write_text(path.read_text() + '{"tool": "cut sh')
    first, second = read(path)
    assert first == trace
    assert second.key == ("random", costly.name, "compute:3", 3)
    assert first.after(1e-3) == pytest.approx(costly.best, abs=1e-3)
    assert first.after(1e3) == first.regret == pytest.approx(sweep.moments[-1].regret, abs=1e-3)
    assert first.reach(1e3) == first.changes[0][0]
    assert first.reach(-1.0) is None
    with pytest.raises(ValueError, match="trials:25 or compute:16"):
        limits_of("hours:3")


def test_a_grid_stands_in_the_order_of_a_file_the_cheapest_first(costly: Judge) -> None:
    costs = [costly.cost(params) for params in grid_of(costly)]
    assert costs == sorted(costs)
    first, second = (dict(one) for _, one in zip(range(2), grid_of(judge_of(f"crossing_{UNUSED}")), strict=False))
    assert [name for name in first if first[name] != second[name]] == ["dropout"], "the last knob changes first"


def test_a_third_is_for_tuning_and_the_rest_is_kept() -> None:
    tuning, kept = judges_in("tuning"), judges_in("kept")
    assert not set(tuning) & set(kept)
    for family in FAMILIES:
        names = [f"{family}_{number}" for number in range(INSTANCES)]
        drawn_now = drawn_split(names)
        assert {name for name in tuning if name in names} == set(drawn_now["tuning"]), "as it was drawn"
        assert {name for name in kept if name in names} == set(drawn_now["kept"])
    assert names_of(["tuning"], may_be_kept=False) == tuning
    with pytest.raises(ValueError, match="looked at once"):
        names_of([kept[0]], may_be_kept=False)
    assert names_of(["kept"], may_be_kept=True) == kept


def test_hartmann_is_highest_where_it_is_published_to_be_and_its_early_fidelities_say_less() -> None:
    draw = np.random.default_rng(0)
    for count in (3, 6):
        good, terrible = judge_of(f"hartmann_{count}_good"), judge_of(f"hartmann_{count}_terrible")
        optimum = {knob.name: at for knob, at in zip(good.knobs, OPTIMA[count], strict=True)}
        assert good.truth(optimum) == pytest.approx(100, abs=1e-3)
        random_ones = [drawn(good.knobs, draw) for _ in range(500)]
        truths = np.array([good.truth(params) for params in random_ones])
        assert truths.max() < 100
        assert good.score(random_ones[0], 0, good.epochs).score == pytest.approx(truths[0])
        early = [[-judge.score(params, seed, 25).loss for seed, params in enumerate(random_ones)] for judge in (good, terrible)]
        assert np.corrcoef(early[0], truths)[0, 1] > np.corrcoef(early[1], truths)[0, 1] + 0.1


def test_plain_values_are_read_and_nothing_else_is(tmp_path: Path) -> None:
    whole = {"a": {"x": [1.5, -2.0], "y": [3, 700, 70000]}, "b": {"x": [], "y": ["text"]}}
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(whole, protocol=4))
    assert read_plain(path) == whole
    path.write_bytes(pickle.dumps(Path("a"), protocol=4))
    with pytest.raises(ValueError, match="more than plain values: STACK_GLOBAL"):
        read_plain(path)


def test_a_grid_s_runs_are_its_recorded_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    knobs = (Knob("a", "choice", values=("x", "y")), Knob("b", "choice", values=(1, 2, 3), is_ordered=True))
    monkeypatch.setattr(grids, "SPACES", {"nasbench201": knobs})
    monkeypatch.setattr(grids, "GUESSES", {"nasbench201": {"a": "x", "b": 1}})
    monkeypatch.setattr(grids, "GOOD", 0.5)
    found = {
        f"{one}{other}": {"val_acc": [50.0 + 10 * one + other, 52.0 + 10 * one + other]} for one in (0, 1) for other in range(3)
    }
    judge = grids._recorded("grids_small", "nasbench201", found)
    assert (judge.best, judge.truth({"a": "y", "b": 2}), judge.noise) == (63.0, 62.0, pytest.approx(2**0.5))
    assert {judge.score({"a": "y", "b": 2}, seed, 1).score for seed in range(20)} == {61.0, 63.0}


def test_a_surrogate_of_runs_goes_through_them_and_prices_flops() -> None:
    draw = np.random.default_rng(0)
    random_ones = [drawn(LANGUAGE.knobs, draw) for _ in range(40)]
    rates = np.array([LANGUAGE.knobs[0].place(params["lr"]) for params in random_ones])
    rows = [
        (f"{run} {horizon}", LANGUAGE.inputs(params, horizon, share), 2 + rates[run] - share / 2)
        for run, params in enumerate(random_ones)
        for horizon in (1e9, 2e9)
        for share in (0.3, 0.6, 1.0)
    ]
    judge = Scan("scan_toy", LANGUAGE, process_of(replace(LANGUAGE, rows=lambda: rows)), 1e9, 1.0, 3.0, 1e9)
    assert judge.losses(random_ones, 1.0) == pytest.approx(1.5 + rates, abs=0.1)
    assert judge.score(random_ones[0], 0, 3).score < judge.score(random_ones[0], 1, 10).score == judge.truth(random_ones[0])
    recorded = {"d_model": 320, "n_layers": 12}
    assert LANGUAGE.flops(recorded) == pytest.approx(280990337434583040 / 965026304, rel=1e-3), "as its first run says"


def _trace(tool: str, judge: str, seed: int, lost: float, *, limit: str = "trials:25", reached_at: float = 1.0) -> Trace:
    changes = [(0.5, 50.0), (reached_at, lost)]
    return Trace(tool, judge, judge[0], limit, seed, 25, 0, 16.0, lost, 1.0, 90.0, 0.1, changes)


def test_figures_are_means_over_families_and_paired_by_seed() -> None:
    hardness = {"a1": 10.0, "a2": 20.0, "b1": 30.0}
    traces = [
        _trace(tool, judge, seed, factor * lost + seed)
        for judge, lost in hardness.items()
        for seed in range(8)
        for tool, factor in (("ours", 1.0), ("ours_slow", 1.5), ("peer", 2.0))
    ]
    traces.append(_trace("peer", "b2", 0, 1.0))
    found = figures(traces, "ours")
    assert {tool: value[0] for tool, value in found["rank 25 trials"].items()} == {"ours": 1.0, "ours_slow": 2.0, "peer": 3.0}
    assert found["points 25 trials"]["ours"][0] == pytest.approx((15 + 30) / 2 + 3.5), "b2 was not run by all"
    assert lacking(traces) == {"ours trials:25": ["b2"], "ours_slow trials:25": ["b2"]}
    value, low, high = found["ours_less 25 trials"]["peer"]
    assert value == pytest.approx(-(15 + 30) / 2)
    assert -25.1 <= low < high <= -19.9, "seeds cancel out; judges of a family do not"
    assert found["ours_less 25 trials"]["ours"] == (0.0, 0.0, 0.0)
    assert 0.5 < found["to_best 25 trials"]["ours"][0] < 0.6, "of the peer's, not of the variant's"
    assert {row["judge"]: row["best_other"] for row in by_judge(traces, "ours")} == dict.fromkeys(hardness, "peer")
    assert "| peer | 3 (3 to 3) |" in markdown(found, ["rank 25 trials"])


def test_compute_is_shared_with_random_s() -> None:
    kinds = {"random": (9.0, 8.0), "ours": (0.5, 4.0), "lost": (60.0, 8.0)}
    traces = [
        _trace(tool, "a1", seed, lost, limit="compute:16", reached_at=at) for tool, (lost, at) in kinds.items() for seed in range(3)
    ]
    found = figures(traces, "ours")
    assert {tool: value[0] for tool, value in found["to_random of 16"].items()} == {"random": 0.5, "ours": 0.25, "lost": 1.0}
    assert found["reach of 16"]["ours"] == (4.0, 4.0, 4.0)
    assert found["reach of 16, to random's"]["ours"] == (0.25, 0.25, 0.25)
    assert found["points 2 of 16"]["ours"][0] == 50.0
    assert ranks(np.array([[1.0], [2.0], [1.0]])).tolist() == [1.5, 3.0, 1.5]


def test_candidates_of_a_judge_are_good_and_scored_by_fresh_seeds() -> None:
    judge = judge_of(f"failing_{UNUSED}")
    means, score = of_judge(judge)(np.random.default_rng(1), 3)
    assert 0.4 < means.min() < means.max() < judge.best / 100
    scores = [score(0) for _ in range(300)]
    assert np.mean(scores) == pytest.approx(means[0], abs=4 * np.std(scores) / 300**0.5)


def test_missing_data_say_where_they_are_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JUDGES_DATA", raising=False)
    with pytest.raises(MissingDataError, match="JUDGES_DATA is not set; get it from the moon"):
        data_file("a.csv", "0", "the moon")
    monkeypatch.setenv("JUDGES_DATA", str(tmp_path))
    with pytest.raises(MissingDataError, match="which has none"):
        data_file("a.csv", "0", "the moon")
    (tmp_path / "a.csv").write_text("other")
    with pytest.raises(MissingDataError, match="must have SHA-256 0"):
        data_file("a.csv", "0", "the moon")
