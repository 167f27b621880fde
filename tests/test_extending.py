"""The recipes of docs/extending.md are true: each is run as it stands on the page, and keeps what its door asks."""

import importlib
import importlib.util
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from optuna.samplers import BaseSampler, TPESampler
from own_members import forgotten
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from trm.config import imports
from trm.config.files import parse_yaml
from trm.config.recursion import Recursion
from trm.contract import broken, checks_of
from trm.contracts.tasks import check_task
from trm.data.batches.plan import Batch, EvaluationBatch
from trm.evaluation.metrics import Answered, Metrics
from trm.losses.answer import CrossEntropy
from trm.optim.optimizer import Optimizer, TorchOptimizer
from trm.search.samplers.sampler import Ask
from trm.search.schedulers.scheduler import Scheduler
from trm.search.space.space import SearchSpace
from trm.tasks.recipes import recipe_of

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
SEEN = {
    "config": (
        *("trm.config.recursion", "trm.config.recursive_networks", "trm.config.architectures"),
        *("trm.config.losses", "trm.config.optimizers"),
    ),
    "losses": ("trm.losses.choice", "trm.losses.answer"),
    "optim": ("trm.optim.choice", "trm.optim.groups", "trm.optim.optimizer"),
    "schedulers": ("trm.search.schedulers.run_to_end", "trm.search.schedulers.scheduler"),
    "samplers": ("trm.search.samplers.sampler",),
    "odd": ("trm.tasks.task", "trm.data.format.built", "trm.tasks.making.recipe"),
    "evaluation": ("trm.evaluation.metrics",),
    "pictures": ("trm.pictures.canvas",),
}
"""Folder of a recipe -> modules whose names the file that it goes to imports or could."""
COMMON = {
    "Any": Any,
    "ClassVar": ClassVar,
    "CrossEntropy": CrossEntropy,
    "Field": Field,
    "Literal": Literal,
    "Mapping": Mapping,
    "Path": Path,
    "Sequence": Sequence,
    "TPESampler": TPESampler,
    "Tensor": Tensor,
    "functional": functional,
    "nn": nn,
    "np": np,
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
    plain, focal = made["focal"](0.0)(logits, target), made["focal"](2.0)(logits, target)
    right = functional.softmax(logits, -1).gather(-1, target[..., None])[..., 0]
    torch.testing.assert_close(plain, -right.log())
    torch.testing.assert_close(focal, (1 - right) ** 2 * -right.log())
    assert made["FocalLoss"]().model_dump(mode="json") == "focal"
    written = made["FocalLoss"](gamma=0.5, label_smoothing=0.1).model_dump(mode="json")
    assert (written["gamma"], written["label_smoothing"], written["halt_loss_weight"]) == (0.5, 0.1, 0.5)


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
    assert (rungs.amounts, settings.following(rungs, 8.0, 12.0)) == ((4.0, 8.0), 12.0)
    assert isinstance(settings.scheduler(None), Scheduler)


def test_a_sampler(made: dict[str, Any]) -> None:
    settings = made["SingleTPE"]()
    assert isinstance(settings.sampler(Ask(number=0, seed=1, sweep_seed=2, knobs={})), BaseSampler)


def test_a_task(made: dict[str, Any]) -> None:
    check_task(made["Odd"](), made["OddRecipe"](name="odd"))


def test_a_metric(made: dict[str, Any]) -> None:
    labels, rows = np.array([[1, 2], [2, 1]], dtype=np.int32), np.arange(2, dtype=np.int64)
    asked = EvaluationBatch(Batch(labels, labels, labels[:, 0]), rows, rows.astype(np.int32))
    answered = Answered(np.array([[1, 1], [1, 1]], dtype=np.uint8), asked, (1, 2))
    assert made["FIRST_CELL"].column(answered).tolist() == [1.0, 0.0]
    assert Metrics([made["FIRST_CELL"]]).direction("first_cell_accuracy_halted") == "max"


def test_a_picture(made: dict[str, Any], tmp_path: Path) -> None:
    made["draw_spread"]([0.1, 0.5, 0.5], tmp_path / "spread.png", metric="exact_accuracy")
    assert (tmp_path / "spread.png").read_bytes().startswith(b"\x89PNG")


def test_something_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (module,) = re.findall(r"^```python\n# my_lab/optims.py\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "my_lab").mkdir()
    (tmp_path / "my_lab" / "__init__.py").touch()
    (tmp_path / "my_lab" / "optims.py").write_text(module)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv(imports.VARIABLE, "")
    with forgotten():
        imports.honour(["my_lab.optims"])
        (member,) = imports.members_of("my_lab.optims")
        assert {name: problem for name, problem in broken(member, checks_of(member)) if problem is not None} == {}
        space = yaml_of("my_space.yaml") | {"data": {"folder": "x"}, "name": "mine", "budget": {"per_trial": 1e12, "trials": 4}}
        knobs = SearchSpace.model_validate(space).search
        assert knobs["optim.momentum"].when == {"optim.type": "momentum"}


def test_a_puzzle_and_a_metric_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (module,) = re.findall(r"^```python\n# my_lab/puzzles.py\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "my_reversal.py").write_text(module)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv(imports.VARIABLE, "")
    with forgotten():
        imports.honour(["my_reversal"])
        members = imports.members_of("my_reversal")
        told = {name: problem for one in members for name, problem in broken(one, checks_of(one)) if problem is not None}
        assert told == {}
        assert recipe_of(yaml_of("reversal.yaml") | {"imports": ["my_reversal"]}, "the page").puzzle_task == "reversal"


def yaml_of(name: str) -> dict[str, Any]:
    """The page's YAML that begins with that file's name."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (text,) = [block for block in blocks if block.startswith(f"# {name}")]
    values = parse_yaml(text, name)
    assert isinstance(values, dict)
    return values
