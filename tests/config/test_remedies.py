"""What a message tells to set does when it is typed: each alternative by itself."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from space_cases import DEMO

from trm.config.files import dump_yaml, load_run_config, merged
from trm.errors import ConfigError
from trm.search.planning.survey import check_space
from trm.search.space.loading import load_space

RUN: dict[str, Any] = {"data": {"folder": "there"}, "training": {"steps": 9}}
SETTING = re.compile(r"((?:base|search|model|optim|training|evaluation|start)\.[\w.]+)(?:: | )(\[[^\]]*\]|[\w.+-]*\w)")


def alternatives(remedy: str) -> Iterator[list[str]]:
    """The overrides of each alternative that a remedy names; a value alone is one of the path before it."""
    if whole := re.search(r"--set (\S+)='([^']*)'", remedy):
        yield [f"{whole[1]}={whole[2]}"]
        return
    path = ""
    for part in re.split(r",? or |, ", re.sub(r"\(.*?\)", "", remedy)):
        found = SETTING.findall(part)
        if found:
            path = found[-1][0]
            yield [f"{at}={value}" for at, value in found]
        elif path and re.fullmatch(r"[a-z]\w*", part):
            yield [f"{path}={part}"]


@pytest.mark.parametrize(
    ("wrong", "count"),
    [
        (["model.hidden_size=16", "model.num_heads=5"], 1),
        (["model.hidden_size=12", "model.num_heads=4"], 2),
        (["model.hidden_size=24", "model.num_heads=4", "model.pos_encodings=rope2d", "model.puzzle_emb_len=1"], 2),
        (["model.hidden_size=15", "model.num_heads=1"], 1),
        (["model.mlp_t=true"], 1),
        (["model.ffn=normed_swiglu", "model.activation=relu2"], 1),
        (["model.gradient=0"], 2),
        (["model.answers_after=every_cycle", "model.gradient=all"], 2),
        (["model={architecture: cnn, halt_max_steps: 4}"], 1),
        (["model={architecture: cnn}", "optim.type=muon"], 1),
        (["model={architecture: cell_mlp, hidden_size: 30}"], 1),
        (["model.architecture=cnn", "model.H_cycles=2"], 1),
        (["optim={type: muon, trained: heads}"], 1),
        (["optim.trained=puzzle_embedding", "model.puzzle_emb_ndim=0", "model.puzzle_emb_len=0"], 2),
        (["optim.trained=puzzle_embedding", "model.gradient=last_call"], 4),
        (["training.kernels=fused", "training.compile=true"], 1),
        (["training.kernels=fused", "training.loss={type: stablemax, intermediate_weight: .1}"], 2),
        (["training.global_batch_size=10", "training.micro_batches=4"], 1),
        (["training.depth_schedule=0.5:1x2 0.5:2x4"], 1),
        (["model={architecture: cnn}", "training.depth_schedule=cgar"], 5),
        (["model={architecture: cnn}", "training.carry_noise=0.1"], 7),
        (["model={architecture: cell_mlp}", "training.loss={type: stablemax, halt_loss_weight: 0.1}"], 5),
        (["model.answers_after=every_cycle", "model.gradient=last_cycle", "training.loss.halt_loss_weight=0.1"], 1),
    ],
    ids=str,
)
def test_a_run_takes_what_its_refusal_tells_to_set(tmp_path: Path, wrong: list[str], count: int) -> None:
    dump_yaml(tmp_path / "run.yaml", RUN)
    with pytest.raises(ConfigError) as error:
        load_run_config(tmp_path / "run.yaml", wrong)
    told = list(alternatives(error.value.remedy))
    assert len(told) == count, error.value.remedy
    for one in told:
        load_run_config(tmp_path / "run.yaml", [*wrong, *one])


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({"base": {"model": {"gradient": 0}}}, 2),
        ({"base": {"model": {"num_heads": 5}}, "search": {"model.mlp_t": {"values": [False]}}}, 1),
        ({"base": {"training": {"kernels": "fused", "compile": True}}}, 1),
        ({"base": {"optim": {"type": "muon", "trained": "heads"}}}, 1),
        ({"base": {"model": {"pos_encodings": "rope"}}}, 1),
        ({"base": {"model": {"num_latents": 3}}}, 1),
        ({"base": {"model": {"architecture": "trm", "H_cycles": 2, "widths": "8"}}}, 1),
        ({"search": {"optim.type": {"type": "choice", "values": ["adamw", "muon"]}}, "base": {"optim": {"trained": "heads"}}}, 1),
    ],
    ids=str,
)
def test_a_space_takes_what_its_refusal_tells_to_set(tmp_path: Path, changes: dict[str, Any], count: int) -> None:
    dump_yaml(tmp_path / "space.yaml", merged({**DEMO, "constraints": []}, changes))
    with pytest.raises(ConfigError) as error:
        check_space(load_space(tmp_path / "space.yaml"))
    told = list(alternatives(error.value.remedy))
    assert len(told) == count, error.value.remedy
    for one in told:
        assert all(setting.startswith(("base.", "search.")) for setting in one)
        space = load_space(tmp_path / "space.yaml", one)
        if not one[0].startswith("base.model={"):  # the rest of that network is anew, and may break another rule
            check_space(space)


def test_a_loss_written_as_its_tag_takes_fields(tmp_path: Path) -> None:
    dump_yaml(tmp_path / "run.yaml", merged(RUN, {"training": {"loss": "softmax"}}))
    smoothed = load_run_config(tmp_path / "run.yaml", ["training.loss.label_smoothing=0.1"]).training.loss
    assert smoothed.model_dump() == {**smoothed.model_dump(), "type": "softmax", "label_smoothing": 0.1}
    dump_yaml(tmp_path / "space.yaml", merged(DEMO, {"base": {"training": {"loss": "softmax"}}}))
    space = load_space(tmp_path / "space.yaml", ["base.training.loss.label_smoothing=0.1"])
    assert space.base["training"]["loss"] == {"type": "softmax", "label_smoothing": 0.1}


def test_a_key_that_is_like_nothing_is_answered_with_the_keys_there(tmp_path: Path) -> None:
    dump_yaml(tmp_path / "run.yaml", RUN)
    with pytest.raises(ConfigError, match=r"training.loss.foo is not a key; the keys here are .*label_smoothing"):
        load_run_config(tmp_path / "run.yaml", ["training.loss.foo=3"])


def test_all_that_changes_nothing_is_told_at_once(tmp_path: Path) -> None:
    dump_yaml(tmp_path / "run.yaml", merged(RUN, {"model": {"grid_width": 4, "conv_kernel": 5}, "start": {"heads": "fresh"}}))
    with pytest.raises(ConfigError) as error:
        load_run_config(tmp_path / "run.yaml")
    assert str(error.value).startswith(f"{tmp_path / 'run.yaml'} has 3 problems:\n")
    for path in ("model.grid_width 4", "model.conv_kernel 5", "start.heads fresh"):
        assert f"\n  {path} changes nothing with " in str(error.value)
