"""Our own data sets as the reference's arrays: augmentations written out, and scored alike when they are read back."""

import importlib.util
import io
import json
from pathlib import Path

import numpy as np
import pytest
from arrays_cases import Puzzle, files_of, write_arc_set, write_folder
from evaluation_cases import PreparedAnswers, config_of
from evaluation_cases import score as scores_of
from rich.console import Console

from trm.data.batches.plan import EvaluationPlan
from trm.data.batches.split import Split, load_split
from trm.data.format.manifest import Manifest, read_manifest
from trm.errors import DatasetError
from trm.tasks.arc import augment as arc
from trm.tasks.augment import augmenter_for
from trm.tasks.draw import drawn_example
from trm.tasks.ensure import build_into
from trm.tasks.maze.recipe import MazeRecipe
from trm.tasks.published import arrays_arc
from trm.tasks.published.export import export_dataset
from trm.tasks.published.recipe import ArraysRecipe
from trm.tasks.sudoku import augment as sudoku
from trm.tasks.sudoku.recipe import SudokuRecipe
from trm.terminal.command_line import run_job

ROOT = Path(__file__).parents[2]


def silent(*_: object) -> None:
    """A report that nobody hears."""


def loaded(folder: Path, name: str) -> dict[str, np.ndarray]:
    names = ("inputs", "labels", "puzzle_identifiers", "puzzle_indices", "group_indices")
    return {array: np.load(folder / name / f"all__{array}.npy") for array in names}


def sudoku_set(tmp_path: Path, **fields: object) -> Path:
    values = {"name": "boards", "size": 4, "train": 8, "validation": 3, "test": 4, **fields}
    build_into(SudokuRecipe.model_validate(values), str(tmp_path / "set"), silent)
    return tmp_path / "set"


def test_sudoku_forms_are_written_out_and_the_first_is_the_puzzle(tmp_path: Path) -> None:
    folder = sudoku_set(tmp_path)
    export_dataset(str(folder), str(tmp_path / "out"), num_aug=5)
    split = load_split(str(folder), read_manifest(str(folder)), "train")
    arrays = loaded(tmp_path / "out", "train")
    assert arrays["group_indices"].tolist() == list(range(0, 49, 6))
    assert arrays["puzzle_indices"].tolist() == list(range(49))
    assert not arrays["puzzle_identifiers"].any()
    assert (arrays["inputs"][::6] == split.inputs).all()
    assert (arrays["labels"][::6] == split.labels).all()
    assert len(np.unique(np.concatenate([arrays["inputs"], arrays["labels"]], axis=1), axis=0)) > 40
    given = arrays["inputs"] != sudoku.BLANK
    assert (arrays["inputs"][given] == arrays["labels"][given]).all()
    assert (given.sum(1) == np.repeat((split.inputs != sudoku.BLANK).sum(1), 6)).all()
    assert len(loaded(tmp_path / "out", "test")["inputs"]) == 4
    assert len(loaded(tmp_path / "out", "validation")["inputs"]) == 3
    assert json.loads((tmp_path / "out/identifiers.json").read_text()) == ["<blank>"]
    with pytest.raises(DatasetError, match="must know how many forms of a Sudoku"):
        export_dataset(str(folder), str(tmp_path / "other"))


def test_an_exported_sudoku_set_is_one_to_import(tmp_path: Path) -> None:
    export_dataset(str(sudoku_set(tmp_path)), str(tmp_path / "out"), num_aug=2, joins_validation=True)
    recipe = ArraysRecipe(name="back", path=str(tmp_path / "out"), puzzle="sudoku", validation=2)
    manifest, _ = build_into(recipe, str(tmp_path / "back"), silent)
    assert {name: (info.groups, info.rows) for name, info in manifest.splits.items()} == {
        "train": (9, 27),
        "validation": (2, 6),
        "test": (4, 4),
    }


def test_mazes_are_written_plain_and_validation_follows_training(tmp_path: Path) -> None:
    recipe = MazeRecipe(name="mazes", size=6, train=5, validation=2, test=2, wall_fraction=0.3, min_path=3, augment=True)
    build_into(recipe, str(tmp_path / "set"), silent)
    export_dataset(str(tmp_path / "set"), str(tmp_path / "out"), joins_validation=True)
    manifest = read_manifest(str(tmp_path / "set"))
    train, validation = (load_split(str(tmp_path / "set"), manifest, name).inputs for name in ("train", "validation"))
    assert (loaded(tmp_path / "out", "train")["inputs"] == np.concatenate([train, validation])).all()
    assert not (tmp_path / "out/validation").exists()


