"""view.py of evaluations, runs, data sets and arrays: its page says what their files say, and what is damaged is told."""

import base64
import gzip
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from arrays_cases import write_arc_set
from data_cases import manifest as manifest_of
from data_cases import sudoku_split

from trm.config.files import dump_yaml
from trm.config.run import RunConfig
from trm.data.format.manifest import read_manifest
from trm.errors import InputError
from trm.evaluation.kept_answers import FIRST_LETTER
from trm.jobs.evaluate import run_evaluation
from trm.jobs.evaluation.options import EvaluateOptions
from trm.jobs.view import run_view
from trm.jobs.view_answers import judged
from trm.pages.puzzles import Answered
from trm.tasks.choice import task_named
from trm.tasks.published.export import export_dataset
from trm.training.state import TrainingState

MODEL = {"H_cycles": 1, "L_cycles": 1, "L_layers": 1, "hidden_size": 16, "num_heads": 2, "puzzle_emb_len": 1, "halt_max_steps": 3}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ARC set, a run, and its evaluations `all` (every step) and `two` (two steps, the last answers)."""
    folder = tmp_path_factory.mktemp("view")
    write_arc_set(folder / "own")
    manifest = read_manifest(str(folder / "own"))
    config = RunConfig.model_validate(
        {"data": {"folder": str(folder / "own")}, "model": MODEL, "training": {"steps": 5, "global_batch_size": 16}}
    )
    state = TrainingState(config, manifest.shape, data_hash=manifest.content_hash, names=manifest.names, max_steps=5)
    assert state.average is not None
    generator = torch.Generator().manual_seed(2)
    state.average.load({name: torch.randn(value.shape, generator=generator) for name, value in state.average.average.items()})
    state.save(folder / "run" / "checkpoints" / "step-00000001")
    dump_yaml(folder / "run" / "config.yaml", config.model_dump(mode="json"))
    options = EvaluateOptions(str(folder / "run"), "test", (), None, None, None, str(folder / "runs"), folder=str(folder / "all"))
    run_evaluation(EvaluateOptions(**{**vars(options), "has_all_steps": True, "has_curve": True}))
    run_evaluation(EvaluateOptions(**{**vars(options), "overrides": ("evaluation.steps=2",), "folder": str(folder / "two")}))
    return folder


def view(*paths: Path, out: Path, **options: Any) -> dict[str, Any]:
    """The data of the page: its head, and every section's by its title."""
    assert run_view(*map(str, paths), out=str(out), is_live=False, port=None, **options) == 0
    blocks = dict(re.findall(r'<script type="text/plain" id="([^"]+)">([^<]*)</script>', out.read_text()))
    data = {name: json.loads(gzip.decompress(base64.b64decode(text))) for name, text in blocks.items() if name != "plotly"}
    titles = [section["title"] for section in data["page-data"]["sections"]]
    return {title: data[f"section-{number}"] for number, title in enumerate(titles)} | {"": data["page-data"]}


def test_an_evaluation_has_its_answers_and_its_ballots(place: Path, tmp_path: Path) -> None:
    found = view(place / "all", out=tmp_path / "page.html")["Puzzles"]
    pairs = pq.read_table(place / "all" / "pairs.parquet").to_pydict()
    assert found["chosen"].startswith(f"All {len(pairs['rank'])} scored puzzles of test")
    assert [one["ballots"][0]["rank"] for one in found["puzzles"]] == pairs["rank"]
    assert [one["ballots"][0]["votes"] for one in found["puzzles"]] == pairs["votes"]
    assert [one["ballots"][0]["grids"] for one in found["puzzles"]] == pairs["distinct_grids"]
    assert [one["answers"][0]["solved"] for one in found["puzzles"]] == [1 <= rank <= 2 for rank in pairs["rank"]]
    plain = pa.compute.field("augmentation") == 0
    answers = pq.read_table(place / "all" / "answers.parquet").filter(plain & (pa.compute.field("row") == 0)).to_pydict()
    first = found["puzzles"][0]
    assert answers["step"] == [1, 2, 3]
    truth = np.array([ord(letter) - FIRST_LETTER for letter in first["truth"]])
    for step, text in enumerate(first["answers"][0]["steps"]):
        cells = np.frombuffer(answers["cells"][step], dtype=np.uint8)
        assert [ord(letter) - FIRST_LETTER for letter in text] == np.where(truth == 0, 0, cells).tolist()
        assert first["answers"][0]["halting"][step] == pytest.approx(1 / (1 + np.exp(-answers["halting_logit"][step])), abs=1e-5)
        assert first["answers"][0]["wrong"][step] == ((cells != truth) & (truth != 0)).sum()
    assert all(one["demonstrations"] for one in found["puzzles"])


def test_two_evaluations_are_compared_as_compare_does(place: Path, tmp_path: Path) -> None:
    found = view(place / "all", place / "two", out=tmp_path / "page.html")
    rows = {row["metric"]: row for row in found["A against B, puzzle by puzzle"]["rows"]}
    assert rows["exact_accuracy"]["A higher"] == rows["exact_accuracy"]["B higher"] == 0
    assert found["Puzzles"]["sides"] == [str(place / "all"), str(place / "two")]
    with pytest.raises(InputError, match="two evaluations or several sweeps to compare"):
        run_view(str(place / "all"), str(place / "own"), out=None, is_live=False, port=None)


