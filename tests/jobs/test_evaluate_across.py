"""evaluate.py --across: the votes of several networks, from their folders of answers, are what counting them plainly gives."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from arrays_cases import write_arc_set

from trm.config.run import RunConfig
from trm.data.format.built import BuiltDataset, BuiltSplit
from trm.data.format.manifest import SplitName, read_manifest
from trm.data.format.shards import read_identifiers
from trm.evaluation import ensembles
from trm.jobs.compare import run_comparison
from trm.jobs.evaluate import run_evaluation
from trm.jobs.evaluation.options import EvaluateOptions
from trm.tasks.arc.augment import crop, invert
from trm.tasks.arc.ballot import grids_of
from trm.tasks.making.writing import write_dataset
from trm.tasks.sudoku.recipe import SudokuRecipe
from trm.terminal.command_line import run_job
from trm.training.state import TrainingState

MODEL = {"H_cycles": 1, "L_cycles": 1, "L_layers": 1, "hidden_size": 16, "num_heads": 2, "puzzle_emb_len": 1, "halt_max_steps": 2}
NETWORKS = ("a", "b", "c")


def _write_boards(folder: Path, seed: int) -> None:
    """Boards of which one cell is labelled, so that networks without training hit some."""
    rng = np.random.default_rng(seed)
    sizes: dict[SplitName, int] = {"train": 4, "test": 24}
    splits = {}
    for number, (name, rows) in enumerate(sizes.items()):
        labels = np.zeros((rows, 16), dtype=np.uint8)
        labels[:, 5] = rng.integers(2, 6, rows)
        inputs = rng.integers(1, 6, (rows, 16)).astype(np.uint8)
        splits[name] = BuiltSplit(inputs, labels, np.arange(rows, dtype=np.int32) + 100 * number)
    built = BuiltDataset("sudoku", (4, 4), ("pad", "blank", "1", "2", "3", "4"), splits)
    write_dataset(built, SudokuRecipe(name=f"boards-{seed}", size=4, train=4, validation=0, test=24, seed=seed), str(folder))


def _save_run(folder: Path, data: Path, seed: int) -> None:
    manifest = read_manifest(str(data))
    config = RunConfig.model_validate(
        {"data": {"folder": str(data)}, "model": MODEL, "training": {"steps": 5, "global_batch_size": 16}, "seed": seed}
    )
    state = TrainingState(config, manifest.shape, data_hash=manifest.content_hash, names=manifest.names, max_steps=5)
    assert state.average is not None
    generator = torch.Generator().manual_seed(seed)
    state.average.load({name: torch.randn(value.shape, generator=generator) for name, value in state.average.average.items()})
    state.save(folder / "checkpoints" / "step-00000001")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three networks on boards and on ARC tasks, evaluated each."""
    folder = tmp_path_factory.mktemp("across")
    write_arc_set(folder / "arc")
    _write_boards(folder / "boards", 1)
    for kind in ("arc", "boards"):
        for seed, name in enumerate(NETWORKS):
            run = folder / f"{kind}-{name}-run"
            _save_run(run, folder / kind, seed)
            if (kind, name) != ("boards", "c"):
                assert run_evaluation(options_of(folder, f"{kind}-{name}", path=str(run))) == 0
    return folder


def options_of(place: Path, folder: str, **changes: Any) -> EvaluateOptions:
    options = EvaluateOptions(
        path="",
        split="test",
        overrides=(),
        config=None,
        votes=None,
        out=None,
        storage=str(place / "runs"),
        folder=str(place / folder),
    )
    return replace(options, **changes)


def across(place: Path, kind: str, folder: str, members: tuple[str, ...] = NETWORKS, **changes: Any) -> dict[str, Any]:
    names = tuple(str(place / f"{kind}-{name}") for name in members)
    assert run_evaluation(options_of(place, folder, path=names[0], across=names, **changes)) == 0
    found: dict[str, Any] = json.loads((place / folder / "report.json").read_text())
    return found


