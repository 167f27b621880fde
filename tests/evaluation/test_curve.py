"""A curve over supervision steps is one pass, and every figure of it that of an evaluation of so many steps."""

from typing import Any

import numpy as np
import pytest
import torch
from evaluation_cases import PreparedAnswers, config_of, manifest_of, score

from trm.config.networks import DataShape
from trm.config.run import RunConfig
from trm.data.batches.split import Split
from trm.models.recursive.network import TinyRecursiveModel

STEPS = 4


def split_of(rng: np.random.Generator, rows: int) -> Split:
    inputs, labels = rng.integers(1, 4, (rows, 4)), rng.integers(0, 4, (rows, 4))
    labels[: rows // 2, :2] = 0  # fewer cells to hit, so that some are hit
    return Split("test", inputs.astype(np.uint8), labels.astype(np.uint8), (np.arange(rows) // 2).astype(np.int32))


def with_steps(config: RunConfig, steps: int) -> RunConfig:
    return config.model_copy(update={"evaluation": config.evaluation.model_copy(update={"steps": steps, "reports_halted": True})})


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("model", [{}, {"initial_latents": "random", "path_noise": 0.3, "path_noise_in": "always"}])
def test_every_point_is_a_separate_evaluation_bit_for_bit(model: dict[str, Any], workers: int) -> None:
    split = split_of(np.random.default_rng(0), 19)
    manifest, config = manifest_of("sudoku", (2, 2), 4, split), config_of(STEPS, **model)
    network = TinyRecursiveModel(config.model, manifest.shape, dtype=torch.float32)
    with torch.no_grad():  # so that rows halt here and there, and answers go on changing
        network.halting_head.normal_(generator=torch.Generator().manual_seed(1))
        network.halting_bias.fill_(-6.0)
    plain = score(network, split, manifest, config, batch_size=8, workers=workers)[0]
    found = score(network, split, manifest, config, batch_size=8, workers=workers, has_curve=True)[0]
    assert found == plain
    assert [point.step for point in found.curve] == list(range(1, STEPS + 1))
    for point in found.curve:
        alone = score(network, split, manifest, with_steps(config, point.step), batch_size=8, workers=workers)[0]
        assert point.evaluation == alone
        assert {name: column.tolist() for name, column in point.evaluation.puzzles.items()} == {
            name: column.tolist() for name, column in alone.puzzles.items()
        }
    assert len({point.evaluation.metrics["loss"] for point in found.curve}) == STEPS


def test_a_curve_says_how_many_have_halted_by_each_step() -> None:
    """Board 0 wants to at once, board 1 at step 2, board 2 never, board 3 at the last step."""
    questions = np.array([[1, 1, 2, 3], [1, 2, 1, 3], [2, 1, 1, 1], [3, 3, 1, 2]], dtype=np.uint8)
    split = Split("test", questions, np.maximum(questions, 2), np.arange(4, dtype=np.int32))
    wishes = {0: [1.0, -1.0], 1: [-1.0, 1.0, -1.0], 2: [-1.0], 3: [-1.0, -1.0, -1.0, 1.0]}
    keys = [row.tobytes() for row in questions]
    network = PreparedAnswers(DataShape(4, 4, 1), {key: [questions[0]] for key in keys}, {keys[i]: wishes[i] for i in wishes})
    found = score(network, split, manifest_of("sudoku", (2, 2), 4, split), config_of(4), has_curve=True)[0]
    assert [point.halted_share for point in found.curve] == [0.25, 0.5, 0.5, 0.75]
    assert [point.evaluation.metrics["mean_halting_step"] for point in found.curve] == [1, 7 / 4, 9 / 4, (1 + 2 + 4 + 4) / 4]
