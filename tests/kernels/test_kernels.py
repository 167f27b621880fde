"""The CPU's own kernels compute what the plain operators do, to rounding, and say clearly why they cannot be had."""

import copy
import functools
import math
import os
import pwd
import shutil
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from trm.config.networks import DataShape, ModelConfig
from trm.config.recursion import QUESTION, Call, Latent, Recursion
from trm.config.recursive_networks import TransformerConfig, TrmConfig
from trm.config.run import RunConfig
from trm.data.batches.keyed_random import device_keys
from trm.distributed import Gang
from trm.errors import ResourceError
from trm.files import own_cache
from trm.kernels import build, recursion
from trm.models import precision as devices
from trm.models.network import Draws, Latents
from trm.models.precision import uses_kernels
from trm.models.recursive.network import TinyRecursiveModel
from trm.optim.adam_atan2 import AdamATan2
from trm.training.state import TrainingState

HAS_COMPILER = os.environ.get("CXX") or any(shutil.which(name) for name in build.COMPILERS)
pytestmark = pytest.mark.skipif(not HAS_COMPILER, reason="no C++ compiler")  # one that fails at the kernels is no reason

Z_H, Z_L, Z_M = (Latent(f"z_{name}", f"{name}_init") for name in "HLM")
TWO_NETWORKS = (Call("z_L", ("z_L", "z_H", QUESTION), "low"),) * 3 + (Call("z_H", ("z_H", "z_L"), "high"),)
CROSSED = (
    Call("z_L", ("z_H", "z_L", "z_M", QUESTION)),
    Call("z_M", ("z_L", QUESTION)),
    Call("z_L", ("z_L",)),
    Call("z_H", ("z_M", "z_L")),
)
RECURSIONS = {
    "two networks, the last two calls": Recursion((Z_H, Z_L), TWO_NETWORKS, 2, 2),
    "all calls, latents that cross": Recursion((Z_H, Z_L, Z_M), CROSSED, 2, 8),
    "a latent that nothing updates": Recursion((Z_H, Z_M), (Call("z_H", ("z_H", "z_M", QUESTION)),), 3, 2),
    "a call that nothing reads": Recursion((Z_H, Z_L), (Call("z_H", ("z_H", QUESTION)), Call("z_L", ("z_L", "z_H"))), 2, 4),
}


class Written(TrmConfig):
    """A network of another recursion: a name of `RECURSIONS`."""

    made_of: str

    @property
    def recursion(self) -> Recursion:
        """The one of that name."""
        return RECURSIONS[self.made_of]

    def layers_of(self, network: str) -> int:
        """Two blocks, in `high` one."""
        return 1 if network == "high" else 2


SMALL = {"hidden_size": 24, "num_heads": 3, "H_cycles": 2, "L_cycles": 2, "expansion": 1.0, "puzzle_emb_len": 2}
NETWORKS = {
    "attention": (TrmConfig(**SMALL), 17, 5),
    "many_queries": (TrmConfig(**{**SMALL, "hidden_size": 16, "num_heads": 1}), 150, 2),
    "learned": (TrmConfig(**SMALL, pos_encodings="learned"), 7, 3),
    "no_positions": (TrmConfig(**SMALL, pos_encodings="none"), 7, 3),
    "mlp": (TrmConfig(**SMALL, mlp_t=True, pos_encodings="none"), 19, 5),
    "deep": (TrmConfig(**{**SMALL, "H_cycles": 3, "L_cycles": 3, "L_layers": 3}), 9, 4),
    "shallow": (TrmConfig(**{**SMALL, "H_cycles": 1, "L_cycles": 1, "L_layers": 1}), 9, 4),
    "crowded": (TrmConfig(**{**SMALL, "hidden_size": 128, "num_heads": 4, "expansion": 4.0, "L_layers": 1}), 30, 14),
    "crowded_mlp": (TrmConfig(**{**SMALL, "hidden_size": 128}, mlp_t=True, pos_encodings="none"), 19, 8),
    "wide": (TrmConfig(**{**SMALL, "hidden_size": 320, "num_heads": 5}), 30, 14),
    "heads_that_leave_channels": (
        TransformerConfig(hidden_size=40, num_heads=6, H_layers=2, expansion=1.0, puzzle_emb_len=2),
        9,
        4,
    ),
    "normed": (TrmConfig(**SMALL, ffn="normed_swiglu", pos_encodings="rope2d", grid_width=5), 15, 5),
    "normed_mlp": (TrmConfig(**SMALL, ffn="normed_swiglu", mlp_t=True, pos_encodings="none"), 19, 5),
    "gelu": (TrmConfig(**SMALL, activation="gelu", mlp_t=True, pos_encodings="none"), 7, 3),
    "relu": (TrmConfig(**{**SMALL, "H_cycles": 1, "L_layers": 1}, activation="relu"), 7, 3),
    "relu2": (TrmConfig(**SMALL, activation="relu2"), 7, 3),
    "conv": (TrmConfig(**SMALL, ffn="conv_swiglu", conv_kernel=3), 9, 5),
    "conv_mlp": (TrmConfig(**SMALL, ffn="conv_swiglu", activation="gelu", mlp_t=True, pos_encodings="none"), 19, 5),
    "conv_long": (TrmConfig(**{**SMALL, "H_cycles": 1, "L_cycles": 1, "L_layers": 1}, ffn="conv_swiglu", conv_kernel=15), 450, 2),
    "relaxed": (TrmConfig(**SMALL, relaxation=0.7), 9, 3),
    "relaxed_mlp": (TrmConfig(**SMALL, relaxation=0.4, mlp_t=True, pos_encodings="none"), 9, 3),
    "relaxed_crossed": (Written(**SMALL, relaxation=0.6, made_of="all calls, latents that cross"), 9, 3),
    **{name: (Written(**SMALL, made_of=name), 9, 3) for name in RECURSIONS},
}


