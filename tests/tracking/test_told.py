"""What a tracking store is told of a sweep beyond its events: ranks, description, view, configurations; older runs get it too."""

import base64
import json
import zlib
from pathlib import Path

import pytest

from tests.tracking.test_updates import MemoryStore, append, asked, leg, make, started, state_of, sweep_space, whole_sweep
from trm.config.files import parse_yaml
from trm.config.run import RunConfig
from trm.pages.page import finite
from trm.pages.sweep import Around, sweep_page
from trm.search.findings.study_export import write_study
from trm.search.findings.tables import write_leaderboard, write_trials
from trm.search.journal.events import DriverStarted, Event
from trm.search.space.space import SearchSpace
from trm.tracking.note import note_of
from trm.tracking.pages import Pages, view_tag
from trm.tracking.values import SWEEP, Held


def finished(folder: Path, store: MemoryStore, events: list[Event] | None = None) -> MemoryStore:
    append(folder / "journal.jsonl", whole_sweep() if events is None else events)
    assert make(folder, store, []).finish(deadline=1e18)
    return store


def test_ranks_are_kept_up_to_date_and_only_what_changed_is_sent(tmp_path: Path) -> None:
    events, store = whole_sweep(), MemoryStore()
    append(tmp_path / "journal.jsonl", events[:5])  # trial 0 is scored alone
    following = make(tmp_path, store, [])
    following.forward()
    following.forward_standing()
    assert {trial: held.rank for trial, held in store.runs.items()} == {SWEEP: None, 0: None, 1: None}
    append(tmp_path / "journal.jsonl", events[5:9])
    assert make(tmp_path, store, []).finish(deadline=1e18)
    assert {trial: held.rank for trial, held in store.runs.items()} == {SWEEP: None, 0: 2, 1: 1}
    ranks = {point for point in store.points if point[1] == "rank"}
    assert make(tmp_path, store, []).finish(deadline=1e18)
    assert {point for point in store.points if point[1] == "rank"} == ranks
    assert [(trial, value) for trial, _, value, *_ in sorted(ranks, key=str)] == [(0, 2.0), (1, 1.0)]


def test_runs_of_an_earlier_form_get_what_they_lack_and_no_point_twice(tmp_path: Path) -> None:
    store = finished(tmp_path, MemoryStore())
    whole, values = set(store.points), dict(store.values)
    old = {point for point in whole if not point[1].startswith(("at_gflops/", "rank"))}
    store.points.clear()
    store.values[0, "status"] = "KILLED"
    store.runs = {run: Held(events=held.events) for run, held in store.runs.items()}
    assert make(tmp_path, store, []).finish(deadline=1e18)
    assert store.points == whole - old
    assert store.values == values


def test_scores_are_told_against_flops_too(tmp_path: Path) -> None:
    store = finished(tmp_path, MemoryStore())
    found = sorted((step, value) for trial, key, value, step, _ in store.points if (trial, key) == (1, "at_gflops/objective"))
    assert found == [(100, 0.75), (200, 0.9)]


def test_a_sweeps_run_says_what_it_is(tmp_path: Path) -> None:
    store = finished(tmp_path, MemoryStore())
    said = {key: store.values[SWEEP, key] for run, key in store.values if run is SWEEP}
    assert said["search.optim.lr"] == "0.0001 to 0.1"
    assert (said["scheduler.type"], said["scheduler.eta"], said["sampler.type"]) == ("asha", "2", "tpe")
    assert (said["budget.trials"], said["budget.per_trial"], said["objective.metric"]) == ("9", "200000000000.0", "exact_accuracy")
    assert (said["trm.kind"], said["trm.scheduler"], said["sweep.seed"]) == ("sweep", "asha", "1")


def test_a_trials_run_has_its_whole_configuration(tmp_path: Path) -> None:
    plain = asked(0).model_copy(update={"params": {"optim.lr": 0.002}})
    store = finished(tmp_path, MemoryStore(), [started(), DriverStarted(driver="h:1", fence=1, slots=2, at=100.5), plain])
    assert store.values[0, "training.steps"] == "100"
    assert store.values[0, "optim.lr"] == "0.002"
    assert store.values[0, "model.architecture"] == "trm"
    config = parse_yaml(store.values[0, "file config.yaml"], "config.yaml")
    assert RunConfig.model_validate(config).optim.lr == 0.002