def answers_of(place: Path, folder: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(place / folder / "answers.parquet").to_pylist()
    return rows


def test_the_votes_for_arc_are_those_of_all_networks(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = across(place, "arc", "arc-all", has_submission=True)
    assert (report["networks"], len(report["members"]), report["path"]) == (3, 3, "ensemble")
    assert "ensemble of 3 networks, no network's own score" in capsys.readouterr().out
    table = read_identifiers(str(place / "arc"), read_manifest(str(place / "arc")))
    assert table is not None
    cast: dict[tuple[str, int], dict[str, list[float]]] = {}
    for name in NETWORKS:
        for row in answers_of(place, f"arc-{name}"):
            cells = np.frombuffer(row["cells"], dtype=np.uint8)[None]
            grid = json.dumps(grids_of(invert(crop(cells), table.codes[[row["identifier"]]]))[0])
            probability = 1 / (1 + np.exp(-row["halting_logit"]))
            cast.setdefault((row["name"], row["row"]), {}).setdefault(grid, []).append(probability)
    expected: dict[str, list[dict[str, Any]]] = {}
    for (name, _), grids in sorted(cast.items(), key=lambda item: item[0][1]):
        best = sorted(grids, key=lambda grid: (len(grids[grid]), np.mean(grids[grid])), reverse=True)
        attempts = [json.loads(grid) for grid in (*best, best[0])[:2]]
        expected.setdefault(name, []).append({f"attempt_{number}": grid for number, grid in enumerate(attempts, 1)})
    assert json.loads((place / "arc-all" / "submission.json").read_text()) == expected
    assert report["votes"]["votes"] == sum(len(answers_of(place, f"arc-{name}")) for name in NETWORKS)
    assert report["metrics"]["pass_at_1"] == report["votes"]["pass"]["1"]["by_task"]["share"]
    assert run_comparison(str(place / "arc-all"), str(place / "arc-a"), None) == 0


def test_a_row_has_the_answer_of_most_networks_and_runs_are_evaluated_first(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("trm.evaluation.answers_file.GROUP_CELLS", 5 * 16)  # several row groups a file
    (place / "boards-c-run" / "report.json").write_text("{}")  # as a winner's folder has one
    report = across(place, "boards", "boards-all", ("a", "b", "c-run"))
    assert "boards-c-run (weights" in capsys.readouterr().out  # was evaluated
    assert run_evaluation(options_of(place, "boards-c", path=str(place / "boards-c-run"))) == 0
    by_row: dict[int, list[dict[str, Any]]] = {}
    for name in NETWORKS:
        for row in answers_of(place, f"boards-{name}"):
            by_row.setdefault(row["row"], []).append(row)
    right, possible = [], []
    for own in by_row.values():
        votes = Counter(row["cells"] for row in own)
        means = {
            cells: np.mean([1 / (1 + np.exp(-row["halting_logit"])) for row in own if row["cells"] == cells]) for cells in votes
        }
        best = max(votes, key=lambda cells: (votes[cells], means[cells]))
        right.append(next(row["is_exact"] for row in own if row["cells"] == best))
        possible.append(any(row["is_exact"] for row in own))
    metrics = report["metrics"]
    assert (metrics["exact_accuracy"], metrics["oracle_accuracy"]) == pytest.approx((np.mean(right), np.mean(possible)))
    assert 0 < metrics["exact_accuracy"] < metrics["oracle_accuracy"]
    sure = across(place, "boards", "boards-sure", overrides=("evaluation.select=q",))
    surest = [max(own, key=lambda row: row["halting_logit"])["is_exact"] for own in by_row.values()]
    assert sure["metrics"]["exact_accuracy"] == pytest.approx(np.mean(surest))
    gain = sure["members"][0]["ensemble_against_it"]["exact_accuracy"]["difference"]
    assert gain == pytest.approx(sure["metrics"]["exact_accuracy"] - sure["members"][0]["metrics"]["exact_accuracy"])


@pytest.mark.parametrize(("kind", "asked"), [("boards", ("forms=4",)), ("arc", ("rollouts=4", "noise=3", "select=q"))])
def test_of_the_answers_after_every_step_the_last_ones_vote(place: Path, kind: str, asked: tuple[str, ...]) -> None:
    """Whichever of several answers was chosen after the steps before."""
    overrides = tuple(f"evaluation.{one}" for one in asked)
    reports = []
    for name, has_all_steps in (("final", False), ("steps", True)):
        folder, run = f"{kind}-{name}", str(place / f"{kind}-a-run")
        assert run_evaluation(options_of(place, folder, path=run, overrides=overrides, has_all_steps=has_all_steps)) == 0
        reports.append(across(place, kind, f"{kind}-with-{name}", (name, "b")))
    rows = answers_of(place, f"{kind}-steps")
    assert len({(row["row"], row["identifier"], row["answer"]) for row in rows}) > len(answers_of(place, f"{kind}-final"))
    assert reports[0]["metrics"] == reports[1]["metrics"]


def test_the_same_network_twice_is_one_network(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(place / "boards-a", place / "boards-again")
    report, alone = (
        across(place, "boards", "boards-twice", ("a", "again")),
        json.loads((place / "boards-a/report.json").read_text()),
    )
    assert "ensemble of 1 network (2 evaluations)" in capsys.readouterr().out
    assert report["networks"] == 1
    shared = set(report["metrics"]) & set(alone["metrics"])
    assert {"exact_accuracy", "cell_accuracy", "loss", "q_halt_accuracy"} <= shared
    assert {name: report["metrics"][name] for name in shared} == pytest.approx({name: alone["metrics"][name] for name in shared})


def _other_puzzles(place: Path) -> tuple[str, ...]:
    _write_boards(place / "others", 2)
    run_evaluation(
        options_of(place, "boards-others", path=str(place / "boards-a-run"), overrides=(f"data.folder={place / 'others'}",))
    )
    return "a", "others"


def _fewer_votes(place: Path) -> tuple[str, ...]:
    run_evaluation(options_of(place, "arc-few", path=str(place / "arc-a-run"), votes=2))
    return "a", "few"


def _ensemble(place: Path) -> tuple[str, ...]:
    across(place, "boards", "boards-voted", ("a", "b"))
    return "voted", "a"


def _damaged(place: Path) -> tuple[str, ...]:
    shutil.copytree(place / "boards-a", place / "boards-damaged")
    table = pq.read_table(place / "boards-a" / "answers.parquet")
    rows = pa.array(np.arange(len(table)) + 1000)
    pq.write_table(table.set_column(0, "row", rows), place / "boards-damaged" / "answers.parquet")
    return "a", "damaged"


BAD: dict[str, tuple[str, Callable[[Path], tuple[str, ...]], dict[str, Any], str]] = {
    "other puzzles": ("boards", _other_puzzles, {}, "an ensemble is of the same puzzles"),
    "fewer votes": ("arc", _fewer_votes, {}, "an ensemble votes on the same rows"),
    "damage": ("boards", _damaged, {}, "answers.parquet as it was written, got rows of another split"),
    "one": ("boards", lambda _: ("a",), {}, "two evaluations or runs at least, got 1"),
    "twice": ("boards", lambda _: ("a", "a"), {}, "is named twice"),
    "a curve": ("boards", lambda _: ("a", "b"), {"has_curve": True}, "--curve is of one network"),
    "a selector": (
        "boards",
        lambda _: ("a", "b"),
        {"overrides": ("evaluation.select=residual",)},
        "vote or q, got evaluation.select",
    ),
    "a member's folder": ("boards", lambda _: ("a", "b"), {"folder": "boards-a"}, "must be another than those that vote"),
    "steps of answers": ("boards", lambda _: ("a", "b"), {"has_all_steps": True}, "--steps all is of networks that are scored"),
    "a value": (
        "boards",
        lambda _: ("a", "b"),
        {"overrides": ("evaluation.steps=1",)},
        "--set evaluation.steps is of networks that",
    ),
    "speed": ("boards", lambda _: ("a", "b"), {"has_speed": True}, "--speed is of one network"),
    "another split": ("boards", lambda _: ("a", "b"), {"split": "train"}, "are of the test split, --split says train"),
    "an ensemble": ("boards", _ensemble, {}, "boards-voted must hold the answers that vote, and has no answers.parquet"),
    "a submission": ("boards", lambda _: ("a", "b"), {"has_submission": True}, "--submission is of ARC tasks"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_vote_together_is_refused(place: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    kind, prepare, changes, message = BAD[case]
    members = tuple(str(place / f"{kind}-{name}") for name in prepare(place))
    if "folder" in changes:
        changes = changes | {"folder": str(place / changes["folder"])}
    capsys.readouterr()
    options = replace(options_of(place, "refused", path=members[0], across=members), **changes)
    assert run_job(lambda: run_evaluation(options)) == 2
    assert message in capsys.readouterr().err
    assert not (place / "refused").exists()


def test_rows_are_read_a_group_at_a_time(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = pq.ParquetFile.read_row_group
    sizes = []

    def counted(self: pq.ParquetFile, number: int, **how: Any) -> pa.Table:
        found = read(self, number, **how)
        sizes.append(len(found))
        return found

    table = pq.read_table(place / "boards-a" / "answers.parquet")
    pq.write_table(table, place / "grouped.parquet", row_group_size=5)
    monkeypatch.setattr(ensembles.pq.ParquetFile, "read_row_group", counted)
    from trm.data.batches.split import load_split
    from trm.tasks.choice import task_named

    manifest = read_manifest(str(place / "boards"))
    split = load_split(str(place / "boards"), manifest, "test")
    scorer = task_named("sudoku").scorer(manifest, split)
    found = ensembles.stored_columns(place / "grouped.parquet", split, scorer, has_votes=False, is_pooled=False)
    assert sizes == [5, 5, 5, 5, 4]
    assert found["row"].tolist() == list(range(24))