@pytest.fixture(params=NETWORKS, ids=list(NETWORKS))
def case(request: pytest.FixtureRequest) -> tuple[ModelConfig, int, int]:
    return NETWORKS[request.param]


@pytest.fixture(params=(1, 3), ids=("1 thread", "3 threads"))
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield int(request.param)
    torch.set_num_threads(before)


def networks(config: ModelConfig, cells: int, seed: int = 1) -> tuple[TinyRecursiveModel, TinyRecursiveModel, TinyRecursiveModel]:
    """The same weights three times: in float64, plain in float32, fused."""
    shape = DataShape(cells, 6, 3)
    made = [
        TinyRecursiveModel(config, shape, dtype=dtype, generator=torch.Generator().manual_seed(seed), is_fused=is_fused)
        for dtype, is_fused in ((torch.float64, False), (torch.float32, False), (torch.float32, True))
    ]
    made[0].load_state_dict({name: value.double() for name, value in made[1].state_dict().items()})
    return made[0], made[1], made[2]


def step(model: TinyRecursiveModel, rows: int, draws: Draws | None = None) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Outputs of a supervision step from some latents, and gradients of a sum over logits and halting, by name."""
    generator = torch.Generator().manual_seed(2)
    size = (rows, model.length, model.config.hidden_size)
    latents = {
        latent.name: torch.randn(size, generator=generator, dtype=torch.float64).to(model.dtype)
        for latent in model.recursion.latents
    }
    inputs = torch.randint(0, 6, (rows, model.shape.seq_len), generator=generator, dtype=torch.int32)
    table = torch.randn(rows, model.config.puzzle_ndim, generator=generator, dtype=torch.float64)
    table = table.to(model.token_embedding.dtype).requires_grad_()
    new, output = model(latents, inputs, table, draws)
    logits = output.logits
    weights = torch.randn(logits.shape, generator=generator, dtype=torch.float64).to(logits.dtype)
    ((logits * weights).sum() + output.q_halt.sum()).backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {**new, "logits": logits}, {**gradients, "puzzle_rows": table.grad}


DRAWING: dict[str, dict[str, Any]] = {
    "dropout": {"dropout": 0.3},
    "path noise": {"path_noise": 0.2},
    "all": {"dropout": 0.1, "path_noise": 0.1, "relaxation": 0.8},
    "all, mixer": {"dropout": 0.1, "path_noise": 0.1, "relaxation": 0.8, "mlp_t": True, "pos_encodings": "none"},
    "all, odd width": {"dropout": 0.5, "path_noise": 0.1, "mlp_t": True, "pos_encodings": "none", "hidden_size": 27},
    "all, every cycle": {"dropout": 0.1, "path_noise": 0.1, "relaxation": 0.8, "answers_after": "every_cycle"},
    "all, several calls": {"dropout": 0.1, "path_noise": 0.1, "relaxation": 0.8, "gradient": "all", "networks": "separate"},
}


@pytest.mark.parametrize("name", DRAWING)
@pytest.mark.parametrize("is_training", [True, False])
def test_kernels_draw_what_tensors_do(name: str, is_training: bool, threads: int) -> None:
    config = TrmConfig(**{**SMALL, **DRAWING[name]}, path_noise_in="always")
    draws = Draws(torch.from_numpy(device_keys(1, 2, np.arange(7))), is_training)
    made = networks(config, 13)
    assert made[2].is_fused
    exact, plain, fused = (step(model, 7, draws) for model in made)
    for true, theirs, ours in zip(exact, plain, fused, strict=True):
        for key, value in true.items():
            assert error(ours[key], value) <= 20 * error(theirs[key], value) + 1e-5, key
    undrawn = step(networks(config, 13)[2], 7)
    assert is_training is False or error(undrawn[0]["z_H"], exact[0]["z_H"]) > 1e-3


def error(found: Tensor, true: Tensor) -> float:
    return float((found.detach().double() - true.detach()).norm() / true.detach().norm().clamp(min=1e-9))


def test_a_fused_step_is_as_near_the_truth_as_a_plain_one(case: tuple[ModelConfig, int, int], threads: int) -> None:
    """By the median of several networks: where one lies on an edge, either may be ten times nearer by luck."""
    config, cells, rows = case
    errors: dict[str, list[tuple[float, float]]] = {}
    for seed in range(5):
        exact, plain, fused = (step(model, rows) for model in networks(config, cells, seed))
        for true, ours, theirs in zip(exact, fused, plain, strict=True):
            assert ours.keys() == true.keys()
            for name, value in true.items():
                assert ours[name].dtype == torch.float32
                errors.setdefault(name, []).append((error(ours[name], value), error(theirs[name], value)))
    for name, found in errors.items():
        ours, theirs = (statistics.median(side) for side in zip(*found, strict=True))
        assert ours <= 6 * theirs + 2e-6, name
        assert all(one <= 1e-3 for one, _ in found), name  # nor is any of them a number that is none


def test_without_gradient_the_latents_are_the_same(case: tuple[ModelConfig, int, int], threads: int) -> None:
    config, cells, rows = case
    fused = networks(config, cells)[2]
    trained, _ = step(fused, rows)
    with torch.no_grad():
        evaluated, _ = _evaluated(fused, rows)
    for name, value in evaluated.items():
        torch.testing.assert_close(value, trained[name], rtol=1e-4, atol=1e-4)  # a BLAS may look at where arrays begin


def _evaluated(model: TinyRecursiveModel, rows: int, only: slice = slice(None)) -> tuple[Latents, Tensor]:
    generator = torch.Generator().manual_seed(2)
    size = (rows, model.length, model.config.hidden_size)
    latents = {
        latent.name: torch.randn(size, generator=generator, dtype=torch.float64).float()[only] for latent in model.recursion.latents
    }
    inputs = torch.randint(0, 6, (rows, model.shape.seq_len), generator=generator, dtype=torch.int32)[only]
    table = torch.randn(rows, model.config.puzzle_ndim, generator=generator, dtype=torch.float64).float()[only]
    new, output = model(latents, inputs, table)
    return new, output.logits


def test_a_puzzle_alone_gets_what_it_gets_among_others(case: tuple[ModelConfig, int, int], threads: int) -> None:
    config, cells, rows = case
    fused = networks(config, cells)[2]
    with torch.no_grad():
        together, _ = _evaluated(fused, rows)
        alone, _ = _evaluated(fused, rows, slice(1, 2))
    answer = fused.recursion.answer
    torch.testing.assert_close(alone[answer], together[answer][1:2], rtol=1e-4, atol=1e-4)  # a BLAS adds few rows in another order


def test_a_step_repeats_to_the_bit(case: tuple[ModelConfig, int, int], threads: int) -> None:
    config, cells, rows = case
    fused = networks(config, cells)[2]
    first = [value.clone() for part in step(fused, rows) for value in part.values()]
    fused.zero_grad()
    second = [value for part in step(fused, rows) for value in part.values()]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_weight_that_is_no_number_shows() -> None:
    config, cells, rows = NETWORKS["attention"]
    fused = networks(config, cells)[2]
    with torch.no_grad():
        fused.blocks[0].mix_in[0, 0] = float("nan")  # type: ignore[union-attr,operator,index]
        assert _evaluated(fused, rows)[1].isnan().any()


def test_what_is_kept_for_a_backward_pass_serves_one() -> None:
    config, cells, rows = NETWORKS["attention"]
    fused = networks(config, cells)[2]
    question = torch.randn(rows, fused.length, 24, requires_grad=True)
    weights = [p for name, p in fused.named_parameters() if name.startswith("blocks")]
    assert fused.fused is not None
    latents = dict.fromkeys(("z_H", "z_L"), question.detach())
    answer = fused.fused(latents, question, weights, fused.rotary)["z_H"]
    answer.sum().backward(retain_graph=True)
    with pytest.raises(AssertionError, match="serves one"):
        answer.sum().backward()


def test_a_copy_computes_what_its_original_does() -> None:
    config, cells, rows = NETWORKS["attention"]
    fused = networks(config, cells)[2]
    step(fused, rows)
    copied = copy.deepcopy(fused)
    with torch.no_grad():
        assert torch.equal(_evaluated(copied, rows)[1], _evaluated(fused, rows)[1])


def test_what_the_kernels_cannot_read_never_reaches_them() -> None:
    config, cells, rows = NETWORKS["no_positions"]
    fused = networks(config, cells)[2]
    weights, fits = list(fused.blocks.parameters()), torch.zeros(rows, fused.length, 24)
    assert fused.fused is not None
    for bad in (fits.double(), fits[:, 1:], fits[:, :, 1:]):
        with pytest.raises(AssertionError, match="kernels read float32"):
            fused.fused({"z_H": bad, "z_L": bad}, bad, weights, None)
    with pytest.raises(AssertionError, match="kernels read float32"):
        fused.fused({"z_H": fits, "z_L": fits}, fits, [weight.double() for weight in weights], None)


def test_a_backward_pass_notices_weights_that_were_updated_since() -> None:
    config, cells, rows = NETWORKS["attention"]
    fused = networks(config, cells)[2]
    for parameter in fused.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer = AdamATan2(fused.parameters(), is_fused=True)
    latents, inputs = fused.initial_latents(rows), torch.zeros(rows, cells, dtype=torch.int32)
    _, output = fused(latents, inputs, torch.zeros(rows, config.puzzle_ndim))
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.q_halt.sum().backward()


@pytest.mark.parametrize("betas", [(0.9, 0.95), (0.0, 0.99999), (0.9999, 0.0)])
def test_the_fused_update_is_the_plain_one(betas: tuple[float, float]) -> None:
    generator = torch.Generator().manual_seed(3)
    start = [torch.randn(size, generator=generator) for size in ((7, 5), (70_000,), (3,))]
    ways = []
    for is_fused in (False, True):
        params = [torch.nn.Parameter(p.clone()) for p in start]
        ways.append((params, AdamATan2(params, lr=1e-2, betas=betas, weight_decay=0.3, is_fused=is_fused)))
    for scale in (1.0, 1e-6, 0.0, 1e6):
        gradients = [scale * torch.randn(p.shape, generator=generator) for p in start]
        for params, optimizer in ways:
            for param, gradient in zip(params, gradients, strict=True):
                param.grad = gradient.clone()
            optimizer.step()
        for plain, fused in zip(ways[0][0], ways[1][0], strict=True):
            torch.testing.assert_close(fused, plain, rtol=2e-6, atol=2e-8)
    for plain, fused in zip(ways[0][1].state.values(), ways[1][1].state.values(), strict=True):
        assert plain.keys() == fused.keys()
        for name in plain:
            torch.testing.assert_close(fused[name], plain[name], rtol=1e-5, atol=0)


def test_a_zero_gradient_moves_nothing_and_one_that_is_no_number_shows() -> None:
    param = torch.nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))
    param.grad = torch.tensor([0.0, float("nan"), -1.0])
    AdamATan2([param], lr=0.1, weight_decay=0.0, is_fused=True).step()
    first = 3.0 + 0.1 / (1 - 0.9) * math.atan2(0.1, 1.0)
    torch.testing.assert_close(param.detach(), torch.tensor([1.0, float("nan"), first]), equal_nan=True)


def run_of(kernels: str = "auto", **model: object) -> RunConfig:
    training = {"steps": 1, "kernels": kernels, "compile": model.pop("compile", False)}
    return RunConfig.model_validate({"data": {"folder": "x"}, "model": model, "training": training})


def test_auto_takes_the_kernels_where_they_fit() -> None:
    assert uses_kernels(run_of(), "cpu")
    assert uses_kernels(run_of("fused"), "cpu")
    assert not uses_kernels(run_of("plain"), "cpu")
    assert not uses_kernels(run_of(), "cuda")
    assert not uses_kernels(run_of(forward_dtype="bfloat16"), "cpu")
    assert not uses_kernels(run_of(forward_dtype="float64"), "cpu")
    assert not uses_kernels(run_of(compile=True), "cpu")


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"forward_dtype": "float64"}, "forward_dtype float64;"),
        ({"compile": True}, "forward_dtype auto and training.compile true;"),
    ],
)
def test_what_cannot_be_fused_is_refused_with_the_configuration(fields: dict[str, object], names: str) -> None:
    with pytest.raises(ValidationError, match=f"fused computes in float32 and is not compiled, got model.{names}"):
        run_of("fused", **fields)


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels that do a network only with these values of two fields."""
    monkeypatch.setattr(TrmConfig, "FUSED_VALUES", {"L_layers": (2, 3), "rope_theta": (10000.0,)})
    monkeypatch.setattr(devices, "_said", set())


