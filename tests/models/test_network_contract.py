"""Every architecture keeps the contract of the network door."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor

from trm.config.architectures import AnyNetwork
from trm.config.grid_networks import CellMlpConfig, CnnConfig
from trm.config.recursive_networks import DirectConfig, HrmConfig, LatentsConfig, SingleZConfig, TransformerConfig, TrmConfig
from trm.contracts import networks
from trm.errors import CheckpointError, ContractError
from trm.models.network import Latents, Output
from trm.models.recursive.network import TinyRecursiveModel

SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_heads": 2,
    "H_cycles": 2,
    "L_cycles": 3,
    "L_layers": 2,
    "expansion": 1.0,
    "puzzle_emb_len": 2,
}
BLOCKS: dict[str, Any] = {name: SMALL[name] for name in ("hidden_size", "num_heads", "expansion", "puzzle_emb_len")}
SHALLOW = {**SMALL, "H_cycles": 1, "L_cycles": 1}
MIXER: dict[str, Any] = {"mlp_t": True, "pos_encodings": "none"}
ARCHITECTURES: dict[str, AnyNetwork] = {
    "trm": TrmConfig(**SMALL),
    "trm mixer": TrmConfig(**SMALL, **MIXER),
    "trm learned": TrmConfig(**{**SMALL, "puzzle_emb_len": 0, "puzzle_emb_ndim": 0}, pos_encodings="learned"),
    "trm narrow rows": TrmConfig(**{**SMALL, "puzzle_emb_len": 0, "puzzle_emb_ndim": 20}, no_ACT_continue=False),
    "trm normed": TrmConfig(**SMALL, ffn="normed_swiglu", pos_encodings="rope2d"),
    "trm mixer normed": TrmConfig(**SMALL, mlp_t=True, pos_encodings="none", ffn="normed_swiglu"),
    "trm conv": TrmConfig(**SMALL, ffn="conv_swiglu", conv_kernel=3, activation="gelu"),
    "trm mixer conv": TrmConfig(**SMALL, mlp_t=True, pos_encodings="none", ffn="conv_swiglu", activation="relu"),
    "single_z": SingleZConfig(**SMALL),
    "single_z mixer": SingleZConfig(**SHALLOW, **MIXER),
    "latents": LatentsConfig(**SMALL, num_latents=2),
    "trm that draws": TrmConfig(**SMALL, dropout=0.2, path_noise=0.05, relaxation=0.9, initial_latents="random"),
    "mixer that draws": TrmConfig(**SHALLOW, **MIXER, dropout=0.2, path_noise=0.05, relaxation=0.9, initial_latents="random"),
    "random starts": TrmConfig(**SHALLOW, initial_latents="random"),
    "latents that no turn comes to": LatentsConfig(**SMALL, num_latents=6, pos_encodings="learned"),
    "hrm": HrmConfig(**BLOCKS, H_layers=1, L_layers=2, L_cycles=3),
    "hrm mixer": HrmConfig(**BLOCKS, H_layers=2, L_layers=1, H_cycles=1, mlp_t=True, pos_encodings="none"),
    "transformer": TransformerConfig(**BLOCKS, H_layers=2),
    "transformer of odd heads": TransformerConfig(**{**BLOCKS, "num_heads": 3}, H_layers=2, pos_encodings="learned"),
    "separate networks": TrmConfig(**SMALL, networks="separate"),
    "separate networks, several latents": LatentsConfig(**SMALL, num_latents=2, networks="separate", gradient="one_step"),
    "separate networks, one latent": SingleZConfig(**SMALL, networks="separate", gradient="all"),
    "gradient of the last call": TrmConfig(**SMALL, gradient="last_call"),
    "gradient of the last call of two networks": TrmConfig(**SMALL, networks="separate", gradient="last_call"),
    "gradient of one step": TrmConfig(**SMALL, gradient="one_step"),
    "gradient of two cycles": TrmConfig(**{**SMALL, "H_cycles": 3}, gradient=2),
    "gradient of all": TrmConfig(**SMALL, gradient="all", mlp_t=True, pos_encodings="none"),
    "answers after every cycle": TrmConfig(**{**SMALL, "H_cycles": 3}, answers_after="every_cycle"),
    "answers after every cycle, two networks": LatentsConfig(**SMALL, answers_after="every_cycle", networks="separate"),
}
BASELINES: dict[str, AnyNetwork] = {
    "direct": DirectConfig(**{key: SMALL[key] for key in ("hidden_size", "num_heads", "expansion", "puzzle_emb_len")}),
    "cnn": CnnConfig(hidden_size=8, widths="4-6", puzzle_emb_ndim=0, puzzle_emb_len=0),
    "cnn of one convolution": CnnConfig(hidden_size=8, widths="", puzzle_emb_ndim=20, puzzle_emb_len=3, grid_width=9),
    "cell_mlp": CellMlpConfig(hidden_size=16, L_cycles=3, puzzle_emb_ndim=0, puzzle_emb_len=0),
    "cell_mlp behind convolutions": CellMlpConfig(hidden_size=16, L_cycles=1, convolutions=2),
}


@pytest.mark.parametrize("check", networks.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_keeps_it(name: str, check: Callable[[AnyNetwork], None]) -> None:
    if check is networks.check_published_names and name != "direct":
        with pytest.raises(CheckpointError, match=f"are of published networks, and {name.split()[0]} has no published names"):
            check(BASELINES[name])
        return
    check(BASELINES[name])


@pytest.mark.parametrize("check", networks.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_keeps_its_contract(name: str, check: Callable[[AnyNetwork], None]) -> None:
    check(ARCHITECTURES[name])


class Mixing(TinyRecursiveModel):
    """Rows see each other."""

    def forward(
        self, latents: Latents, inputs: Int[Tensor, "batch cells"], puzzle_rows: Float[Tensor, "batch ndim"] | None
    ) -> tuple[Latents, Output]:
        """As it should be, and a little of the batch's mean."""
        new, output = super().forward(latents, inputs, puzzle_rows)
        return new, output._replace(logits=output.logits + 1e-3 * output.logits.mean(0))


