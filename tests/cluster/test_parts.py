"""Parts of the cluster room that need no Ray: packing, checkpoints, folders, what a leg remembers."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
from data_cases import manifest, sudoku_split
from search_simulator import cost_of

from trm.cluster.connection import Demand, Node, concurrent_trials
from trm.config.data import DataConfig
from trm.config.files import load_yaml
from trm.config.run import RunConfig
from trm.errors import ResourceError, SweepError
from trm.search.journal.events import LegStarted
from trm.search.log import SweepLog
from trm.search.search import Search
from trm.search.space.space import SearchSpace
from trm.sweeps.data_sets import DataSets
from trm.sweeps.folder import SWEEP_FILE, begun_mode, claimed_folder, sweep_folder, write_sweep_file
from trm.sweeps.legs import beginnings
from trm.sweeps.legs_done import saved_outcome
from trm.sweeps.places import writable_folder
from trm.sweeps.versions import changed_versions, told_versions
from trm.training.leg import Beginning, LegResult, LegTask, outcome_beside


def nodes(*sizes: tuple[float, float]) -> list[Node]:
    return [Node(str(number), f"10.0.0.{number}", cpus, gpus) for number, (cpus, gpus) in enumerate(sizes)]


@pytest.mark.parametrize(
    ("sizes", "demand", "wanted", "trials"),
    [
        ([(2, 0)], Demand(1, 1, 0), None, 2),
        ([(2, 0)], Demand(1, 1, 0), 1, 1),
        ([(2, 0)], Demand(2, 1, 0), None, 1),
        ([(3, 0), (3, 0)], Demand(1, 2, 0), None, 2),
        ([(3, 0), (3, 0)], Demand(2, 2, 0), None, 1),
        ([(16, 8)], Demand(1, 2, 0.5), None, 8),
        ([(16, 8)], Demand(4, 1, 1), None, 2),
        ([(4, 0)], Demand(1, 0.1, 0), None, 40),
    ],
)
def test_as_many_trials_run_as_fit(sizes: list[tuple[float, float]], demand: Demand, wanted: int | None, trials: int) -> None:
    assert concurrent_trials(nodes(*sizes), demand, wanted) == trials


@pytest.mark.parametrize("demand", [Demand(1, 3, 0), Demand(3, 1, 0), Demand(1, 1, 1)])
def test_a_trial_that_never_fits_is_refused_with_both_numbers(demand: Demand) -> None:
    with pytest.raises(ResourceError, match=r"a trial asks for .* and the cluster has .*2 CPUs, 0 GPUs"):
        concurrent_trials(nodes((2, 0)), demand, None)


def task(folder: Path, **values: object) -> LegTask:
    defaults: dict[str, object] = {"trial": 3, "rung": 1, "attempt": 2, "max_steps": 30, "until_steps": 30}
    config = RunConfig.model_validate({"data": {"folder": "x"}, "training": {"steps": 30}})
    return LegTask(**{"config": config, **defaults, "folder": str(folder), **values})  # type: ignore[arg-type]


def make_checkpoint(folder: Path, step: int, attempt: int, *, is_whole: bool = True) -> Path:
    path = folder / f"step-{step:08d}-attempt-{attempt}"
    path.mkdir(parents=True)
    if is_whole:
        (path / "meta.json").write_text("{}")
    return path


def test_a_leg_that_starts_from_another_trials_checkpoint_adopts_it(tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "trials" / "0003", 10, 0)
    for trial, is_adopted in ((3, False), (1, True)):
        given = f"trials/{trial:04d}/step-00000010-attempt-0"
        assert beginnings(tmp_path, a_leg(100, given))[0] == Beginning(str(tmp_path / given), is_adopted)


def places(begins: list[Beginning]) -> list[str]:
    return [begin.checkpoint for begin in begins]


def a_leg(until_steps: int, from_checkpoint: str | None, trial: int = 3) -> LegStarted:
    return LegStarted(trial=trial, rung=1, attempt=2, until_steps=until_steps, from_checkpoint=from_checkpoint, at=0)


def test_a_leg_goes_on_from_the_newest_checkpoint_that_is_not_beyond_it(tmp_path: Path) -> None:
    own = tmp_path / "trials" / "0003"
    assert beginnings(tmp_path, a_leg(100, None)) == []
    first = make_checkpoint(own, 10, 0)
    given = str(first.relative_to(tmp_path))
    assert places(beginnings(tmp_path, a_leg(100, given))) == [str(first)]
    wanted = make_checkpoint(own, 90, 1)
    make_checkpoint(own, 95, 1, is_whole=False)
    make_checkpoint(own, 101, 0)
    oldest = make_checkpoint(own, 5, 0)
    assert places(beginnings(tmp_path, a_leg(100, given))) == [str(wanted), str(first), str(oldest)]
    assert places(beginnings(tmp_path, a_leg(100, None))) == [str(wanted), str(first), str(oldest)]
    shutil.rmtree(first)
    assert places(beginnings(tmp_path, a_leg(50, given))) == [str(oldest)]
    shutil.rmtree(oldest)
    assert beginnings(tmp_path, a_leg(50, given)) == []


def test_a_leg_goes_on_from_the_checkpoint_of_another_trial_that_it_was_given(tmp_path: Path) -> None:
    before = make_checkpoint(tmp_path / "trials" / "0003", 50, 0)
    other = make_checkpoint(tmp_path / "trials" / "0007", 50, 4)
    given = a_leg(100, str(other.relative_to(tmp_path)))
    assert places(beginnings(tmp_path, given)) == [str(other), str(before)]
    since = make_checkpoint(tmp_path / "trials" / "0003", 51, 1)
    ordered = [Beginning(str(since)), Beginning(str(other), is_adopted=True)]
    assert beginnings(tmp_path, given) == [*ordered, Beginning(str(before))]
    assert beginnings(tmp_path, given, is_of_population=True) == [*ordered, Beginning(str(before), is_adopted=True)]
    again = a_leg(100, str(since.relative_to(tmp_path)))
    for is_of_population in (True, False):
        found = beginnings(tmp_path, again, is_of_population=is_of_population)
        assert found == [Beginning(str(since)), Beginning(str(before), is_adopted=is_of_population)]


def test_a_leg_that_was_completed_by_any_attempt_is_known(tmp_path: Path) -> None:
    assert saved_outcome(task(tmp_path)) is None
    done = LegResult(status="completed", metrics={"exact_accuracy": 0.5}, steps=30, checkpoint="trials/0003/x")
    checkpoint = make_checkpoint(tmp_path, 30, 0)
    outcome_beside(checkpoint).write_text(json.dumps(asdict(done)))
    assert saved_outcome(task(tmp_path)) == done
    assert saved_outcome(task(tmp_path, until_steps=60)) is None
    outcome_beside(checkpoint).write_text('{"status": "comp')
    assert saved_outcome(task(tmp_path)) is None
    early = outcome_beside(tmp_path / "step-00000090-attempt-0")
    early.write_text(json.dumps(asdict(done)))
    assert saved_outcome(task(tmp_path, until_steps=90)) is None, "an outcome without its checkpoint counts"


@pytest.fixture
def space() -> SearchSpace:
    return SearchSpace.model_validate(
        {
            "name": "tiny",
            "data": {"folder": "x"},
            "base": {"training": {"global_batch_size": 8}},
            "search": {"optim.lr": {"type": "float", "low": 1e-4, "high": 1e-3}},
            "budget": {"trials": 2, "per_trial": 1e9},
        }
    )


def make_sweep(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "journal.jsonl").write_text("{}\n")
    return folder


def test_a_sweep_without_a_name_gets_the_next_number_and_a_resume_the_newest(tmp_path: Path, space: SearchSpace) -> None:
    assert sweep_folder(tmp_path, space, None, is_resume=False) == tmp_path / "tiny-1"
    make_sweep(tmp_path / "tiny-1")
    make_sweep(tmp_path / "tiny-9")
    make_sweep(tmp_path / "tiny-10")
    (tmp_path / "tiny-12").mkdir()
    assert sweep_folder(tmp_path, space, None, is_resume=False) == tmp_path / "tiny-11"
    assert sweep_folder(tmp_path, space, None, is_resume=True) == tmp_path / "tiny-10"


def test_a_name_whose_first_lines_were_never_finished_is_free(tmp_path: Path, space: SearchSpace) -> None:
    (tmp_path / "mine").mkdir()
    for name in ("journal.jsonl", "journal.jsonl.torn-1", "journal.jsonl.torn-2"):
        (tmp_path / "mine" / name).write_text('{"n":0,"fen')
    assert sweep_folder(tmp_path, space, "mine", is_resume=False) == tmp_path / "mine"
    (tmp_path / "mine" / "thesis.torn-1").touch()
    with pytest.raises(SweepError, match="exists and is no sweep"):
        sweep_folder(tmp_path, space, "mine", is_resume=False)


def test_versions_that_changed_since_are_named() -> None:
    before, now = {"torch": "2.1", "ray": "2", "gone": "1"}, {"torch": "2.2", "ray": "2", "new": "3"}
    assert changed_versions(before, now) == ["torch 2.1, and has 2.2 now"]
    assert changed_versions({}, now) == []


def test_a_resume_is_told_from_what_the_sweep_began_with_and_what_its_last_driver_had(tmp_path: Path, space: SearchSpace) -> None:
    search = Search(space, cost_of, folder="data")
    log = SweepLog(tmp_path, search)

    def driven_by(fence: int, **versions: str) -> None:
        log.start(float(fence), driver="h:1", fence=fence, slots=1, versions=versions)

    driven_by(1, torch="2.1", ray="2")
    assert told_versions(search.state, {"torch": "2.1", "ray": "2"}) == []
    driven_by(2, torch="2.2", ray="2", python="3.12")
    assert told_versions(search.state, {"torch": "2.2", "ray": "2", "python": "3.12"}) == [
        "the sweep began with torch 2.1, and has 2.2 now"
    ]
    assert told_versions(search.state, {"torch": "2.1", "ray": "2", "python": "3.11"}) == [
        "the sweep's last driver had torch 2.2, and has 2.1 now",
        "the sweep's last driver had python 3.12, and has 3.11 now",
    ]
    log.journal.close()


def test_names_that_are_taken_and_resumes_of_nothing_are_refused(tmp_path: Path, space: SearchSpace) -> None:
    with pytest.raises(SweepError, match="no sweep of tiny to resume"):
        sweep_folder(tmp_path, space, None, is_resume=True)
    make_sweep(tmp_path / "mine")
    with pytest.raises(SweepError, match="exists; go on with it by --resume"):
        sweep_folder(tmp_path, space, "mine", is_resume=False)
    with pytest.raises(SweepError, match=r"no sweep to resume in .*other; the sweeps there are mine"):
        sweep_folder(tmp_path, space, "other", is_resume=True)
    with pytest.raises(SweepError, match="--name must be letters"):
        sweep_folder(tmp_path, space, "../mine", is_resume=False)


def test_storage_must_be_a_folder_that_can_be_written_and_lasts_in_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SweepError, match="can be written"):
        writable_folder(str(tmp_path / "file" / "runs"), "--storage")
    with pytest.raises(SweepError, match="POSIX"):
        writable_folder("s3://bucket/runs", "--storage")
    assert writable_folder(None, "--storage", default="runs") == Path.cwd() / "runs"
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    with pytest.raises(SweepError, match="a Ray job needs --storage"):
        writable_folder(None, "--storage", default="runs")
    with pytest.raises(SweepError, match="a Ray job needs an absolute --storage, got runs"):
        writable_folder("runs", "--storage")
    assert writable_folder(str(tmp_path / "new"), "--storage") == tmp_path / "new"
    assert not (tmp_path / "new").exists()


def test_a_folder_that_never_became_a_sweep_is_removed_and_others_stay(tmp_path: Path, space: SearchSpace) -> None:
    with pytest.raises(RuntimeError), claimed_folder(tmp_path / "new", space, is_resume=False):
        raise RuntimeError
    assert not (tmp_path / "new").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("keep")
    with pytest.raises(RuntimeError), claimed_folder(tmp_path / "mine", space, is_resume=False):
        raise RuntimeError
    assert (tmp_path / "mine" / "notes").read_text() == "keep"


def test_a_folder_that_a_living_driver_holds_is_refused(tmp_path: Path, space: SearchSpace) -> None:
    with (
        claimed_folder(tmp_path / "held", space, is_resume=False),
        pytest.raises(SweepError, match="held by a living driver"),
        claimed_folder(tmp_path / "held", space, is_resume=False),
    ):
        raise AssertionError("two drivers hold one folder")


def test_a_sweep_that_began_keeps_the_mode_of_its_data(tmp_path: Path) -> None:
    space = SearchSpace.model_validate(
        {
            "name": "a",
            "data": {"folder": "x"},
            "search": {"optim.lr": {"type": "choice", "values": [1e-3]}},
            "budget": {"trials": 1, "per_trial": 1},
        }
    )
    split = sudoku_split(4)
    data = DataConfig(folder="x", mode="stream")
    write_sweep_file(tmp_path, space, DataSets.one(manifest(split, (4, 4)), data), {}, mode=data.mode)
    assert begun_mode(tmp_path) is None
    (tmp_path / "journal.jsonl").write_text("an event\n")
    assert begun_mode(tmp_path) == "stream"
    assert load_yaml(tmp_path / SWEEP_FILE)["space"]["data"]["mode"] == "auto"
    text = (tmp_path / SWEEP_FILE).read_text()
    (tmp_path / SWEEP_FILE).write_text(text.replace("  mode: stream\n", ""))
    assert begun_mode(tmp_path) == "resident"