def test_what_the_kernels_do_not_do_goes_plain_and_says_so_once(limited: None, caplog: pytest.LogCaptureFixture) -> None:
    assert uses_kernels(run_of(L_layers=3), "cpu")
    assert not caplog.text
    for layers in (4, 5, 4):
        assert not uses_kernels(run_of(L_layers=layers), "cpu")
    assert [record.getMessage() for record in caplog.records] == [
        "training goes on without the fused kernels, two to three times slower: they do not do model.L_layers 4"
    ]
    assert not uses_kernels(run_of(L_layers=4, rope_theta=100.0), "cpu"), "another set of fields is told too"
    assert "model.L_layers 4 and model.rope_theta 100.0" in caplog.text
    assert not networks(TrmConfig(**{**SMALL, "L_layers": 4}), 4)[2].is_fused


def test_insisting_on_kernels_for_what_they_do_not_do_is_refused(limited: None) -> None:
    with pytest.raises(
        ValidationError, match=r"fused does not do model.L_layers 4; set model.L_layers: 2, or training.kernels: auto"
    ):
        run_of("fused", L_layers=4)


@pytest.mark.parametrize(
    ("config", "device", "names"),
    [(run_of("fused"), "cuda", "cuda, bfloat16"), (run_of("fused", forward_dtype="float32"), "cuda", "cuda, float32")],
)
def test_insisting_where_they_do_not_fit_says_so(config: RunConfig, device: str, names: str) -> None:
    with pytest.raises(ResourceError, match=f"fused is for the CPU in float32.*this run is {names}; set training.kernels: auto"):
        uses_kernels(config, device)


