"""Does the analytic count of training FLOPs agree with torch's counter? A row an architecture, and the worst of random draws.

A whole training step is counted, and a forward pass without gradient, in the plain form (not the CPU's hand-written one) on the
plain attention backend: torch's counter sees nothing in fused CPU attention, and counts its backward 2.5 times on CUDA.
"""

import itertools
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.rows import emit, parser
from trm.config.networks import DataShape
from trm.config.run import RunConfig
from trm.config.training import TrainingConfig
from trm.data.batches.plan import Batch
from trm.models import layers
from trm.models.cost import run_cost
from trm.training.loop import take_step
from trm.training.state import TrainingState

SHAPE = DataShape(seq_len=25, vocab_size=7, num_puzzle_identifiers=3)
BATCH = 4
LIMIT = 0.02
MIXES: dict[str, dict[str, Any]] = {
    "attention, rope": {"pos_encodings": "rope"},
    "attention, learned": {"pos_encodings": "learned"},
    "attention, none": {"pos_encodings": "none"},
    "mlp_t, none": {"mlp_t": True, "pos_encodings": "none"},
    "mlp_t, learned": {"mlp_t": True, "pos_encodings": "learned"},
}
PUZZLES: dict[str, dict[str, Any]] = {
    "16 tokens": {"puzzle_emb_len": 16},
    "1 token": {"puzzle_emb_len": 1},
    "off": {"puzzle_emb_ndim": 0, "puzzle_emb_len": 0},
}
BASE: dict[str, Any] = {"hidden_size": 64, "num_heads": 4, "H_cycles": 2, "L_cycles": 2}
WIDE: dict[str, Any] = {"hidden_size": 64, "num_heads": 4}
NETWORKS: dict[str, dict[str, Any]] = {
    "single_z": {**BASE, "architecture": "single_z"},
    "latents 3": {**BASE, "architecture": "latents", "num_latents": 3},
    "hrm": {**WIDE, "architecture": "hrm", "H_layers": 2},
    "hrm, mlp_t": {**WIDE, "architecture": "hrm", "mlp_t": True, "pos_encodings": "none"},
    "transformer": {**WIDE, "architecture": "transformer"},
    "transformer, heads of 10": {**WIDE, "num_heads": 6, "architecture": "transformer"},
    "separate networks": {**BASE, "networks": "separate"},
    "gradient of the last call": {**BASE, "gradient": "last_call"},
    "gradient of one step": {**BASE, "gradient": "one_step"},
    "gradient of all": {**BASE, "gradient": "all"},
    "answers after every cycle": {**BASE, "answers_after": "every_cycle"},
}
"""Other networks than trm, and its ablations."""


def counted(config: RunConfig) -> tuple[int, int]:
    """FLOPs that torch counts in a training step, and in a forward pass without gradient."""
    state = TrainingState(config, SHAPE, max_steps=10)
    cells = np.random.default_rng(0).integers(1, SHAPE.vocab_size, size=(2, BATCH, SHAPE.seq_len), dtype=np.int32)
    with FlopCounterMode(display=False) as training, sdpa_kernel(SDPBackend.MATH):
        take_step(state, Batch(cells[0], cells[1], np.zeros(BATCH, np.int32)))
    rows = None if state.table is None else state.table.rows(state.carry.puzzle_identifiers)
    with FlopCounterMode(display=False) as forward, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        state.model(state.carry.latents, state.carry.inputs, rows)
    return training.get_total_flops(), forward.get_total_flops()


def compared(model: dict[str, Any], loss: str = "stablemax") -> dict[str, Any]:
    """Both counts of an architecture, and by how much the analytic ones are off."""
    training = TrainingConfig.model_validate({"global_batch_size": BATCH, "steps": 10, "loss": loss, "kernels": "plain"})
    config = RunConfig.model_validate({"data": {"folder": "unused"}, "model": model, "training": training})
    step, forward = counted(config)
    cost = run_cost(config, SHAPE)
    return {
        "analytic_mflop": round(cost.step_flops / 1e6, 3),
        "torch_mflop": round(step / 1e6, 3),
        "off_percent": round(100 * (cost.step_flops / step - 1), 3),
        "forward_off_percent": round(100 * (BATCH * cost.forward_flops_row / forward - 1), 3),
    }


def architectures() -> Iterator[tuple[str, dict[str, Any], str]]:
    """Name, fields and loss of each."""
    kinds = itertools.product(MIXES.items(), PUZZLES.items(), (True, False), ("stablemax", "softmax"))
    for (mix, mixing), (puzzle, fields), halts, loss in kinds:
        if loss == "softmax" and (puzzle, halts) != ("16 tokens", True):  # counts no product; once a mix shows it
            continue
        halting = "" if halts else ", q_continue"
        yield f"{mix}; puzzle embedding {puzzle}{halting}; {loss}", {**BASE, **mixing, **fields, "no_ACT_continue": halts}, loss
    for name, fields in NETWORKS.items():
        yield name, fields, "stablemax"


def drawn(generator: random.Random) -> dict[str, Any]:
    """A random architecture."""
    heads = generator.choice([1, 2, 4])
    mixing = generator.choice(list(MIXES.values()))
    return {
        **mixing,
        **generator.choice(list(PUZZLES.values())),
        "num_heads": heads,
        "hidden_size": heads * generator.choice([8, 16, 32]),
        "expansion": generator.choice([1.0, 2.0, 4.0]),
        "no_ACT_continue": generator.random() < 0.5,
        **{name: generator.randint(1, 3) for name in ("H_cycles", "L_cycles", "L_layers")},
    }


def main() -> None:
    """Print a row an architecture, then one for the draws."""
    options = parser(__doc__)
    options.add_argument("--draws", type=int, default=200, help="random architectures")
    arguments = options.parse_args()
    torch.set_num_threads(1)
    layers._uses_cpu_layers = lambda x: False
    worst = 0.0
    for name, model, loss in architectures():
        row = compared(model, loss)
        worst = max(worst, abs(row["off_percent"]), abs(row["forward_off_percent"]))
        emit({"benchmark": "flops", "architecture": name, **row}, arguments.out)
    generator = random.Random(0)
    offs = [compared(drawn(generator)) for _ in range(arguments.draws)]
    errors = [max(abs(row["off_percent"]), abs(row["forward_off_percent"])) for row in offs]
    emit(
        {"benchmark": "flops", "architecture": f"{len(errors)} random draws", "worst_off_percent": max(errors, default=0.0)},
        arguments.out,
    )
    worst = max([worst, *errors])
    emit({"benchmark": "flops", "architecture": "all", "worst_off_percent": worst, "limit_percent": 100 * LIMIT}, arguments.out)


if __name__ == "__main__":
    main()
