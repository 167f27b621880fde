"""A sweep that searches its data, whole and killed: real driver, real training, real files; only Ray is left out."""

import json
from collections.abc import Iterator

import pytest
from crash_cases import check_replay, check_whole, events_of, facts
from rayless import Kill, Killed, Nursery

from trm.config.files import load_yaml
from trm.data.format.manifest import read_manifest
from trm.files.yaml_values import RESOLVED
from trm.search.journal.events import Asked
from trm.sweeps.folder import read_sweep

SPACE = """
name: sets
data: {recipe: datasets/sudoku4x4.yaml, overrides: {validation: 20, test: 20}}
base:
  model: {hidden_size: 8, mlp_t: true, pos_encodings: none, puzzle_emb_len: 1, halt_max_steps: 2, H_cycles: 1, L_cycles: 1}
  optim: {lr_warmup_steps: 0}
  training: {global_batch_size: 4}
search:
  data: {train: {type: choice, values: [10, 30, 50]}}
  optim.lr: {type: float, low: 1e-3, high: 1e-2, log: true}
budget: {trials: 5, per_trial: 1.0e8}
sampler: random
scheduler: none
confirm: {top: 1, seeds: 2}
resources: {slots: 1}
tracking: {enabled: false}
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killed]:
    storage = tmp_path_factory.mktemp("runs")
    (storage / "space.yaml").write_text(SPACE)
    nursery = Nursery(storage / "log")
    yield Killed(nursery, storage / "space.yaml", storage)
    nursery.close()


def test_every_trial_trains_on_its_set_and_a_killed_sweep_comes_to_the_same(killed: Killed) -> None:
    assert killed.run("whole", [None]) == 1
    folder = killed.storage / "whole"
    check_whole(folder, 5 + 2)
    check_replay(folder)
    space, sets, _ = read_sweep(folder)
    assert [one.splits["train"].rows for one in sets.manifests] == [10, 30, 50]
    asked = [event for event in events_of(folder) if isinstance(event, Asked)]
    assert len({event.params["data.train"] for event in asked}) > 1
    for event in asked:
        own = sets.of(space.data_of(event.params)).manifest
        checkpoint = next((folder / "trials" / f"{event.trial:04d}").glob("step-*/meta.json"))
        assert json.loads(checkpoint.read_text())["data_hash"] == own.content_hash
    best = load_yaml(folder / "best" / "config.yaml", RESOLVED)
    report = json.loads((folder / "best" / "report.json").read_text())
    assert read_manifest(best["data"]["folder"]).splits["train"].rows == report["params"]["data.train"]
    assert report["dataset"]["content_hash"] == read_manifest(best["data"]["folder"]).content_hash
    kept = json.loads((folder / "best" / "puzzles.json").read_text())
    assert (kept["run"], kept["split"], kept["content_hash"]) == (report["run"], "validation", report["dataset"]["content_hash"])
    assert kept["solved"] / (kept["solved"] + kept["failed"]) == report["validation"]["exact_accuracy"]
    assert {len(one["steps"]) for one in kept["puzzles"]} == {best["model"]["halt_max_steps"]}
    killed.run("again", [Kill("event", 4, "durable"), Kill("event", 3, "torn"), None])
    assert facts(killed.storage / "again") == facts(folder)
    assert json.loads((killed.storage / "again" / "best" / "puzzles.json").read_text()) == kept


def test_a_resume_that_meets_another_set_is_refused(killed: Killed) -> None:
    killed.run("whole", [None])
    path = killed.storage / "whole" / "sweep.yaml"
    there = path.read_text()
    sets = read_sweep(killed.storage / "whole")[1]
    path.write_text(there.replace(sets.sets[1].manifest.content_hash, "0" * 64))
    with pytest.raises(AssertionError, match=r"was changed since \(the data set .*, train 30\)"):
        killed.run("whole", [None])
    path.write_text(there)