def test_every_arc_identifier_is_written_with_its_rows(tmp_path: Path) -> None:
    built = write_arc_set(tmp_path / "own")
    table = built.identifiers
    assert table is not None
    export_dataset(str(tmp_path / "own"), str(tmp_path / "out"))
    names = json.loads((tmp_path / "out/identifiers.json").read_text())
    assert (arrays_arc.identifier_table_of(names, "").codes == table.codes).all()
    stored = built.splits["train"]
    arrays = loaded(tmp_path / "out", "train")
    assert arrays["puzzle_identifiers"].tolist() == list(range(1, len(table.codes)))
    moved = 0
    for puzzle, identifier in enumerate(arrays["puzzle_identifiers"]):
        rows = slice(*arrays["puzzle_indices"][puzzle : puzzle + 2])
        inputs, labels, down, right = arrays_arc.cornered(arrays["inputs"][rows], arrays["labels"][rows])
        group = int(np.searchsorted(table.starts, identifier, side="right")) - 1
        mine = stored.groups == group
        codes = np.repeat(table.codes[[identifier]], len(inputs))
        assert (arc.invert(inputs, codes) == stored.inputs[mine]).all()
        assert (arc.invert(labels, codes) == stored.labels[mine]).all()
        is_moved = (down > 0) | (right > 0)
        assert not is_moved.all()
        moved += int(is_moved.sum())
    assert moved > len(arrays["inputs"]) / 4
    tests = json.loads((tmp_path / "out/test_puzzles.json").read_text())
    assert list(tests) == list(table.names[3:])
    test = built.splits["test"]
    first = arc.canvas([np.array(tests[table.names[3]]["test"][0]["output"], dtype=np.uint8)])
    assert (first == test.labels[0]).all()
    assert len(tests[table.names[5]]["train"]) == int((stored.groups == 5).sum())


def test_fewer_augmentations_close_the_ranks_of_identifiers(tmp_path: Path) -> None:
    write_arc_set(tmp_path / "own")
    said = export_dataset(str(tmp_path / "own"), str(tmp_path / "out"), num_aug=1)
    assert said["train"]["num_puzzle_identifiers"] == 13
    assert said["train"]["total_puzzles"] == 12
    assert loaded(tmp_path / "out", "train")["puzzle_identifiers"].tolist() == list(range(1, 13))
    assert loaded(tmp_path / "out", "test")["puzzle_identifiers"].tolist() == list(range(7, 13))
    assert len(json.loads((tmp_path / "out/identifiers.json").read_text())) == 13


def test_a_translated_grid_is_drawn_without_its_canvas(tmp_path: Path) -> None:
    built = write_arc_set(tmp_path / "own")
    manifest = read_manifest(str(tmp_path / "own"))
    split = load_split(str(tmp_path / "own"), manifest, "train")
    moved = {
        name: arrays_arc.placed(getattr(built.splits["train"], name), *np.full((2, len(split)), 7)) for name in ("inputs", "labels")
    }
    pictures = []
    for case in (split, Split.from_columns("train", split.columns() | moved)):
        console = Console(width=120, file=io.StringIO())
        console.print(drawn_example(case, 1, manifest, width=120))
        pictures.append(console.file.getvalue())  # type: ignore[attr-defined]
    assert pictures[0] == pictures[1]
    assert pictures[0].count("\n") > 2


def arc_answers(split: Split, manifest: Manifest) -> PreparedAnswers:
    """A network that is right about a third of the time, by what it is asked alone."""
    answers, wishes, rng = {}, {}, np.random.default_rng(0)
    wrong = arc.canvas([np.full((2, 2), colour) for colour in range(10)])
    for batch in EvaluationPlan(split, manifest, augmenter_for, batch_size=16, max_examples=None, seed=0):
        truths = arc.apply(split.labels[batch.rows], batch.augmentations)
        for key, truth in zip(batch.batch.inputs.astype(np.uint8), truths, strict=True):
            answers[key.tobytes()] = [truth if rng.random() < 0.3 else wrong[rng.integers(3)]]
            wishes[key.tobytes()] = [float(rng.normal())]
    return PreparedAnswers(manifest.shape, answers, wishes)


@pytest.mark.parametrize("workers", [1, 2])
def test_stored_forms_are_scored_as_forms_made_on_the_fly(tmp_path: Path, workers: int) -> None:
    write_arc_set(tmp_path / "own", 24)
    export_dataset(str(tmp_path / "own"), str(tmp_path / "out"), joins_validation=True)
    recipe = ArraysRecipe(name="back", path=str(tmp_path / "out"), puzzle="arc", validation=2)
    build_into(recipe, str(tmp_path / "back"), silent)
    found = []
    for folder in ("own", "back"):
        manifest = read_manifest(str(tmp_path / folder))
        split = load_split(str(tmp_path / folder), manifest, "test")
        network = arc_answers(split, manifest) if folder == "own" else network
        found.append(scores_of(network, split, manifest, config_of(1), batch_size=7, workers=workers)[0])
        capped = EvaluationPlan(split, manifest, augmenter_for, batch_size=5, max_examples=4, seed=3, max_augmentations=2)
        assert len(capped.examples) == 4
        assert capped.num_rows == 8
        codes = np.concatenate([batch.augmentations for batch in capped])
        assert (codes == 0).sum() == 4
        found.append([split.labels[batch.rows].tolist() for batch in capped])
    assert 0 < found[0].metrics["pass_at_1"] < found[0].metrics["pass_at_2"] < 1
    assert found[2] == found[0]
    assert found[3] == found[1]


