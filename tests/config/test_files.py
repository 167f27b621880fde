"""YAML files, overrides, and what a person is told."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trm.config import files
from trm.config.files import apply_overrides, dump_yaml, load_run_config, load_yaml, merged, parse_yaml, validated, yaml_text
from trm.config.run import RunConfig
from trm.errors import ConfigError
from trm.files.atomic import replacing, write_text_atomic

RUN = {"data": {"recipe": "datasets/x.yaml"}, "training": {"steps": 10}}
words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), max_size=6)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("3", 3),
        ("1_000", 1000),
        ("-2.5", -2.5),
        (".5", 0.5),
        ("1E6", 1e6),
        ("true", True),
        ("off", "off"),
        ("no", "no"),
        ("2026-01-01", "2026-01-01"),
        ("1:30", "1:30"),
        ("null", None),
        ("", None),
        ("[1, 2.0, a]", [1, 2.0, "a"]),
        ("{a: 1}", {"a": 1}),
    ],
)
def test_yaml_reads_the_core_schema(text: str, value: object) -> None:
    got = parse_yaml(text, "here")
    assert got == value
    assert type(got) is type(value)


@given(st.dictionaries(words, plain, max_size=4))
def test_dump_then_load_is_identity(tmp_path_factory: pytest.TempPathFactory, mapping: dict[str, object]) -> None:
    path = tmp_path_factory.mktemp("yaml") / "a.yaml"
    dump_yaml(path, mapping, header="two\nlines")
    assert path.read_text().startswith("# two\n# lines\n")
    assert load_yaml(path) == mapping


SHIPPED = sorted(path for folder in ("search_spaces", "datasets") for path in Path(folder).rglob("*.yaml"))
typed = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(max_codepoint=126), max_size=200),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=130), inner, max_size=3),
    max_leaves=8,
)


def _by_the_slow_writer(value: object) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_FastDumper", files._Dumper)
        return yaml_text(value)


@given(typed)
def test_both_of_pyyamls_writers_write_the_same_bytes(value: object) -> None:
    assert yaml_text(value) == _by_the_slow_writer(value)


def test_both_writers_agree_on_what_is_shipped_and_on_whole_runs() -> None:
    assert len(SHIPPED) > 20
    for path in SHIPPED:
        assert yaml_text(load_yaml(path)) == _by_the_slow_writer(load_yaml(path))
    for path in sorted(Path("search_spaces/recipes").glob("*.yaml")):
        whole = load_run_config(path).model_dump(mode="json")
        assert yaml_text(whole) == _by_the_slow_writer(whole)
        assert parse_yaml(yaml_text(whole), "whole") == whole


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\na: 2\n", ["line 2", "'a'", "twice"]),
        ("a: [1\n", ["line 2", "not valid YAML"]),
        ("- 1\n", ["must hold a mapping", "list"]),
        ("", ["must hold a mapping", "nothing"]),
        ("a: !!python/object:os.system x\n", ["not valid YAML"]),
    ],
)
def test_a_file_that_is_no_mapping_is_refused_with_its_place(tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_yaml(path)
    assert all(word in str(caught.value) for word in [*words, "space.yaml"])


def test_a_missing_file_names_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "sudoku4x4.yaml").write_text("a: 1")
    with pytest.raises(ConfigError, match=r"soduku4x4.yaml does not exist; did you mean .*sudoku4x4.yaml"):
        load_yaml(tmp_path / "soduku4x4.yaml")


def test_overrides_find_dotted_keys_lists_and_new_sections() -> None:
    mapping = {"search": {"optim.lr": {"low": 1, "high": 2}}, "starts": [{"optim.lr": 1}], "base": None}
    changed = apply_overrides(
        mapping, ["search.optim.lr.low=1e-4", "starts.0.optim.lr=3", "base.model.H_cycles=2", "budget.trials=4", "a=b=c"]
    )
    assert changed == {
        "search": {"optim.lr": {"low": 1e-4, "high": 2}},
        "starts": [{"optim.lr": 3}],
        "base": {"model": {"H_cycles": 2}},
        "budget": {"trials": 4},
        "a": "b=c",
    }
    assert mapping == {"search": {"optim.lr": {"low": 1, "high": 2}}, "starts": [{"optim.lr": 1}], "base": None}


@pytest.mark.parametrize("override", ["a", "=1", "a..b=1", "a.b=1", "l.7=1", "l.x=1", "b=[1"])
def test_a_bad_override_is_refused(override: str) -> None:
    with pytest.raises(ConfigError) as caught:
        apply_overrides({"a": 1, "l": [1]}, [override])
    assert override.split("=")[0] in str(caught.value)


@given(plain, st.lists(st.text("abcXYZ_", min_size=1), min_size=1, max_size=4))
def test_an_override_sets_exactly_its_path(value: object, parts: list[str]) -> None:
    changed: object = apply_overrides({"other": 1}, [f"{'.'.join(parts)}={yaml_text(value)}"])
    assert isinstance(changed, dict)
    if parts[0] != "other":
        assert changed.pop("other") == 1
    for part in parts:
        assert isinstance(changed, dict)
        assert list(changed) == [part]
        changed = changed[part]
    assert changed == value


def test_merged_lays_sections_over_sections() -> None:
    base = {"a": {"b": 1, "c": 2}, "d": [1], "e": 1}
    assert merged(base, {"a": {"b": 9}, "d": [2], "e": {"f": 1}}) == {"a": {"b": 9, "c": 2}, "d": [2], "e": {"f": 1}}
    assert base["a"] == {"b": 1, "c": 2}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"H_cyles": 2}}, r"^x: model.H_cyles is not a key; did you mean model.H_cycles\?$"),
        ({"model": {"h_cycles": 2}}, r"did you mean model.H_cycles\?$"),
        ({"lr": 1e-3}, r"^x: lr is not a key; did you mean optim.lr\?$"),
        ({"model": {"lr": 1e-3}}, r"^x: model.lr is not a key; did you mean optim.lr\?$"),
        (
            {"evaluation": {"zzzz": 1}},
            r"evaluation.zzzz is not a key; the keys here are batch_size, forms, max_examples, metrics, noise, reports_halted, "
            r"rollouts, select, split, starts, steps, votes$",
        ),
        ({"model": {"H_cycles": 0}}, r"^x: model.H_cycles must be >= 1, got 0; use a value >= 1$"),
        ({"optim": {"lr": "big"}}, r"^x: optim.lr must be a number, got 'big'; give a number$"),
        ({"model": {"H_cycles": 2.5}}, r"^x: model.H_cycles must be a whole number, got 2.5; give a whole number$"),
        ({"model": 3}, r"^x: model must be a mapping, got 3; give a mapping$"),
        (
            {"model": {"pos_encodings": "rop"}},
            r"^x: model.pos_encodings must be one of rope, rope2d, learned, none, got 'rop'; did you mean rope\?$",
        ),
        (
            {"model": {"hidden_size": 60, "num_heads": 8}},
            r"^x: model: hidden_size must divide by num_heads: 60 by 8; try model.num_heads 6$",
        ),
        ({"data": {}}, r"^x: data: data needs one of recipe and folder, neither was given; give one of them$"),
        ({"training": {}}, r"^x: a run needs a length; set one of"),
    ],
)
def test_validation_says_path_rule_value_and_remedy(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validated(RunConfig, {**RUN, **changes}, "x")


def test_every_problem_is_listed() -> None:
    with pytest.raises(ConfigError) as caught:
        validated(RunConfig, {**RUN, "model": {"H_cycles": 0, "nope_nope": 1}, "seed": -1}, "run.yaml")
    text = str(caught.value)
    assert text.startswith("run.yaml has 3 problems:\n")
    assert all(word in text for word in ("model.H_cycles must be >= 1, got 0", "model.nope_nope", "seed must be >= 0, got -1"))


def test_a_missing_section_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^x: data is required and missing; add data$"):
        validated(RunConfig, {"training": {"steps": 1}}, "x")


def test_an_interrupted_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text_atomic(path, "old")

    def fail_half_way() -> None:
        with replacing(path) as temporary:
            temporary.write_text("ne")
            raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        fail_half_way()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_what_a_configuration_is_called_does_not_change_with_new_fields() -> None:
    """Sweeps begun earlier know their configurations by these digests."""
    run = {"data": {"folder": "x"}, "training": {"steps": 1}}
    mixer = {"data": {"recipe": "y"}, "model": {"mlp_t": True, "pos_encodings": "none"}, "training": {"steps": 7}}
    assert RunConfig.model_validate(run).network_digest() == "2995b87637cbb7bd"
    assert RunConfig.model_validate(mixer).network_digest() == "861aa39e714ea1ce"
    run["training"] |= {"kernels": "plain", "cuda_graph": False}
    assert RunConfig.model_validate(run).network_digest() == "2995b87637cbb7bd"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["model.path_noise_in=always"], "path_noise_in always changes nothing with model.path_noise 0.0; leave it out, or set"),
        (
            ["optim.schedule=linear", "optim.lr_min_ratio=0.5"],
            "nothing with optim.schedule linear; leave it out, or set optim.schedule: cosine",
        ),
        (
            ["model={architecture: cnn, halt_exploration_prob: 0.3}"],
            "architecture cnn; .*: trm or single_z or latents or hrm or transformer",
        ),
        (["model.answers_after=every_cycle", "model.halt_exploration_prob=0.3"], "set model.answers_after: last_cycle"),
        (["optim.schedule=constant", "optim.lr_decay_share=0.2", "model.gradient=9"], None),
    ],
)
def test_a_value_that_changes_nothing_is_refused_in_what_a_person_names(
    tmp_path: Path, overrides: list[str], words: str | None
) -> None:
    """A default changes nothing by itself, and what a run wrote of itself is read as it is."""
    path = tmp_path / "run.yaml"
    dump_yaml(path, RUN)
    load_run_config(path, overrides, is_own=False)
    if words is None:
        load_run_config(path, overrides)
        return
    with pytest.raises(ConfigError, match=words):
        load_run_config(path, overrides)


def test_what_a_run_wrote_is_read_as_it_was_and_what_is_said_beside_it_is_looked_at(tmp_path: Path) -> None:
    """Machines write complete files; one may hold what changes nothing, of a version that took it."""
    path, said = tmp_path / "config.yaml", {"optim": {"schedule": "constant", "lr_min_ratio": 0.5}}
    config = RunConfig.model_validate({**RUN, **said})
    dump_yaml(path, config.model_dump(mode="json"))
    assert load_run_config(path) == config
    assert load_run_config(path, ["optim.schedule=linear"]).optim.lr_min_ratio == 0.5
    with pytest.raises(ConfigError, match=r"optim.lr_decay_share 0.4 changes nothing with optim.schedule constant"):
        load_run_config(path, ["optim.lr_decay_share=0.4"])
    dump_yaml(path, {**RUN, **said})
    assert load_run_config(path, is_begun=True) == config
    with pytest.raises(ConfigError, match=r"optim.lr_min_ratio 0.5 changes nothing"):
        load_run_config(path)
