"""CSV files as the field publishes them: any layout of the same puzzles is one data set, and what could be two things is told."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from trm.data.batches.keyed_random import hashed
from trm.data.format.built import BuiltDataset
from trm.errors import DatasetError
from trm.tasks.making.bad_rows import Faults
from trm.tasks.making.delimited import layout_of
from trm.tasks.making.equal_rows import first_equal
from trm.tasks.making.published_csv import DOUBLED, PublishedRows, each_once
from trm.tasks.maze.build import build_maze
from trm.tasks.maze.recipe import MazeRecipe
from trm.tasks.sudoku.augment import BLANK, apply, draw_forms
from trm.tasks.sudoku.build import build_sudoku
from trm.tasks.sudoku.recipe import SudokuRecipe
from trm.tasks.sudoku.seen import symmetry_groups
from trm.tasks.sudoku.solver import generate


def puzzles(size: int, count: int) -> list[tuple[str, str]]:
    """Different puzzles and their answers as text, blanks as zeros."""
    found = generate(hashed(8, np.arange(3 * count)), size, is_minimal=size > 4, max_clues=None)
    first = np.unique(symmetry_groups(found.questions, found.answers, size), return_index=True)[1][:count]
    texts = (["".join(map(str, board)) for board in boards[first]] for boards in (found.questions, found.answers))
    return list(zip(*texts, strict=True))


@pytest.fixture(scope="module")
def nine() -> list[tuple[str, str]]:
    return puzzles(9, 16)


def table(rows: list[tuple[str, str]], form: str) -> str:
    """The puzzles as a file of one of the field's layouts."""
    match form:
        case "sapientinc":
            return "source,question,answer,rating\n" + "".join(
                f"s,{q.replace('0', '.')},{a},{n}\n" for n, (q, a) in enumerate(rows)
            )
        case "kaggle 1M":
            return "quizzes,solutions\n" + "".join(f"{q},{a}\n" for q, a in rows)
        case "kaggle 3M":
            lines = (f"{n},{q.replace('0', '.')},{a},30,{n / 10}\n" for n, (q, a) in enumerate(rows))
            return "id,puzzle,solution,clues,difficulty\n" + "".join(lines)
        case "quoted":
            return '"Puzzle","Solution","source"\r\n' + "".join(f'"{q}","{a}","a, b ""c"""\r\n' for q, a in rows)
        case "semicolons":
            return "ANSWER;Question\n" + "".join(f"{a};{q}\n" for q, a in rows)
        case "tabs":
            return "﻿question\tanswer\n" + "".join(f"{q}\t{a}\n" for q, a in rows)
        case "spaces":
            return "\n\r\nquizzes, solutions\n" + "".join(f"{q}, {a} \n\n" for q, a in rows)
        case "lines":
            return "id,puzzle,solution\r\n" + "".join(f'{n},"{in_lines(q)}","{in_lines(a)}"\r\n' for n, (q, a) in enumerate(rows))
    raise AssertionError(form)


def in_lines(board: str) -> str:
    """A board as a spreadsheet keeps it in one cell."""
    return "\n".join(board[start : start + 9] for start in range(0, 81, 9))


FORMS = "sapientinc", "kaggle 1M", "kaggle 3M", "quoted", "semicolons", "tabs", "spaces", "lines"


def built_of(folder: Path, **fields: Any) -> BuiltDataset:
    values: dict[str, Any] = {"name": "case", "size": 9, "train": None, "validation": 2, "test": None, "path": str(folder)}
    return build_sudoku(SudokuRecipe.model_validate(values | fields))


@pytest.mark.parametrize("form", FORMS)
def test_every_layout_is_the_same_data_set(tmp_path: Path, nine: list[tuple[str, str]], form: str) -> None:
    for name, rows in (("train", nine[:10]), ("test", nine[10:])):
        (tmp_path / f"{name}.csv").write_text(table(rows, form))
    splits = built_of(tmp_path).splits
    assert {name: len(split.groups) for name, split in splits.items()} == {"train": 8, "validation": 2, "test": 6}
    for split, rows in ((splits["test"], nine[10:]),):
        assert ["".join(map(str, board - 1)) for board in split.inputs] == [question for question, _ in rows]
        assert ["".join(map(str, board - 1)) for board in split.labels] == [answer for _, answer in rows]
    rating = splits["test"].extras.get("rating")
    assert (None if rating is None else rating.tolist()) == {
        "sapientinc": list(range(6)),
        "kaggle 3M": [n / 10 for n in range(6)],
    }.get(form)


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda text: pa.Codec("zstd").compress(text, asbytes=True),
}


