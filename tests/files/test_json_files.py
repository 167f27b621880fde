"""The doorway for JSON: what a folder can hold instead of what we wrote, each refused with one message."""

import json
import os
from pathlib import Path

import pytest

from trm.errors import CheckpointError, DatasetError, InputError
from trm.files.json_files import MOST_DEPTH, parse_json, read_json
from trm.files.strays import is_stray, without_strays


def parsed(text: bytes | str, kind: type = dict) -> object:
    return parse_json(text, "manifest.json", kind, error=DatasetError, remedy="build it again")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[" * 200_000, f"must be JSON at most {MOST_DEPTH} deep, and is deeper"),
        ("[" * 900 + "]" * 900, f"must be JSON at most {MOST_DEPTH} deep, and is deeper"),
        ('{"a":' * 200_000, f"must be JSON at most {MOST_DEPTH} deep, and is deeper"),
        ("", "must be JSON: Expecting value"),
        ("{", "must be JSON: Expecting property name"),
        ("{} {}", "must be JSON: Extra data"),
        (b'{"a": "\xff"}', "is no UTF-8 text"),
        (b"\x00" * 40, "must be JSON"),
        ('{"a": NaN}', "a number must be finite, got NaN"),
        ('{"a": -Infinity}', "a number must be finite, got -Infinity"),
        ('{"a": 1e999}', "a number must be finite, got inf"),
        ('{"a": 1, "b": 2, "a": 3}', "'a' is there twice"),
        ('{"a": "\\ud800"}', "half a surrogate pair"),
        ('{"\\udfff": 1}', "half a surrogate pair"),
        ("1" * 5000, "must be JSON: Exceeds the limit"),
        ("[]", "must hold an object, and holds a list"),
        ("null", "must hold an object, and holds null"),
        ("true", "must hold an object, and holds true or false"),
        ('"x"', "must hold an object, and holds a text"),
    ],
)
def test_what_is_no_json_of_ours_is_refused_in_one_message(text: bytes | str, problem: str) -> None:
    with pytest.raises(DatasetError, match=rf"^manifest\.json .*{problem}.*; build it again$"):
        parsed(text)


def test_what_is_right_comes_as_it_is() -> None:
    deep = json.loads("[" * MOST_DEPTH + "]" * MOST_DEPTH)
    assert parsed(json.dumps(deep), list) == deep
    text = {"a": [1, 2.5, None, True, "ö"], "b": {"c": "\N{GRINNING FACE}"}}
    assert parsed(json.dumps(text)) == text
    assert parsed(b"\xef\xbb\xbf" + json.dumps(text).encode()) == text


def test_a_file_is_read_once_it_is_one_and_small_enough(tmp_path: Path) -> None:
    path = tmp_path / "meta.json"

    def read(most_bytes: int = 10) -> dict[str, int]:
        return read_json(path, dict, error=CheckpointError, remedy="restore it", most_bytes=most_bytes)

    with pytest.raises(FileNotFoundError):
        read()
    path.write_text('{"a": 1}')
    assert read() == {"a": 1}
    with pytest.raises(CheckpointError, match=r"meta\.json must have at most 7 bytes, and has 8; restore it"):
        read(7)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(CheckpointError, match=r"must be a file of JSON, and is none"):
        read()
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=r"must be a file of JSON, and is none"):
        read()


STRAYS = ".DS_Store", "._train.csv", "Thumbs.db", "thumbs.db", "desktop.ini", "__MACOSX", "a.json~", "#a#", "~$a.csv", "a.json.bak"


def test_strays_are_known_by_name(tmp_path: Path) -> None:
    assert [name for name in (*STRAYS, "a.json.swp", ".nfs0001", "Icon\r") if not is_stray(name)] == []
    kept = ["train.csv", "step-00000100", "0a1b2c3d.json", "all__inputs.npy", "README.md", "bakery.json"]
    assert [name for name in kept if is_stray(name)] == []
    assert without_strays(tmp_path / name for name in ("b", *STRAYS, "a")) == [tmp_path / "a", tmp_path / "b"]