def test_a_trained_network_is_taken_anywhere() -> None:
    assert not uses_kernels(run_of("fused"), "cuda", is_trained=True)
    assert uses_kernels(run_of("fused"), "cpu", is_trained=True)
    assert not uses_kernels(run_of("plain"), "cpu", is_trained=True)


@pytest.mark.parametrize("others", [0, 1])
def test_all_workers_of_a_gang_use_them_or_none(others: int) -> None:
    class Two(Gang):
        def all_reduce_sum(self, tensor: Tensor) -> Tensor:
            return tensor + others

    state = TrainingState(run_of(), DataShape(4, 6, 3), max_steps=1, gang=Two(world_size=2))
    assert (state.model.fused is not None) == state.optimizer.optimizer.is_fused == bool(others)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine on which nothing was compiled yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    for cached in (build.library, build.why_missing):
        monkeypatch.setattr(build, cached.__name__, functools.cache(cached.__wrapped__))
    return tmp_path / "home" / "trm-search"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that was compiled once."""
    path = tmp_path_factory.mktemp("compiled") / "kernels.so"
    path.write_bytes(build._compiled())
    return path


@pytest.fixture
def compilations(fresh: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How often the compiler ran, which gives out the library."""
    counted, compiler = fresh.parents[1] / "count", fresh.parents[1] / "counting-c++"
    counted.touch()
    compiler.write_text(f'#!/bin/sh\n[ "$1" = --version ] && exit\necho >> {counted}\nfor last; do :; done\ncp {library} "$last"\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    return lambda: len(counted.read_text())


def loads() -> bool:
    """Whether the kernels can be had, as a new process would find them."""
    build.library.cache_clear()
    return build.library().trm_prepare() > build.NO_PRODUCTS


def test_what_was_compiled_once_is_only_loaded(fresh: Path, compilations: Callable[[], int]) -> None:
    assert build.why_missing() is None
    (fresh / ".lock").unlink()
    (fresh / ".lock").mkdir()  # what is there is loaded without a lock, for which a folder has to be writable
    assert loads()
    assert compilations() == 1
    assert len(list(fresh.iterdir())) == 2
    assert fresh.stat().st_mode & 0o777 == 0o700


def test_a_damaged_library_is_compiled_anew_and_one_open_to_others_is_not_loaded(
    fresh: Path, compilations: Callable[[], int]
) -> None:
    assert loads()
    (path,) = fresh.glob("kernels-*.so")
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for count, damaged in enumerate((b"", whole[: len(whole) // 2], bytes(flipped), b"\x7fELF" + b"x" * 999), start=2):
        path.write_bytes(damaged)
        assert loads()
        assert compilations() == count
        assert len(path.read_bytes()) == len(whole)
    path.chmod(0o666)
    assert loads()
    assert compilations() == 6
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_folder_that_others_may_write_to_is_passed_over_with_the_advice_to_remove_it(
    fresh: Path, compilations: Callable[[], int], caplog: pytest.LogCaptureFixture
) -> None:
    fresh.mkdir(parents=True)
    fresh.chmod(0o777)
    (fresh / f"kernels-{build._key()[:32]}.so").write_bytes(b"planted")
    assert loads()
    assert f"{fresh} is another user's or open to others and not used as a cache: remove it (rm -r {fresh})" in caplog.text
    assert "chmod" not in caplog.text
    (beside,) = (fresh.parents[1] / "tmp").glob("trm-search-*")
    assert [path.name.partition("-")[0] for path in sorted(beside.iterdir())] == [".lock", "kernels"]
    assert beside.stat().st_mode & 0o777 == 0o700
    assert loads()
    assert compilations() == 1


@pytest.mark.parametrize("home", ["/dev/null", "", None])
def test_without_a_home_they_are_kept_elsewhere_and_without_a_place_not_at_all(
    home: str | None, fresh: Path, compilations: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME") if home is None else monkeypatch.setenv("HOME", home)
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)  # KeyError, as for the number that a container runs under
    assert loads()
    assert loads()
    assert compilations() == 1
    monkeypatch.setattr(own_cache, "_places", lambda: iter([Path("/dev/null/x")]))
    assert loads()
    assert compilations() == 2


def test_without_a_compiler_auto_goes_on_plainly_and_says_why(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(devices, "why_missing", build.why_missing)
    monkeypatch.setattr(devices, "library", build.library)
    assert not uses_kernels(run_of(), "cpu")
    assert "without the fused kernels" in caplog.text
    assert "need a C++ compiler, and CXX=no-such-compiler is not there" in caplog.text
    with pytest.raises(ResourceError, match=r"CXX=no-such-compiler is not there; install one, or set training.kernels: plain"):
        uses_kernels(run_of("fused"), "cpu")


@pytest.mark.parametrize(
    ("renamed", "why"),
    [
        ("-Dbrgemm=absent", None),
        ("-Dbrgemm=absent -Dsgemm_=gone", "fused kernels need the matrix products of torch, and this build of torch has none"),
        ("-DGOMP_parallel=absent", "undefined symbol: absent"),
    ],
)
def test_what_a_torch_lacks_is_done_without_or_told(
    renamed: str, why: str | None, fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", f"{build._compiler()[0]} {renamed}")
    if why is not None:
        assert why in str(build.why_missing())
        return
    assert build.library().trm_prepare() == 1, "the BLAS"
    monkeypatch.setattr(recursion, "library", build.library)
    exact, _, fused = (step(model, 5) for model in networks(*NETWORKS["attention"][:2]))
    for true, ours in zip(exact, fused, strict=True):
        assert all(error(ours[name], value) < 1e-5 for name, value in true.items())


def test_a_compiler_that_hangs_is_not_waited_for(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = fresh.parents[1] / "hanging-c++"
    compiler.write_text("#!/bin/sh\nexec sleep 60\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setattr(build, "COMPILE_SECONDS", 0.1)
    assert "hanging-c++ took more than 0.1 s" in str(build.why_missing())


def test_a_compiler_that_fails_leaves_nothing_and_is_quoted(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = fresh.parents[1] / "bad-c++"
    compiler.write_text('#!/bin/sh\n[ "$1" = --version ] && exit 0\necho "x.hpp:1: error: what is this" >&2\nexit 1\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    assert "do not compile" in str(build.why_missing())
    assert "error: what is this" in str(build.why_missing())
    assert [path.name for path in fresh.iterdir()] == [".lock"]
