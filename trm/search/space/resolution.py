"""What a trial really uses of its knobs: values that its length caps, and values that make no difference to its result."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from trm.config.optimizers import CONSTANT_COSINE, OptimConfig
from trm.config.run import RunConfig
from trm.search.knobs.knobs import NOT_SEARCHED, ChoiceKnob, Knob, at_share
from trm.search.space.rules import RULES
from trm.search.space.space import SearchSpace

CAPPED = -1
"""Stands for every value that the length of a trial caps: a sweep that goes on may give new trials more compute."""
LOOKED_AT = 8
"""Configurations around which each knob is turned alone."""
TURNED = 16
"""Values of a knob that are compared, at most."""


@dataclass(frozen=True)
class Circumstances:
    """What decides, besides its configuration, what a trial does."""

    device: Literal["cpu", "cuda"]
    is_timed: bool
    """Whether seconds decide lengths or rank trials."""

    @classmethod
    def of(cls, space: SearchSpace) -> "Circumstances":
        """Circumstances of a sweep's trials."""
        is_timed = space.fidelity == "seconds" or "latency_seconds" in space.objective.others
        return cls("cuda" if space.resources.gpus else "cpu", is_timed)


def largest_rate(optim: OptimConfig, max_steps: int) -> float:
    """The largest rate that the weight average of a run of so many steps ever uses."""
    return min(optim.ema_rate, (1 + max_steps) / (10 + max_steps)) if optim.ema_warmup else optim.ema_rate


def used(config: RunConfig, params: Mapping[str, Any], max_steps: int) -> dict[str, Any]:
    """Searched path -> what a trial of that length uses in place of its parameter, where that is another value."""
    held: dict[str, float] = {"optim.lr_warmup_steps": config.optim.lr_warmup_steps}
    if config.optim.ema:
        held["optim.ema_rate"] = largest_rate(config.optim, max_steps)
    return {path: value for path, value in held.items() if path in params and params[path] != value}


def identity(
    config: RunConfig, params: Mapping[str, Any], max_steps: int, circumstances: Circumstances, rules: int = RULES
) -> RunConfig:
    """The configuration with all that makes no difference set alike: its digest is that of every run like it, of any length.

    Beyond what `RunConfig.network_digest` sets alike this looks only at what is searched.
    """
    changes: dict[str, dict[str, Any]] = {"training": {"steps": 1}, "optim": {}, "model": {}, "evaluation": {}}
    model, optim, evaluation = config.model, config.optim, config.evaluation
    if rules >= 2:
        if "optim.ema_rate" in params and largest_rate(optim, max_steps) < optim.ema_rate:
            changes["optim"]["ema_rate"] = CAPPED
        if "model.forward_dtype" in params:
            changes["model"]["forward_dtype"] = _forward_dtype(model.forward_dtype, circumstances.device)
        if "model.halt_exploration_prob" in params and model.halt_max_steps == 1:
            changes["model"]["halt_exploration_prob"] = 0.0
        if "training.loss_dtype" in params and config.training.loss_dtype == "auto":
            changes["training"]["loss_dtype"] = "float64" if circumstances.device == "cpu" else "float32"
        if "training.compile" in params and not circumstances.is_timed:
            changes["training"]["compile"] = False
        if "evaluation.batch_size" in params and not circumstances.is_timed:
            changes["evaluation"]["batch_size"] = None
        if "evaluation.steps" in params:
            changes["evaluation"]["steps"] = evaluation.steps or model.halt_max_steps
    sections = {name: getattr(config, name).model_copy(update=update) for name, update in changes.items() if update}
    return config.model_copy(update=sections)


def _forward_dtype(name: str, device: str) -> str:
    if device == "cpu":
        return "float32" if name in ("auto", "tf32") else name
    return "bfloat16" if name == "auto" else name


def overruled(space: SearchSpace) -> list[str]:
    """Values of the base that a sweep does not follow, or that make its trials another thing than most expect, in words."""
    training, notes = space.base.get("training", {}), []
    for name in ("epochs", "steps", "train_flops", "eval_every_steps", "checkpoint_every_steps"):
        if training.get(name) is not None:
            notes.append(
                f"base.training.{name} {training[name]:g} is not followed: {NOT_SEARCHED[f'training.{name}'].split(';')[0]}"
            )
    if space.base.get("optim", {}).get("ema_warmup") is False and "optim.ema_warmup" not in space.search:
        notes.append("base.optim.ema_warmup is false: the average of a trial that is short against 1 / (1 - ema_rate) is its start")
    if _has_constant_cosine(space):
        notes.append(CONSTANT_COSINE)
    return notes


def _has_constant_cosine(space: SearchSpace) -> bool:
    """Whether a cosine is asked for, in the base or as a knob's value, whose floor is the peak."""
    optim, knob = space.base.get("optim", {}), space.search.get("optim.schedule")
    is_asked = optim.get("schedule") == "cosine" if knob is None else knob.contains("cosine")
    return is_asked and optim.get("lr_min_ratio", 1) == 1 and "optim.lr_min_ratio" not in space.search


def collapsed(
    space: SearchSpace, found: Sequence[Mapping[str, Any]], digest_of: Callable[[dict[str, Any]], str | None]
) -> list[str]:
    """Knobs with values that are one run in every configuration looked at, in words; `digest_of` is null for what cannot be."""
    notes = []
    for path, knob in space.search.items():
        having = [params for params in found if path in params]
        chosen = having[:: -(-len(having) // LOOKED_AT)] if having else []
        alike = _alike(path, _values(knob), chosen, digest_of)
        said = [", ".join(map(_shown, group)) for group in alike if len(group) > 1]
        if said:
            notes.append(f"search.{path}: {' are one run, and '.join(said)} are one run, whatever the other knobs are")
    return notes


def _alike(
    path: str, values: list[Any], around: Sequence[Mapping[str, Any]], digest_of: Callable[[dict[str, Any]], str | None]
) -> list[list[Any]]:
    """The values in groups that no configuration tells apart."""
    told: list[tuple[str | None, ...]] = []
    for value in values:
        told.append(tuple(digest_of({**params, path: value}) for params in around))
    groups: dict[tuple[str | None, ...], list[Any]] = {}
    for value, digests in zip(values, told, strict=True):
        if any(digest is not None for digest in digests):
            groups.setdefault(digests, []).append(value)
    return list(groups.values())


def _values(knob: Knob) -> list[Any]:
    if isinstance(knob, ChoiceKnob) and len(knob.values) <= TURNED:
        return list(knob.values)
    shares = [place / TURNED for place in range(TURNED)]
    inner = [at_share(knob, share) for share in shares]
    return list(dict.fromkeys([*inner, knob.extremes[-1]]))


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)
