"""What every loss of puzzles keeps: `CHECKS`, each a function of a loss's configuration."""

from collections.abc import Callable

import torch

from trm.config.data import DataConfig
from trm.config.losses import AnyLoss
from trm.config.networks import DataShape
from trm.config.optimizers import AdamATan2Config
from trm.config.recursive_networks import TrmConfig
from trm.config.run import RunConfig
from trm.config.training import TrainingConfig
from trm.contracts.rules import require
from trm.contracts.runs import random_batch, take_steps, whole_and_resumed
from trm.losses.answer import IGNORED
from trm.training.state import TrainingState
from trm.training.step import device_step
from trm.training.step_inputs import packed, views

SHAPE = DataShape(seq_len=9, vocab_size=6, num_puzzle_identifiers=5)
HALF = 3
LEARNED_STEPS = 12


def check_metrics(config: AnyLoss) -> None:
    """It names the sums that training reports, `loss` among them, and gives just these."""
    state = _state(config)
    metrics = dict(state.loss.metrics)
    require("loss" in metrics, f"a loss must report `loss`, got {sorted(metrics)}", remedy="name it in metrics")
    take_steps(state, SHAPE, 0, 1)
    loss, _ = state.metrics.flush(state.gang)
    require(loss == loss and abs(loss) < float("inf"), f"a first loss must be a finite number, got {loss}", remedy="mend it")


def check_arrays(config: AnyLoss) -> None:
    """What it needs of a batch has the same names, types and shapes at every step, and is a function of the step."""
    state = _state(config)
    found = [state.loss.arrays(random_batch(state, SHAPE, step), step, state.gang) for step in (0, 1, 40)]
    looks = [{name: (array.dtype, array.shape) for name, array in one.items()} for one in found]
    require(looks[0] == looks[1] == looks[2], f"arrays must look alike at every step, got {looks}", remedy="pad what varies")
    again = state.loss.arrays(random_batch(state, SHAPE, 0), 0, state.gang)
    same = all((array == found[0][name]).all() for name, array in again.items())
    require(same, "arrays must be a function of the step", remedy="key every draw by (seed, step, slot)")


def check_needs_no_value(config: AnyLoss) -> None:
    """A step asks for no value of any tensor, so that a CUDA graph can hold it: it runs on a device without memory."""
    state = TrainingState(_configured(config, "bfloat16"), SHAPE, max_steps=2, device="meta")
    buffer, layout = packed(state, random_batch(state, SHAPE, 0))
    try:
        device_step(state, views(state, buffer.to("meta"), layout))
    except (RuntimeError, NotImplementedError) as error:
        require(False, f"a step may ask for no value of a tensor: {error}", remedy="use torch.where in place of if")


def check_learns(config: AnyLoss) -> None:
    """On one batch, shown again and again, the loss falls; it may rise again, when right answers are not yet trusted."""
    state = _state(config)
    losses = []
    for _ in range(LEARNED_STEPS):
        state.carry.halted.fill_(True)
        buffer, layout = packed(state, random_batch(state, SHAPE, 0))
        state.carry = device_step(state, views(state, buffer, layout))
        state.optimizer.count()
        state.step += 1
        losses.append(state.metrics.flush(state.gang)[0])
    first, least = losses[0], min(losses[1:])
    require(least < first, f"the loss of one batch must fall, from {first:.4g} it came to {least:.4g}", remedy="mind its sign")


def check_answers(config: AnyLoss) -> None:
    """The loss of answers is a finite number a row, and a row sees nothing of the others."""
    loss = _state(config).loss
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(4, SHAPE.seq_len, SHAPE.vocab_size, generator=generator)
    labels = torch.randint(0, SHAPE.vocab_size, (4, SHAPE.seq_len), generator=generator)
    labels[1, 2:] = IGNORED
    found = loss.of_answers(logits, labels)
    require(found.shape == (4,), f"of_answers must be a value a row, (4,), got {tuple(found.shape)}", remedy="mean over cells")
    require(bool(found.isfinite().all()), f"of_answers must be finite, got {found.tolist()}", remedy="mind ignored cells")
    order = torch.tensor([2, 0, 3, 1])
    same = torch.allclose(loss.of_answers(logits[order], labels[order]), found[order])
    require(same, "a row's loss must see nothing of the others", remedy="mix nothing across the batch")


def check_resume(config: AnyLoss) -> None:
    """Steps, a checkpoint, and the same steps from it end in the same bits as all steps at once."""
    run = _configured(config, "float32")
    whole, resumed = whole_and_resumed(run, SHAPE, HALF)
    for file, tensors in whole.items():
        apart = [name for name, value in tensors.items() if not torch.equal(value, resumed[file][name])]
        require(not apart, f"a resumed run must be the same: {apart} of {file} differ", remedy="carry all state, draw by the step")


def check_configuration(config: AnyLoss) -> None:
    """The configuration survives a file, as its tag alone where all its fields are at their defaults."""
    run = _configured(config, "float32")
    again = RunConfig.model_validate_json(run.model_dump_json())
    got = again.training.loss
    require(got == config, f"a file must give {config!r} back, got {got!r}", remedy="use plain fields")
    require(again.network_digest() == run.network_digest(), "a digest must follow from the values", remedy="use plain fields")


CHECKS: tuple[Callable[[AnyLoss], None], ...] = (
    check_metrics,
    check_arrays,
    check_needs_no_value,
    check_learns,
    check_answers,
    check_resume,
    check_configuration,
)
"""All that a loss keeps."""


def _configured(config: AnyLoss, forward_dtype: str) -> RunConfig:
    values = {"H_cycles": 1, "L_cycles": 1, "L_layers": 1, "hidden_size": 16, "num_heads": 2, "puzzle_emb_len": 1}
    model = TrmConfig.model_validate({**values, "halt_max_steps": 2, "forward_dtype": forward_dtype})
    training = TrainingConfig(global_batch_size=4, steps=2 * HALF, loss=config, kernels="plain")
    optim = AdamATan2Config(lr=3e-3, lr_warmup_steps=0)
    return RunConfig(data=DataConfig(folder="contract"), model=model, optim=optim, training=training)


def _state(config: AnyLoss) -> TrainingState:
    return TrainingState(_configured(config, "float32"), SHAPE, max_steps=LEARNED_STEPS)
