"""The recipes of docs/extending.md are true: each is run as it stands on the page, and keeps what its door asks."""

import importlib
import importlib.util
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch
from optuna.samplers import BaseSampler, TPESampler
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from trm.config.recursion import Recursion
from trm.losses.answer import CrossEntropy
from trm.optim.optimizer import Optimizer, TorchOptimizer
from trm.search.samplers.sampler import Ask
from trm.search.schedulers.scheduler import Scheduler

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
SEEN = {
    "config": ("trm.config.recursion", "trm.config.architectures", "trm.config.losses", "trm.config.optimizers"),
    "losses": ("trm.losses.choice", "trm.losses.answer"),
    "optim": ("trm.optim.choice", "trm.optim.optimizer"),
    "schedulers": ("trm.search.schedulers.run_to_end", "trm.search.schedulers.scheduler"),
    "samplers": ("trm.search.samplers.sampler",),
}
"""Folder of a recipe -> modules whose names the file that it goes to imports or could."""
COMMON = {
    "Any": Any,
    "ClassVar": ClassVar,
    "CrossEntropy": CrossEntropy,
    "Field": Field,
    "Literal": Literal,
    "Mapping": Mapping,
    "TPESampler": TPESampler,
    "Tensor": Tensor,
    "functional": functional,
    "nn": nn,
    "torch": torch,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What all recipes together define, by name."""
    folder, names = tmp_path_factory.mktemp("recipes"), dict[str, Any]()
    blocks = re.findall(r"^```python\n(# trm/.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    for number, part in enumerate(part for block in blocks for part in re.split(r"^(?=# trm/)", block, flags=re.MULTILINE)[1:]):
        file = folder / f"recipe_{number}.py"
        file.write_text(part)
        spec = importlib.util.spec_from_file_location(file.stem, file)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[file.stem] = importlib.util.module_from_spec(spec)  # where pydantic looks for a field's docstring
        seen = [vars(importlib.import_module(name)) for name in SEEN[Path(part.split()[1].rstrip(":,")).parent.name]]
        for known in (*seen, COMMON, names):
            vars(module).update({name: value for name, value in known.items() if not name.startswith("__")})
        before = dict(vars(module))
        spec.loader.exec_module(module)
        names |= {name: value for name, value in vars(module).items() if before.get(name) is not value}
    return names


def test_a_recursion(made: dict[str, Any]) -> None:
    recursion = made["eager"](3, 6)
    assert isinstance(recursion, Recursion)
    assert (recursion.depth, recursion.differentiated_calls, recursion.answer) == (36, 12, "z_H")


def test_a_network(made: dict[str, Any]) -> None:
    config = made["EagerConfig"](H_cycles=2, L_cycles=2)
    assert config.recursion == made["eager"](2, 2)
    assert config.effective_depth == 2 * 2 * 2 * config.L_layers


def test_a_loss(made: dict[str, Any]) -> None:
    logits, target = torch.randn(2, 3, 5), torch.tensor([[0, 1, 2], [3, 4, 0]])
    plain, smoothed = made["smoothed"](0.0)(logits, target), made["smoothed"](0.1)(logits, target)
    logs = functional.log_softmax(logits, -1)
    torch.testing.assert_close(plain, -logs.gather(-1, target[..., None])[..., 0])
    torch.testing.assert_close(smoothed, 0.9 * plain - 0.1 * logs.mean(-1))
    assert made["SmoothedLoss"](smoothing=0.2).model_dump(mode="json") == {"type": "smoothed", "smoothing": 0.2}


def test_an_optimizer(made: dict[str, Any]) -> None:
    weight = nn.Parameter(torch.ones(3))
    optimizer = made["momentum"](made["MomentumConfig"](lr=0.1, weight_decay=0.0), {"weight": weight})
    assert isinstance(optimizer, TorchOptimizer)
    assert isinstance(optimizer, Optimizer)
    for step in (1, 2):
        weight.grad = torch.ones(3)
        optimizer.apply({group.name: optimizer.numbers(group, step, group.lr) for group in optimizer.groups})
    torch.testing.assert_close(weight.data, torch.full((3,), 1 - 0.1 - 0.1 * 1.9))
    assert set(optimizer.saved()) == {"weight.momentum_buffer"}


def test_a_scheduler(made: dict[str, Any]) -> None:
    settings = made["AboveZero"]()
    rungs = settings.rungs_up_to(8.0)
    assert (rungs.amounts, settings.following(rungs, 8.0, 12.0), settings.expected_reach(rungs, 5)) == (
        (4.0, 8.0),
        12.0,
        (5.0, 5.0),
    )
    assert isinstance(settings.scheduler(None), Scheduler)


def test_a_sampler(made: dict[str, Any]) -> None:
    settings = made["SingleTPE"]()
    assert isinstance(settings.sampler(Ask(number=0, seed=1, sweep_seed=2, knobs={})), BaseSampler)