class Attached(TinyRecursiveModel):
    """A gradient goes on to the next step."""

    def forward(
        self, latents: Latents, inputs: Int[Tensor, "batch cells"], puzzle_rows: Float[Tensor, "batch ndim"] | None
    ) -> tuple[Latents, Output]:
        """As it should be, but for a latent that has a gradient."""
        new, output = super().forward(latents, inputs, puzzle_rows)
        return {**new, "z_L": new["z_L"] * self.answer_head.mean()}, output


class Remembering(TinyRecursiveModel):
    """What it answers hangs on how often it was asked, which no carry holds."""

    asked = 0

    def forward(
        self, latents: Latents, inputs: Int[Tensor, "batch cells"], puzzle_rows: Float[Tensor, "batch ndim"] | None
    ) -> tuple[Latents, Output]:
        """As it should be, times the number of the call."""
        self.asked += 1
        new, output = super().forward(latents, inputs, puzzle_rows)
        return new, output._replace(logits=output.logits * self.asked)


class Drawing(TinyRecursiveModel):
    """Noise from the global generator."""

    def forward(
        self, latents: Latents, inputs: Int[Tensor, "batch cells"], puzzle_rows: Float[Tensor, "batch ndim"] | None
    ) -> tuple[Latents, Output]:
        """As it should be, with noise."""
        new, output = super().forward(latents, inputs, puzzle_rows)
        return new, output._replace(logits=output.logits + torch.randn(()))


class Larger(TinyRecursiveModel):
    """A weight that arithmetic knows nothing of."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.gain = torch.nn.Parameter(torch.ones(3))


class Worked(TinyRecursiveModel):
    """Twice the work."""

    def forward(
        self, latents: Latents, inputs: Int[Tensor, "batch cells"], puzzle_rows: Float[Tensor, "batch ndim"] | None
    ) -> tuple[Latents, Output]:
        """As it should be, done twice."""
        super().forward(latents, inputs, puzzle_rows)
        return super().forward(latents, inputs, puzzle_rows)


@pytest.mark.parametrize(
    ("kind", "check", "rule"),
    [
        (Mixing, networks.check_rows_are_apart, "a row must see nothing of the others: logits"),
        (Attached, networks.check_outputs, r"new latents must be detached, \['z_L'\] are not"),
        (Remembering, networks.check_carry, "a halted slot must start from the initial latents"),
        (Drawing, networks.check_determinism, "a step must repeat to the bit"),
        (Larger, networks.check_sizes, "the sizes of weights must be told as they are: of gain told .None., built"),
        (Worked, networks.check_flops, "train FLOPs of a row must be within 2 %"),
    ],
)
def test_what_breaks_the_contract_is_told_by_its_rule(
    kind: type[TinyRecursiveModel], check: Callable[[AnyNetwork], None], rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "build_network", kind)
    with pytest.raises(ContractError, match=rule):
        check(ARCHITECTURES["trm"])


def test_a_memory_prediction_far_from_the_truth_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    config = ARCHITECTURES["trm"]
    told = networks.row_cost(config, networks.SHAPE)
    for factor in (0.3, 10):
        wrong = replace(told, activation_bytes=int(factor * told.activation_bytes))
        monkeypatch.setattr(networks, "row_cost", lambda config, shape, wrong=wrong: wrong)
        with pytest.raises(ContractError, match="activations must be predicted"):
            networks.check_memory(config)