@pytest.mark.parametrize("ending", PACKERS)
def test_one_compressed_file_is_dealt_out(tmp_path: Path, nine: list[tuple[str, str]], ending: str) -> None:
    path = tmp_path / f"sudoku.csv.{ending}"
    path.write_bytes(PACKERS[ending](table(nine, "kaggle 1M").encode()))
    (tmp_path / "._sudoku.csv").write_bytes(b"\x00")
    for given in (path, tmp_path):
        splits = built_of(given, test=4).splits
        assert {name: len(split.groups) for name, split in splits.items()} == {"train": 10, "validation": 2, "test": 4}
        assert len(np.unique(np.concatenate([split.inputs for split in splits.values()]), axis=0)) == 16
    with pytest.raises(DatasetError, match="test must be a number when one file holds all puzzles"):
        built_of(path)


@pytest.mark.parametrize("size", [4, 6])
def test_other_sizes_are_read_and_a_wrong_one_is_named(tmp_path: Path, size: int) -> None:
    path = tmp_path / "sudoku.csv"
    path.write_text(table(puzzles(size, 12), "kaggle 1M"))
    splits = built_of(path, size=size, train=6, test=4).splits
    assert [len(split.groups) for split in splits.values()] == [6, 2, 4]
    assert splits["train"].inputs.max() == size + 1
    with pytest.raises(DatasetError, match=rf"must have 81 characters: the first of .* has {size * size}; set size: {size} for"):
        built_of(path, test=2)


def test_columns_that_are_called_otherwise_are_named_by_the_recipe(tmp_path: Path, nine: list[tuple[str, str]]) -> None:
    path = tmp_path / "sudoku.csv"
    path.write_text(table(nine, "kaggle 1M").replace("quizzes,solutions", "Raetsel,Loesung"))
    there = "has the columns 'Raetsel', 'Loesung'"
    with pytest.raises(
        DatasetError, match=rf"must have the columns question and answer: .*{there}, and none is known as the quest"
    ):
        built_of(path, test=2)
    built = built_of(path, test=4, columns={"question": "raetsel", "answer": "Loesung"})
    assert len(built.splits["train"].groups) == 10
    with pytest.raises(DatasetError, match=r"columns.answer must be a column of the file: 'Lösung' is none, .*; did you mean Loes"):
        built_of(path, test=4, columns={"question": "Raetsel", "answer": "Lösung"})
    with pytest.raises(DatasetError, match=r"min_difficulty needs a rating: no column of .*sudoku.csv is known as one"):
        built_of(path, test=4, columns={"question": "Raetsel", "answer": "Loesung"}, min_difficulty=1)


HEADERS = [
    (b"question,question,answer\n", "one column must hold the question: .* of which 'question' and 'question' .*; rename one"),
    (b"question,answer,Question\n", "one column must hold the question: .*; rename one of them"),
    (b"puzzle,question,answer\n", r"of which 'puzzle' and 'question' could be it; say which with columns: \{question: puzzle\}"),
    (b"question,notes\n", "and none is known as the answer"),
    (b"\xff\xfeq\x00", "a table must be UTF-8 text: x.csv is UTF-16; save it as CSV in UTF-8"),
    (b"\n\n", "a table must have a line that names its columns: x.csv is empty"),
    (b"question,answer,rating,rating\n", "one column must hold the rating"),
]


@pytest.mark.parametrize(("head", "message"), HEADERS)
def test_a_header_that_could_mean_two_things_is_told(head: bytes, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        layout_of(head, "x.csv", ["question", "answer"], ["rating"])


def test_an_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "archive.zip").write_bytes(b"PK")
    with pytest.raises(DatasetError, match=r"of a known kind: .*archive.zip ends with none of csv, .*; unpack an archive first"):
        built_of(tmp_path / "archive.zip", test=2)


def test_two_files_of_one_split_are_told(tmp_path: Path) -> None:
    for name in ("train.csv", "train.tsv", "test.csv"):
        (tmp_path / name).write_text("question,answer\n")
    with pytest.raises(DatasetError, match=r"a split must have one file: .* has train.csv and train.tsv; keep one of them"):
        built_of(tmp_path)


def test_what_unfolds_without_end_is_refused_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "sudoku.csv.gz"
    path.write_bytes(gzip.compress(b"question,answer\n" + b"1,2\n" * (1 << 23)))
    with pytest.raises(DatasetError, match=r"must unfold to at most 200 times its size: .*sudoku.csv.gz gives"):
        built_of(path, test=2, skip_bad=True)


