"""Tagged unions: old files mean what they meant, and a member's fields are known by their tag."""

from typing import Any

import pytest

from trm.config.files import validated
from trm.config.leaves import exists, leaves, put, value_at, without_other_members, written_at
from trm.config.losses import SoftmaxLoss, StablemaxLoss
from trm.config.optimizers import AdamATan2Config, AdamWConfig
from trm.config.run import RunConfig
from trm.errors import ConfigError

RUN: dict[str, Any] = {"data": {"folder": "x"}, "training": {"steps": 1}}
OLD_OPTIM = {"lr": 1e-3, "lr_min_ratio": 1.0, "lr_warmup_steps": 5, "beta1": 0.9, "beta2": 0.95, "weight_decay": 0.1}


def run(**sections: Any) -> RunConfig:
    return validated(RunConfig, {**RUN, **{name: {**RUN.get(name, {}), **section} for name, section in sections.items()}}, "run")


def test_files_of_before_mean_what_they_meant() -> None:
    """Their digests were told by the version before there were unions."""
    assert run(optim=OLD_OPTIM).optim == AdamATan2Config(lr=1e-3, lr_warmup_steps=5)
    assert run(training={"loss": "softmax"}).training.loss == SoftmaxLoss()
    assert run().training.loss == StablemaxLoss()
    assert run().network_digest() == "2995b87637cbb7bd"
    assert run(optim=OLD_OPTIM).network_digest() == DIGESTS[0]
    assert run(training={"loss": "softmax"}, optim={"ema": False}).network_digest() == DIGESTS[1]


DIGESTS = ("15d26e56a9eae986", "e6ff544555b0ed3a")


@pytest.mark.parametrize(
    "sections",
    [{}, {"training": {"loss": "softmax"}}, {"optim": {"type": "adamw", "eps": 1e-6}}, {"model": {"architecture": "latents"}}],
)
def test_a_complete_file_is_read_back_as_the_same_run(sections: dict[str, Any]) -> None:
    config = run(**sections)
    values = config.model_dump(mode="json")
    assert isinstance(values["training"]["loss"], str), "a loss at its defaults is its tag, as in files of before"
    again = RunConfig.model_validate(values)
    assert again == config
    assert again.network_digest() == config.network_digest()
    assert type(again.optim) is type(config.optim)


def test_members_are_different_runs() -> None:
    assert run(optim={"type": "adamw"}).network_digest() != run().network_digest()
    assert run(optim={"type": "adam_atan2"}).network_digest() == run().network_digest()


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"optim": {"type": "adammw"}},
            r"optim.type must be one of adam_atan2, adamw, muon, lion, sgd, nadam, radam, got 'adammw'; did you mean adamw\?",
        ),
        ({"optim": {"eps": 1e-8}}, r"optim.eps goes with type adamw or muon or nadam or radam, not adam_atan2; remove it, or"),
        ({"optim": {"type": "adamw", "eps": 2}}, r"optim.eps must be < 1, got 2"),
        (
            {"training": {"loss": "softmx"}},
            r"training.loss.* must be one of stablemax, softmax, got 'softmx'; did you mean",
        ),
        ({"training": {"loss": {"type": "softmax", "depth": 1}}}, r"training.loss.depth is not a key"),
    ],
)
def test_what_is_wrong_in_a_member_is_named_by_its_path(sections: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run(**sections)


def test_leaves_know_where_they_exist() -> None:
    known = leaves()
    assert known["optim.eps"].where == {"optim.type": ("adamw", "muon", "nadam", "radam")}
    assert known["optim.lr"].where == known["optim.embedding_lr"].where == {}
    assert known["optim.beta1"].where == {"optim.type": ("adam_atan2", "adamw", "muon", "lion", "nadam", "radam")}
    assert known["model.num_latents"].where == {"model.architecture": ("latents",)}
    assert exists("optim.eps", {"optim.type": "adamw"})
    assert not exists("optim.eps", {"optim.type": "adam_atan2"})
    assert (value_at(run(), "optim.eps"), value_at(run(), "training.loss")) == (None, "stablemax")
    assert value_at(run(optim={"type": "adamw"}), "optim.eps") == 1e-8


def test_a_sparse_configuration_is_read_and_written_by_paths() -> None:
    written: dict[str, Any] = {"training": {"loss": "softmax"}, "optim": {"eps": 1e-6, "lr": 1e-3}}
    assert written_at(written, "training.loss", "?") == "softmax"
    assert written_at({"training": {"loss": {"type": "softmax"}}}, "training.loss", "?") == "softmax"
    values = dict(written)
    put(values, "training.loss", "stablemax")
    put(values, "optim.type", "adamw")
    assert values == {"training": {"loss": {"type": "stablemax"}}, "optim": {"eps": 1e-6, "lr": 1e-3, "type": "adamw"}}
    assert written == {"training": {"loss": "softmax"}, "optim": {"eps": 1e-6, "lr": 1e-3}}, "what was given stays"
    assert without_other_members(written, {"optim.type": ("adam_atan2", "adamw")})["optim"] == {"lr": 1e-3}
    assert without_other_members(written, {"optim.type": ("lion",)})["optim"] == written["optim"], (
        "no optimizer that is tried has it"
    )
    assert without_other_members(written, {}) == written
    assert without_other_members(values, {"optim.type": ("adam_atan2", "adamw")}) == values
    assert isinstance(run(**values).optim, AdamWConfig)
