"""Figures that are asked for: each is that of an evaluation that reports it unasked, and what else is reported stays as it is."""

from typing import Any

import numpy as np
import pytest
import torch
from evaluation_cases import config_of, manifest_of, score

from trm.config.base import without_later
from trm.config.run import RunConfig
from trm.data.batches.split import Split
from trm.data.format.manifest import PartInfo
from trm.evaluation.scores import Columns, Evaluation
from trm.models.recursive.network import TinyRecursiveModel
from trm.tasks.arc.score import ArcScorer
from trm.tasks.arc.votes import grid_hashes, pass_at, rank_of_truth

STEPS = 3
PARTS = (PartInfo(name="a", groups=(0, 5)), PartInfo(name="b-2", groups=(5, 10)))


def split_of(rows: int) -> Split:
    rng = np.random.default_rng(0)
    inputs, labels = rng.integers(1, 4, (rows, 4)), rng.integers(1, 4, (rows, 4))
    labels[:, :3] = 0  # one cell to hit, so that some are hit
    return Split("test", inputs.astype(np.uint8), labels.astype(np.uint8), (np.arange(rows) // 2).astype(np.int32))


SPLIT = split_of(19)
MANIFEST = manifest_of("sudoku", (2, 2), 4, SPLIT).model_copy(update={"parts": PARTS})
CONFIG = config_of(STEPS)
NETWORK = TinyRecursiveModel(CONFIG.model, MANIFEST.shape, dtype=torch.float64)
with torch.no_grad():  # so that rows halt here and there
    NETWORK.halting_head.normal_(generator=torch.Generator().manual_seed(1))
    NETWORK.halting_bias.fill_(-6.0)


def asking(*metrics: str, **evaluation: Any) -> RunConfig:
    return RunConfig.model_validate(CONFIG.model_dump() | {"evaluation": {**evaluation, "metrics": metrics}})


def scores(config: RunConfig, **how: Any) -> Evaluation:
    return score(NETWORK, SPLIT, MANIFEST, config, batch_size=64, **how)[0]


def of(found: Evaluation, name: str) -> list[Any]:
    """A figure, its interval and its standard error, as far as there are."""
    ends = [found.metrics.get(f"{name}{end}") for end in ("", "_low", "_high")]
    return [*ends, found.standard_errors.get(name)]


@pytest.mark.parametrize(
    ("evaluation", "workers"), [({}, 1), ({"reports_halted": True}, 2), ({"rollouts": 2, "noise": 0.5, "select": "q"}, 1)]
)
@pytest.mark.parametrize("steps", [2, 3, 5])
def test_a_figure_after_other_steps_is_that_of_an_evaluation_of_so_many(
    steps: int, evaluation: dict[str, Any], workers: int
) -> None:
    names = ["exact_accuracy", "loss", "mean_halting_step", "fill_accuracy", "exact_accuracy/b-2"]
    names += ["exact_accuracy_halted", "halted_flops_saved"] if "reports_halted" in evaluation else []
    plain, one = asking(**evaluation), asking(**evaluation).evaluation
    found = scores(asking(*(f"{name}@{steps}" for name in names), **evaluation), workers=workers)
    alone = scores(CONFIG.model_copy(update={"evaluation": one.model_copy(update={"steps": steps})}), workers=workers)
    plain = scores(plain, workers=workers)
    for name in names:
        assert of(found, f"{name}_at_{steps}") == of(alone, name), name
    early = {name for name in plain.metrics if name.startswith("exact_accuracy_at_")}  # reported unasked, then with an interval
    assert {name: found.metrics[name] for name in plain.metrics} == plain.metrics
    extra = {name.removesuffix("_low").removesuffix("_high") for name in found.metrics.keys() - plain.metrics.keys()}
    assert extra | early >= {f"{name}_at_{steps}" for name in names} >= extra
    assert found.puzzles[f"loss_at_{steps}"].tolist() == alone.puzzles["loss"].tolist()


def test_a_figure_of_a_part_is_that_of_its_puzzles() -> None:
    found = scores(asking("cell_accuracy/b-2", "loss/a@5", "exact_accuracy/a", "loss/none"))
    is_here = (SPLIT.groups >= 5) & (SPLIT.groups < 10)
    part = Split("test", SPLIT.inputs[is_here], SPLIT.labels[is_here], (np.arange(is_here.sum()) // 2).astype(np.int32))
    alone = score(NETWORK, part, manifest_of("sudoku", (2, 2), 4, part), CONFIG, batch_size=64)[0]
    assert of(found, "cell_accuracy/b-2") == of(alone, "cell_accuracy")
    assert of(found, "exact_accuracy/a") == of(scores(CONFIG), "exact_accuracy/a")
    assert "loss/a_at_5" in found.metrics
    assert "loss/none" not in found.metrics
    assert "loss/a_at_5" not in found.puzzles, "scores a puzzle are a table of all of them"


def test_a_curve_and_what_stops_at_halts_are_as_without_figures() -> None:
    plain, asked = scores(CONFIG, has_curve=True), scores(asking("loss@7"), has_curve=True)
    assert asked.curve == plain.curve
    assert scores(asking("loss@7"), stops_halted=True) == scores(CONFIG, stops_halted=True)


def test_pass_at_k_is_computed_for_the_k_that_is_asked_for() -> None:
    rng = np.random.default_rng(0)
    rows, votes = np.repeat(np.arange(6), 8), rng.integers(0, 5, 48)
    labels = rng.integers(0, 10, (6, 900)).astype(np.uint8)
    split = Split("test", labels, labels, (np.arange(6) // 2).astype(np.int32))
    grids = np.where(votes == 0, grid_hashes(labels)[rows], votes)
    columns: Columns = {"row": rows, "vote": grids, "halting_probability": rng.random(48)}
    _, ranks = rank_of_truth(rows, grids, grid_hashes(labels)[rows], columns["halting_probability"])
    scorer = ArcScorer(split)
    for k in (1, 2, 3, 5):
        found = scorer.numbered("pass", k, columns, split.clusters[rows])
        assert found.metrics[f"pass_at_{k}"] == pass_at(k, ranks, split.clusters[np.arange(6)]).mean()
    assert set(found.metrics) == {"pass_at_5", "pass_at_5_low", "pass_at_5_high"}


def test_figures_change_no_digest_and_an_evaluation_makes_their_steps() -> None:
    plain, asked = asking(), asking("loss@64", "exact_accuracy@2", "loss@64")
    assert asked.evaluation.metrics == ("loss@64", "exact_accuracy@2")
    assert (asked.answer_steps, asked.pass_steps, plain.pass_steps) == (STEPS, 64, STEPS)
    assert asked.network_digest() == plain.network_digest()
    assert without_later(plain, plain.model_dump(mode="json"))["evaluation"].keys().isdisjoint({"metrics"})
    with pytest.raises(ValueError, match=r"write exact_accuracy@64"):
        asking("exact accuracy")
    direct = CONFIG.model_dump() | {"model": {"architecture": "direct", "hidden_size": 16, "num_heads": 2}}
    with pytest.raises(ValueError, match=r"evaluation.metrics of steps 64 would ask direct again"):
        RunConfig.model_validate(direct | {"evaluation": {"metrics": ["loss@64"]}})
