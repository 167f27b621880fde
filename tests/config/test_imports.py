"""Modules of one's own: imported on a person's word alone, refused by rule, known everywhere once they are there."""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from own_members import forgotten
from torch import nn

from trm import contract
from trm.config import imports
from trm.config.files import dump_yaml, load_run_config, load_yaml, validated
from trm.config.imports import VARIABLE, honour, source_digest
from trm.config.networks import DataShape
from trm.config.run import RunConfig
from trm.errors import EXIT_DONE, EXIT_INPUT, ConfigError, ContractError
from trm.models.counting import row_cost
from trm.optim.choice import build_optimizer
from trm.optim.optimizer import TorchOptimizer
from trm.search.knobs.constraint_names import leaf_names

MODULE = Path(__file__).parents[1] / "fixtures" / "own_optimizer.py"
WEIGHTS = {"p": nn.Parameter(torch.ones(2))}
RUN = "data: {folder: x}\ntraining: {steps: 1}\nimports: [my_optims]\noptim: {type: mean_sign, beta1: 0.8}\n"
HEAD = """
from typing import Literal
from trm.config.optimizers import ImportedOptimizer
"""


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with a module in it."""
    shutil.copy(MODULE, tmp_path / "my_optims.py")
    (tmp_path / "run.yaml").write_text(RUN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv(VARIABLE, "")
    with forgotten():
        yield tmp_path
    for name in [name for name in sys.modules if name.startswith("my_")]:
        del sys.modules[name]


def test_the_file_that_a_person_names_imports(lab: Path) -> None:
    names = set(leaf_names())
    config = load_run_config("run.yaml")
    assert (config.optim.type, config.imports) == ("mean_sign", ("my_optims",))
    weights = {"w": nn.Parameter(torch.ones(2))}
    assert isinstance(build_optimizer(config.optim, weights, uses_kernels=False), TorchOptimizer)
    assert set(leaf_names()) == names, "its fields are called as those of the others"
    with pytest.raises(
        ConfigError,
        match=r"adamw, muon, lion, sgd, nadam, radam, mean_sign, got 'mean_sing'; did you mean mean_sign",
    ):
        load_run_config("run.yaml", ["optim.type=mean_sing"])


def test_what_lies_in_a_folder_imports_nothing(lab: Path) -> None:
    """A run's own configuration, a checkpoint, a sweep's space: each is refused, and the module was never run."""
    (lab / "my_optims.py").write_text("raise SystemExit('it was run')")
    for read in (
        lambda: load_run_config("run.yaml", is_own=False),
        lambda: validated(RunConfig, load_yaml("run.yaml"), "a checkpoint"),
    ):
        with pytest.raises(ConfigError, match=r"imported on your word alone, .* names my_optims; .*TRM_IMPORTS=my_optims"):
            read()
    assert "my_optims" not in sys.modules


@pytest.mark.parametrize("word", ["override", "environment"])
def test_a_persons_word_reaches_what_lies_in_a_folder(lab: Path, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if word == "environment":
        monkeypatch.setenv(VARIABLE, "my_optims")
    overrides = ["imports=[my_optims]"] if word == "override" else []
    assert load_run_config("run.yaml", overrides, is_own=False).optim.type == "mean_sign"
    assert imports.asked_for() == ["my_optims"], "child processes are told"


def test_a_configuration_without_imports_is_called_as_before(lab: Path) -> None:
    plain = {"data": {"folder": "x"}, "training": {"steps": 1}}
    assert RunConfig.model_validate(plain).network_digest() == "2995b87637cbb7bd"
    honour(["my_optims"])
    assert RunConfig.model_validate({**plain, "imports": ["my_optims"]}).network_digest() == "2995b87637cbb7bd"
    dump_yaml(lab / "whole.yaml", RunConfig.model_validate({**plain, "imports": ["my_optims"]}).model_dump(mode="json"))
    assert load_run_config(lab / "whole.yaml").imports == ("my_optims",)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("my_absent", None, "my_absent is no module that Python finds here; start where it lies, or add its folder to PYTHONPATH"),
        ("my-mod", None, "imports must be names of Python modules such as my_lab.nets, got 'my-mod'"),
        ("my_needs", "import my_other_thing", "my_needs needs my_other_thing, which is not there; install my_other_thing"),
        ("my_bad", "1 / 0", r"my_bad cannot be imported \(ZeroDivisionError: division by zero\); mend it"),
        ("my_exit", "raise SystemExit(7)", r"my_exit cannot be imported \(SystemExit: 7\); mend it"),
        ("my_empty", "x = 1", "my_empty adds nothing: no class in it derives from a base"),
        ("my_tag", f"{HEAD}class A(ImportedOptimizer):\n    pass", r"my_tag.A must have one tag, `type: Literal\["),
        (
            "my_default",
            f"{HEAD}class A(ImportedOptimizer):\n    type: Literal['a']",
            "my_default.A must have its tag 'a' as the",
        ),
        ("my_method", f"{HEAD}class A(ImportedOptimizer):\n    type: Literal['a'] = 'a'", "my_method.A must have a method build"),
        (
            "my_field",
            f"{HEAD}class A(ImportedOptimizer):\n    type: Literal['a'] = 'a'\n    b: int\n    def build(self, p): ...",
            "my_field.A must have a default for b",
        ),
        (
            "my_double",
            f"{HEAD}class A(ImportedOptimizer):\n    type: Literal['adamw'] = 'adamw'\n    def build(self, p): ...",
            "my_double.A has the tag adamw, which AdamWConfig has too; choose another",
        ),
    ],
)
def test_a_module_that_cannot_be_used_is_refused_by_rule(lab: Path, name: str, text: str | None, message: str) -> None:
    if text is not None:
        (lab / f"{name}.py").write_text(text)
    with pytest.raises(ConfigError, match=message):
        honour([name])


@pytest.mark.parametrize(
    ("base", "method", "call", "kind"),
    [
        ("optimizers.ImportedOptimizer", "build", lambda one: build_optimizer(one, WEIGHTS, uses_kernels=False), "Optimizer"),
        ("architectures.ImportedNetwork", "row_cost", lambda one: row_cost(one, DataShape(9, 6, 1)), "RowCost"),
    ],
)
def test_what_a_member_makes_must_be_what_its_door_asks(
    lab: Path, base: str, method: str, call: Callable[[Any], object], kind: str
) -> None:
    module, _, name = base.partition(".")
    tag = "architecture" if name == "ImportedNetwork" else "type"
    methods = "".join(f"    def {one}(self, *_, **__): ...\n" for one in ("build", "tensor_sizes", "row_cost"))
    text = f"from typing import Literal\nfrom trm.config.{module} import {name}\nclass A({name}):\n    {tag}: Literal['a'] = 'a'\n"
    (lab / "my_none.py").write_text(text + methods)
    honour(["my_none"])
    with pytest.raises(ContractError, match=rf"my_none.A.{method} must give a {kind}, got None; .* trm.contract my_none"):
        call(imports.members_of("my_none")[0]())


def test_the_digest_is_of_all_sources_and_imports_nothing(lab: Path) -> None:
    package = lab / "my_package"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('it was run')")
    (package / "nets.py").write_text("x = 1")
    before = source_digest("my_package.nets")
    (package / "other.py").write_text("y = 1")
    assert before != source_digest("my_package.nets") is not None
    assert source_digest("my_absent") is None
    assert "my_package" not in sys.modules


@pytest.mark.parametrize("is_whole", [True, False])
def test_the_contract_is_checked_by_a_command(
    lab: Path, is_whole: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not is_whole:
        text = MODULE.read_text()
        assert 'alpha=group["lr"]' in text
        (lab / "my_optims.py").write_text(text.replace('alpha=group["lr"]', "alpha=0.01"))
    monkeypatch.setattr(sys, "argv", ["contract", "my_optims"])
    assert contract.main() == (EXIT_DONE if is_whole else EXIT_INPUT)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(contract.optimizers.CHECKS)
    broken = [line for line in lines if line.startswith("broken")]
    assert bool(broken) is not is_whole
    assert is_whole or "my_optims.MeanSignConfig rates: at learning rate 0 nothing may move" in broken[0]
