"""Every loss keeps the contract of its door, and a loss that learns by several passes over episodes is trained by the same step."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import training_cases as cases
from torch import Tensor
from torch.nn import functional

from trm.config.losses import AnyLoss, SoftmaxLoss, StablemaxLoss
from trm.contracts.losses import CHECKS
from trm.data.batches.plan import Position
from trm.distributed import Gang
from trm.losses.loss import ROWS, Learned, Loss, Pass, Work
from trm.training.feed import Feed
from trm.training.loop import train
from trm.training.state import TrainingState

ALL_PARTS: dict[str, Any] = {
    "label_smoothing": 0.2,
    "halt_loss_weight": 0.05,
    "answer_target": "difference",
    "intermediate_weight": 0.3,
    "step_weights": 0.5,
}
LOSSES = {
    "stablemax": StablemaxLoss(),
    "softmax": SoftmaxLoss(),
    "stablemax, all parts": StablemaxLoss(**ALL_PARTS),
    "softmax, all parts": SoftmaxLoss(**ALL_PARTS),
}


@pytest.mark.parametrize("config", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_every_loss_keeps_the_contract(check: Callable[[AnyLoss], None], config: AnyLoss) -> None:
    check(config)


@dataclass(frozen=True)
class Episodes:
    """Boards that were seen one after another, what was done at each, and what it was worth: (slots, moves, ...)."""

    boards: np.ndarray
    actions: np.ndarray
    returns: np.ndarray


class EpisodeFeed:
    """Eight episodes of three moves a step: the right action is the board's first cell, and pays."""

    def __init__(self) -> None:
        self._next = 0

    def batch(self, step: int) -> Episodes:
        draws = np.random.default_rng([5, step])
        boards = draws.integers(1, 4, (8, 3, 6)).astype(np.int32)
        actions = draws.integers(1, 4, (8, 3)).astype(np.int32)
        self._next = step + 1
        return Episodes(boards, actions, (actions == boards[:, :, 0]).astype(np.float32) * 2 - 1)

    def position(self) -> Position:
        return Position(self._next, 0)

    def restore(self, position: Position) -> None:
        self._next = position.step


class PolicyGradient:
    """REINFORCE over whole episodes: a pass a move, one update; the answer's first cell is the action."""

    metrics: Mapping[str, str] = {"loss": ROWS, "return": "episodes"}

    def arrays(self, item: Episodes, step: int, gang: Gang) -> dict[str, np.ndarray]:
        return {name: getattr(item, name) for name in ("boards", "actions", "returns")}

    def passes(self, work: Work) -> Generator[Pass, None, Learned]:
        boards, actions, returns = (work.arrays[name] for name in ("boards", "actions", "returns"))
        latents, total = work.model.initial_latents(len(boards)), torch.zeros(())
        for move in range(boards.shape[1]):
            rows = work.rows(work.carry.puzzle_identifiers)
            latents, output = work.network(latents, boards[:, move], rows)
            log_probability = functional.log_softmax(output.logits[:, 0], -1).gather(-1, actions[:, move, None].long())[:, 0]
            loss = -(log_probability * returns[:, move]).sum()
            total = total + loss.detach()
            yield Pass(loss / len(boards))
        finished = torch.full((), float(len(boards)))
        return Learned(work.carry, {"loss": total, "return": returns.sum(), "episodes": finished})

    def of_answers(self, logits: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(logits.flatten(0, 1), labels.flatten().long(), reduction="none").view(labels.shape).mean(-1)


def begun(monkeypatch: pytest.MonkeyPatch) -> TrainingState:
    monkeypatch.setattr("trm.training.state.build_loss", lambda config, device: PolicyGradient())
    return cases.begin(cases.config_of(training={"kernels": "plain"}, optim={"lr": 2e-2, "ema": False}))


def chosen(state: TrainingState) -> float:
    """Share of boards whose likeliest action is the right one."""
    boards = torch.from_numpy(EpisodeFeed().batch(999).boards.reshape(24, 6))
    with torch.no_grad():
        _, output = state.model(state.model.initial_latents(24), boards, state.table.rows(torch.zeros(24, dtype=torch.int32)))
    return float((output.logits[:, 0, 1:4].argmax(-1) + 1 == boards[:, 0]).float().mean())


def test_episodes_train_through_the_same_loop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Three passes an update, metrics of its own, a checkpoint in between: to the bit as without."""
    assert isinstance(EpisodeFeed(), Feed)
    assert isinstance(PolicyGradient(), Loss)
    whole, half = begun(monkeypatch), begun(monkeypatch)
    train(whole, EpisodeFeed(), until_steps=24)
    train(half, EpisodeFeed(), until_steps=12)
    half.save(tmp_path / "half")
    resumed = cases.resume(tmp_path / "half", half.config)
    assert resumed.position == Position(12, 0)
    train(resumed, EpisodeFeed(), until_steps=24)
    expected, found = cases.everything(whole), cases.everything(resumed)
    assert not [name for name, value in expected.items() if not torch.equal(value, found[name])]
    assert chosen(begun(monkeypatch)) < 0.5 < chosen(whole)
    report = whole.metrics.take_report()
    assert report.keys() == {"loss", "return", "grad_norm"}
    assert -3 <= report["return"] <= 3


def test_passes_of_one_graph_add_up_and_may_be_read_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer and halting loss apart, as Jacobian descent needs them: their gradients add up to those of one pass."""
    from trm.losses.supervision import CrossEntropies, Supervision

    read: list[Tensor] = []

    class Apart(Supervision):
        def passes(self, work: Work) -> Generator[Pass, None, Learned]:
            made = super().passes(work)
            one = next(made)
            parameter = next(iter(work.model.parameters()))
            yield Pass(one.loss * 0.25, keeps_graph=True)
            read.append(parameter.grad.clone())
            yield Pass(one.loss * 0.75)
            try:
                next(made)
            except StopIteration as end:
                return end.value
            raise AssertionError("deep supervision has one pass")

    def build(config: Any, device: torch.device) -> Apart:
        from trm.losses.stablemax import stablemax_cross_entropy

        return Apart(config, StablemaxLoss(), CrossEntropies(stablemax_cross_entropy, stablemax_cross_entropy), device)

    config = cases.config_of(training={"kernels": "plain"}, model={"forward_dtype": "float64"})
    plain = cases.begin(config)
    monkeypatch.setattr("trm.training.state.build_loss", build)
    apart = cases.begin(config)
    for state in (plain, apart):
        cases.advance(state, 5)
    assert len(read) == 5
    for name, value in plain.model.state_dict().items():
        torch.testing.assert_close(apart.model.state_dict()[name], value, rtol=1e-9, atol=1e-9)
