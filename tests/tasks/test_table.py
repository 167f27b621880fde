"""Puzzles of one's own from tables: every kind of file is one data set, and every fault in them is named by file and row."""

import csv
import gzip
import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trm.data.batches.split import load_split
from trm.data.format.built import BuiltDataset, BuiltSplit
from trm.data.format.manifest import read_manifest
from trm.errors import ConfigError, DatasetError
from trm.tasks.ensure import build_into
from trm.tasks.making.published_csv import DOUBLED
from trm.tasks.published.export import export_dataset
from trm.tasks.published.recipe import ArraysRecipe
from trm.tasks.recipes import load_recipe, recipe_of
from trm.tasks.table.build import build_table
from trm.tasks.table.recipe import TableRecipe

PAIRS = [(f"{number:04d}", "".join(sorted(f"{number:04d}"))) for number in range(0, 9000, 301)]


def recipe_for(path: Path, **fields: Any) -> TableRecipe:
    return TableRecipe.model_validate({"name": "case", "path": str(path), "validation": 4, "test": 5} | fields)


def built_of(path: Path, **fields: Any) -> BuiltDataset:
    return build_table(recipe_for(path, **fields))


def spelt(built: BuiltDataset, split: BuiltSplit) -> set[tuple[str, str]]:
    """Questions and answers as they stood in the table, padding left out."""
    sides = (
        [" ".join(built.vocabulary[token] for token in row if token) for row in cells] for cells in (split.inputs, split.labels)
    )
    return set(zip(*sides, strict=True))


def write_csv(path: Path, pairs: list[tuple[str, str]]) -> Path:
    path.write_text("question,answer\n" + "".join(f"{question},{answer}\n" for question, answer in pairs))
    return path


def as_csv(folder: Path) -> Path:
    return write_csv(folder / "p.csv", PAIRS)


def as_quoted(folder: Path) -> Path:
    text = io.StringIO()
    csv.writer(text, delimiter=";", quoting=csv.QUOTE_ALL).writerows(
        [("Puzzle", "note", "Solution"), *((q, "a;b", a) for q, a in PAIRS)]
    )
    path = folder / "p.csv.gz"
    path.write_bytes(gzip.compress(text.getvalue().encode()))
    return path


def as_json(folder: Path) -> Path:
    path = folder / "p.json"
    path.write_text(json.dumps([{"question": [int(digit) for digit in q], "answer": list(a)} for q, a in PAIRS]))
    return path


def as_columns(folder: Path) -> Path:
    path = folder / "p.json"
    path.write_text(json.dumps({"question": [q for q, _ in PAIRS], "answer": [a for _, a in PAIRS]}))
    return path


def as_lines(folder: Path) -> Path:
    path = folder / "p.jsonl"
    path.write_text("".join(json.dumps({"input": q, "output": a, "id": 1}) + "\n" for q, a in PAIRS))
    return path


def as_npz(folder: Path) -> Path:
    path = folder / "p.npz"
    grids = {
        name: np.array([[int(digit) for digit in pair[side]] for pair in PAIRS]) for side, name in enumerate(("question", "answer"))
    }
    np.savez_compressed(path, **grids)
    return path


def as_texts(folder: Path) -> Path:
    path = folder / "p.npz"
    np.savez(path, question=np.array([q for q, _ in PAIRS]), answer=np.array([a.encode() for _, a in PAIRS]))
    return path


def as_parquet(folder: Path) -> Path:
    path = folder / "p.parquet"
    pq.write_table(pa.table({"question": [list(map(int, q)) for q, _ in PAIRS], "answer": [a for _, a in PAIRS]}), path)
    return path


FILES: list[Callable[[Path], Path]] = [as_csv, as_quoted, as_json, as_columns, as_lines, as_npz, as_texts, as_parquet]


