"""YAML as people write it: what unfolds, shares, merges, is tagged, or is no text."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from trm.config.files import apply_overrides, load_yaml, parse_yaml
from trm.errors import MAX_MESSAGE, ConfigError
from trm.files.yaml_values import WRITTEN, Limits, YamlReader

REFUSED_BYTES = 400 << 20
"""Memory in which a small file that unfolds is refused, the interpreter and its libraries included."""


def doubling(levels: int, leaf: str) -> str:
    """Each line names the one above it twice."""
    lines = [f"a0: &a0 {leaf}"] + [f"a{n}: &a{n} {{l: *a{n - 1}, r: *a{n - 1}}}" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


UNFOLDING = {
    "as value": doubling(60, "[1]"),
    "as key": doubling(60, "[1]") + "? *a59\n: 1\n",
    "merged": "a0: &a0 {k: [1, 2, 3]}\n" + "".join(f"a{n}: &a{n} {{<<: *a{n - 1}, k{n}: *a{n - 1}}}\n" for n in range(1, 60)),
    "of one long word": f"a: &a {'x' * 1_000_000}\nb: [*a, *a, *a, *a]\n",
    "of itself": "a: &a [*a]\n",
}


@pytest.mark.parametrize("text", UNFOLDING.values(), ids=UNFOLDING.keys())
def test_what_unfolds_is_refused_before_it_does(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^bomb line \d+ column \d+ is not valid YAML") as caught:
        parse_yaml(text, "bomb")
    assert len(str(caught.value)) < 300


def test_a_job_refuses_what_unfolds_in_little_memory_and_does_not_show_it(tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(f"{doubling(60, '[lol]')}name: x\nsearch: *a59\n")
    job = Path(__file__).parents[2] / "ray_jobs" / "sweep.py"
    done = subprocess.run(
        [sys.executable, job, space, "--dry-run"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (REFUSED_BYTES, REFUSED_BYTES)),
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "with its aliases unfolded it is larger than" in done.stderr
    assert len(done.stderr) < 400


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 100_000, "- " * 100_000], ids=["lists", "mappings", "blocks"])
def test_depth_is_bounded(text: str) -> None:
    with pytest.raises(ConfigError, match="nested 41 levels deep; nest at most 40"):
        parse_yaml(text, "deep")
    with pytest.raises(ConfigError, match="nested 41 levels deep"):
        apply_overrides({}, [f"base.model={text}"])


def test_sizes_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "long.yaml"
    path.write_text("a: " + "x" * WRITTEN.characters)
    with pytest.raises(ConfigError, match=r"long.yaml must have at most 4,194,304 characters, and has more; write less"):
        load_yaml(path)
    few = Limits(characters=100, nodes=5)
    assert YamlReader("[1, 2, 3, 4]", "x", few).value() == [1, 2, 3, 4]
    with pytest.raises(ConfigError, match="larger than 5 values"):
        YamlReader("[1, 2, 3, 4, 5]", "x", few).value()


def test_a_message_is_of_bearable_length() -> None:
    with pytest.raises(ConfigError) as caught:
        apply_overrides({"a": "y" * 100_000}, ["a.b=1"])
    assert len(str(caught.value)) <= 2 * MAX_MESSAGE + 20


def test_two_aliases_are_two_objects() -> None:
    value = parse_yaml("one: &one {low: 1, more: [1, {x: 2}]}\ntwo: *one\nthree: {<<: *one}\n", "x")
    assert value["one"] == value["two"] == value["three"]
    changed = apply_overrides(value, ["one.low=9", "one.more.1.x=8"])
    assert changed == {"one": {"low": 9, "more": [1, {"x": 8}]}, "two": value["one"], "three": value["one"]}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{<<: *a, y: 9}", {"x": 1, "y": 9}),
        ("{y: 9, <<: *a}", {"x": 1, "y": 9}),
        ("{<<: [*a, *b]}", {"x": 1, "y": 2, "z": 4}),
        ("{<<: [*b, *a]}", {"x": 1, "y": 3, "z": 4}),
        ("{<<: {x: 7}, <: 1}", {"x": 7, "<": 1}),
        ('{"<<": 7}', {"<<": 7}),
    ],
)
def test_merge_keys_follow_yaml_1_1(text: str, value: object) -> None:
    assert parse_yaml(f"a: &a {{x: 1, y: 2}}\nb: &b {{y: 3, z: 4}}\nc: {text}\n", "x")["c"] == value


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("a: !!bool maybe", "line 1 column 4", "'maybe' is no bool; remove the tag !!bool"),
        ('a:\n  - !!float ""', "line 2 column 5", "'' is no float"),
        ("a: !!int x", "line 1 column 4", "'x' is no int"),
        ("a: !!null x", "line 1 column 4", "'x' is no null"),
        ("a: !!set {a, b}", "line 1 column 4", "tag !!set is not read here"),
        ("a: !!omap [a: 1]", "line 1 column 4", "tag !!omap is not read here"),
        ("a: !!binary YQ==", "line 1 column 4", "tag !!binary"),
        ("a: !!timestamp 2001-01-01", "line 1 column 4", "tag !!timestamp"),
        ("a: !!python/object/apply:os.system [ls]", "line 1 column 4", "tag !!python/object/apply:os.system"),
        ("a: !!seq {a: 1}", "line 1 column 4", "tag !!seq"),
        ("a: !mine b", "line 1 column 4", "tag !mine"),
        ("a: !e!mine b", "line 1 column 4", "undefined tag handle"),
        ("a: {<<: 3}", "line 1 column 5", "<< takes a mapping or a list of mappings"),
        ("a: &a {x: 1}\nb: {<<: *a, <<: *a}", "line 2 column 13", "<< stands here twice; write <<: [*first, *second]"),
        ("a: *b", "line 1 column 4", "alias *b names nothing above it"),
        ("[1, 2]: 3", "line 1 column 1", "a key must be one word"),
        ("a: {1: 2}", "line 1 column 5", "a key must be text, got 1; put it in quotes"),
        ("true: 2", "line 1 column 1", "a key must be text, got true"),
        ("~: 2", "line 1 column 1", "a key must be text, got null"),
        ("a: {x: 1, x: 2}", "line 1 column 11", "key 'x' stands here twice"),
        (f"a: {'1' * 100_000}", "line 1 column 4", "a whole number has 100000 digits"),
        ('a: "x\\0y"', "line 1 column 4", "text holds the character '\\x00'"),
        ('a: "\\e[31m"', "line 1 column 4", "text holds the character '\\x1b'"),
        ("a: 1\nb: \x1b[31m", "line 2 column 4", "character '\\x1b' is not allowed"),
        ("a: \udcff", "line 1 column 4", "character '\\udcff' is not allowed"),
        ("a:\n\tb: 1", "line 2 column 1", "cannot start any token"),
        ("a: 1\n---\nb: 2", "line 2 column 1", "a second document begins here"),
        ("a: b: c", "line 1 column 5", "mapping values are not allowed"),
    ],
)
def test_what_cannot_be_read_is_named_with_line_and_column(text: str, place: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "file.yaml")
    assert str(caught.value).startswith(f"file.yaml {place} is not valid YAML: ")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("!!str 12", "12"),
        ('!!int "12"', 12),
        ("!!float 1", 1.0),
        ("!!seq [!!null '']", [None]),
        ("!!map {a: !!bool true}", {"a": True}),
        ("017", 17),
        ("0o17", "0o17"),
        ("-.Inf", float("-inf")),
        ("\ufeffa: 1\r\nb: 2\r\n", {"a": 1, "b": 2}),
        ("%YAML 1.2\n---\na: 1\n...\n", {"a": 1}),
        ("# nothing\n", None),
    ],
)
def test_the_core_schema_is_read(text: str, value: object) -> None:
    got = parse_yaml(text, "x")
    assert (got, type(got)) == (value, type(value))


def test_order_is_that_of_the_file() -> None:
    names = [f"k{n}" for n in range(50)]
    assert list(parse_yaml("\n".join(f"{name}: 1" for name in names), "x")) == names