def test_the_description_has_the_leaderboard_and_grows_no_larger(tmp_path: Path) -> None:
    note = finished(tmp_path, MemoryStore()).notes[-1]
    assert note.startswith(
        "**Best: trial 1**, exact\\_accuracy 0.9000 (0.8804 to 0.9196). **Ended**: all trials are done; 2 trials"
    )
    assert "| 1 | [1](#/experiments/1/runs/r1?workflowType=machine_learning) | finished | 0.9000 |" in note
    assert "| 2 | [0]" in note
    assert "one seed: trial 1 is not confirmed" in note
    events = [started(), DriverStarted(driver="h:1", fence=1, slots=2, at=100.5)]
    params = {f"model.{'x' * 60}{number}": "|<b>`*" * 9 for number in range(9)}
    for number in range(12):
        bad = asked(number).model_copy(update={"params": params})
        events += [bad, *leg(number, 0, 0.01 * number)]
    resume = "python ray_jobs/sweep.py x.yaml --resume"
    long = note_of(state_of(events), Pages("1", "v", dict.fromkeys(range(12), "f" * 32)), resume)
    assert len(long) <= 4800
    assert "<b>" not in long
    assert "```sh\npython ray_jobs/sweep.py x.yaml \\\n  --resume\n```" in long


@pytest.mark.parametrize("padding", [0, 60])
def test_no_view_of_a_searched_value_has_its_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, padding: int) -> None:
    """The state in a driver's memory has it, and cut in its middle it would not be known again."""
    monkeypatch.setenv("SOME_API_KEY", "under_scored_secret")
    address = f"https://user:hunter2{'p' * padding}@host/{'x' * padding}?token=hunter3"
    values = sweep_space().model_dump(mode="json")
    values["search"]["start.from"] = {"type": "choice", "values": [None, address]}
    params = {"optim.lr": 1e-3, "start.from": address}
    driver = DriverStarted(driver="h:1", fence=1, slots=2, at=100.5)
    events = [started("under_scored_secret"), driver, asked(0).model_copy(update={"params": params})]
    state = state_of([*events, *leg(0, 0, 0.5)], SearchSpace.model_validate(values))
    write_trials(state, tmp_path)
    write_leaderboard(state, tmp_path)
    write_study(state, tmp_path)
    page = json.dumps(finite([section.data for section in sweep_page(state, Around(200.0, is_driven=True)).sections]))
    note = note_of(state, Pages("1", "v", {}), f"python x --set data.folder={address} --resume")
    texts = [file.read_bytes().decode(errors="replace") for file in tmp_path.iterdir()]
    assert len(texts) == 3
    assert [word for text in [*texts, page, note] for word in ("hunter2", "hunter3") if word in text] == []
    assert "scored" not in note


def test_a_view_sorts_a_sweeps_trials_by_rank() -> None:
    shown = json.loads(view_tag("s-1", "abc", sweep_space(), 100.0))
    kind, _, packed = shown["state"].partition(";")
    state = json.loads(zlib.decompress(base64.b64decode(packed)))
    assert (kind, shown["name"], state["orderByKey"], state["orderByAsc"]) == (
        "deflate",
        "s-1: trials by rank",
        "metrics.`rank`",
        True,
    )
    assert state["searchFilter"] == "tags.trm.sweep = 'abc' and tags.trm.trial LIKE '%'"
    assert "params.`optim.lr`" in state["selectedColumns"]
    pages = Pages("7", "trmabc", {None: "p", 3: "r3", 4: "r4"})
    assert pages.trials() == "#/experiments/7/runs?workflowType=machine_learning&viewStateShareKey=trmabc"
    assert pages.compare([3, 9, 4]) == (
        "#/compare-runs?runs=%5B%22r3%22%2C%22r4%22%5D&experiments=%5B%227%22%5D&workflowType=machine_learning"
    )
    assert pages.compare([3, 9]) is None


def test_the_page_of_the_report_goes_out_while_the_sweep_runs(tmp_path: Path) -> None:
    append(tmp_path / "journal.jsonl", whole_sweep()[:5])
    (tmp_path / "report.html").write_text("<p>")
    store = MemoryStore()
    following = make(tmp_path, store, [])
    following.forward()
    following.forward_standing()
    following.forward_standing()  # not again before its time
    assert store.uploads == ["sweep.yaml", "report.html"]
