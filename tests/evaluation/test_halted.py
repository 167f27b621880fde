"""Rows that stop when they first want to halt: the same answers, reported beside the full ones or reached with less work."""

import numpy as np
import pytest
import torch
from evaluation_cases import PreparedAnswers, config_of, manifest_of, score
from torch import Tensor

from trm.config.networks import DataShape
from trm.config.run import RunConfig
from trm.data.batches.split import Split
from trm.data.format.manifest import Manifest
from trm.evaluation.answers import answers, halted_answers
from trm.evaluation.evaluate import Evaluation
from trm.models.network import Latents, Output
from trm.models.recursive.network import TinyRecursiveModel

QUESTIONS = np.array([[1, 1, 2, 3], [1, 2, 1, 3], [2, 1, 1, 1], [3, 3, 1, 2]])
LABELS = np.array([[2, 3, 2, 3], [3, 2, 2, 3], [2, 3, 3, 2], [3, 3, 2, 2]])
WRONG = np.array([1, 1, 1, 1])
BOARDS = Split("test", QUESTIONS.astype(np.uint8), LABELS.astype(np.uint8), np.arange(4, dtype=np.int32))
MANIFEST = manifest_of("sudoku", (2, 2), 4, BOARDS)


def reporting(config: RunConfig) -> RunConfig:
    return config.model_copy(update={"evaluation": config.evaluation.model_copy(update={"reports_halted": True})})


def network() -> PreparedAnswers:
    """Board 0 halts at 1 and is right only then, 1 halts right at 2, 2 halts wrong at 1 and is right later, 3 never halts."""
    right = list(LABELS)
    answers = {0: [right[0], WRONG], 1: [WRONG, right[1]], 2: [WRONG, WRONG, right[2]], 3: [WRONG, right[3]]}
    wishes = {0: [1.0, -1.0], 1: [-1.0, 2.0, -2.0], 2: [3.0, -1.0, 2.0], 3: [-1.0]}
    keys = [row.astype(np.uint8).tobytes() for row in QUESTIONS]
    return PreparedAnswers(DataShape(4, 4, 1), {keys[i]: answers[i] for i in answers}, {keys[i]: wishes[i] for i in wishes})


def scores(*, stops_halted: bool = False, **how: int) -> list[Evaluation]:
    return score(network(), BOARDS, MANIFEST, reporting(config_of(4)), stops_halted=stops_halted, **how)


def test_what_is_reported_beside_leaves_the_full_figures_as_they_were() -> None:
    plain = score(network(), BOARDS, MANIFEST, config_of(4))[0]
    beside = scores()[0]
    assert {name: beside.metrics[name] for name in plain.metrics} == plain.metrics
    assert {name: beside.standard_errors[name] for name in plain.standard_errors} == plain.standard_errors
    assert plain.metrics["exact_accuracy"] == 0.75
    metrics = beside.metrics
    assert metrics["exact_accuracy_halted"] == 0.75, "boards 0, 1 and 3"
    assert metrics["exact_accuracy_halted_low"] == metrics["exact_accuracy_low"]
    assert (metrics["mean_halting_step"], metrics["halted_flops_saved"]) == (2.0, 0.5)
    assert metrics["fill_accuracy"] == (0 + 1 + 1 + 1) / 4
    assert metrics["fill_accuracy_halted"] == (1 + 1 + 0 + 1) / 4
    assert metrics["q_halt_accuracy_halted"] == 0.5, "board 2 halts though it is wrong, board 3 doubts though it is right"
    assert beside.puzzles["exact_accuracy_halted"].tolist() == [1, 1, 0, 1]


@pytest.mark.parametrize("batch_size", [1, 3, 64])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_stopping_comes_to_the_same_at_every_batch_size_and_number_of_workers(batch_size: int, workers: int) -> None:
    beside = scores()[0]
    assert scores(batch_size=batch_size, workers=workers) == [beside] * workers
    stopped = scores(batch_size=batch_size, workers=workers, stops_halted=True)
    own = [name for name in beside.metrics if "_halted" in name or name in ("examples", "predictions", "mean_halting_step")]
    assert stopped[0].metrics == {name: beside.metrics[name] for name in [*own, "halted_flops_saved"]}
    assert stopped == stopped[:1] * workers
    assert stopped[0].puzzles["loss_halted"].tolist() == beside.puzzles["loss_halted"].tolist()


class Counting(TinyRecursiveModel):
    """Remembers how many rows each of its steps was given."""

    def __init__(self, config: RunConfig, manifest: Manifest) -> None:
        super().__init__(config.model, manifest.shape, dtype=torch.float32)
        torch.nn.init.normal_(self.halting_head, std=0.3, generator=torch.Generator().manual_seed(1))
        torch.nn.init.constant_(self.halting_bias, -0.5)
        self.given: list[int] = []

    def forward(self, latents: Latents, inputs: Tensor, puzzle_rows: Tensor | None) -> tuple[Latents, Output]:
        self.given.append(len(inputs))
        return super().forward(latents, inputs, puzzle_rows)


@pytest.mark.parametrize("mixer", [{"mlp_t": True, "pos_encodings": "none"}, {"pos_encodings": "rope"}])
@torch.no_grad()
def test_a_real_networks_rows_leave_with_the_answers_that_are_reported_beside(mixer: dict[str, object]) -> None:
    config = reporting(config_of(8, puzzle_emb_ndim=16, puzzle_emb_len=1, **mixer))
    model = Counting(config, MANIFEST)
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randint(1, 4, (41, 4), generator=draw, dtype=torch.int32)
    rows = torch.randn(41, 16, generator=draw)
    beside, full = answers(model, inputs, rows, config), model.given
    model.given = []
    stopped = halted_answers(model, inputs, rows, config)
    assert full == [41] * 8
    assert model.given == [int((beside.halting_step >= step).sum()) for step in range(1, len(model.given) + 1)]
    assert len(set(model.given)) >= 3
    assert stopped.halting_step.tolist() == beside.halting_step.tolist()
    assert stopped.halted is not None
    assert beside.halted is not None
    assert stopped.halted.logits.argmax(-1).tolist() == beside.halted.logits.argmax(-1).tolist()
    for one, other in zip(stopped.halted, beside.halted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