def export_job(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    spec = importlib.util.spec_from_file_location("job_export", ROOT / "ray_jobs/export_dataset.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr("sys.argv", ["export_dataset.py", *arguments])
    return run_job(module.main)


def test_the_job_exports_and_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = str(sudoku_set(tmp_path)), str(tmp_path / "out")
    assert export_job(folder, "--out", out, "--num-aug", "0", monkeypatch=monkeypatch) == 0
    assert "validation" in capsys.readouterr().out
    before = files_of(tmp_path)
    refused = {
        (folder, "--out", out, "--num-aug", "0"): f"an export needs a folder of its own: {out} exists",
        (folder, "--out", f"{out}2", "--num-aug", "-1"): "must be >= 0, got -1",
        (folder, "--out", f"{out}2"): "say --num-aug N",
        (folder, "--out", "memory://out"): "an export goes to a folder of this machine",
        (str(tmp_path / "nothing"), "--out", f"{out}2"): "the manifest must exist",
    }
    for arguments, message in refused.items():
        assert export_job(*arguments, monkeypatch=monkeypatch) == 2
        assert message in capsys.readouterr().err
    assert files_of(tmp_path) == before


def test_a_damaged_set_is_not_exported(tmp_path: Path) -> None:
    folder = sudoku_set(tmp_path)
    shard = folder / "train-00000-of-00001.parquet"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(DatasetError, match="a shard must have the hash in the manifest"):
        export_dataset(str(folder), str(tmp_path / "out"), num_aug=0)
    assert not list(tmp_path.glob("*out*"))
    assert not list(tmp_path.glob(".out*"))


def test_types_and_facts_of_an_import_are_kept_but_not_when_they_are_no_longer_true(tmp_path: Path) -> None:
    groups = [[(0, [2 * k]), (0, [2 * k + 1])] for k in range(5)]
    root = write_folder(tmp_path / "source", {"train": groups, "test": [[(0, [99])]]}, 1, "int64", total_puzzles=5, note="kept")
    facts = json.loads((root / "test/dataset.json").read_text()) | {"total_puzzles": 1}
    (root / "test/dataset.json").write_text(json.dumps(facts))
    recipe = ArraysRecipe(name="case", path=str(root), puzzle="other", grid=(2, 3), validation=1)
    build_into(recipe, str(tmp_path / "set"), silent)
    export_dataset(str(tmp_path / "set"), str(tmp_path / "whole"), joins_validation=True)
    assert files_of(tmp_path / "whole") == files_of(root)
    export_dataset(str(tmp_path / "set"), str(tmp_path / "apart"))
    said = {name: json.loads((tmp_path / "apart" / name / "dataset.json").read_text()) for name in ("train", "validation", "test")}
    assert [said[name]["total_groups"] for name in said] == [4, 1, 1]
    assert "note" not in said["train"]
    assert "note" in said["test"]
    assert loaded(tmp_path / "apart", "validation")["inputs"].dtype == np.int64


KEPT: list[tuple[str, str, str]] = [
    ("arrays.json", "[" * 100_000, "arrays.json must be JSON at most 64 deep"),
    ("arrays.json", '{"train": {"inputs": "|O"}}', "types of arrays must be whole numbers': .*arrays.json has"),
    ("arrays.json", '{"train": {"shoe": "|u1"}}', "types of arrays must be whole numbers': .*arrays.json has"),
    ("train-dataset.json", "[]", "train-dataset.json must hold an object, and holds a list"),
]


@pytest.mark.parametrize(("file", "text", "message"), KEPT)
def test_what_an_import_kept_is_read_as_a_strangers(tmp_path: Path, file: str, text: str, message: str) -> None:
    splits: dict[str, list[list[Puzzle]]] = {"train": [[(0, [1])], [(0, [2])]], "test": [[(0, [3])]]}
    root = write_folder(tmp_path / "source", splits, 1)
    recipe = ArraysRecipe(name="x", path=str(root), puzzle="other", grid=(2, 3), validation=0)
    build_into(recipe, str(tmp_path / "set"), lambda *_: None)
    (tmp_path / "set" / file).write_text(text)
    with pytest.raises(DatasetError, match=message):
        export_dataset(str(tmp_path / "set"), str(tmp_path / "out"))
    (tmp_path / "set" / "train-dataset.json").write_text("{}")
    (tmp_path / "set" / "arrays.json").write_text("{}")
    assert export_dataset(str(tmp_path / "set"), str(tmp_path / "out"))["train"]["total_groups"] == 2
