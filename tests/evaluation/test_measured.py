"""The figure that settings of one pass are judged by: each is that of a separate evaluation, puzzle by puzzle too."""

from typing import Any

import numpy as np
import pytest
import torch
from evaluation_cases import config_of, manifest_of, score

from tests.evaluation.test_evaluate import arc_split
from tests.evaluation.test_figures import MANIFEST, NETWORK, SPLIT
from tests.evaluation.test_rollouts import with_evaluation
from trm.config.figures import Figure
from trm.config.run import RunConfig
from trm.data.format.manifest import PartInfo
from trm.evaluation.scores import Measured
from trm.models.recursive.network import TinyRecursiveModel
from trm.tasks.arc.augment import CANVAS

CONFIG = config_of(3)
ROLLED = {"rollouts": 3, "noise": 0.5}


def own(point: Any) -> dict[str, Any]:
    """What an evaluation of a setting alone is told."""
    chosen = {"select": point.select} if point.select else {}
    return {"steps": point.steps, "rollouts": point.rollouts, "forms": point.forms, **chosen}


def ends_of(found: Measured) -> list[float]:
    assert np.average(found.puzzles, weights=found.weights) == pytest.approx(found.value)
    return [found.value, found.low, found.high]


@pytest.mark.parametrize(
    "figure",
    [Figure("loss"), Figure("fill_accuracy"), Figure("exact_accuracy", "b-2"), Figure("mean_halting_step"), Figure("loss", "a")],
)
def test_a_figure_of_every_setting_is_that_of_a_separate_evaluation(figure: Figure) -> None:
    def scored(config: RunConfig, **how: Any) -> Any:
        return score(NETWORK, SPLIT, MANIFEST, config, batch_size=64, **how)[0]

    config = with_evaluation(CONFIG, **ROLLED, starts="random")
    breadth = scored(config, has_breadth=True, measure=figure).breadth
    curve = scored(CONFIG, has_curve=True, measure=figure).curve
    asked = (figure.text,) if figure.part else ()
    for point, alone in [
        *((point, with_evaluation(config, **own(point), metrics=asked)) for point in breadth[::11]),
        *((point, with_evaluation(CONFIG, steps=point.step, metrics=asked)) for point in curve),
    ]:
        found = scored(alone)
        value, error = found.metrics[figure.name], found.standard_errors[figure.name]
        low = found.metrics.get(f"{figure.name}_low", value - 1.959963984540054 * error)
        high = found.metrics.get(f"{figure.name}_high", value + 1.959963984540054 * error)
        assert ends_of(point.measured) == pytest.approx([value, low, high], rel=1e-9)
        if figure.part is None:
            assert point.measured.puzzles.tolist() == pytest.approx(found.puzzles[figure.name].tolist())
            assert len(point.measured.puzzles) == len(np.unique(SPLIT.clusters))
        else:
            assert len(point.measured.puzzles) < len(np.unique(SPLIT.clusters))


@pytest.mark.parametrize("metric", ["pass_at_1", "pass_at_3"])
def test_votes_of_every_setting_are_those_of_a_separate_evaluation(metric: str) -> None:
    """Of 1 x 1 grids, which a network that knows nothing hits now and then."""
    split = arc_split()
    labels = split.labels.copy()
    labels[:, 1:] = 0
    split = type(split)("test", split.inputs, labels, split.groups, split.identifier_starts, split.identifier_codes)
    manifest = manifest_of("arc", (CANVAS, CANVAS), 12, split)
    config = with_evaluation(config_of(2), rollouts=3, noise=2.0, starts="random")
    network = TinyRecursiveModel(config.model, manifest.shape, dtype=torch.float64)

    def scored(config: RunConfig, **how: Any) -> Any:
        return score(network, split, manifest, config, batch_size=16, **how)[0]

    halves = (PartInfo(name="one", groups=(0, 2)), PartInfo(name="two", groups=(2, 3)))
    mixed = manifest.model_copy(update={"parts": halves})
    of_parts = with_evaluation(config, metrics=(f"{metric}/one", f"{metric}/two@1"))
    asked = score(network, split, mixed, of_parts, batch_size=16)[0].metrics
    whole = [scored(with_evaluation(config, steps=steps, metrics=(metric,))).puzzles[metric].tolist() for steps in (2, 1)]
    assert [asked[f"{metric}/one"], asked[f"{metric}/two_at_1"]] == [whole[0][0], whole[1][1]], "tasks 1 and 2 are the parts"
    figure = Figure(metric)
    for point in scored(config, has_breadth=True, measure=figure).breadth:
        one = own(point) | {"forms": 1, "metrics": (metric,)}
        found = scored(with_evaluation(config, **one))
        assert ends_of(point.measured) == [found.metrics[f"{metric}{end}"] for end in ("", "_low", "_high")]
        assert point.measured.puzzles.tolist() == found.puzzles[metric].tolist()