def test_a_run_is_asked_on_validation_and_on_test_only_by_name(place: Path, tmp_path: Path) -> None:
    found = view(place / "run", out=tmp_path / "page.html")
    manifest = read_manifest(str(place / "own"))
    if "validation" not in manifest.splits:
        assert "test is looked at only when you say so" in found["Puzzles"]["lines"][0]
    else:
        assert found["Puzzles"]["notes"][0].endswith("after each of 3 steps.")
    found = view(place / "run", out=tmp_path / "page.html", split="test")
    assert found["Puzzles"]["notes"][0].endswith("puzzles of test, after each of 3 steps. It is one more look at test.")
    assert {len(one["answers"][0]["steps"]) for one in found["Puzzles"]["puzzles"]} == {3}
    assert not (place / "run" / "report.html").exists()


def test_a_data_set_and_its_arrays_show_the_same_puzzles(place: Path, tmp_path: Path) -> None:
    found = view(place / "own", out=tmp_path / "page.html")
    manifest = read_manifest(str(place / "own"))
    assert [row["rows"] for row in found["Splits"]["rows"]] == [info.rows for info in manifest.splits.values()]
    assert all(len(one["forms"]) == 3 for one in found["Puzzles of train"]["puzzles"])
    export_dataset(str(place / "own"), str(tmp_path / "arrays"))
    arrays = view(tmp_path / "arrays", out=tmp_path / "arrays.html")
    assert arrays[""]["about"].startswith("arc, canvas 30x30, 12 tokens")
    stored = {one["truth"] for one in arrays["Puzzles of test"]["puzzles"]}
    assert stored <= {one["truth"] for one in found["Puzzles of test"]["puzzles"]}


def test_what_was_tampered_with_is_told(place: Path, tmp_path: Path) -> None:
    evaluation = tmp_path / "evaluation"
    shutil.copytree(place / "all", evaluation)
    answers = evaluation / "answers.parquet"
    table = pq.read_table(answers)
    cells = pa.array([b"\xff" * 900] * len(table), pa.binary(900))
    rows = pa.array([10**6] * len(table), pa.int64())
    for column, values, said in (
        ("cells", cells, "has a token 255 in cells, of 12"),
        ("row", rows, "has one to row 1000000"),
        ("row", table["step"].cast(pa.int32()), "has row of type int32, not int64"),
        ("is_exact", pa.nulls(len(table), pa.bool_()), "has a value that is missing"),
    ):
        pq.write_table(table.set_column(table.column_names.index(column), column, values), answers)
        with pytest.raises(InputError, match=said):
            view(evaluation, out=tmp_path / "page.html")
    answers.write_bytes(answers.read_bytes()[:-100])
    with pytest.raises(InputError, match="cannot be read"):
        view(evaluation, out=tmp_path / "page.html")
    answers.unlink()
    assert "has no answers.parquet" in view(evaluation, out=tmp_path / "page.html")["Puzzles"]["lines"][0]
    report = json.loads((evaluation / "report.json").read_text())
    (evaluation / "report.json").write_text(json.dumps(report | {"curve": [{"bands": {}}]}))
    with pytest.raises(InputError, match="as this version writes it"):
        view(evaluation, out=tmp_path / "page.html")


def test_what_rules_an_answer_breaks_is_told_where_it_failed() -> None:
    split = sudoku_split(1)
    question, right = (np.asarray(cells)[0] for cells in (split.inputs, split.labels))
    wrong, sudoku, about = right.copy(), task_named("sudoku"), manifest_of(split, (4, 4))
    wrong[0] = right[1]
    told = judged(Answered([right, wrong], [0.5, 0.5], False), question, about, sudoku).breaks
    assert told is not None
    assert any("row 1" in rule for rule in told)
    assert judged(Answered([right], [0.5], False), question, about, sudoku).breaks == []
    assert judged(Answered([right], [0.5], True), question, about, sudoku).breaks is None


def test_puzzles_that_are_elsewhere_are_asked_for_by_name(place: Path, tmp_path: Path) -> None:
    evaluation = tmp_path / "evaluation"
    shutil.copytree(place / "all", evaluation)
    report = json.loads((evaluation / "report.json").read_text())
    for folder, said in (("s3://bucket/own", "nothing is fetched because a report says so"), ("/nowhere", "--data FOLDER")):
        (evaluation / "report.json").write_text(json.dumps(report | {"data": report["data"] | {"folder": folder}}))
        assert said in view(evaluation, out=tmp_path / "page.html")["Puzzles"]["lines"][0]
    assert view(evaluation, out=tmp_path / "page.html", data=str(place / "own"))["Puzzles"]["puzzles"]
    write_arc_set(tmp_path / "other", count=7)
    with pytest.raises(InputError, match="another data set"):
        view(evaluation, out=tmp_path / "page.html", data=str(tmp_path / "other"))
    with pytest.raises(InputError, match="a folder on this machine, got s3://bucket/own"):
        run_view("s3://bucket/own", out=None, is_live=False, port=None)