@pytest.mark.parametrize("write", FILES, ids=lambda write: write.__name__)
def test_every_kind_of_file_is_the_same_data_set(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    built = built_of(write(tmp_path))
    assert built.vocabulary == ("pad", *map(str, range(10)))
    assert built.grid == (1, 4)
    assert {name: len(split.groups) for name, split in built.splits.items()} == {"train": 21, "validation": 4, "test": 5}
    assert set.union(*(spelt(built, split) for split in built.splits.values())) == {(" ".join(q), " ".join(a)) for q, a in PAIRS}
    expected = built_of(as_csv(tmp_path))
    for name, split in built.splits.items():
        assert (split.inputs == expected.splits[name].inputs).all()
        assert (split.groups == expected.splits[name].groups).all()


def test_a_table_trains_as_any_other_and_comes_back_as_arrays(tmp_path: Path) -> None:
    folder = str(tmp_path / "set")
    path = write_csv(tmp_path / "p.csv", PAIRS)
    build_into(recipe_for(path), folder, lambda *_: None)
    manifest = read_manifest(folder)
    assert manifest.shape.vocab_size == 11
    assert (manifest.task, manifest.shape.seq_len, manifest.num_puzzle_identifiers) == ("other", 4, 1)
    export_dataset(folder, str(tmp_path / "arrays"), joins_validation=True)
    recipe = ArraysRecipe(name="back", path=str(tmp_path / "arrays"), puzzle="other", grid=(1, 4), validation=0)
    build_into(recipe, str(tmp_path / "back"), lambda *_: None)
    back = read_manifest(str(tmp_path / "back"))
    ours, theirs = (load_split(str(tmp_path / name), each, "test") for name, each in (("set", manifest), ("back", back)))
    assert (ours.inputs == theirs.inputs).all()
    assert back.splits["train"].rows == 25


def test_grids_of_all_sizes_lie_in_the_corner_of_one_canvas(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    rows = [
        {"question": [[1, 2, 3], [4, 5, 6]], "answer": [[9]]},
        {"question": ["12", "34", "56"], "answer": "7\n8"},
        {"question": [[7], [0]], "answer": [[3, "-"]]},
    ]
    path.write_text(json.dumps(rows))
    built = built_of(path, validation=0, test=1, padding="-")
    assert built.grid == (3, 3)
    assert built.vocabulary == ("pad", *map(str, range(10)))
    cells = {
        tuple(split.inputs[row]): tuple(split.labels[row]) for split in built.splits.values() for row in range(len(split.inputs))
    }
    assert cells == {
        (2, 3, 4, 5, 6, 7, 0, 0, 0): (10, 0, 0, 0, 0, 0, 0, 0, 0),
        (2, 3, 0, 4, 5, 0, 6, 7, 0): (8, 0, 0, 9, 0, 0, 0, 0, 0),
        (8, 0, 0, 1, 0, 0, 0, 0, 0): (4, 0, 0, 0, 0, 0, 0, 0, 0),
    }
    with pytest.raises(DatasetError, match=r"must fit into 2 times 3: .*p.json row 2 has 3 times 2; raise grid, or leave it out"):
        built_of(path, validation=0, test=1, padding="-", grid=[2, 3])


def test_words_json_and_a_vocabulary_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("question\tanswer\n" + "".join(f"a b {k}\tyes {k}\n" for k in range(3)))
    built = built_of(path, text="words", validation=0, test=1, vocabulary=["yes", "a", "b", 0, 1, 2])
    assert built.vocabulary == ("pad", "yes", "a", "b", "0", "1", "2")
    assert built.splits["test"].inputs[0, :2].tolist() == [2, 3]
    with pytest.raises(DatasetError, match=r"a token must be in the vocabulary: .*p.csv row 3, question has '2'; mend or remove"):
        built_of(path, text="words", validation=0, test=1, vocabulary=["yes", "a", "b", 0, 1])
    path.write_text('question;answer\n"[[1, 2], [3, 4]]";"[[5]]"\n"[[1, 2], [3, 3]]";"[[6]]"\n')
    assert built_of(path, text="json", validation=0, test=1).grid == (2, 2)


def test_a_grid_stands_in_one_quoted_field_of_several_lines(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("question", "answer"), *((f"{q[:2]}\n{q[2:]}", a) for q, a in PAIRS)])
    built = built_of(path)
    assert built.grid == (2, 4)
    assert sum(len(split.groups) for split in built.splits.values()) == len(PAIRS)
    path.write_text('question,answer\n"a,1\nb,2\nc,3\n')  # a mark alone is a token
    assert '"' in built_of(path, validation=0, test=1).vocabulary


def test_identifiers_groups_and_splits_come_from_columns(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    rows = [{"question": f"{k}", "answer": f"{k % 2}", "task": f"t{k % 3}", "group": k // 2, "split": "train"} for k in range(8)]
    rows += [{"question": "0", "answer": "8", "task": "t1", "group": "v", "split": "val"}]
    rows += [{"question": "9", "answer": "1", "task": "t0", "group": "x", "split": "test"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    built = built_of(path, validation=None, test=None)
    train = built.splits["train"]
    assert train.puzzles is not None
    assert train.puzzle_identifiers is not None
    assert train.puzzles.tolist() == list(range(8))
    assert train.groups.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert train.puzzle_identifiers.tolist() == [1, 2, 3, 1, 2, 3, 1, 2]
    assert json.loads(built.attachments["identifiers.json"]) == ["<blank>", "t0", "t1", "t2"]
    assert [len(split.groups) for split in built.splits.values()] == [8, 1, 1]
    with pytest.raises(
        DatasetError, match=r"validation puzzles come from files or from the recipe: there are 1, and validation is 2"
    ):
        built_of(path, validation=2, test=None)


def test_files_a_split_and_shares(tmp_path: Path) -> None:
    write_csv(tmp_path / "train.csv", PAIRS[:20])
    write_csv(tmp_path / "dev.csv", PAIRS[20:23])
    write_csv(tmp_path / "test.tsv", PAIRS[23:]).write_text("question\tanswer\n" + "".join(f"{q}\t{a}\n" for q, a in PAIRS[23:]))
    (tmp_path / "Thumbs.db").write_bytes(b"\x00")
    built = built_of(tmp_path, validation=None, test=None)
    assert [len(split.groups) for split in built.splits.values()] == [20, 3, len(PAIRS) - 23]
    (tmp_path / "dev.csv").unlink()
    assert [len(s.groups) for s in built_of(tmp_path, validation=0.25, test=None).splits.values()] == [15, 5, len(PAIRS) - 23]
    assert [len(s.groups) for s in built_of(tmp_path, validation=0, test=None).splits.values()] == [20, len(PAIRS) - 23]


def test_a_puzzle_counts_once_and_two_answers_are_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "p.csv", [*PAIRS, *PAIRS[:6]])
    built = built_of(path)
    assert built.skipped == {DOUBLED: 6}
    assert sum(len(split.groups) for split in built.splits.values()) == len(PAIRS)
    write_csv(path, [*PAIRS, (PAIRS[2][0], "9999")])
    with pytest.raises(
        DatasetError, match=rf"a question must have one answer: .*p.csv row 3 and .*p.csv row {len(PAIRS) + 1} have one"
    ):
        built_of(path)
    built = built_of(path, skip_bad=True)
    assert built.skipped == {"a question must have one answer": 2}
    folder = tmp_path / "files"
    folder.mkdir()
    write_csv(folder / "train.csv", PAIRS[:20])
    write_csv(folder / "test.csv", PAIRS[19:])
    with pytest.raises(
        DatasetError, match=r"a puzzle must be in one split: .*train.csv row 20 \(train\) and .*test.csv row 1 share one"
    ):
        built_of(folder, validation=0, test=None)
    assert len(built_of(folder, validation=0, test=None, skip_bad=True).splits["train"].groups) == 19


FAULTS: list[tuple[str, str, dict[str, Any], str]] = [
    ("p.csv", "question,answer\n12,3\n1\n", {}, r"must have as many columns as the header, 2: .*p.csv row 2 has 1"),
    ("p.csv", "a,b\n1,2\n", {}, r"must have the columns question and answer: .*p.csv has the columns 'a', 'b', and none is known"),
    ("p.csv", "question,answer,answer\n1,2,3\n", {}, r"one column must hold the answer: .* 'answer' and 'answer' could be it; ren"),
    ("p.csv", "question,answer\n1,\n", {}, r"a question and an answer must have cells: .*p.csv row 1, answer has none"),
    ("p.csv", "question,answer\n1,_\n", {"padding": "_"}, r"an answer must have a cell that is no padding: .*row 1 has none"),
    ("p.csv", "question,answer,split\n1,2,tain\n", {}, r"a split must be train, validation or test: .* row 1 has 'tain'"),
    ("p.csv", "question,answer,group\n1,2,x\n3,4,\n", {}, r"all rows have a group or none has: .*row 1 has one, .*row 2 none"),
    ("p.csv", "question,answer\n", {}, r"a table must hold puzzles: .*p.csv has none that fit"),
    ("p.json", '[{"question": [[1, 2], [3]], "answer": "1"}]', {}, r"rows of equal length: .*row 1, question has rows of 1 and 2"),
    ("p.json", '[{"question": [1.5], "answer": "1"}]', {}, r"a token must be a text or a whole number: .*row 1, question has 1.5"),
    ("p.json", '[{"question": true, "answer": "1"}]', {}, r"must be texts, lists or grids: .*row 1, question is True"),
    ("p.json", '[{"question": null, "answer": "1"}]', {}, r"must be texts, lists or grids: .*row 1, question is None"),
    ("p.json", '{"question": ["1"], "answer": []}', {}, r"columns must be of one length: .* has 0 to 1 rows"),
    ("p.json", '{"a": 1}', {}, r"a JSON table must be a list of objects, or an object of lists: .*p.json is neither"),
    ("p.json", "[" * 200_000, {}, r"p.json must be JSON at most 64 deep, and is deeper"),
    ("p.json", '[{"question": NaN, "answer": "1"}]', {}, r"a number must be finite"),
    ("p.jsonl", '{"question": "1", "answer": "2"}\n[]\n', {}, r"p.jsonl row 2 must hold an object, and holds a list"),
    ("p.npz", "text", {}, r"a table must be readable: .*p.npz"),
    ("p.parquet", "text", {}, r"a table must be readable: .*p.parquet"),
    ("p.csv.gz", "text", {}, r"a table must be readable: .*p.csv.gz"),
    ("p.xlsx", "text", {}, r"a file of puzzles must be of a known kind: .*p.xlsx ends with none of csv, "),
]


@pytest.mark.parametrize(("file", "content", "fields", "message"), FAULTS)
def test_a_fault_is_named_by_file_and_row(tmp_path: Path, file: str, content: str, fields: dict[str, Any], message: str) -> None:
    (tmp_path / file).write_text(content)
    with pytest.raises(DatasetError, match=message):
        built_of(tmp_path / file, **fields)


def test_a_bad_row_is_left_out_when_asked(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "p.csv", [*PAIRS, ("1", ""), ("", "2")])
    assert built_of(path, skip_bad=True).skipped == {"a question and an answer must have cells": 2}


def test_what_claims_more_than_is_there_is_refused_before_it_is_read(tmp_path: Path) -> None:
    header = np.lib.format.magic(1, 0)
    said = str({"descr": "<i8", "fortran_order": False, "shape": (1 << 40, 81)}).encode()
    path = tmp_path / "p.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("question", "answer"):
            archive.writestr(f"{name}.npy", header + struct.pack("<H", len(said)) + said)
    with pytest.raises(DatasetError, match=r"as many as it says: question.npy in .*p.npz says int64 \(1099511627776, 81\) and has"):
        built_of(path)
    np.savez_compressed(path, question=np.zeros((1 << 19, 81), dtype=np.uint8), answer=np.zeros((1 << 19, 81), dtype=np.uint8))
    with pytest.raises(DatasetError, match=r"an array must unfold to at most 200 times its size: question.npy in"):
        built_of(path)
    path = tmp_path / "p.parquet"
    pq.write_table(pa.table({"question": ["1" * 81] * 400_000, "answer": ["2" * 81] * 400_000}), path)
    with pytest.raises(DatasetError, match=r"and have a byte a row: .*p.parquet claims 400,000 rows"):
        built_of(path)
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({"question": [[0] * 1000] * 1000, "answer": "1"}) + "\n")
    with pytest.raises(DatasetError, match=r"must have at most 16,384 cells: .*p.jsonl row 1, question has 1,000,000"):
        built_of(path)


def test_more_tokens_than_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("question,answer\n" + "".join(f"{k} x,1\n" for k in range(400)))
    with pytest.raises(
        DatasetError, match=r"there must be at most 255 different tokens: .*p.csv row 255, question has '254', one more"
    ):
        built_of(path, text="words")


def test_the_shipped_example_and_wrong_recipes() -> None:
    recipe = load_recipe("datasets/table.yaml")
    assert isinstance(recipe, TableRecipe)
    built = build_table(recipe)
    assert [len(split.groups) for split in built.splits.values()] == [300, 50, 50]
    with pytest.raises(ConfigError, match="a data set needs test puzzles, test is 0"):
        recipe_of({"name": "x", "task": "table", "path": "y", "test": 0}, "case")
    with pytest.raises(ConfigError, match="the tokens of the vocabulary must differ"):
        recipe_of({"name": "x", "task": "table", "path": "y", "vocabulary": ["1", 1]}, "case")
