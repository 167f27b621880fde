"""The loop itself, not only its parts, computes the published implementation's numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch

from trm.config.run import RunConfig
from trm.data.batches.plan import Batch
from trm.models.build import from_published, to_published
from trm.parity import GIVEN, Case, compare, digest, read_case
from trm.training.loop import take_step
from trm.training.state import TrainingState

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = sorted(path.stem for path in GOLDEN.glob("*.json"))
SUMS = {
    "loss": "loss",
    "lm_loss": "lm_loss",
    "q_halt_loss": "q_halt_loss",
    "q_continue_loss": "q_continue_loss",
    "count": "halted",
    "accuracy": "cell_accuracy",
    "exact_accuracy": "exact_accuracy",
    "q_halt_accuracy": "q_halt_accuracy",
    "steps": "mean_halting_step",
}
"""The golden arrays' names, and those of our running sums."""


def state_of(case: Case, kernels: str) -> TrainingState:
    """A run that starts from the case's weights."""
    training = {
        "global_batch_size": case.global_batch_size,
        "steps": case.steps,
        "loss_dtype": "float64",
        "kernels": kernels,
        "loss": case.loss[0],
    }
    values = {"data": {"folder": "golden"}, "model": case.model, "optim": case.optim, "training": training}
    state = TrainingState(RunConfig.model_validate(values), case.shape, max_steps=case.steps)
    weights, table = from_published(case.weights, case.model, case.shape)
    state.model.load_state_dict(weights)
    state.average.load(dict(state.model.named_parameters()))
    if state.table is not None:
        state.table.weight.copy_(table)
    return state


@pytest.mark.parametrize("kernels", ["plain", "auto"])
@pytest.mark.parametrize("name", CASES)
def test_the_loop_follows_the_golden_run(name: str, kernels: str) -> None:
    case = read_case(GOLDEN / name)
    state = state_of(case, kernels)
    sums = {key: ours for key, ours in SUMS.items() if key in case.arrays}
    rows: dict[str, list[float | np.ndarray]] = {key: [] for key in (*sums, "grad_norm", "halted")}
    for step in range(case.steps):
        take_step(state, Batch(*(case.arrays[key][step] for key in GIVEN)))
        state.metrics.flush(state.gang)
        for key, ours in sums.items():
            rows[key].append(state.metrics.totals[ours])
        rows["halted"].append(state.carry.halted.numpy())
        rows["grad_norm"].append(state.metrics.take_report()["grad_norm"])
    found = {key: np.array(values) for key, values in rows.items()}
    table = None if state.table is None else state.table.weight
    weights = to_published(state.model.state_dict(), table, case.model, prefix="final/inner.")
    weights |= to_published(state.average.average, None, case.model, prefix="ema/inner.")
    found |= {key: digest(value) for key, value in weights.items()}
    verdicts = {deviation.name: deviation for deviation in compare(found, case) if deviation.name in found}
    assert verdicts.keys() == found.keys()
    assert [deviation for deviation in verdicts.values() if not deviation.is_within] == []
    assert torch.isfinite(torch.tensor(found["loss"])).all()
