"""A search space for the tests of several rooms."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trm.config.files import dump_yaml, merged
from trm.search.space.space import SearchSpace, load_space

DEMO: dict[str, Any] = {
    "name": "demo",
    "data": {"recipe": "datasets/sudoku4x4.yaml"},
    "base": {
        "model": {"puzzle_emb_len": 1, "halt_max_steps": 8, "pos_encodings": "none", "num_heads": 2, "hidden_size": 64},
        "optim": {"lr_warmup_steps": 50, "lr": 0.001},
        "training": {"global_batch_size": 64},
    },
    "search": {
        "model.mlp_t": {"type": "choice", "values": [True, False]},
        "model.pos_encodings": {"type": "choice", "values": ["rope"], "when": {"model.mlp_t": False}},
        "model.hidden_size": {"type": "choice", "values": [32, 64]},
        "model.H_cycles": {"type": "int", "low": 1, "high": 3},
        "optim.lr": {"type": "float", "low": 3e-4, "high": 4e-3, "log": True},
    },
    "constraints": ["hidden_size % num_heads == 0"],
    "budget": {"trials": 16, "per_trial": 1e13},
    "scheduler": {"type": "asha", "eta": 3, "rungs": 2},
}


def write(tmp_path: Path, changes: Mapping[str, Any] | None = None) -> Path:
    path = tmp_path / "demo.yaml"
    dump_yaml(path, merged(DEMO, changes or {}))
    return path


def load(tmp_path: Path, changes: Mapping[str, Any] | None = None, *overrides: str) -> SearchSpace:
    return load_space(write(tmp_path, changes), overrides)


def demo(changes: Mapping[str, Any] | None = None) -> SearchSpace:
    return SearchSpace.model_validate(merged(DEMO, changes or {}))