def test_rows_that_stand_twice_count_once(tmp_path: Path, nine: list[tuple[str, str]]) -> None:
    doubled = [row for row in nine[:10] for _ in range(2)]
    for name, rows in (("train", doubled), ("test", [*nine[10:], nine[10], nine[10]])):
        (tmp_path / f"{name}.csv").write_text(table(rows, "sapientinc"))
    built = built_of(tmp_path)
    assert {name: len(split.groups) for name, split in built.splits.items()} == {"train": 8, "validation": 2, "test": 6}
    assert built.skipped == {DOUBLED: 12}
    (tmp_path / "test.csv").write_text(table(nine[10:], "sapientinc"))
    (tmp_path / "train.csv").write_text(table(nine[:10], "sapientinc"))
    once = built_of(tmp_path)
    for name, split in once.splits.items():
        boards, others = (np.unique(each.inputs, axis=0) for each in (split, built.splits[name]))
        assert boards.shape == others.shape


def test_one_question_with_two_answers_is_refused_and_both_rows_are_named() -> None:
    cells = np.array([[1, 2], [3, 4], [1, 2], [5, 6], [3, 4]], dtype=np.uint8)
    answers = np.array([[1, 1], [2, 2], [1, 9], [3, 3], [2, 2]], dtype=np.uint8)
    rows = PublishedRows("x.csv", cells, answers, np.full(5, np.nan), np.arange(1, 6))
    with pytest.raises(DatasetError, match=r"must have one answer: x.csv rows 1 and 3 have one question and two answers"):
        each_once(rows, Faults(skip_bad=False))
    kept = each_once(rows, faults := Faults(skip_bad=True))
    assert kept.numbers.tolist() == [2, 4]
    assert faults.skipped == {"a question must have one answer": 2, DOUBLED: 1}


def test_a_maze_that_stands_twice_counts_once(tmp_path: Path) -> None:
    mazes = build_maze(MazeRecipe(name="m", size=7, min_path=8, train=12, validation=0, test=4)).splits
    folder = tmp_path / "mazes"
    for name in ("train", "test"):
        inputs, labels = mazes[name].inputs, mazes[name].labels  # type: ignore[index]
        (folder / name).mkdir(parents=True)
        np.save(folder / name / "all__inputs.npy", np.concatenate([inputs, inputs[:2]]))
        np.save(folder / name / "all__labels.npy", np.concatenate([labels, labels[:2]]))
    values = {"name": "m", "size": 7, "min_path": 8, "train": None, "validation": 0, "test": None, "path": str(folder)}
    built = build_maze(MazeRecipe.model_validate(values))
    assert built.skipped == {DOUBLED: 4}
    assert [len(split.groups) for split in built.splits.values()] == [12, 4]
    (folder / "test.csv").write_text("question,answer\n" + "".join(f"{'#' * 24}SG{'#' * 23},{'#' * 24}SG{'#' * 23}\n"))
    with pytest.raises(DatasetError, match=r"two sources of one split must agree: .*inputs.npy and .*test.csv hold other mazes"):
        build_maze(MazeRecipe.model_validate(values))


def test_symmetric_forms_in_a_split_are_one_puzzle(tmp_path: Path, nine: list[tuple[str, str]]) -> None:
    boards = [np.array([[int(digit) for digit in text] for text in column], dtype=np.uint8) for column in zip(*nine, strict=True)]
    forms = draw_forms(hashed(9, np.arange(3)), 9)
    more = [apply(column[10:13] + np.uint8(BLANK), forms) - np.uint8(BLANK) for column in boards]
    turned = [tuple("".join(map(str, board)) for board in pair) for pair in zip(*more, strict=True)]
    (tmp_path / "train.csv").write_text(table(nine[:10], "kaggle 1M"))
    (tmp_path / "test.csv").write_text(table([*nine[10:], *turned], "kaggle 1M"))  # type: ignore[list-item]
    test = built_of(tmp_path).splits["test"]
    assert len(test.groups) == 9
    assert np.bincount(test.groups - test.groups.min()).tolist() == [2, 2, 2, 1, 1, 1]


def test_the_first_equal_row_is_found() -> None:
    rows = np.random.default_rng(0).integers(0, 2, (200, 5)).astype(np.uint8)
    expected = [next(other for other in range(200) if (rows[other] == rows[row]).all()) for row in range(200)]
    assert first_equal(rows).tolist() == expected
