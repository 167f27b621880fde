"""What a search space may hold: its base, its conditions, its target, what it tries at test time and on fused kernels."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from trm.config.data import DataConfig
from trm.config.leaves import leaves, put, without_other_members, written_at, written_tags
from trm.config.messages import nearest, problems_of
from trm.config.networks import ModelConfig
from trm.config.run import RunConfig
from trm.config.training import TrainingConfig, divides
from trm.config.unions import tagged_members
from trm.errors import ConfigError
from trm.search.knobs.knobs import Knob
from trm.search.settings import Budget, Objective, Resources
from trm.search.space.spelling import spelled
from trm.tasks.metrics import bounds

NETWORK = "model.architecture"


def check_target(objective: Objective, budget: Budget) -> None:
    """ConfigError for a target that no score can reach."""
    target, (least, most) = budget.target, bounds(objective.metric)
    if target is None or least <= target <= most:
        return
    share = target / 100
    hint = f"write {share:g}" if most == 1 < target and least <= share <= most else "give a value of the metric"
    of = f"from {least:g} to {most:g}" if math.isfinite(most) else f"at least {least:g}"
    raise ConfigError(f"budget.target must be a value of {objective.metric}, {of}, got {target:g}", remedy=hint)


def check_base(base: Mapping[str, Any], data: DataConfig, search: Mapping[str, Knob]) -> None:
    """ConfigError for a base that holds what belongs beside it, or that no run could have."""
    for key, remedy in (
        ("data", "put it beside `base`"),
        ("seed", "put it beside `base`; it seeds the whole sweep"),
        ("tracking", "put it beside `base`"),
        ("imports", "put it beside `base`"),
    ):
        if key in base:
            raise ConfigError(f"base.{key} does not belong there", remedy=remedy)
    if (split := written_at(base, "evaluation.split", "auto")) in ("test", "none"):
        raise ConfigError(
            f"base.evaluation.split cannot be {split} in a sweep, whose trials are ranked by validation", remedy="remove it"
        )
    for values in _bases(base, search):
        try:
            RunConfig.model_validate({**values, "data": data})
        except ValidationError as error:
            problems = problems_of(RunConfig, error, with_rules=False)  # rules between knobs hold for trials, not for their base
            if problems:
                raise ConfigError(f"base.{problems[0].text}", remedy=spelled(problems[0].remedy, {})) from error


def check_conditions(search: Mapping[str, Knob]) -> None:
    """ConfigError for a condition on what is not searched, or on a value that it never has."""
    for path, knob in search.items():
        for other, wanted in knob.when.items():
            if other not in search:
                near = nearest(other, list(search))
                raise ConfigError(
                    f"search.{path}.when names {other}, which is not searched",
                    remedy=f"did you mean {near}?" if near else "drop the condition or search it too",
                )
            for value in wanted if isinstance(wanted, list) else [wanted]:
                if not search[other].contains(value):
                    raise ConfigError(
                        f"search.{path}.when wants {other} = {value!r}, which the knob never is",
                        remedy=f"change it or search.{other}",
                    )


def check_test_time(base: Mapping[str, Any], search: Mapping[str, Knob]) -> None:
    """ConfigError for settings at test time that trials have already, or of networks that carry nothing."""
    for name in ("rollouts", "noise", "starts", "forms"):
        path = f"evaluation.{name}"
        if path in search or written_at(base, path, default := default_of(path)) != default:
            where = "search" if path in search else "base"
            raise ConfigError(
                f"test_time tries {name} on trained weights, and {where}.{path} is there too",
                remedy=f"drop one: test_time, or {path}",
            )
    if written_at(base, "evaluation.reports_halted", default=False):
        raise ConfigError(
            "test_time chooses among several answers a puzzle, and base.evaluation.reports_halted is of one",
            remedy="drop one: test_time, or evaluation.reports_halted",
        )
    if not any(kind.CARRIES_LATENTS for kind in networks_tried(base, search).values()):
        raise ConfigError(
            "test_time gives networks more supervision steps, and those of this space carry nothing from one to the next",
            remedy="drop test_time, or take another model.architecture",
        )


def check_fused(base: Mapping[str, Any], search: Mapping[str, Knob]) -> None:
    """ConfigError for a value that no trial could have, since kernels are insisted on that do not do it."""
    knob, written = search.get("training.kernels"), written_at(base, "training.kernels", "auto")
    if any(value != "fused" for value in ([written] if knob is None else knob.values_in_order)):
        return
    for tag, kind in networks_tried(base, search).items():
        for name, done in kind.FUSED_VALUES.items():
            path = f"model.{name}"
            values = [tag] if path == NETWORK else search[path].values_in_order if path in search else []
            if path in search and (lost := [value for value in values if value not in done]):
                raise ConfigError(
                    f"training.kernels fused does not do {path} {lost[0]}, which search.{path} has and no trial would be",
                    remedy=f"remove it there, or set training.kernels: auto, which does {lost[0]} by torch's operators",
                )


def networks_tried(base: Mapping[str, Any], search: Mapping[str, Knob]) -> dict[str, type[ModelConfig]]:
    """Tag -> configuration of every network that a trial may have."""
    members = tagged_members(RunConfig.model_fields["model"])
    tags = search[NETWORK].values_in_order if NETWORK in search else [written_tags(base)[NETWORK]]
    return {tag: kind for tag in map(str, tags) if issubclass(kind := members[tag], ModelConfig)}


def tags_tried(search: Mapping[str, Knob]) -> dict[str, tuple[Any, ...]]:
    """Path of the tag of every union that is searched -> the tags."""
    return {path: tuple(knob.values_in_order) for path, knob in search.items() if leaves()[path].union is not None}


def default_of(path: str) -> Any:
    """What a field of a run is where nothing is written."""
    return leaves()[path].info.get_default(call_default_factory=True)


def _bases(base: Mapping[str, Any], search: Mapping[str, Knob]) -> Iterator[dict[str, Any]]:
    """The base as it is under each member of a union that is searched; as it stands where none is."""
    tried = tags_tried(search)
    yield without_other_members(base, tried)
    for path in (path for path in search if leaves()[path].union is not None):
        for tag in search[path].values_in_order:
            values = dict(base)
            put(values, path, tag)
            yield without_other_members(values, tried)


def check_widening(resources: Resources, base: Mapping[str, Any], search: Mapping[str, Knob], *, is_population: bool) -> None:
    """ConfigError where `resources.max_workers` could never widen a leg."""
    if resources.most_slots == 1:
        return
    if is_population:
        raise ConfigError(
            f"resources.max_workers {resources.max_workers} widens a sweep's last legs, and all of a population's last as long",
            remedy="leave it out, or take another scheduler",
        )
    if resources.gpus % 1:
        raise ConfigError(
            f"resources.max_workers {resources.max_workers} makes gangs, whose workers share no GPU, got gpus {resources.gpus:g}",
            remedy="leave it out, or give a worker whole GPUs",
        )
    defaults, path = TrainingConfig.model_fields, "training.global_batch_size"
    batches = [written_at(base, path, defaults["global_batch_size"].default)]
    if path in search:
        batches = list(search[path].values_in_order) if search[path].type == "choice" else []
    parts = written_at(base, "training.micro_batches", defaults["micro_batches"].default)
    twice = 2 * resources.workers
    if batches and "training.micro_batches" not in search and not any(divides(batch, twice, parts) for batch in batches):
        said = " or ".join(map(str, batches))
        raise ConfigError(
            f"resources.max_workers {resources.max_workers} widens no leg: global batch {said} must divide by {twice} workers, "
            f"each with {parts} micro-batches",
            remedy=f"take multiples of {twice * parts}, or leave it out",
        )
